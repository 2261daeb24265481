"""How far one population of events is from another, beside the noise floor that no method can beat.

All arrays are (n_events, n_markers) on the arcsinh scale.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

FloatArray = npt.NDArray[np.floating]

FLOOR: Final = "noise floor"
"""The name of the noise floor among methods."""

MAX_PAIRED_EVENTS = 3_000
"""Pairs of events grow with the square: at most this many events of each population are drawn."""

CHUNK = 500
"""Events whose distances to all others are held at once: 500 x 3,000 float64 are 12 MB."""

MMD_RATES = 2.0 ** np.arange(-10, 4)
"""Rates γ of the kernels exp(−γ d²), doubling from 1/1024 to 8: widths 1/√(2γ) from 22.6 down to 0.25 arcsinh units.

They span what CellOT's 50 rates from 1e-3 to 10 do; doubled rates cost one square each instead of an exponential.
"""


@dataclass(frozen=True)
class Distance:
    """How far one population is from another.

    Attributes:
        emd: (n_markers,) float64, earth mover's distance of each marker, arcsinh units.
        joint: Distances of all markers jointly, by the names of ``DECISIVE``.
    """

    emd: npt.NDArray[np.float64]
    joint: Mapping[str, float]

    @classmethod
    def mean(cls, distances: Sequence[Self]) -> Self:
        """The mean of distances between populations of the same markers."""
        joint = {name: float(np.mean([each.joint[name] for each in distances])) for name in distances[0].joint}
        return cls(np.mean([each.emd for each in distances], axis=0), joint)

    @property
    def mean_emd(self) -> float:
        """The mean over markers, arcsinh units."""
        return float(self.emd.mean())

    @property
    def energy(self) -> float:
        """Energy distance of all markers jointly, squared form, arcsinh units."""
        return self.joint["energy"]

    @property
    def scores(self) -> dict[str, float]:
        """One number for each metric of ``DECISIVE``, by its name."""
        return {metric.name: self.joint[metric.name] if metric.joint else self.mean_emd for metric in DECISIVE}

    def residuals(self, floor: Self, no_edit: Self) -> dict[str, float]:
        """``normalised_residual`` of each score, by the names ``r_emd`` and ``r_energy``."""
        floors, unedited = floor.scores, no_edit.scores
        return {
            f"r_{name}": normalised_residual(score, floors[name], unedited[name]) for name, score in self.scores.items()
        }


def emd(a: FloatArray, b: FloatArray) -> npt.NDArray[np.float64]:
    """Earth mover's distance (Wasserstein-1) of each marker: (n, n_markers), (k, n_markers) → (n_markers,).

    Exact for unequal counts: the area between the two empirical distribution functions.

    Source: Vallender 1974, Theory Probab. Appl. 18(4), equation 1.
    """
    both = np.concatenate([a, b]).astype(np.float64)
    order = np.argsort(both, axis=0, kind="stable")
    gap = np.cumsum(np.where(order < len(a), 1 / len(a), -1 / len(b)), axis=0)[:-1]  # F_a − F_b between neighbours
    widths = np.diff(np.take_along_axis(both, order, axis=0), axis=0)
    return np.asarray((np.abs(gap) * widths).sum(axis=0))


def energy_distance(a: FloatArray, b: FloatArray, seed: int = 0) -> float:
    """Energy distance 2 E|X − Y| − E|X − X'| − E|Y − Y'| of all markers jointly, from equal counts of events.

    It is the squared form (no root is taken), as E-distances of perturbation studies are. Expectations run over
    all pairs, an event with itself included: so the value is never negative, and identical samples give 0.

    Args:
        a: (n, n_markers).
        b: (k, n_markers).
        seed: Draws min(n, k, ``MAX_PAIRED_EVENTS``) events of each population that has more.

    Source: Székely & Rizzo 2013, J. Stat. Plan. Inference 143(8), equations 5 and 6.
    """
    a, b = equally_many(a, b, MAX_PAIRED_EVENTS, seed)
    return 2 * _mean_distance(a, b) - _mean_distance(a, a) - _mean_distance(b, b)


def rbf_mmd(a: FloatArray, b: FloatArray, seed: int = 0) -> float:
    """Squared maximum mean discrepancy of all markers jointly, the mean over the widths of ``MMD_RATES``.

    The biased V-statistic, whose means run over all pairs, an event with itself included: so the value is never
    negative, identical samples give 0, and 2 is the largest (two points that are far apart). It has no unit.

    Args:
        a: (n, n_markers).
        b: (k, n_markers).
        seed: Draws min(n, k, ``MAX_PAIRED_EVENTS``) events of each population that has more.

    Source: Gretton et al. 2012, JMLR 13, equation 5; the mean over widths as in Bunne et al. 2023, Nature Methods 20.
    """
    a, b = equally_many(a, b, MAX_PAIRED_EVENTS, seed)
    return _mean_kernel(a, a) + _mean_kernel(b, b) - 2 * _mean_kernel(a, b)


@dataclass(frozen=True)
class DecisiveMetric:
    """A distance that verdicts rest on: the smaller it is, the nearer events are to the truth.

    Attributes:
        name: Names columns and logged numbers.
        short: Names it in a narrow column.
        title: Names it in a sentence.
        detail: How its number comes about, beside the title in a heading; may be empty.
        joint: Computes it, (n, n_markers), (k, n_markers), seed → number; None for the mean of the markers' EMDs.
    """

    name: str
    short: str
    title: str
    detail: str = ""
    joint: Callable[[FloatArray, FloatArray, int], float] | None = None


DECISIVE: Final[tuple[DecisiveMetric, ...]] = (
    DecisiveMetric("emd", "EMD", "EMD", "mean over markers"),
    DecisiveMetric("energy", "energy", "energy distance", joint=energy_distance),
)
"""Metrics of the review's tables, figures, verdicts and gates, in their order."""

DECISIVE_NAMES: Final = [metric.name for metric in DECISIVE]


def distance(a: FloatArray, b: FloatArray, seed: int = 0) -> Distance:
    """Every metric of ``DECISIVE`` between two populations, (n, n_markers) and (k, n_markers)."""
    return Distance(emd(a, b), {metric.name: metric.joint(a, b, seed) for metric in DECISIVE if metric.joint})


def distance_to_truth(events: FloatArray, truth: FloatArray, seed: int = 0) -> Distance:
    """How far events are from the truth, on the same footing as the noise floor: the mean over both halves of it."""
    return Distance.mean([distance(part, half, seed) for part, half in beside_halves(events, truth, seed)])


def noise_floor(truth: FloatArray, seed: int = 0) -> Distance:
    """The distance between two random halves of the truth: (n_truth, n_markers)."""
    return distance(*random_halves(truth, seed), seed)


def random_halves(truth: FloatArray, seed: int) -> tuple[FloatArray, FloatArray]:
    """Two random halves, equally large: (n_truth, n_markers) → two of (n_truth // 2, n_markers)."""
    order, size = np.random.default_rng(seed).permutation(len(truth)), len(truth) // 2
    return truth[order[:size]], truth[order[size : 2 * size]]


def beside_halves(events: FloatArray, truth: FloatArray, seed: int) -> list[tuple[FloatArray, FloatArray]]:
    """Events beside each random half of the truth: two pairs of (n, n_markers), so that a score can be their mean.

    Distances between samples shrink as the samples grow. The floor compares two halves of the truth; so the events
    are compared with each of these halves, as many of them as a half has where there are so many.
    """
    halves = random_halves(truth, seed)
    drawn = _draw(events, min(len(events), 2 * len(halves[0])), seed)
    n_events = min(len(drawn), len(halves[0]))
    return [(drawn[:n_events], halves[0]), (drawn[-n_events:], halves[1])]


def equally_many(a: FloatArray, b: FloatArray, limit: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """As many events of each: (n, n_markers), (k, n_markers) → two of (min(n, k, limit), n_markers)."""
    n_events = min(len(a), len(b), limit)
    return _draw(a, n_events, seed), _draw(b, n_events, seed)


def auroc(scores: FloatArray, others: FloatArray) -> float:
    """Chance that a score is higher than one of the others, half of it where they are equal: (n,), (k,) → 0 to 1.

    Source: Mann & Whitney 1947, Ann. Math. Stat. 18(1).
    """
    ordered = np.sort(others)
    below, not_above = (np.searchsorted(ordered, scores, side) for side in ("left", "right"))
    return float((below + not_above).mean() / 2 / len(ordered))


def made_worse(
    after: npt.NDArray[np.float64], before: npt.NDArray[np.float64], floor: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Which markers end further from the truth than without edit, by more than noise: (n_markers,) each."""
    return np.asarray(after - before > floor)


def normalised_residual(score: float, floor: float, no_edit: float) -> float:
    """(score − floor) / (no edit − floor): 0 is perfect, 1 no better than doing nothing, NaN where nothing is to do."""
    return (score - floor) / (no_edit - floor) if no_edit > floor else float("nan")


def _draw(events: FloatArray, n_events: int, seed: int) -> FloatArray:
    # The same seed draws the same rows of equally long populations, so that a population is at 0 from itself.
    return (
        events if len(events) == n_events else events[np.random.default_rng(seed).permutation(len(events))[:n_events]]
    )


def _mean_distance(a: FloatArray, b: FloatArray) -> float:
    total = sum(float(cdist(a[start : start + CHUNK], b).sum()) for start in range(0, len(a), CHUNK))
    return total / (len(a) * len(b))


def _mean_kernel(a: FloatArray, b: FloatArray) -> float:
    total = 0.0
    for start in range(0, len(a), CHUNK):
        kernel = np.exp(-MMD_RATES[0] * cdist(a[start : start + CHUNK], b, "sqeuclidean"))
        total += float(kernel.sum())
        for _ in MMD_RATES[1:]:
            np.square(kernel, out=kernel)  # a doubled rate squares the kernel
            total += float(kernel.sum())
    return total / (len(a) * len(b) * len(MMD_RATES))
