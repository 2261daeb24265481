"""The mass at exact zero, kept by rank: mass cytometry reads many events of a marker as exactly nothing.

Events in such a spike are tied: no percentile tells them apart, and a shift moves all of them off zero at once, which
no measured sample looks like. So the spike is spread over a narrow range before an edit, each event by a rank of its
own, and afterwards as many events are put at zero as the target has there.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from neuronedit.events import mix_bits
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
        columns = np.flatnonzero(~np.isnan(self.zeros))
        tied = markers[:, columns] == self.zeros[columns]
        if not tied.any():
            return markers
        ranks = _ranks(markers, columns)
        if evenly:
            ranks = _evenly(ranks, tied)
        spread = markers.copy()
        spread[:, columns] -= np.where(tied, np.float32(WIDTH) * ranks, np.float32(0))
        return spread

    def gather(self, edited: FloatArray) -> FloatArray:
        """Edited events with everything up to the thresholds at zero: (n_events, n_markers) → the same shape."""
        return np.where(edited <= self.thresholds, self.zeros, edited)  # NaN is below nothing


def _evenly(ranks: FloatArray, tied: npt.NDArray[np.bool_]) -> FloatArray:
    even = np.zeros_like(ranks)
    for column, rows in enumerate(tied.T):
        places = np.argsort(np.argsort(ranks[rows, column], kind="stable"), kind="stable")
        even[rows, column] = (places + 0.5) / max(len(places), 1)
    return even


def _ranks(markers: FloatArray, columns: npt.NDArray[np.int64]) -> FloatArray:
    """A number in [0, 1) for each event and column, (n_events, n_columns) float32, from the event's bits."""
    bits = np.ascontiguousarray(markers, dtype=np.float32).view(np.uint32).astype(np.uint64)
    with np.errstate(over="ignore"):
        odd = np.arange(1, 2 * markers.shape[1], 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        states = (bits * odd).sum(axis=1)[:, None] + columns.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03)
    return (mix_bits(states) >> np.uint64(40)).astype(np.float32) / np.float32(2**24)
