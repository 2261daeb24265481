"""Left-out trials: how well an edit carries over, measured on source and target alone.

A stratum of the events is left out of source and target, the edit is fitted on the rest and applied to the left-out
source events; their truth, the left-out target events, was measured. Random halves measure the error on kinds of cell
that the edit was fitted on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from neuronedit.arrays import Float32s, Masks
from neuronedit.edits.folds import Fold, half_folds, left_out_folds
from neuronedit.edits.operators.table import EditStep, Fitting
from neuronedit.edits.plans import Plan
from neuronedit.edits.steps import apply_steps, fit_steps
from neuronedit.errors import told
from neuronedit.measures.distances import DECISIVE_NAMES, Distance, distance_to_truth, noise_floor, normalised_residual
from neuronedit.network.autoencoder import Autoencoder

WHOLE, WITHOUT_NEURONS = "whole", "without neurons"

MAX_TRIAL_EVENTS = 4_000
"""Events of each population that trials are made on, at most."""


@dataclass(frozen=True)
class LeftOutErrors:
    """The errors of an edit's plan on events that it was not fitted on.

    Errors are normalised residuals, the mean of EMD's and energy distance's: 0 is the noise floor, 1 doing nothing; NaN
    where they could not be measured.

    Attributes:
        within: On other events of source and target; NaN if these are too few to leave some out, or too alike.
        left_out: On kinds of cell left out of source and target; NaN if no stratum is large enough.
        without_neurons: The same of the plan without its steps that edit neurons; NaN if it has none, or no other.
        alike: Whether source and target are no further apart than two halves of the target are.
    """

    within: float
    left_out: float
    without_neurons: float = float("nan")
    alike: bool = False

    def facts(self) -> dict[str, Any]:
        """Give the errors as JSON values; an unknown one is None."""
        return {name: None if value != value else value for name, value in asdict(self).items()}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Restore errors from their ``facts``."""
        numbers = (facts[name] for name in ("within", "left_out", "without_neurons"))
        within, left_out, without_neurons = (float("nan") if number is None else number for number in numbers)
        return cls(within, left_out, without_neurons, facts["alike"])

    @property
    def carries_over(self) -> bool:
        """Whether, in the trials, the change carried over to kinds of cell that the edit was not fitted on."""
        return self.left_out < 1

    @property
    def neurons_contribution(self) -> float:
        """The reduction of ``left_out`` by the steps that edit neurons; NaN where it was not measured."""
        return self.without_neurons - self.left_out

    @property
    def nothing_to_learn(self) -> str:
        """Why doing nothing is the better choice; empty where it is not, as far as that was measured.

        Example:
            >>> LeftOutErrors(within=0.4, left_out=0.7).nothing_to_learn
            ''
            >>> LeftOutErrors(within=1.3, left_out=0.7).nothing_to_learn
            'doing nothing scores better (error 1.30 on other events of source and target, 1 is nothing)'
        """
        if self.alike:
            return "source and target are no further apart than two halves of the target are"
        if not self.within >= 1:
            return ""
        return (
            f"doing nothing scores better (error {self.within:.2f} on other events of source and target, 1 is nothing)"
        )

    @property
    def sentence(self) -> str:
        """The errors in words.

        Example:
            >>> LeftOutErrors(within=0.1, left_out=0.5, without_neurons=0.6).sentence
            'error 0.10 on other events of source and target, 0.50 on kinds of cell left out; editing neurons lowers the
            latter by 0.10'
        """
        gain = self.neurons_contribution
        by_neurons = f"; editing neurons lowers the latter by {told(gain)}" if np.isfinite(gain) else ""
        no_stratum = "" if np.isfinite(self.left_out) else " (no stratum is large enough)"
        return (
            f"error {told(self.within)} on other events of source and target, {told(self.left_out)} on kinds of cell "
            f"left out{by_neurons}{no_stratum}"
        )


def measure_errors(
    autoencoder: Autoencoder, plan: Plan, source: Float32s, target: Float32s, fitting: Fitting
) -> LeftOutErrors:
    """Measure a plan's errors on events left out.

    Args:
        autoencoder: Trained, on all events.
        plan: The steps.
        source: (n_source, n_markers) float32, standardised; at most ``MAX_TRIAL_EVENTS`` are drawn.
        target: (n_target, n_markers) float32, standardised; at most ``MAX_TRIAL_EVENTS`` are drawn.
        fitting: The settings and weights by which the plan is fitted.

    Raises:
        ModelError: The plan could not be fitted.

    Example:
        >>> from neuronedit.edits.plans import PRESETS
        >>> from neuronedit.network.autoencoder import Architecture
        >>> network, cells = Autoencoder(1, Architecture()), np.linspace(0, 1, 200, dtype=np.float32)[:, None]
        >>> errors = measure_errors(network, PRESETS["quantile-map"], cells, cells + 2, Fitting())
        >>> errors.within < 0.1, errors.alike
        (True, False)
    """
    kept = [drawn_for_trials(len(population), fitting.seed) for population in (source, target)]
    source, target, fitting = source[kept[0]], target[kept[1]], fitting.subset(*kept)
    of_markers = tuple(step for step in plan if not step.latent)
    plans = {WHOLE: plan} | ({WITHOUT_NEURONS: of_markers} if 0 < len(of_markers) < len(plan) else {})
    halves, strata = half_folds(source, target, fitting.seed), left_out_folds(source, target, fitting.seed)
    within = try_plans(autoencoder, {WHOLE: plan}, source, target, halves, fitting)
    left_out = try_plans(autoencoder, plans, source, target, strata, fitting)
    of_halves = blended_error(within, {WHOLE: 1.0}, fitting.seed)
    return LeftOutErrors(
        of_halves,
        blended_error(left_out, {WHOLE: 1.0}, fitting.seed),
        blended_error(left_out if WITHOUT_NEURONS in plans else [], {WITHOUT_NEURONS: 1.0}, fitting.seed),
        alike=bool(halves) and bool(np.isnan(of_halves)),
    )


def drawn_for_trials(n_events: int, seed: int) -> Masks:
    """Draw the events that plans are tried on: (n_events,) bool, at most ``MAX_TRIAL_EVENTS`` of them.

    Example:
        >>> int(drawn_for_trials(10_000, seed=0).sum())
        4000
    """
    kept = np.zeros(n_events, dtype=bool)
    kept[np.random.default_rng(seed).permutation(n_events)[:MAX_TRIAL_EVENTS]] = True
    return kept


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
