"""Support: how far events to be edited are from the source's, and a verdict on whole populations without a truth.

A change learned on the source's kinds of cell need not hold for another kind. A marker's range does not see a new
combination of markers; the distance to the nearest source events does.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from neuronedit.arrays import Arrays, Float32s, pickled_fields
from neuronedit.edits.learnable import hide, hide_tensor
from neuronedit.edits.operators.landmarks import Landmarks
from neuronedit.errors import DataError
from neuronedit.network.autoencoder import tensor

NEW_KIND = 0.95
"""AUROC from which a population counts as a kind of cell that the source lacks: new donors of known kinds score about
0.5 to 0.6, unseen kinds more than this."""

MAX_REACH = 3.0
"""The largest ``reach`` to a new kind of cell that is not flagged: distance from the source in units of the effect.

Chosen on tasks with known truth: effects that transferred between kinds of cell were carried up to 2.1 times their
size, those that did not at least 3.3 times. None of 12 other effects that do not transfer was flagged.
"""


@dataclass(frozen=True)
class Extrapolation:
    """The distance of a population from the events that an edit was learned on.

    It is *flagged* if both hold: nearly every event is further from the source's events than these are from one
    another, and the population lies more than ``MAX_REACH`` times as far from the source as the target does. The
    first alone would flag effects that transfer between kinds of cell; the second alone a sample of known kinds
    in another mix, beside a small batch effect.

    Attributes:
        unsupported: Share of events with nothing like them in the source; among the source's own events it is 1 %.
        auroc: Chance that an event is further from the source than a source event is: 0.5 for further source events.
        distance: Mean over markers of the EMD source → events, standard deviations.
        effect: Mean over markers of the EMD source → target, standard deviations.
    """

    unsupported: float
    auroc: float
    distance: float
    effect: float

    @property
    def reach(self) -> float:
        """The population's distance from the source in units of the edit's effect; infinite without an effect."""
        return self.distance / self.effect if self.effect > 0 else float("inf")

    @property
    def new_kind(self) -> bool:
        """Tell whether nearly every event is unlike the source's events."""
        return self.auroc >= NEW_KIND

    @property
    def flagged(self) -> bool:
        """Tell whether the edit should not be trusted on this population without a measured truth."""
        return self.new_kind and self.reach > MAX_REACH

    @property
    def sentence(self) -> str:
        """Give the verdict in words, with what helps."""
        helps = "Learn it on a control of these cells, or measure some of them after the change."
        return f"{self.finding} {helps}" if self.flagged else self.finding

    @property
    def finding(self) -> str:
        """Give the verdict in words."""
        found = f"AUROC {self.auroc:.2f}, {self.unsupported:.0%} of events unsupported"
        far = f"{self.reach:.1f} times as far" if np.isfinite(self.reach) else "infinitely as far"
        times = f"{far} from the source as the target is"
        if self.flagged:
            return (
                f"Do not trust the edit here: the source has hardly any event like these ({found}), and they lie "
                f"{times}."
            )
        if self.new_kind:
            return (
                f"Take care: the source has hardly any event like these ({found}), but they lie only {times}. "
                "Effects of this size have carried over to other kinds of cell."
            )
        return f"The source has events like these ({found})."


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
    """Source events to compare others with, and how near they are to one another.

    Attributes:
        landmarks: (n_landmarks, n_markers) float32, source events, standardised, no two alike.
        own_distances: (n_landmarks,) float32, ascending: each landmark's mean distance to its nearest others.
        effect: The size of the edit: the mean over markers of the EMD source → target, standard deviations.
        hidden: Columns of markers that are not looked at.
    """

    landmarks: Float32s
    own_distances: Float32s
    effect: float
    hidden: tuple[int, ...] = ()

    @classmethod
    def fit(cls, source: Float32s, target: Float32s, seed: int, hidden: tuple[int, ...] = ()) -> Self:
        """Keep up to ``MAX_LANDMARKS`` source events, and measure how far each is from the others.

        Args:
            source: (n_events, n_markers) standardised markers. Repeated events count once.
            target: (n_events, n_markers) standardised markers.
            seed: Draws the landmarks.
            hidden: Columns of markers that are not looked at, in no population.

        Raises:
            DataError: The source has fewer than two different events.
        """
        source, target = hide(source, hidden), hide(target, hidden)
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
        return cls(landmarks, np.sort(others.mean(axis=1)), _mean_emd(source, target), hidden)

    @classmethod
    def from_arrays(cls, arrays: Arrays, hidden: tuple[int, ...] = ()) -> Self:
        """Restore a support from its ``arrays``, and the columns that are hidden."""
        return cls(arrays["landmarks"], arrays["own_distances"], float(arrays["effect"][0]), hidden)

    def arrays(self) -> Arrays:
        """Give landmarks, distances and effect by their names in a model's file."""
        return {"landmarks": self.landmarks, "own_distances": self.own_distances, "effect": np.array([self.effect])}

    def distances(self, events: Tensor) -> Tensor:
        """Measure the mean distance to the nearest landmarks: (n_events, n_markers) → (n_events,) float32.

        Distances are in standard deviations. Each event is computed by itself, so that its bits do not depend on the
        events beside it.
        """
        _, distances = self._kept.nearest(hide_tensor(events, self.hidden), self.n_neighbours)
        if events.is_cuda:
            return distances.mean(dim=1)
        return torch.from_numpy(distances.numpy().mean(axis=1))  # by NumPy, whose sums are in another order

    @property
    def n_neighbours(self) -> int:
        """The number of landmarks whose mean distance is taken."""
        return min(N_NEIGHBOURS, len(self.landmarks) - 1)

    @property
    def own_distance(self) -> float:
        """The distance of the source's own events to their nearest, at ``OWN_PERCENTILE``."""
        return float(np.percentile(self.own_distances, OWN_PERCENTILE))

    @cached_property
    def _kept(self) -> Landmarks:
        return Landmarks(self.landmarks)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the fields alone: the receiver prepares the landmarks itself."""
        return pickled_fields(self)

    def scores(self, events: Tensor) -> Tensor:
        """Score events by their distance to the source: (n_events, n_markers) → (n_events,) float32.

        1 is as far as the source's own events at ``OWN_PERCENTILE`` are from their nearest; twice as far is 2.

        Example:
            >>> source = np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32)
            >>> support = Support.fit(source, source + 1, seed=0)
            >>> (support.scores(torch.tensor([[0.0, 0.0], [9.0, 9.0]])) > 1).tolist()
            [False, True]
        """
        return self.distances(events) / self.own_distance

    def judge(self, events: Float32s) -> Extrapolation:
        """Judge whether the edit can be expected to hold for a population.

        Args:
            events: (n_events, n_markers) float32, standardised; a few thousand suffice.

        Raises:
            DataError: There are no events.
        """
        if not len(events):
            raise DataError(
                "Support: found no events to judge; expected at least one. Correct the choice of the events to edit."
            )
        # Metrics need SciPy, which is not installed where a model is only applied.
        from neuronedit.measures.distances import auroc

        distances = self.distances(tensor(events)).numpy()
        return Extrapolation(
            unsupported=float((distances > self.own_distance).mean()),
            auroc=auroc(distances, self.own_distances),
            distance=_mean_emd(self.landmarks, hide(events, self.hidden)),
            effect=self.effect,
        )


def shrink(scores: Tensor) -> Tensor:
    """Give the factors of an edit's shift from the events' scores: (n_events,) → (n_events,) float32.

    1 for supported events, then falling smoothly (a cubic, flat at both ends) to 0 at ``NOTHING_LEFT``.

    Example:
        >>> shrink(torch.tensor([0.5, 1.0, 1.5, 2.0, 9.0])).tolist()
        [1.0, 1.0, 0.5, 0.0, 0.0]
    """
    beyond = ((scores - 1) / (NOTHING_LEFT - 1)).clip(0, 1)
    return 1 - beyond**2 * (3 - 2 * beyond)


def _mean_emd(a: Float32s, b: Float32s) -> float:
    # Metrics need SciPy, which is not installed where a model is only applied.
    from neuronedit.measures.distances import emd

    return float(emd(a, b).mean())
