"""Devices of torch: their names, the events that they take at once, and copies made while they compute."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neuronedit.errors import ModelError
from neuronedit.network.autoencoder import tensor
from neuronedit.network.chunks import CHUNK

MINIBATCH = 65_536
"""Events that a GPU is given at once: enough to keep it busy, and half of what a transform reads at once, so that
copies of one half overlap with computing on the other."""

CPU = torch.device("cpu")


def found_device(name: str) -> torch.device:
    """Find the device of that name.

    Raises:
        ModelError: There is none.

    Example:
        >>> found_device("cpu")
        device(type='cpu')
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


def events_at_once(device: torch.device) -> int:
    """Give the number of events for one pass: a minibatch on a GPU, a chunk that stays in the processor's cache.

    Example:
        >>> events_at_once(CPU) == CHUNK, events_at_once(torch.device("cuda:1"))
        (True, 65536)
    """
    return CHUNK if device.type == "cpu" else MINIBATCH


@contextmanager
def exact_products() -> Iterator[None]:
    """Multiply without TF32, which has 10 bits: containers for GPUs switch it on for all.

    Example:
        >>> with exact_products():
        ...     torch.get_float32_matmul_precision()
        'highest'
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def full_memory_told() -> Iterator[None]:
    """Turn torch's error of a full device into one that says how to go on.

    Raises:
        ModelError: The device's memory is full.

    Example:
        >>> with full_memory_told():
        ...     raise torch.OutOfMemoryError("CUDA out of memory.")
        Traceback (most recent call last):
        neuronedit.errors.ModelError: The device's memory is full (CUDA out of memory.); expected room for 65,536 ...
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"The device's memory is full ({str(error).splitlines()[0]}); expected room for {MINIBATCH:,} events "
            "and what is made of them. Lower actors_per_gpu, or end what else runs on the GPU."
        ) from error


class Fetched(NamedTuple):
    """Tensors in the processor's memory, once what fills them is done.

    Attributes:
        tensors: As many as were asked for, None in the place of None.
        filled: The GPU's event to wait for; None on the processor.
    """

    tensors: tuple[Tensor | None, ...]
    filled: torch.cuda.Event | None

    def landed(self, n_events: int) -> tuple[npt.NDArray[Any] | None, ...]:
        """Wait for the tensors, and give the first events of each as an array; the others filled a chunk up."""
        if self.filled:
            self.filled.synchronize()
        return tuple(None if found is None else found[:n_events].numpy() for found in self.tensors)


class Transfers:
    """Copies to and from a device.

    On CUDA, both ways have a stream of their own and pinned memory, which torch keeps and hands out again: the next
    events travel while the device computes on these. On the processor nothing is copied.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cuda = device.type == "cuda"
        if self._cuda:
            self._there, self._back = torch.cuda.Stream(device), torch.cuda.Stream(device)

    def send(self, array: npt.NDArray[Any]) -> Tensor:
        """Send an array to the device, for computations that are queued from now on."""
        if not self._cuda:
            return tensor(array)
        like = torch.from_numpy(np.empty(0, array.dtype))
        pinned = torch.empty(array.shape, dtype=like.dtype, pin_memory=True)
        pinned.numpy()[...] = array
        here = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._there):
            sent = pinned.to(self._device, non_blocking=True)
        here.wait_stream(self._there)
        sent.record_stream(here)  # its memory is not used anew before the computation is done
        return sent

    def fetch(self, *computed: Tensor | None) -> Fetched:
        """Begin to copy tensors to the processor's memory."""
        if not self._cuda:
            return Fetched(computed, None)
        self._back.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._back):
            return Fetched(tuple(map(self._fetch, computed)), self._back.record_event())

    def _fetch(self, computed: Tensor | None) -> Tensor | None:
        if computed is None:
            return None
        pinned = torch.empty(computed.shape, dtype=computed.dtype, pin_memory=True)
        pinned.copy_(computed, non_blocking=True)
        computed.record_stream(self._back)
        return pinned


@cache
def transfers(device: torch.device) -> Transfers:
    """Give this process's one ``Transfers`` of a device: torch keeps memory for each of their streams.

    Example:
        >>> transfers(CPU) is transfers(CPU)
        True
    """
    return Transfers(device)
