"""The way of raw intensities through edits on a device."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor

from neuronedit.autoencoder import tensor
from neuronedit.device.edits import DeviceEdit
from neuronedit.device.transfers import Fetched, Transfers
from neuronedit.errors import ModelError
from neuronedit.passage import NotFiniteError, Passage, Passed
from neuronedit.scaling import FloatArray

MINIBATCH = 65_536
"""Events that a device is given at once: enough to keep it busy, and half of what a transform reads at once, so that
copies of one half overlap with computing on the other."""


class DevicePassage:
    """``Passage`` on a device: the same results, to float32's rounding.

    arcsinh is taken by NumPy here, too: ranks of events at zero come from its bits, which every library rounds in its
    own way. So zeros and what is not moved are the same, but where a last digit decides between two neighbours or bins.
    Where edits follow one another, ranks in the second come from what the first computed, and are others, as likely.
    """

    def __init__(self, passage: Passage, device: torch.device) -> None:
        """Take a passage's networks, edits and scaling to a device."""
        self._passage = passage
        self._transfers = Transfers(device)
        autoencoders = [deepcopy(autoencoder).to(device) for autoencoder in passage.autoencoders]
        self._edits = [DeviceEdit(edit, autoencoders, device) for edit in passage.edits]
        scaling = passage.scaling
        self._cofactors, self._means, self._spreads, self._zeros = (
            tensor(array).to(device) for array in (scaling.cofactors, scaling.means, scaling.spreads, scaling.zeros)
        )

    @torch.inference_mode()
    def take(self, intensities: FloatArray) -> Passed:
        """Take raw intensities, (n_events, n_markers), all the way; see ``Passage.take``.

        Raises:
            NotFiniteError: A value is not a finite float32 number.
            ModelError: The device's memory is full.
        """
        passed = self._passage.room(intensities)
        ahead: tuple[slice, Fetched] | None = None
        try:
            with _full_precision():
                for start in range(0, len(intensities), MINIBATCH):
                    part = slice(start, start + MINIBATCH)
                    before, ahead = ahead, (part, self._start(intensities[part]))
                    _land(passed, before)
                _land(passed, ahead)
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"The device's memory is full ({str(error).splitlines()[0]}); expected room for {MINIBATCH:,} events "
                "and what is made of them. Lower actors_per_gpu, or end what else runs on the GPU."
            ) from error
        return passed

    def _start(self, raw: FloatArray) -> Fetched:
        """Let the device begin with a minibatch; does not wait for it."""
        arcsinh = self._passage.scaling.arcsinh(raw)
        if not np.isfinite(arcsinh).all():
            raise NotFiniteError
        sent = self._transfers.send(arcsinh)
        before = (sent - self._means) / self._spreads
        scores = self._edits[0].support.scores(before) if self._passage.support else None
        after = before
        for number, edit in enumerate(self._edits):
            after = edit.edit(after, self._passage.strength, None if number else scores)
        edited = self._back(self._transfers.send(raw), sent, before, after)
        traced = (before, after) if self._passage.traced else (None, None)
        return self._transfers.fetch(edited, scores, *traced)

    def _back(self, raw: Tensor, arcsinh: Tensor, before: Tensor, after: Tensor) -> Tensor:
        edited = (arcsinh + (after - before) * self._spreads).double().sinh() * self._cofactors
        edited = torch.where(after == self._zeros, 0, edited)
        if not raw.is_floating_point():
            edited = edited.round()
        return torch.where(after == before, raw, edited.to(raw.dtype))


def found_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        ModelError: There is none.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ModelError(f"There is no device {name!r}; expected 'cpu', 'cuda' or the number of a GPU, as in 'cuda:1'.")
    n_gpus = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= n_gpus:
        raise ModelError(
            f"There is no device {name!r}: torch {torch.__version__} finds {n_gpus} GPU. Install torch's build for "
            "CUDA and NVIDIA's driver, or compute on the processor."
        )
    return device


def _land(passed: Passed, ahead: tuple[slice, Fetched] | None) -> None:
    if ahead is None:
        return
    part, fetched = ahead
    for kept, found in zip(passed, fetched.wait(), strict=True):
        if kept is not None and found is not None:
            kept[part] = found.numpy()


@contextmanager
def _full_precision() -> Iterator[None]:
    """Without TF32, which has 10 bits: containers for GPUs switch it on for all."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
