"""A shift that depends on the combination of neurons: the mean of the nearest source events' shifts."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from neuronedit.arrays import Arrays, Float32s, Int64s, compiled, pickled_fields
from neuronedit.edits.operators.landmarks import Landmarks
from neuronedit.edits.operators.percentiles import PercentileShift
from neuronedit.network.autoencoder import Tensors, tensor

MAX_LANDMARKS = 4096
"""Source events kept as possible neighbours; more cost time on every event that is edited."""


@dataclass(frozen=True)
class NeighbourShift:
    """The mean shift of the K nearest source events in the whole layer, so that it follows the kind of cell.

    Attributes:
        landmarks: (n_landmarks, n_neurons) float32, activations of source events.
        shifts: (n_landmarks, n_neurons) float32, each landmark's own percentile shift.
        n_neighbours: K; the paper has 50.

    Source: Amodio et al. 2020 (MLSP, NTNet), section 3.
    """

    landmarks: Float32s
    shifts: Float32s
    n_neighbours: int

    @classmethod
    def fit(cls, shift: PercentileShift, source: Float32s, n_neighbours: int, seed: int) -> Self:
        """Keep up to ``MAX_LANDMARKS`` source events, drawn by seed, with their percentile shifts.

        Args:
            shift: The percentile shift of the same layer.
            source: (n_events, n_neurons) activations of the source.
            n_neighbours: K; if there are fewer landmarks, all are taken.
            seed: Draws the landmarks.

        Example:
            >>> knots = np.array([[0], [1]], np.float32)
            >>> shift = PercentileShift.fit(knots, knots + 2, "linear")
            >>> fitted = NeighbourShift.fit(shift, knots, n_neighbours=50, seed=0)
            >>> fitted.shifts.tolist(), fitted.n_neighbours
            ([[2.0], [2.0]], 2)
        """
        chosen = np.random.default_rng(seed).permutation(len(source))[:MAX_LANDMARKS]
        landmarks = np.ascontiguousarray(source[np.sort(chosen)])
        return cls(landmarks, shift.shift_at(tensor(landmarks)).numpy(), min(n_neighbours, len(landmarks)))

    @classmethod
    def from_arrays(cls, arrays: Arrays, n_neighbours: int) -> Self:
        """Restore a shift from its ``arrays``; K is at most the number of landmarks."""
        return cls(arrays["knots"], arrays["shifts"], min(n_neighbours, len(arrays["knots"])))

    def arrays(self) -> Arrays:
        """Give the landmarks and their shifts by their names in a model's file."""
        return {"knots": self.landmarks, "shifts": self.shifts}

    def shift_at(self, activations: Tensor) -> Tensor:
        """The shift of each event: (n_events, n_neurons) → (n_events, n_neurons) float32."""
        nearest, (shifts,) = self.nearest(activations), self._tensors.beside(activations)
        if activations.is_cuda:
            return nn.functional.embedding_bag(nearest, shifts, mode="mean")
        means = torch.empty_like(activations, memory_format=torch.contiguous_format)
        _mean_rows(self.shifts, nearest.numpy(), means.numpy())
        return means

    def nearest(self, activations: Tensor) -> Tensor:
        """The nearest landmarks of each event: (n_events, n_neurons) → (n_events, K)."""
        return self._kept.nearest(activations, self.n_neighbours)[0]

    @cached_property
    def _kept(self) -> Landmarks:
        return Landmarks(self.landmarks)

    @cached_property
    def _tensors(self) -> Tensors:
        return Tensors(self.shifts)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the fields alone: the receiver prepares the landmarks itself."""
        return pickled_fields(self)


@compiled
def _mean_rows(values: Float32s, rows: Int64s, means: Float32s) -> None:
    """Average rows of ``values``, (n_rows, n_neurons), by their numbers, (n_means, K), into (n_means, n_neurons)."""
    for event in range(len(rows)):
        mean = means[event]
        mean[:] = 0
        for i in range(rows.shape[1]):
            row = values[rows[event, i]]
            for neuron in range(len(mean)):
                mean[neuron] += row[neuron]
        mean /= np.float32(rows.shape[1])
