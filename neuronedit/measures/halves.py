"""Distances to a truth on random halves: their means, and how uncertain these are.

A statistic's standard deviation over halves that are drawn without replacement estimates its standard error on all
events: the jackknife that deletes half of them.

Source: Shao & Wu 1989, "A general theory for jackknife variance estimation", Annals of Statistics 17(3).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from neuronedit.arrays import Float64s, Floats, Masks
from neuronedit.measures.distances import DECISIVE, FLOOR, Distance
from neuronedit.measures.pairs import CHUNK, MAX_PAIRED_EVENTS, Pairwise

N_SPLITS: Final = 20
"""Random splits of the events and of the truth in two halves."""

MARGIN: Final = 0.05
"""Two methods differ where their scores do by more than this share of what there is to correct (no edit − floor)."""

SURE: Final = 1.96
"""Standard errors to either side of a mean that bound its interval of 95 %."""


@dataclass(frozen=True)
class HalfDistances:
    """Distances between halves of events and halves of a truth, a row for each pair of halves.

    Attributes:
        emd: (n_halves, n_markers) float64, transformed units.
        joint: (n_halves,) float64 each, by the names of ``DECISIVE``.
    """

    emd: Float64s
    joint: Mapping[str, Float64s]

    @property
    def mean(self) -> Distance:
        """The means over all halves."""
        return Distance(self.emd.mean(axis=0), {name: float(values.mean()) for name, values in self.joint.items()})

    @property
    def scores(self) -> dict[str, Float64s]:
        """(n_halves,) scores for each metric of ``DECISIVE``, by its name."""
        return {each.name: self.joint[each.name] if each.pairwise else self.emd.mean(axis=1) for each in DECISIVE}

    @property
    def errors(self) -> dict[str, float]:
        """The standard error of each score's mean, by the metric's name."""
        return {name: float(values.std(ddof=1)) for name, values in self.scores.items()}

    @property
    def marker_errors(self) -> Float64s:
        """(n_markers,) standard errors of the markers' mean EMDs."""
        return np.asarray(self.emd.std(axis=0, ddof=1))

    def less(self, other: Self) -> Self:
        """Subtract another method's distances on the same halves, half by half."""
        joint = {name: values - other.joint[name] for name, values in self.joint.items()}
        return type(self)(self.emd - other.emd, joint)


def surely_worse(edited: HalfDistances, before: HalfDistances, floor: HalfDistances) -> Masks:
    """Find markers that an edit leads away from the truth by more than the noise floor, and surely: (n_markers,) bool.

    Args:
        edited: Distances of the edited events, on halves.
        before: Distances of the same events before the edit, on the same halves.
        floor: Distances between halves of the truth.

    Example:
        >>> before, edited, floor = (HalfDistances(np.array([[a], [b]]), {}) for a, b in ((1, 1), (2, 2), (0, 0)))
        >>> surely_worse(edited, before, floor).tolist(), surely_worse(before, edited, floor).tolist()
        ([True], [False])
    """
    change = edited.less(before)
    size = change.emd.mean(axis=0)
    return np.asarray((size > floor.emd.mean(axis=0)) & (size > SURE * change.marker_errors))


def halved_distances(
    predictions: Mapping[str, Floats], truth: Floats, seed: int, *, joint: bool = True
) -> dict[str, HalfDistances]:
    """Measure each method's events, and the truth beside itself, on ``N_SPLITS`` random splits.

    A split halves the events and the truth at random; half is compared with half, equally many of each. All methods,
    whose events are the same in the same order, are measured on the same halves: a method is compared with another by
    their differences, half by half. Of more than ``MAX_PAIRED_EVENTS`` so many are drawn first.

    Args:
        predictions: (n_events, n_markers) transformed units each, by method.
        truth: (n_truth, n_markers) transformed units.
        seed: Draws the splits.
        joint: Measure the distances of all markers jointly, too, which cost most.

    Returns:
        By method, two rows for each split; ``noise floor``, the last, has one: half of the truth beside the other.

    Example:
        >>> cells = np.random.default_rng(0).normal(size=(400, 2))
        >>> found = halved_distances({"no edit": cells + 1, "edited": cells}, cells, seed=0)
        >>> {name: round(half.mean.mean_emd, 1) for name, half in found.items()}
        {'no edit': 1.0, 'edited': 0.1, 'noise floor': 0.1}
        >>> found["no edit"].errors["emd"] < 0.1
        True
    """
    (n_events,) = {len(events) for events in predictions.values()}
    generator = np.random.default_rng(seed)
    kept, kept_truth = (_few(n, generator) for n in (n_events, len(truth)))
    truth, size = truth[kept_truth], min(len(kept), len(kept_truth)) // 2
    halves, of_truth = (_draw_halves(n, size, generator) for n in (len(kept), len(kept_truth)))
    ordered = _sorted_halves(truth, of_truth)
    joint_metrics = {each.name: each.pairwise for each in DECISIVE if each.pairwise and joint}
    within = {name: _mean_pairs(truth, truth, of_truth, of_truth, of) for name, of in joint_metrics.items()}
    found = {}
    for method, events in ((method, events[kept]) for method, events in predictions.items()):
        distances = {
            name: 2 * _mean_pairs(events, truth, halves, of_truth, of)
            - _mean_pairs(events, events, halves, halves, of)
            - within[name]
            for name, of in joint_metrics.items()
        }
        found[method] = HalfDistances(_gaps(_sorted_halves(events, halves), ordered), distances)
    first, second = of_truth[::2], of_truth[1::2]
    floors = {
        name: 2 * _mean_pairs(truth, truth, first, second, of) - within[name][::2] - within[name][1::2]
        for name, of in joint_metrics.items()
    }
    return found | {FLOOR: HalfDistances(_gaps(ordered[::2], ordered[1::2]), floors)}


def _few(n_events: int, generator: np.random.Generator) -> np.ndarray:
    return np.sort(generator.permutation(n_events)[:MAX_PAIRED_EVENTS])


def _draw_halves(n_events: int, size: int, generator: np.random.Generator) -> Masks:
    """Draw the halves of each split, one after the other: (2 x N_SPLITS, n_events) bool, ``size`` true in each."""
    halves = np.zeros((2 * N_SPLITS, n_events), dtype=bool)
    for first, second in halves.reshape(N_SPLITS, 2, n_events):
        order = generator.permutation(n_events)
        first[order[:size]], second[order[size : 2 * size]] = True, True
    return halves


def _mean_pairs(a: Floats, b: Floats, of_a: Masks, of_b: Masks, pairwise: Pairwise) -> Float64s:
    """Mean over all pairs of each half of a and of b: (n_halves, n) and (n_halves, k) → (n_halves,)."""
    rows, columns = of_a.astype(np.float64), of_b.astype(np.float64)
    totals = np.zeros(len(rows))
    for start in range(0, len(a), CHUNK):
        chosen = slice(start, start + CHUNK)
        totals += ((rows[:, chosen] @ pairwise(a[chosen], b)) * columns).sum(axis=1)
    return totals / (rows.sum(axis=1) * columns.sum(axis=1))


def _sorted_halves(events: Floats, halves: Masks) -> Floats:
    """Each half's values in their order: (n_events, n_markers), (n_halves, n_events) → (n_halves, n_markers, size)."""
    order = np.argsort(events, axis=0).T  # (n_markers, n_events): sorted once, for all halves
    ordered = np.take_along_axis(events.T, order, axis=1)
    return np.stack([ordered[half[order]].reshape(len(ordered), -1) for half in halves])


def _gaps(ordered: Floats, others: Floats) -> Float64s:
    """Earth mover's distance of equally many sorted values: (n_halves, n_markers, size) → (n_halves, n_markers)."""
    return np.asarray(np.abs(ordered - others).mean(axis=2, dtype=np.float64))
