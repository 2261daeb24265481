"""Left-out trials: how well an edit carries over, measured on source and target alone.

A stratum of the events is left out of source and target, the edit is fitted on the rest and applied to the left-out
source events; their truth, the left-out target events, was measured. Random halves measure the error on kinds of cell
that the edit was fitted on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neuronedit.arrays import Float32s, Masks
from neuronedit.cells.design import MIN_POPULATION_EVENTS
from neuronedit.edits.steps import EditStep, Fitting, apply_steps, fit_steps
from neuronedit.measures.distances import DECISIVE_NAMES, Distance, distance_to_truth, noise_floor, normalised_residual
from neuronedit.network.autoencoder import Autoencoder

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


@dataclass(frozen=True)
class Trial:
    """Every plan's predictions for the events that one fold leaves out, with their truth.

    Attributes:
        events: (n_events, n_markers) float32, standardised source events left out; of markers that edits move, here
            and below.
        truth: (n_truth, n_markers) float32, standardised target events left out.
        predictions: (n_events, n_markers) edited events, by plan.
        unedited: Distance of the unedited events to the truth.
        floor: Distance between halves of the truth.
    """

    events: Float32s
    truth: Float32s
    predictions: Mapping[str, Float32s]
    unedited: Distance
    floor: Distance


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


def try_plans(
    autoencoder: Autoencoder,
    plans: Mapping[str, Sequence[EditStep]],
    source: Float32s,
    target: Float32s,
    folds: Sequence[Fold],
    fitting: Fitting,
) -> list[Trial]:
    """Fit every plan on each fold, and apply it to the source events that the fold leaves out.

    The autoencoder is trained once, on all events, so it has seen those left out.

    Args:
        autoencoder: A trained autoencoder.
        plans: Steps, by plan.
        source: (n_source, n_markers) float32, standardised.
        target: (n_target, n_markers) float32, standardised.
        folds: The events to fit on.
        fitting: The settings and weights by which each plan is fitted.

    Raises:
        ModelError: A plan could not be fitted.

    Example:
        >>> from neuronedit.network.autoencoder import VISIBLE, Architecture
        >>> network, cells = Autoencoder(1, Architecture()), np.linspace(0, 1, 200, dtype=np.float32)[:, None]
        >>> plans, folds = {"quantile map": [EditStep(layer=VISIBLE)]}, half_folds(cells, cells + 2, seed=0)
        >>> (trial,) = try_plans(network, plans, cells, cells + 2, folds, Fitting())
        >>> round(float((trial.predictions["quantile map"] - trial.events).mean()), 1)
        2.0
    """
    trials = []
    all_moved = [column for column in range(source.shape[1]) if column not in fitting.unmoved]
    moved = all_moved if fitting.unmoved else slice(None)  # a copy would be laid out, and summed, in another order
    for fold in folds:
        events, truth = source[~fold.source], target[~fold.target]
        known, led_to = source[fold.source], target[fold.target]
        predictions = {
            name: apply_steps(
                fit_steps(autoencoder, plan, known, led_to, fitting.subset(fold.source, fold.target)),
                autoencoder,
                events,
            )[:, moved]
            for name, plan in plans.items()
        }
        events, truth = events[:, moved], truth[:, moved]
        trials.append(
            Trial(
                events,
                truth,
                predictions,
                distance_to_truth(events, truth, fitting.seed),
                noise_floor(truth, fitting.seed),
            )
        )
    return trials


def blended_error(trials: Sequence[Trial], weights: Mapping[str, float], seed: int) -> float:
    """The error of several plans' weighted mean: 0 is the noise floor, 1 doing nothing.

    It is the mean of the normalised residuals of EMD and energy distance, computed from their means over trials. NaN
    without trials, and if doing nothing is already at the noise floor.

    Args:
        trials: See ``try_plans``.
        weights: Weights by plan, summing to 1.
        seed: Halves the truth and draws events.

    Example:
        >>> events, truth = np.zeros((200, 1), np.float32), np.linspace(1, 2, 200, dtype=np.float32)[:, None]
        >>> unedited, floor = distance_to_truth(events, truth, seed=0), noise_floor(truth, seed=0)
        >>> trial = Trial(events, truth, {"nothing": events}, unedited, floor)
        >>> blended_error([trial], {"nothing": 1.0}, seed=0)
        1.0
    """
    if not trials:
        return float("nan")
    edited = [
        distance_to_truth(
            np.sum([trial.predictions[name] * np.float32(weight) for name, weight in weights.items()], axis=0),
            trial.truth,
            seed,
        )
        for trial in trials
    ]
    residuals = [
        normalised_residual(
            *(
                float(np.mean([distance.scores[score] for distance in distances]))
                for distances in (edited, [trial.floor for trial in trials], [trial.unedited for trial in trials])
            )
        )
        for score in DECISIVE_NAMES
    ]
    known = [residual for residual in residuals if not np.isnan(residual)]
    return float(np.mean(known)) if known else float("nan")
