"""The pipeline: raw intensities are transformed, standardised, edited, and led back."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neuronedit.arrays import Float32s, Float64s, Floats, compiled
from neuronedit.cells.scaling import Scaling
from neuronedit.cells.transforms import all_cofactors
from neuronedit.edits.edit import Edit
from neuronedit.model.pipeline.columns import ColumnPipeline, NotFiniteError, Traced
from neuronedit.model.pipeline.device import CPU, Fetched, events_at_once, exact_products, full_memory_told, transfers
from neuronedit.network.autoencoder import Autoencoder, Tensors
from neuronedit.network.chunks import filled_chunks


class PipelineResult(NamedTuple):
    """Events after the pipeline.

    Attributes:
        intensities: (n_events, n_markers), shape and dtype of those given.
        support: (n_events,) float32, scores of the first edit's support; None where not asked for.
    """

    intensities: Floats
    support: Float32s | None


@dataclass(frozen=True)
class Pipeline:
    """Edits, applied one after another, with the scaling around them.

    A GPU gives what the processor gives, to float32's rounding. Transforms are computed by NumPy for either: ranks of
    events at zero come from their bits, which every library rounds in its own way. So zeros and what is not moved are
    the same, but where a last digit decides between two neighbours, bins or competing neurons. Where edits follow one
    another, ranks in the second come from what the first computed, and are others, as likely.

    Attributes:
        scaling: From raw intensities to what the edits were learned on.
        autoencoders: The model's, on the device.
        edits: In order.
        strength: The share of each edit's change that is made.
        support: Score events by the first edit's support.
        traced: Called with the standardised events, some at a time; None where nobody asks for them.
        device: The device that computes.
    """

    scaling: Scaling
    autoencoders: tuple[Autoencoder, ...]
    edits: tuple[Edit, ...]
    strength: float = 1.0
    support: bool = False
    traced: Traced | None = None
    device: torch.device = CPU

    @torch.inference_mode()
    def run(self, intensities: Floats, *, overwrite: bool = False) -> PipelineResult:
        """Edit raw intensities, (n_events, n_markers), as many at a time as suit the device.

        A value that is not moved is returned bit for bit. Whole-number intensities are rounded.

        Args:
            intensities: (n_events, n_markers).
            overwrite: Write the result over the intensities, in the place of new memory.

        Raises:
            NotFiniteError: A value is not a finite float32 number.
            ModelError: The device's memory is full.
        """
        passed = PipelineResult(
            intensities if overwrite else np.empty_like(intensities),
            np.empty(len(intensities), np.float32) if self.support else None,
        )
        if self._by_students:
            columns = ColumnPipeline(self.scaling, self.edits, self.strength, self.support, self.traced)
            columns.run(intensities, *passed)
            return passed
        ahead: tuple[Fetched, slice] | None = None
        with exact_products(), full_memory_told():
            for part, raw in filled_chunks(intensities, events_at_once(self.device)):
                before, ahead = ahead, (self._start(raw), part)
                if before:
                    self._land(passed, *before)
            if ahead:
                self._land(passed, *ahead)
        return passed

    @property
    def _by_students(self) -> bool:
        """Whether every edit is made by a student on the processor."""
        served = [edit for edit in self.edits if edit.members]
        return self.device.type == "cpu" and bool(served) and all(edit.student for edit in served)

    def _land(self, passed: PipelineResult, fetched: Fetched, part: slice) -> None:
        intensities, support, before, after = fetched.landed(part.stop - part.start)
        with np.errstate(over="ignore"):  # the caller tells what is beyond float32
            passed.intensities[part] = intensities
        if passed.support is not None:
            passed.support[part] = support
        if self.traced:
            assert before is not None
            assert after is not None
            self.traced(before, after, support)

    def _start(self, raw: Floats) -> Fetched:
        """Queue some events' computation on the device; a GPU is not waited for."""
        moved = transfers(self.device)
        raw = np.ascontiguousarray(raw)  # rows: in what order a product sums may depend on how they lie
        transformed = self.scaling.transform(raw)
        if not np.isfinite(transformed).all():
            raise NotFiniteError
        sent = moved.send(transformed)
        means, spreads, _ = self._tensors.beside(sent)
        before = (sent - means) / spreads
        scores = self.edits[0].support.scores(before) if self.support else None
        after = before
        for number, edit in enumerate(self.edits):
            after = edit.change(self.autoencoders, after, self.strength, None if number else scores)
        edited = self._back(raw, sent, before, after)
        return moved.fetch(edited, scores, *((before, after) if self.traced else (None, None)))

    def _back(self, raw: Floats, transformed: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Restore raw intensities: on the processor in float64, on a GPU in the type of ``raw``."""
        _, spreads, zeros = self._tensors.beside(after)
        transformed = transformed + (after - before) * spreads
        if after.is_cuda:
            restored = self._restored_on_gpu(transformed)
            return back_by_masks(transfers(self.device).send(raw), restored, before, after, zeros)
        edited = self.scaling.intensities(transformed.numpy())  # NumPy's sinh has bits of its own
        _keep(edited, raw, before.numpy(), after.numpy(), self.scaling.zeros)
        return torch.from_numpy(np.rint(edited) if np.issubdtype(raw.dtype, np.integer) else edited)

    def _restored_on_gpu(self, transformed: Tensor) -> Tensor:
        """Undo the transforms, in float64: arcsinh on the GPU, others by NumPy, for which the GPU is waited for."""
        if self._cofactors is None:
            return transfers(self.device).send(self.scaling.intensities(transformed.cpu().numpy()))
        (cofactors,) = self._cofactors.beside(transformed)
        return transformed.double().sinh() * cofactors

    @cached_property
    def _cofactors(self) -> Tensors | None:
        """The markers' cofactors; None where a marker has another transform than arcsinh."""
        cofactors = all_cofactors(self.scaling.transforms)
        return None if cofactors is None else Tensors(cofactors)

    @cached_property
    def _tensors(self) -> Tensors:
        return Tensors(self.scaling.means, self.scaling.spreads, self.scaling.zeros)


@compiled
def _keep(
    edited: Float64s,
    raw: npt.NDArray[Any],
    before: Float32s,
    after: Float32s,
    zeros: Float32s,
) -> None:
    """Put back values that were not moved, and put values led to zero at exactly zero, not a rounding beside it."""
    for event in range(len(edited)):
        for marker in range(edited.shape[1]):
            if after[event, marker] == before[event, marker]:
                edited[event, marker] = raw[event, marker]
            elif after[event, marker] == zeros[marker]:
                edited[event, marker] = 0


def back_by_masks(raw: Tensor, restored: Tensor, before: Tensor, after: Tensor, zeros: Tensor) -> Tensor:
    """Do what ``_keep`` does on a GPU, and round with it.

    Args:
        raw: (n_events, n_markers); the result has its type.
        restored: (n_events, n_markers) float64, intensities after the edit.
        before: (n_events, n_markers) float32, standardised.
        after: (n_events, n_markers) float32, standardised.
        zeros: (n_markers,) float32, zero intensity, standardised.

    Example:
        >>> raw, restored = torch.tensor([[1, 2, 3]]), torch.tensor([[1.4, 2.6, 3.2]], dtype=torch.float64)
        >>> before, after = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, -1.0]])
        >>> back_by_masks(raw, restored, before, after, torch.tensor([-2.0, -2.0, -1.0])).tolist()
        [[1, 3, 0]]
    """
    edited = torch.where(after == zeros, 0, restored)
    if not raw.is_floating_point():
        edited = edited.round()
    return torch.where(after == before, raw, edited.to(raw.dtype))
