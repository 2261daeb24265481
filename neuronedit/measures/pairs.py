"""Distances of all markers jointly, from all pairs of events of two populations, (n_events, n_markers) each."""

from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import cdist

from neuronedit.arrays import Float64s, Floats

Pairwise = Callable[[Floats, Floats], Float64s]
"""A number for each pair of events: (n, n_markers), (k, n_markers) → (n, k)."""

MAX_PAIRED_EVENTS = 3_000
"""Events drawn of each population, at most, where all pairs of events are compared: pairs grow with the square."""

CHUNK = 500
"""Events whose distances to all others are in memory at once: 500 x 3,000 float64 are 12 MB."""

MMD_RATES = 2.0 ** np.arange(-10, 4)
"""Rates γ of the kernels exp(−γ d²), doubling from 1/1024 to 8: widths 1/√(2γ) from 22.6 to 0.25 transformed units.

They span what CellOT's 50 rates from 1e-3 to 10 do; doubled rates cost one square each instead of an exponential.
"""


def euclidean(a: Floats, b: Floats) -> Float64s:
    """Euclidean distance of each pair of events: (n, n_markers), (k, n_markers) → (n, k) float64.

    It is computed from products of matrices, at half of what ``scipy.spatial.distance.cdist`` costs, and is off by some
    1e-8 of the events' distances to zero. An event that is not finite is at NaN from all others.

    Example:
        >>> euclidean(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[5.0, 0.0]]
    """
    from sklearn import config_context
    from sklearn.metrics.pairwise import euclidean_distances

    # It would raise or warn where events are not finite.
    with config_context(assume_finite=True), np.errstate(invalid="ignore"):
        return np.asarray(euclidean_distances(a.astype(np.float64), b.astype(np.float64)))


def energy_distance(a: Floats, b: Floats, seed: int = 0) -> float:
    """Energy distance 2 E|X − Y| − E|X − X'| − E|Y − Y'| of all markers jointly, from equal counts of events.

    It is the squared form (no root is taken), as E-distances of perturbation studies are. Expectations run over
    all pairs, an event with itself included: so the value is never negative, but for rounding, and identical samples
    give 0.

    Args:
        a: (n, n_markers).
        b: (k, n_markers).
        seed: Draws min(n, k, ``MAX_PAIRED_EVENTS``) events of each population that has more.

    Source: Székely & Rizzo 2013, J. Stat. Plan. Inference 143(8), equations 5 and 6.

    Example:
        >>> energy_distance(np.array([[0.0]]), np.array([[3.0]]))
        6.0
    """
    return by_pairs(a, b, euclidean, seed)


def rbf_mmd(a: Floats, b: Floats, seed: int = 0) -> float:
    """Squared maximum mean discrepancy of all markers jointly, the mean over the widths of ``MMD_RATES``.

    The biased V-statistic, whose means run over all pairs, an event with itself included: so the value is never
    negative, identical samples give 0, and 2 is the largest (two points that are far apart). It has no unit.

    Args:
        a: (n, n_markers).
        b: (k, n_markers).
        seed: Draws min(n, k, ``MAX_PAIRED_EVENTS``) events of each population that has more.

    Source: Gretton et al. 2012, JMLR 13, equation 5; the mean over widths as in Bunne et al. 2023, Nature Methods 20.

    Example:
        >>> rbf_mmd(np.array([[0.0]]), np.array([[0.0]])), round(rbf_mmd(np.array([[0.0]]), np.array([[1e3]])), 3)
        (0.0, 2.0)
    """
    a, b = equally_many(a, b, MAX_PAIRED_EVENTS, seed)
    return _mean_kernel(a, a) + _mean_kernel(b, b) - 2 * _mean_kernel(a, b)


def by_pairs(a: Floats, b: Floats, pairwise: Pairwise, seed: int) -> float:
    """Twice the mean over pairs of both populations, (n, n_markers), (k, n_markers), less the means within each.

    Args:
        a: (n, n_markers).
        b: (k, n_markers).
        pairwise: Computes what pairs of events add.
        seed: Draws min(n, k, ``MAX_PAIRED_EVENTS``) events of each population that has more.

    Example:
        >>> by_pairs(np.array([[0.0]]), np.array([[3.0]]), euclidean, seed=0)
        6.0
    """
    a, b = equally_many(a, b, MAX_PAIRED_EVENTS, seed)
    return 2 * _mean_pairs(a, b, pairwise) - _mean_pairs(a, a, pairwise) - _mean_pairs(b, b, pairwise)


def equally_many(a: Floats, b: Floats, limit: int, seed: int) -> tuple[Floats, Floats]:
    """Draw equally many events of each: (n, n_markers), (k, n_markers) → two of (min(n, k, limit), n_markers).

    Example:
        >>> [len(drawn) for drawn in equally_many(np.zeros((5, 1)), np.zeros((3, 1)), limit=10, seed=0)]
        [3, 3]
    """
    n_events = min(len(a), len(b), limit)
    return draw(a, n_events, seed), draw(b, n_events, seed)


def draw(events: Floats, n_events: int, seed: int) -> Floats:
    """Draw events: (n, n_markers) → (n_events, n_markers); all of them in their order where there are no more.

    Example:
        >>> len(draw(np.zeros((5, 1)), 3, seed=0))
        3
    """
    # The same seed draws the same rows of equally long populations, so that a population is at 0 from itself.
    return (
        events if len(events) == n_events else events[np.random.default_rng(seed).permutation(len(events))[:n_events]]
    )


def _mean_pairs(a: Floats, b: Floats, pairwise: Pairwise) -> float:
    total = sum(float(pairwise(a[start : start + CHUNK], b).sum()) for start in range(0, len(a), CHUNK))
    return total / (len(a) * len(b))


def _mean_kernel(a: Floats, b: Floats) -> float:
    total = 0.0
    for start in range(0, len(a), CHUNK):
        kernel = np.exp(-MMD_RATES[0] * cdist(a[start : start + CHUNK], b, "sqeuclidean"))
        total += float(kernel.sum())
        for _ in MMD_RATES[1:]:
            np.square(kernel, out=kernel)  # a doubled rate squares the kernel
            total += float(kernel.sum())
    return total / (len(a) * len(b) * len(MMD_RATES))
