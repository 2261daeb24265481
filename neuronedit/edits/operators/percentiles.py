"""Percentiles of activations, and the shift from one population's percentiles to another's."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, Self

import numpy as np
from torch import Tensor

from neuronedit.arrays import Arrays, Float32s, Floats, pickled_fields
from neuronedit.edits.operators.lookup import Lookup

Interpolation = Literal["step", "linear"]

N_PERCENTILES = 101
"""The paper's percentiles: 0, 1, …, 100."""


def percentiles(activations: Float32s, n_percentiles: int = N_PERCENTILES, weights: Floats | None = None) -> Float32s:
    """Evenly spaced percentiles of each neuron: (n_events, n_neurons) → (n_percentiles, n_neurons) float32.

    With weights, (n_events,), see ``weighted_percentiles``.

    Example:
        >>> percentiles(np.array([[0.0], [1.0], [4.0]]), n_percentiles=3).tolist()
        [[0.0], [1.0], [4.0]]
    """
    if weights is not None:
        return weighted_percentiles(activations, weights, n_percentiles)
    levels = np.linspace(0, 100, n_percentiles)
    return np.percentile(activations, levels, axis=0).astype(np.float32)


def weighted_percentiles(activations: Float32s, weights: Floats, n_percentiles: int = N_PERCENTILES) -> Float32s:
    """Evenly spaced percentiles of weighted events; equal weights give ``percentiles``.

    Each event stands in the middle of its own weight; between events, values are interpolated. Events of weight 0 are
    left out, so that the first and the last percentile are the smallest and the largest of the others.

    Args:
        activations: (n_events, n_neurons).
        weights: (n_events,), not negative, at least one positive.
        n_percentiles: Evenly spaced from 0 to 100.

    Returns:
        (n_percentiles, n_neurons) float32.

    Example:
        >>> weighted_percentiles(np.array([[0.0], [1.0], [9.0]]), np.array([1.0, 1.0, 0.0]), n_percentiles=2).tolist()
        [[0.0], [1.0]]
    """
    activations, weights = activations[weights > 0], weights[weights > 0].astype(np.float64)
    levels = np.linspace(0, 1, n_percentiles)
    found = np.empty((n_percentiles, activations.shape[1]), dtype=np.float32)
    for neuron in range(activations.shape[1]):
        # Sorted by weight among equal values: sums do not depend on the order of the events.
        order = np.lexsort((weights, activations[:, neuron]))
        middles = np.cumsum(weights[order]) - weights[order] / 2
        span = max(middles[-1] - middles[0], np.finfo(np.float64).tiny)  # a single event has none
        found[:, neuron] = np.interp(levels, (middles - middles[0]) / span, activations[order, neuron])
    return found


class Shift(Protocol):
    """A shift of one layer's activations, as an operator has fitted it."""

    def shift_at(self, activations: Tensor) -> Tensor:
        """The shift of each activation: (n_events, n_neurons) → the same shape, float32; a new tensor each time."""
        ...

    def arrays(self) -> Arrays:
        """Give the fitted arrays by their names in a model's file."""
        ...


@dataclass(frozen=True)
class PercentileShift:
    """A shift of each neuron by its activation's place among the source's percentiles.

    Shifts are constant beyond the first and the last percentile.

    Attributes:
        source_percentiles: (n_percentiles, n_neurons) float32, ascending in each column.
        shifts: (n_percentiles, n_neurons) float32, target minus source percentile.
        interpolation: ``step``: the shift of the bin that an activation lies in (the paper);
            ``linear``: interpolated between percentiles, so that the edit is continuous.

    Source: Amodio et al. 2018 (arXiv 1805.12198), equation 1.
    """

    source_percentiles: Float32s
    shifts: Float32s
    interpolation: Interpolation

    @classmethod
    def fit(cls, source_percentiles: Float32s, target_percentiles: Float32s, interpolation: Interpolation) -> Self:
        """Fit the shift from one set of percentiles to another, (n_percentiles, n_neurons) float32 each.

        Equal source percentiles (a dead neuron, the spike at zero) share the mean of their shifts: their events cannot
        be told apart, and no other constant is nearer to their shifts.

        Example:
            >>> source, target = (np.array(knots, np.float32) for knots in ([[0], [0], [1]], [[2], [4], [1]]))
            >>> PercentileShift.fit(source, target, "linear").shifts.tolist()
            [[3.0], [3.0], [0.0]]
        """
        shifts = _share_between_ties(source_percentiles, target_percentiles - source_percentiles)
        return cls(source_percentiles, shifts, interpolation)

    @classmethod
    def from_arrays(cls, arrays: Arrays, interpolation: Interpolation) -> Self:
        """Restore a shift from its ``arrays``."""
        return cls(arrays["knots"], arrays["shifts"], interpolation)

    def arrays(self) -> Arrays:
        """Give the percentiles and their shifts by their names in a model's file."""
        return {"knots": self.source_percentiles, "shifts": self.shifts}

    def shift_at(self, activations: Tensor) -> Tensor:
        """The shift of each activation: (n_events, n_neurons) → the same shape, float32; a new tensor each time."""
        return self.lookup.value_at(activations)

    @cached_property
    def lookup(self) -> Lookup:
        """The shifts as a lookup table, made at first use."""
        return Lookup.from_knots([self.source_percentiles], [self.shifts], self.interpolation)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the fields alone: the receiver makes its own lookup table."""
        return pickled_fields(self)


def _share_between_ties(knots: Float32s, values: Float32s) -> Float32s:
    shared = np.empty_like(values)
    for neuron in range(knots.shape[1]):
        _, tie, count = np.unique(knots[:, neuron], return_inverse=True, return_counts=True)
        shared[:, neuron] = (np.bincount(tie, weights=values[:, neuron].astype(np.float64)) / count)[tie]
    return shared
