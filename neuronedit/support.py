"""Support: whether the source has anything like an event that is to be edited.

What was learned on the source's kinds of cell need not hold for another kind. A marker's range does not see a new
combination of markers; the distance to the nearest source events does.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from neuronedit.autoencoder import Autoencoder, tensor
from neuronedit.chunks import CHUNK
from neuronedit.errors import DataError
from neuronedit.extrapolation import Extrapolation
from neuronedit.landmarks import Landmarks
from neuronedit.percentiles import Arrays, FloatArray, own_fields

MAX_LANDMARKS = 2048
"""Source events kept to look for neighbours among; more cost time on every event that is scored."""

N_NEIGHBOURS = 10
"""Nearest landmarks whose mean distance is taken: a single one may be an outlier of the source itself."""

OWN_PERCENTILE = 99
"""An event is supported as near as all but the outermost hundredth of the source's own events are."""

NOTHING_LEFT = 2.0
"""The score at which an edit's shift has shrunk to nothing."""


@dataclass(frozen=True)
class Support:
    """How near events are to source events, against how near source events are to one another.

    Attributes:
        landmarks: (n_landmarks, n_markers) float32, source events, standardised, no two alike.
        own_distances: (n_landmarks,) float32, ascending: each landmark's mean distance to its nearest others.
        effect: What the edit has to move: the mean over markers of the EMD source → target, standard deviations.
    """

    landmarks: FloatArray
    own_distances: FloatArray
    effect: float

    @classmethod
    def fit(cls, source: FloatArray, target: FloatArray, seed: int) -> Self:
        """Keep up to ``MAX_LANDMARKS`` source events, and how far each is from the others.

        Args:
            source: (n_events, n_markers) standardised markers. Repeated events count once.
            target: (n_events, n_markers) standardised markers.
            seed: Draws the landmarks.

        Raises:
            DataError: The source has fewer than two different events.
        """
        drawn = np.random.default_rng(seed).permutation(len(source))[:MAX_LANDMARKS]
        landmarks = np.unique(source[drawn], axis=0)
        if len(landmarks) < 2:
            raise DataError(
                f"Source: found {len(landmarks)} different events among {len(source)}; expected at least 2, to tell "
                "how near source events are to one another. Choose the source's events anew."
            )
        # The nearest landmark of a landmark is itself, at distance 0.
        _, distances = Landmarks(landmarks).nearest(tensor(landmarks), min(N_NEIGHBOURS, len(landmarks) - 1) + 1)
        others = np.sort(distances.numpy(), axis=1)[:, 1:]
        return cls(landmarks, np.sort(others.mean(axis=1)), _mean_emd(source, target))

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """The support whose ``arrays`` these are."""
        return cls(arrays["landmarks"], arrays["own_distances"], float(arrays["effect"][0]))

    def arrays(self) -> Arrays:
        """All that was learned, each array by the name that it has in a model's file."""
        return {"landmarks": self.landmarks, "own_distances": self.own_distances, "effect": np.array([self.effect])}

    def distances(self, events: Tensor) -> Tensor:
        """Mean distance to the nearest landmarks: (n_events, n_markers) → (n_events,) float32, standard deviations.

        Each event is computed by itself, so that its bits do not depend on the events beside it.
        """
        _, distances = self._kept.nearest(events, self.n_neighbours)
        if events.is_cuda:
            return distances.mean(dim=1)
        return torch.from_numpy(distances.numpy().mean(axis=1))  # by NumPy, whose sums are in another order

    @property
    def n_neighbours(self) -> int:
        """Landmarks whose mean distance is taken."""
        return min(N_NEIGHBOURS, len(self.landmarks) - 1)

    @property
    def own_distance(self) -> float:
        """How far the source's own events are from their nearest, at ``OWN_PERCENTILE``."""
        return float(np.percentile(self.own_distances, OWN_PERCENTILE))

    @cached_property
    def _kept(self) -> Landmarks:
        return Landmarks(self.landmarks)

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what is made of the landmarks does not travel."""
        return own_fields(self)

    def scores(self, events: Tensor) -> Tensor:
        """Distance to the source in units of the source's own: (n_events, n_markers) → (n_events,) float32.

        1 is as far as the source's own events at ``OWN_PERCENTILE`` are from their nearest; twice as far is 2.
        """
        return self.distances(events) / self.own_distance

    def judge(self, events: FloatArray) -> Extrapolation:
        """Whether the edit can be expected to hold for a population: (n_events, n_markers), a few thousand suffice.

        Raises:
            DataError: There are no events.
        """
        if not len(events):
            raise DataError(
                "Support: found no events to judge; expected at least one. Correct the choice of the events to edit."
            )
        # Metrics need SciPy, which is not installed where a model is only applied.
        from neuronedit.metrics import auroc

        distances = self.distances(tensor(events)).numpy()
        return Extrapolation(
            unsupported=float((distances > self.own_distance).mean()),
            auroc=auroc(distances, self.own_distances),
            distance=_mean_emd(self.landmarks, events),
            effect=self.effect,
        )


def shrink(scores: Tensor) -> Tensor:
    """What an edit's shift may be multiplied by, from the events' scores: (n_events,) → (n_events,) float32.

    1 for supported events, then falling smoothly (a cubic, flat at both ends) to 0 at ``NOTHING_LEFT``.
    """
    beyond = ((scores - 1) / (NOTHING_LEFT - 1)).clip(0, 1)
    return 1 - beyond**2 * (3 - 2 * beyond)


def reconstruction_errors(autoencoder: Autoencoder, events: FloatArray) -> FloatArray:
    """Mean squared error of the autoencoder's output: (n_events, n_markers) → (n_events,) float32.

    It sees events unlike those that the network was trained on, not that an edit extrapolates: events that were
    trained on with the source and the target are reconstructed well.
    """
    with torch.inference_mode():
        errors = [((autoencoder(chunk) - chunk) ** 2).mean(dim=1) for chunk in tensor(events).split(CHUNK)]
        return np.asarray(torch.cat(errors).numpy())


def _mean_emd(a: FloatArray, b: FloatArray) -> float:
    # Metrics need SciPy, which is not installed where a model is only applied.
    from neuronedit.metrics import emd

    return float(emd(a, b).mean())
