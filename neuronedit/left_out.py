"""How far an edit carries over, measured on source and target alone: by populations left out of both.

A stratum of the events is left out of source and target, the edit is fitted on the rest and applied to the left-out
source events; their truth, the left-out target events, was measured. So is the error on events of kinds that were
there, by halves of the events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuronedit.autoencoder import Autoencoder
from neuronedit.design import MIN_EVENTS
from neuronedit.metrics import DECISIVE_NAMES, Distance, distance_to_truth, noise_floor, normalised_residual
from neuronedit.percentiles import FloatArray
from neuronedit.steps import EditStep, Fitting, apply_steps, fit_steps

N_STRATA = 4
"""Strata that are left out in turn; they need not be the kinds of cell, only unlike each other."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Fold:
    """Which events an edit is fitted on; it is scored on the others.

    Attributes:
        source: (n_source,) bool.
        target: (n_target,) bool.
    """

    source: Mask
    target: Mask

    @property
    def large_enough(self) -> bool:
        """Whether both parts of both populations can support percentiles."""
        counts = [part for mask in (self.source, self.target) for part in (mask.sum(), (~mask).sum())]
        return min(counts) >= MIN_EVENTS


@dataclass(frozen=True)
class Trial:
    """One fold: what every plan makes of the events that it was not fitted on, with their truth.

    Attributes:
        events: (n_events, n_markers) standardised source events.
        truth: (n_truth, n_markers) target events.
        predictions: By plan, (n_events, n_markers).
        unedited: How far the events are from the truth as they are.
        floor: How far halves of the truth are from each other.
    """

    events: FloatArray
    truth: FloatArray
    predictions: Mapping[str, FloatArray]
    unedited: Distance
    floor: Distance


def left_out_folds(source: FloatArray, target: FloatArray, seed: int) -> list[Fold]:
    """A fold for each stratum that is large enough in both populations, (n_events, n_markers) each.

    Strata are k-means clusters of the target and of the source led to the target's mean.
    """
    # Only fitting needs scikit-learn: where a model is applied, it is not installed.
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    aligned = source + (target.mean(axis=0) - source.mean(axis=0))
    n_strata = min(N_STRATA, len(source), len(target))
    with threadpool_limits(1):  # threads would add up in another order: other bits
        labels = KMeans(n_strata, n_init=4, random_state=seed).fit(np.concatenate([aligned, target])).labels_
    folds = [Fold(labels[: len(source)] != stratum, labels[len(source) :] != stratum) for stratum in range(n_strata)]
    return [fold for fold in folds if fold.large_enough]


def half_folds(source: FloatArray, target: FloatArray, seed: int) -> list[Fold]:
    """One fold: a random half of each population; none where halves are too small."""
    generator = np.random.default_rng(seed)
    fold = Fold(*(generator.permutation(len(population)) % 2 == 0 for population in (source, target)))
    return [fold] if fold.large_enough else []


def try_plans(
    autoencoder: Autoencoder,
    plans: Mapping[str, Sequence[EditStep]],
    source: FloatArray,
    target: FloatArray,
    folds: Sequence[Fold],
    fitting: Fitting,
) -> list[Trial]:
    """Fit every plan on each fold, and apply it to the source events that the fold leaves out.

    The autoencoder has seen all events: it is trained once.
    """
    trials = []
    for fold in folds:
        events, truth = source[~fold.source], target[~fold.target]
        known, led_to = source[fold.source], target[fold.target]
        predictions = {
            name: apply_steps(
                fit_steps(autoencoder, plan, known, led_to, fitting.of(fold.source, fold.target)), autoencoder, events
            )
            for name, plan in plans.items()
        }
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
    """The error of several plans' weighted mean: 0 is the noise floor, 1 is that of doing nothing.

    It is the mean of the normalised residuals of EMD and energy distance, each of the means over trials. NaN without
    trials, and where doing nothing is at the noise floor already.

    Args:
        trials: See ``try_plans``.
        weights: By plan; they sum to 1.
        seed: Halves the truth and draws events.
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
