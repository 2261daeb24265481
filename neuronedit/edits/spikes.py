"""The mass at exact zero, kept by rank: mass cytometry reads many events of a marker as exactly nothing.

Events in such a spike are tied: no percentile tells them apart, and a shift moves all of them off zero at once, which
no measured sample looks like. So the spike is spread over a narrow range before an edit, each event by a rank of its
own, and afterwards as many events are put at zero as the target has there.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neuronedit.arrays import Arrays, Float32s, Masks, compiled, pickled_fields
from neuronedit.cells.events import mix
from neuronedit.network.autoencoder import Tensors, tensor

MIN_MASS = 0.01
"""A marker has a spike where at least this share of the source's or of the target's events is at exact zero."""

WIDTH = 0.05
"""The range below zero that a spike is spread over, in standard deviations of the marker."""


@dataclass(frozen=True)
class Spikes:
    """The markers that have mass at exact zero, and the values up to which edited events return to it.

    Attributes:
        zeros: (n_markers,) float32, zero intensity, standardised; NaN for a marker without a spike.
        thresholds: (n_markers,) float32, edited values up to here become zero; NaN where ``zeros`` is.
    """

    zeros: Float32s
    thresholds: Float32s

    @classmethod
    def find(cls, source: Float32s, target: Float32s, zeros: Float32s) -> Self:
        """Find the spikes of a source and a target, (n_events, n_markers) standardised, before anything is edited.

        Args:
            source: Events that an edit starts from.
            target: Events that it leads to.
            zeros: (n_markers,) zero intensity, standardised.
        """
        mass = np.maximum((source == zeros).mean(axis=0), (target == zeros).mean(axis=0))
        found = np.where(mass >= MIN_MASS, zeros, np.float32(np.nan))
        return cls(found, found)

    @classmethod
    def none(cls, n_markers: int) -> Self:
        """Make the spikes of markers that have none."""
        return cls(*(np.full(n_markers, np.nan, dtype=np.float32) for _ in range(2)))

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Restore spikes from their ``arrays``."""
        return cls(arrays["zeros"], arrays["thresholds"])

    def arrays(self) -> Arrays:
        """Give zeros and thresholds by their names in a model's file."""
        return {"zeros": self.zeros, "thresholds": self.thresholds}

    @property
    def ranges(self) -> tuple[Float32s, Float32s]:
        """Where each marker's spread spike begins and ends: (n_markers,) each, NaN for a marker without one."""
        return self.zeros - np.float32(WIDTH), self.zeros

    def matched(self, edited: Float32s, target: Float32s) -> Self:
        """Set thresholds that put as many edited source events at zero as target events are.

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

    def spread(self, markers: Tensor) -> Tensor:
        """Spread zeros below zero, each by its event's rank: (n_events, n_markers) → the same shape.

        An event's ranks come from its own bits, so they are the same wherever and beside whatever it is read.
        """
        if np.isnan(self.zeros).all():
            return markers
        return markers - WIDTH * self._ranks(markers)

    def spread_evenly(self, population: Float32s) -> Float32s:
        """Spread a population's zeros by the same ranks, evenly apart, so that equal masses have equal percentiles.

        Args:
            population: (n_events, n_markers) float32, standardised, which an edit is fitted on.
        """
        ranks = self._ranks(tensor(population)).numpy()
        return population - np.float32(WIDTH) * _evenly(ranks, population == self.zeros)

    def gather(self, edited: Tensor, spread: Tensor, markers: Tensor) -> Tensor:
        """Put edited values up to the thresholds at zero, and values that were not moved back as they were.

        Args:
            edited: (n_events, n_markers).
            spread: The same events before their edit, as ``spread`` left them.
            markers: The same events before that.

        Returns:
            (n_events, n_markers) float32.
        """
        if edited.is_cuda:
            zeros, thresholds, _, _ = self._tensors.beside(edited)
            return gather_by_masks(zeros, thresholds, edited, spread, markers)
        gathered = torch.empty_like(edited, memory_format=torch.contiguous_format)
        after, between, before = (events.contiguous().numpy() for events in (edited, spread, markers))
        _gather(after, between, before, self.zeros, self.thresholds, gathered.numpy())
        return gathered

    def _ranks(self, markers: Tensor) -> Tensor:
        """Give each value at zero a number in [0, 1), all others 0: (n_events, n_markers) float32."""
        if markers.is_cuda:
            zeros, _, weights, starts = self._tensors.beside(markers)
            return torch.where(markers == zeros, ranks_of_int64(markers, weights, starts), 0)
        ranks = torch.zeros_like(markers, memory_format=torch.contiguous_format)
        events = markers.contiguous().numpy()
        _rank(events.view(np.uint32), events == self.zeros, ranks.numpy())
        return ranks

    @cached_property
    def _tensors(self) -> Tensors:
        markers = np.arange(len(self.zeros), dtype=np.uint64)
        weights, starts = (2 * markers + np.uint64(1)) * _WEIGHT, markers * _START
        return Tensors(self.zeros, self.thresholds, weights.view(np.int64), starts.view(np.int64))

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the fields alone: copies on a device are made again by the receiver."""
        return pickled_fields(self)


def _evenly(ranks: Float32s, tied: Masks) -> Float32s:
    even = np.zeros_like(ranks)
    for column, rows in enumerate(tied.T):
        places = np.argsort(np.argsort(ranks[rows, column], kind="stable"), kind="stable")
        even[rows, column] = (places + 0.5) / max(len(places), 1)
    return even


_WEIGHT, _START = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)
_FIRST, _SECOND = np.array([0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64).view(np.int64).tolist()


_mix = compiled(mix)


@compiled
def weighted_bits(bits: np.uint32, marker: int) -> np.uint64:
    """Weigh a marker's bits: the sum over an event's markers is the state that its ranks come from.

    Example:
        >>> hex(weighted_bits(np.uint32(1), 0))
        '0x9e3779b97f4a7c15'
    """
    return np.uint64(bits) * (np.uint64(2 * marker + 1) * _WEIGHT)


@compiled
def rank_of(state: np.uint64, marker: int) -> np.float32:
    """Give a marker's rank, a number in [0, 1), from its event's state.

    Example:
        >>> 0 <= rank_of(weighted_bits(np.uint32(1), 0), 3) < 1
        True
    """
    mixed = _mix(state + np.uint64(marker) * _START)
    return np.float32(mixed >> np.uint64(40)) / np.float32(2**24)


@compiled
def _rank(bits: npt.NDArray[np.uint32], tied: Masks, ranks: Float32s) -> None:
    """Put a number in [0, 1), from its event's bits, in the place of each value that is tied."""
    n_events, n_markers = bits.shape
    for event in range(n_events):
        if not tied[event].any():
            continue
        state = np.uint64(0)
        for marker in range(n_markers):
            state += weighted_bits(bits[event, marker], marker)
        for marker in range(n_markers):
            if tied[event, marker]:
                ranks[event, marker] = rank_of(state, marker)


def ranks_of_int64(markers: Tensor, weights: Tensor, starts: Tensor) -> Tensor:
    """Compute the numbers of ``_rank`` on a GPU for all values: torch has no uint64, but int64 has the same bits.

    Args:
        markers: (n_events, n_markers) float32.
        weights: (n_markers,) int64, what each marker's bits count for.
        starts: (n_markers,) int64, what tells one marker's rank from another's.

    Example:
        >>> spikes, markers = Spikes.none(2), torch.tensor([[0.0, 0.0], [0.0, 1.5]])
        >>> _, _, weights, starts = spikes._tensors.beside(markers)
        >>> ranks = np.zeros((2, 2), np.float32)
        >>> _rank(markers.numpy().view(np.uint32), np.ones((2, 2), bool), ranks)
        >>> bool((ranks_of_int64(markers, weights, starts).numpy() == ranks).all())
        True
    """
    bits = markers.contiguous().view(torch.int32).long() & 0xFFFFFFFF
    state = (bits * weights).sum(dim=1, keepdim=True) + starts
    return _shifted(mix_int64(state), 40).float() / 2**24


def mix_int64(state: Tensor) -> Tensor:
    """Mix bits as ``events.mix`` does, in int64 in the place of uint64.

    Example:
        >>> bits = np.array([1, 2**63], np.uint64)
        >>> bool((mix_int64(tensor(bits.view(np.int64))).numpy().view(np.uint64) == mix(bits)).all())
        True
    """
    state = (state ^ _shifted(state, 30)) * _FIRST
    state = (state ^ _shifted(state, 27)) * _SECOND
    return state ^ _shifted(state, 31)


def _shifted(state: Tensor, n_bits: int) -> Tensor:
    """Shift int64 to the right as uint64 is shifted: zeros come after."""
    return (state >> n_bits) & (2 ** (64 - n_bits) - 1)


@compiled
def gathered_value(
    value: np.float32, spread: np.float32, marker: np.float32, zero: np.float32, threshold: np.float32
) -> np.float32:
    """Give what ``Spikes.gather`` makes of one value.

    Example:
        >>> gathered_value(0.2, -0.01, 0.0, 0.0, 0.5), gathered_value(0.7, -0.01, 0.0, 0.0, 0.5)
        (0.0, 0.7)
    """
    moved = zero if value <= threshold else value  # NaN is below nothing
    return marker if value == spread else moved


@compiled
def _gather(
    edited: Float32s,
    spread: Float32s,
    markers: Float32s,
    zeros: Float32s,
    thresholds: Float32s,
    gathered: Float32s,
) -> None:
    for event in range(len(edited)):
        for marker in range(edited.shape[1]):
            value, between = edited[event, marker], spread[event, marker]
            gathered[event, marker] = gathered_value(
                value, between, markers[event, marker], zeros[marker], thresholds[marker]
            )


def gather_by_masks(zeros: Tensor, thresholds: Tensor, edited: Tensor, spread: Tensor, markers: Tensor) -> Tensor:
    """``Spikes.gather`` on a GPU; zeros and thresholds are (n_markers,), all else (n_events, n_markers).

    Example:
        >>> spread, markers = torch.tensor([[-0.02], [-0.01], [3.0]]), torch.tensor([[0.0], [0.0], [3.0]])
        >>> edited = torch.tensor([[-0.02], [0.2], [5.0]])
        >>> gather_by_masks(torch.tensor([0.0]), torch.tensor([0.5]), edited, spread, markers).tolist()
        [[0.0], [0.0], [5.0]]
    """
    return torch.where(edited == spread, markers, torch.where(edited <= thresholds, zeros, edited))
