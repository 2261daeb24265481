"""A shift that depends on the combination of neurons: the mean of the nearest source events' shifts."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from neuronedit.autoencoder import tensor
from neuronedit.percentiles import Arrays, FloatArray, PercentileShift

MAX_LANDMARKS = 4096
"""Source events kept to look for neighbours among; more cost time on every event that is edited."""


@dataclass(frozen=True)
class NeighbourShift:
    """The mean shift of the K nearest source events in the whole layer, so that it follows the kind of cell.

    Attributes:
        landmarks: (n_landmarks, n_neurons) float32, activations of source events.
        shifts: (n_landmarks, n_neurons) float32, each landmark's own percentile shift.
        n_neighbours: K; the paper has 50.

    Source: Amodio et al. 2020 (MLSP, NTNet), section 3.
    """

    landmarks: FloatArray
    shifts: FloatArray
    n_neighbours: int

    @classmethod
    def fit(cls, shift: PercentileShift, source: FloatArray, n_neighbours: int, seed: int) -> Self:
        """Keep up to ``MAX_LANDMARKS`` source events, drawn by seed, with their percentile shifts.

        Args:
            shift: The percentile shift of the same layer.
            source: (n_events, n_neurons) activations of the source.
            n_neighbours: K; all landmarks where there are fewer.
            seed: Draws the landmarks.
        """
        chosen = np.random.default_rng(seed).permutation(len(source))[:MAX_LANDMARKS]
        landmarks = np.ascontiguousarray(source[np.sort(chosen)])
        return cls(landmarks, shift.at(landmarks), min(n_neighbours, len(landmarks)))

    @classmethod
    def from_arrays(cls, arrays: Arrays, n_neighbours: int) -> Self:
        """The shift whose ``arrays`` these are; K is at most the number of landmarks."""
        return cls(arrays["knots"], arrays["shifts"], min(n_neighbours, len(arrays["knots"])))

    def arrays(self) -> Arrays:
        """The landmarks and their shifts, by the names that they have in a model's file."""
        return {"knots": self.landmarks, "shifts": self.shifts}

    def at(self, activations: FloatArray) -> FloatArray:
        """The shift of each event: (n_events, n_neurons) → (n_events, n_neurons) float32."""
        return self.shifts[self.nearest(activations)].mean(axis=1, dtype=np.float32)

    def nearest(self, activations: FloatArray) -> npt.NDArray[np.int64]:
        """The nearest landmarks of each event, in no order: (n_events, n_neurons) → (n_events, K)."""
        distances = torch.cdist(tensor(activations), tensor(self.landmarks))
        return distances.topk(self.n_neighbours, dim=1, largest=False, sorted=False).indices.numpy()
