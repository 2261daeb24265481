"""The way of raw intensities to the scale that edits are learned on, through edits, and back."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from neuronedit.autoencoder import Autoencoder
from neuronedit.chunks import filled_chunks
from neuronedit.compiled import compiled
from neuronedit.edit import Edit
from neuronedit.scaling import FloatArray, Scaling

Float32Array = npt.NDArray[np.float32]


class NotFiniteError(Exception):
    """A value is not a finite float32 number: through the network it would spoil its event's other markers too."""


class Passed(NamedTuple):
    """What came of events on their way.

    Attributes:
        intensities: (n_events, n_markers), shape and dtype of those given.
        support: (n_events,) float32, scores of the first edit's support; None where not asked for.
        before: (n_events, n_markers) float32, standardised; None where not asked for.
        after: (n_events, n_markers) float32, as the edits left them; None where not asked for.
    """

    intensities: FloatArray
    support: Float32Array | None
    before: Float32Array | None
    after: Float32Array | None


@dataclass(frozen=True)
class Passage:
    """Edits, applied one after another, with the scaling around them.

    Attributes:
        scaling: From raw intensities to what the edits were learned on.
        autoencoders: The model's.
        edits: In order.
        strength: Of each edit's whole change, 1.
        support: Whether to score events by the first edit's support.
        traced: Whether to keep what the edits saw and made.
    """

    scaling: Scaling
    autoencoders: tuple[Autoencoder, ...]
    edits: tuple[Edit, ...]
    strength: float = 1.0
    support: bool = False
    traced: bool = False

    def take(self, intensities: FloatArray) -> Passed:
        """Take raw intensities, (n_events, n_markers), all the way, a chunk at a time.

        A value that is not moved is returned bit for bit. Whole-number intensities are rounded.

        Raises:
            NotFiniteError: A value is not a finite float32 number.
        """
        passed = self.room(intensities)
        for part, raw in filled_chunks(intensities):
            rows = slice(part.stop - part.start)
            arcsinh = self.scaling.arcsinh(raw)
            if not np.isfinite(arcsinh).all():
                raise NotFiniteError
            before = self.scaling.standardise(arcsinh)
            scores = self.edits[0].support.scores(before) if self.support else None
            after = before
            for number, edit in enumerate(self.edits):
                after = edit.edit(self.autoencoders, after, self.strength, None if number else scores)
            passed.intensities[part] = self._back(raw, arcsinh, before, after)[rows]
            for kept, found in zip(passed[1:], (scores, before, after), strict=True):
                if kept is not None and found is not None:
                    kept[part] = found[rows]
        return passed

    def room(self, intensities: FloatArray) -> Passed:
        """Arrays for what will come of raw intensities, not yet filled."""
        traces = (np.empty(intensities.shape, np.float32) if self.traced else None for _ in range(2))
        return Passed(
            np.empty_like(intensities), np.empty(len(intensities), np.float32) if self.support else None, *traces
        )

    def _back(
        self, raw: FloatArray, arcsinh: Float32Array, before: Float32Array, after: Float32Array
    ) -> npt.NDArray[np.float64]:
        edited = self.scaling.intensities(arcsinh + (after - before) * self.scaling.spreads)
        _keep(edited, raw, before, after, self.scaling.zeros)
        return np.rint(edited) if np.issubdtype(raw.dtype, np.integer) else edited


@compiled
def _keep(
    edited: npt.NDArray[np.float64],
    raw: npt.NDArray[Any],
    before: Float32Array,
    after: Float32Array,
    zeros: Float32Array,
) -> None:
    """Put back what was not moved; and what was led to zero is at exactly zero, not at what rounding leaves of it."""
    for event in range(len(edited)):
        for marker in range(edited.shape[1]):
            if after[event, marker] == before[event, marker]:
                edited[event, marker] = raw[event, marker]
            elif after[event, marker] == zeros[marker]:
                edited[event, marker] = 0
