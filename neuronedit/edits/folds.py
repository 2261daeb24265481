"""Events of source and target that an edit is fitted on, the others being left out to score it."""

from dataclasses import dataclass

import numpy as np

from neuronedit.arrays import Float32s, Masks
from neuronedit.cells.design import MIN_POPULATION_EVENTS

N_STRATA = 4
"""Strata that are left out in turn; they need not be kinds of cell, but must be unlike each other."""


@dataclass(frozen=True)
class Fold:
    """The events that an edit is fitted on; it is scored on the others.

    Attributes:
        source: (n_source,) bool, source events to fit on.
        target: (n_target,) bool, target events to fit on.
    """

    source: Masks
    target: Masks

    @property
    def large_enough(self) -> bool:
        """Whether both parts of both populations have enough events for percentiles."""
        counts = [part for mask in (self.source, self.target) for part in (mask.sum(), (~mask).sum())]
        return min(counts) >= MIN_POPULATION_EVENTS


def left_out_folds(source: Float32s, target: Float32s, seed: int) -> list[Fold]:
    """Leave out each stratum in turn, if it is large enough in both populations.

    Strata are k-means clusters of the target and of the source moved to the target's mean.

    Args:
        source: (n_source, n_markers) float32, standardised.
        target: (n_target, n_markers) float32, standardised.
        seed: Starts the search for clusters.

    Example:
        >>> events = np.repeat(np.array([[0.0], [10.0], [20.0], [30.0]], np.float32), 100, axis=0)
        >>> [int((~fold.source).sum()) for fold in left_out_folds(events, events + 2, seed=0)]
        [100, 100, 100, 100]
    """
    # Only fitting needs scikit-learn: machines that apply models do not have it.
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    aligned = source + (target.mean(axis=0) - source.mean(axis=0))
    n_strata = min(N_STRATA, len(source), len(target))
    with threadpool_limits(1):  # threads would add up in another order: other bits
        labels = KMeans(n_strata, n_init=4, random_state=seed).fit(np.concatenate([aligned, target])).labels_
    folds = [Fold(labels[: len(source)] != stratum, labels[len(source) :] != stratum) for stratum in range(n_strata)]
    return [fold for fold in folds if fold.large_enough]


def half_folds(source: Float32s, target: Float32s, seed: int) -> list[Fold]:
    """Leave out a random half of each population: one fold, or none if the halves are too small.

    Example:
        >>> fold, = half_folds(np.zeros((200, 1)), np.zeros((300, 1)), seed=0)
        >>> int(fold.source.sum()), int(fold.target.sum())
        (100, 150)
    """
    generator = np.random.default_rng(seed)
    fold = Fold(*(generator.permutation(len(population)) % 2 == 0 for population in (source, target)))
    return [fold] if fold.large_enough else []
