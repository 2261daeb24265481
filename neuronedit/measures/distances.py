"""Distances between two populations of events, and the noise floor that no method can beat.

Arrays of events are (n_events, n_markers), transformed units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from neuronedit.arrays import Float64s, Floats, Masks
from neuronedit.measures.pairs import Pairwise, by_pairs, draw, euclidean

FLOOR: Final = "noise floor"
"""The name of the noise floor among methods."""


@dataclass(frozen=True)
class Distance:
    """Distances between two populations.

    Attributes:
        emd: (n_markers,) float64, earth mover's distance of each marker, transformed units.
        joint: Distances of all markers jointly, by the names of ``DECISIVE``.
    """

    emd: Float64s
    joint: Mapping[str, float]

    @classmethod
    def mean(cls, distances: Sequence[Self]) -> Self:
        """The mean of distances between populations of the same markers."""
        joint = {name: float(np.mean([each.joint[name] for each in distances])) for name in distances[0].joint}
        return cls(np.mean([each.emd for each in distances], axis=0), joint)

    @property
    def mean_emd(self) -> float:
        """The mean over markers of ``emd``, transformed units."""
        return float(self.emd.mean())

    @property
    def energy(self) -> float:
        """Energy distance of all markers jointly, squared form, transformed units."""
        return self.joint["energy"]

    @property
    def scores(self) -> dict[str, float]:
        """One number for each metric of ``DECISIVE``, by its name."""
        return {each.name: self.joint[each.name] if each.pairwise else self.mean_emd for each in DECISIVE}

    def residuals(self, floor: Self, no_edit: Self) -> dict[str, float]:
        """``normalised_residual`` of each score, by the names ``r_emd`` and ``r_energy``."""
        floors, unedited = floor.scores, no_edit.scores
        return {
            f"r_{name}": normalised_residual(score, floors[name], unedited[name]) for name, score in self.scores.items()
        }


def emd(a: Floats, b: Floats) -> Float64s:
    """Earth mover's distance (Wasserstein-1) of each marker: (n, n_markers), (k, n_markers) → (n_markers,).

    Exact for unequal counts: the area between the two empirical distribution functions.

    Source: Vallender 1974, Theory Probab. Appl. 18(4), equation 1.

    Example:
        >>> emd(np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]])).tolist()
        [2.0]
    """
    both = np.concatenate([a, b]).astype(np.float64)
    order = np.argsort(both, axis=0, kind="stable")
    gap = np.cumsum(np.where(order < len(a), 1 / len(a), -1 / len(b)), axis=0)[:-1]  # F_a − F_b between neighbours
    widths = np.diff(np.take_along_axis(both, order, axis=0), axis=0)
    return np.asarray((np.abs(gap) * widths).sum(axis=0))


@dataclass(frozen=True)
class DecisiveMetric:
    """A distance that verdicts rest on: the smaller it is, the nearer events are to the truth.

    Attributes:
        name: Names columns and logged numbers.
        short: Names it in a narrow column.
        title: Names it in a sentence.
        detail: How its number comes about, beside the title in a heading; may be empty.
        pairwise: Computes what pairs of events add, (n, n_markers), (k, n_markers) → (n, k) float64: the distance is
            twice its mean over pairs of both populations less its means within each; None: the markers' mean EMD.
    """

    name: str
    short: str
    title: str
    detail: str = ""
    pairwise: Pairwise | None = None


DECISIVE: Final[tuple[DecisiveMetric, ...]] = (
    DecisiveMetric("emd", "EMD", "EMD", "mean over markers"),
    DecisiveMetric("energy", "energy", "energy distance", pairwise=euclidean),
)
"""Metrics of the review's tables, figures, verdicts and gates, in their order."""

DECISIVE_NAMES: Final = [metric.name for metric in DECISIVE]


def distance(a: Floats, b: Floats, seed: int = 0) -> Distance:
    """Compute every metric of ``DECISIVE`` between two populations, (n, n_markers) and (k, n_markers).

    Example:
        >>> found = distance(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]))
        >>> found.emd.tolist(), found.energy
        ([3.0, 4.0], 10.0)
    """
    joint = {each.name: by_pairs(a, b, each.pairwise, seed) for each in DECISIVE if each.pairwise}
    return Distance(emd(a, b), joint)


def distance_to_truth(events: Floats, truth: Floats, seed: int = 0) -> Distance:
    """Compute the distances of events to the truth as the mean over the two halves that ``noise_floor`` compares.

    Example:
        >>> distance_to_truth(np.full((4, 1), 2.0), np.zeros((4, 1))).mean_emd
        2.0
    """
    return Distance.mean([distance(part, half, seed) for part, half in beside_halves(events, truth, seed)])


def noise_floor(truth: Floats, seed: int = 0) -> Distance:
    """Compute the distances between two random halves of the truth, (n_truth, n_markers).

    Example:
        >>> noise_floor(np.ones((10, 1))).mean_emd
        0.0
    """
    return distance(*random_halves(truth, seed), seed)


def random_halves(truth: Floats, seed: int) -> tuple[Floats, Floats]:
    """Split the truth at random: (n_truth, n_markers) → two of (n_truth // 2, n_markers).

    Example:
        >>> sorted(np.concatenate(random_halves(np.arange(4.0)[:, None], seed=0)).ravel().tolist())
        [0.0, 1.0, 2.0, 3.0]
    """
    order, size = np.random.default_rng(seed).permutation(len(truth)), len(truth) // 2
    return truth[order[:size]], truth[order[size : 2 * size]]


def beside_halves(events: Floats, truth: Floats, seed: int) -> list[tuple[Floats, Floats]]:
    """Pair events with each random half of the truth, as many as a half has: two pairs of (n, n_markers).

    A score is the mean over both pairs. Distances between samples shrink as the samples grow, and the noise floor
    compares two halves of the truth: so events are compared with the same halves, in the same number if possible.

    Example:
        >>> [(len(some), len(half)) for some, half in beside_halves(np.zeros((9, 1)), np.zeros((4, 1)), seed=0)]
        [(2, 2), (2, 2)]
    """
    halves = random_halves(truth, seed)
    drawn = draw(events, min(len(events), 2 * len(halves[0])), seed)
    n_events = min(len(drawn), len(halves[0]))
    return [(drawn[:n_events], halves[0]), (drawn[-n_events:], halves[1])]


def auroc(scores: Floats, others: Floats) -> float:
    """Chance that a score is higher than one of the others, ties counting half: (n,), (k,) → 0 to 1.

    Source: Mann & Whitney 1947, Ann. Math. Stat. 18(1).

    Example:
        >>> auroc(np.array([1.0, 2.0]), np.array([0.0, 1.0]))
        0.875
    """
    ordered = np.sort(others)
    below, not_above = (np.searchsorted(ordered, scores, side) for side in ("left", "right"))
    return float((below + not_above).mean() / 2 / len(ordered))


def made_worse(after: Float64s, before: Float64s, floor: Float64s) -> Masks:
    """Find markers that an edit leads away from the truth by more than the noise floor: (n_markers,) each → bool.

    Args:
        after: Distances to the truth with the edit.
        before: Distances to the truth without it.
        floor: Noise floors of these distances.

    Example:
        >>> made_worse(np.array([0.5, 0.5]), np.array([0.1, 0.4]), np.array([0.2, 0.2])).tolist()
        [True, False]
    """
    return np.asarray(after - before > floor)


def normalised_residual(score: float, floor: float, no_edit: float) -> float:
    """Scale a score as (score − floor) / (no edit − floor): 0 is perfect, 1 no better than doing nothing.

    NaN if doing nothing already scores as well as the floor.

    Example:
        >>> normalised_residual(score=2.0, floor=1.0, no_edit=5.0)
        0.25
    """
    return (score - floor) / (no_edit - floor) if no_edit > floor else float("nan")
