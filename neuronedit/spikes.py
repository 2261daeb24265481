"""The mass at exact zero, kept by rank: mass cytometry reads many events of a marker as exactly nothing.

Events in such a spike are tied: no percentile tells them apart, and a shift moves all of them off zero at once, which
no measured sample looks like. So the spike is spread over a narrow range before an edit, each event by a rank of its
own, and afterwards as many events are put at zero as the target has there.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from neuronedit.compiled import compiled
from neuronedit.events import mix
from neuronedit.percentiles import Arrays, FloatArray

MIN_MASS = 0.01
"""A marker has a spike where at least this share of the source's or of the target's events is at exact zero."""

WIDTH = 0.05
"""The range below zero that a spike is spread over, in standard deviations of the marker."""


@dataclass(frozen=True)
class Spikes:
    """Where markers have mass at exact zero, and up to where edited events return to it.

    Attributes:
        zeros: (n_markers,) float32, what zero intensity is when standardised; NaN for a marker without a spike.
        thresholds: (n_markers,) float32, edited values up to here are zero; as NaN as ``zeros``.
    """

    zeros: FloatArray
    thresholds: FloatArray

    @classmethod
    def find(cls, source: FloatArray, target: FloatArray, zeros: FloatArray) -> Self:
        """The spikes of a source and a target, (n_events, n_markers) standardised, before anything is edited.

        Args:
            source: Events that an edit starts from.
            target: Events that it leads to.
            zeros: (n_markers,) what zero intensity is when standardised.
        """
        mass = np.maximum((source == zeros).mean(axis=0), (target == zeros).mean(axis=0))
        found = np.where(mass >= MIN_MASS, zeros, np.float32(np.nan))
        return cls(found, found)

    @classmethod
    def none(cls, n_markers: int) -> Self:
        """No marker has a spike."""
        return cls(*(np.full(n_markers, np.nan, dtype=np.float32) for _ in range(2)))

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The spikes whose ``arrays`` these are."""
        return cls(arrays["zeros"], arrays["thresholds"])

    def arrays(self) -> Arrays:
        """Zeros and thresholds, by the names that they have in a model's file."""
        return {"zeros": self.zeros, "thresholds": self.thresholds}

    def matched(self, edited: FloatArray, target: FloatArray) -> Self:
        """The same spikes, with thresholds that put as many edited source events at zero as target events are.

        Args:
            edited: (n_source, n_markers) the source after all steps of an edit.
            target: (n_target, n_markers).
        """
        thresholds = self.zeros.copy()
        for marker in np.flatnonzero(~np.isnan(self.zeros)):
            mass = np.mean(target[:, marker] == self.zeros[marker])
            if mass > 0:
                thresholds[marker] = max(np.quantile(edited[:, marker], mass, method="lower"), self.zeros[marker])
        return type(self)(self.zeros, thresholds)

    def spread(self, markers: FloatArray, *, evenly: bool = False) -> FloatArray:
        """Events with their zeros spread below zero, each by its rank: (n_events, n_markers) → the same shape.

        An event's ranks come from its own bits, so they are the same wherever and beside whatever it is read.

        Args:
            markers: (n_events, n_markers) standardised.
            evenly: For populations that an edit is fitted on: the same ranks, evenly apart, so that equal masses have
                equal percentiles.
        """
        ranks, n_tied = _ranks(np.ascontiguousarray(markers, dtype=np.float32).view(np.uint32), markers == self.zeros)
        if not n_tied:
            return markers
        if evenly:
            ranks = _evenly(ranks, markers == self.zeros)
        return markers - np.float32(WIDTH) * ranks

    def gather(self, edited: FloatArray, spread: FloatArray, markers: FloatArray) -> FloatArray:
        """Edited events with everything up to the thresholds at zero, and what was not moved as it was.

        Args:
            edited: (n_events, n_markers).
            spread: The same events before their edit, as ``spread`` left them.
            markers: The same events before that.

        Returns:
            (n_events, n_markers) float32.
        """
        gathered = np.empty_like(edited)
        _gather(edited, spread, markers, self.zeros, self.thresholds, gathered)
        return gathered


def _evenly(ranks: FloatArray, tied: npt.NDArray[np.bool_]) -> FloatArray:
    even = np.zeros_like(ranks)
    for column, rows in enumerate(tied.T):
        places = np.argsort(np.argsort(ranks[rows, column], kind="stable"), kind="stable")
        even[rows, column] = (places + 0.5) / max(len(places), 1)
    return even


@compiled
def _ranks(bits: npt.NDArray[np.uint32], tied: npt.NDArray[np.bool_]) -> tuple[FloatArray, int]:
    """A number in [0, 1) for each value of an event that is tied, from the event's bits, and how many are."""
    n_events, n_markers = bits.shape
    ranks = np.zeros((n_events, n_markers), dtype=np.float32)
    n_tied = 0
    for event in range(n_events):
        if not tied[event].any():
            continue
        state = np.uint64(0)
        for marker in range(n_markers):
            state += np.uint64(bits[event, marker]) * (np.uint64(2 * marker + 1) * np.uint64(0x9E3779B97F4A7C15))
        for marker in range(n_markers):
            if tied[event, marker]:
                mixed = _mix(state + np.uint64(marker) * np.uint64(0xD1B54A32D192ED03))
                ranks[event, marker] = np.float32(mixed >> np.uint64(40)) / np.float32(2**24)
                n_tied += 1
    return ranks, n_tied


_mix = compiled(mix)


@compiled
def _gather(
    edited: FloatArray,
    spread: FloatArray,
    markers: FloatArray,
    zeros: FloatArray,
    thresholds: FloatArray,
    gathered: FloatArray,
) -> None:
    for event in range(len(edited)):
        for marker in range(edited.shape[1]):
            value = edited[event, marker]
            moved = zeros[marker] if value <= thresholds[marker] else value  # NaN is below nothing
            gathered[event, marker] = markers[event, marker] if value == spread[event, marker] else moved
