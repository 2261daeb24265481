"""The plan chosen by measurement: candidates blended by how well each carries over to events that it was not fitted on.

The best operator differs from edit to edit, by up to a factor of two in error, and no rule of thumb tells beforehand.
So every candidate is tried on populations left out of both source and target; the lower its error there, the higher
its weight.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from neuronedit.arrays import Float32s
from neuronedit.edits.baselines import NO_EDIT
from neuronedit.edits.left_out import Trial, blended_error, half_folds, left_out_folds, try_plans
from neuronedit.edits.steps import EditStep, Fitting
from neuronedit.errors import told
from neuronedit.network.autoencoder import VISIBLE, Autoencoder

Plan = tuple[EditStep, ...]

CANDIDATES: Mapping[str, Plan] = {
    "quantile-map": (EditStep(layer=VISIBLE),),
    "strata": (EditStep(layer=VISIBLE, operator="strata"),),
    "fine-strata": (EditStep(layer=VISIBLE, operator="strata", n_strata=12),),
    "transport": (EditStep(layer=VISIBLE, operator="transport"), EditStep(layer=VISIBLE)),
    "neurons-strata": (EditStep(operator="strata"), EditStep(layer=VISIBLE, operator="strata")),
    "neurons-neighbours": (EditStep(operator="neighbours"), EditStep(layer=VISIBLE)),
}
"""Candidate plans by name; they take an event's shift from its markers one by one, from its kind of cell, coarse or
fine, from all markers at once, or from its neurons."""

SHARPNESS = 6
"""A plan whose error is q times the least has the weight q^-SHARPNESS: 1.4 times the error, an eighth of the weight."""

MIN_WEIGHT = 0.05
"""The least weight of a plan; plans that would have less are left out, as each costs time on every event."""

MIN_ERROR = 0.02
"""Errors below this one are noise and count as equal to it."""

MAX_CHOICE_EVENTS = 4_000
"""Events of each population that candidates are tried on, at most."""


@dataclass(frozen=True)
class PlanChoice:
    """A blend of plans, and the errors by which it was chosen.

    Errors are normalised residuals, the mean of EMD's and energy distance's: 0 is the noise floor, 1 doing nothing.

    Attributes:
        weights: Weights by plan, summing to 1; ``no edit`` alone if doing nothing scores better.
        errors: Errors by candidate, on kinds of cell left out of source and target.
        left_out_error: The blend's error on kinds of cell left out; NaN if no stratum is large enough. The weights come
            from the same trials, so it is slightly optimistic.
        within_error: The blend's error on other events of the same populations; NaN if these are too few to leave some
            out, or, where the choice is to do nothing, no further apart than two halves of the target are.
        without_neurons_error: The error of a blend without plans that edit neurons, on kinds of cell left out.
    """

    weights: Mapping[str, float]
    errors: Mapping[str, float]
    left_out_error: float
    within_error: float
    without_neurons_error: float

    def facts(self) -> dict[str, Any]:
        """Give the choice as JSON values; an unknown error is None."""
        facts = asdict(self)
        facts["errors"] = {name: _known(error) for name, error in self.errors.items()}
        return facts | {name: _known(facts[name]) for name in _ERRORS}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Restore a choice from its ``facts``."""
        errors = {name: _or_nan(error) for name, error in facts["errors"].items()}
        return cls(facts["weights"], errors, *(_or_nan(facts[name]) for name in _ERRORS))

    @property
    def edits(self) -> bool:
        """Whether a plan scores better than doing nothing."""
        return NO_EDIT not in self.weights

    @property
    def carries_over(self) -> bool:
        """Whether, in the trials, the change carried over to kinds of cell that the edit was not fitted on."""
        return self.left_out_error < 1

    @property
    def winner(self) -> str:
        """The plan of the highest weight."""
        return max(self.weights, key=lambda plan: self.weights[plan])

    @property
    def neurons_contribution(self) -> float:
        """The reduction of ``left_out_error`` by the plans that edit neurons; 0 if none has weight."""
        return self.without_neurons_error - self.left_out_error

    @property
    def summary(self) -> str:
        """The choice in words."""
        if not self.edits:
            more = "; more events would tell more, and a plan given by name (edit.preset) is applied in any case"
            return f"no edit: {nothing_to_learn(self.within_error)}{more if np.isnan(self.within_error) else ''}"
        plans = sorted(self.weights, key=lambda plan: -self.weights[plan])
        by_neurons = f"; editing neurons lowers the latter by {told(self.neurons_contribution)}"
        no_stratum = " (no stratum is large enough)"
        return (
            f"{', '.join(f'{plan} {self.weights[plan]:.0%}' for plan in plans)}; error {told(self.within_error)} on "
            f"other events of source and target, {told(self.left_out_error)} on kinds of cell left out"
            f"{by_neurons if np.isfinite(self.left_out_error) else no_stratum}"
        )


def nothing_to_learn(within_error: float) -> str:
    """Say why doing nothing is the better choice; empty where it is not.

    Args:
        within_error: An edit's error on other events of source and target; NaN where these are too alike.

    Example:
        >>> nothing_to_learn(0.4), nothing_to_learn(1.3)
        ('', 'doing nothing scores better (error 1.30 on other events of source and target, 1 is nothing)')
    """
    if within_error < 1:
        return ""
    if np.isnan(within_error):
        return "source and target are no further apart than two halves of the target are"
    return f"doing nothing scores better (error {within_error:.2f} on other events of source and target, 1 is nothing)"


def choose(autoencoder: Autoencoder, source: Float32s, target: Float32s, fitting: Fitting) -> PlanChoice:
    """Try all candidates on events left out, and weigh them by their errors.

    Args:
        autoencoder: A trained autoencoder.
        source: (n_source, n_markers) float32, standardised; at most ``MAX_CHOICE_EVENTS`` are drawn.
        target: (n_target, n_markers) float32, standardised; at most ``MAX_CHOICE_EVENTS`` are drawn.
        fitting: The settings and weights by which each plan is fitted.

    Raises:
        ModelError: A plan could not be fitted.

    Example:
        Left-out cells come near their truth; an error of 1 would be that of doing nothing:

        >>> from neuronedit.model.example import example_cells, example_model
        >>> model = example_model()
        >>> control, treated = (model.standardised(example_cells(seed, treated=seed)[:100]) for seed in (0, 1))
        >>> choice = choose(model.autoencoder, control, treated, Fitting())
        >>> choice.edits, sorted(choice.errors) == sorted(CANDIDATES), choice.within_error < 0.5
        (True, True, True)
    """
    kept = [drawn_for_choice(len(population), fitting.seed) for population in (source, target)]
    source, target, fitting = source[kept[0]], target[kept[1]], fitting.subset(*kept)
    within, left_out = (
        try_plans(autoencoder, CANDIDATES, source, target, folds(source, target, fitting.seed), fitting)
        for folds in (half_folds, left_out_folds)
    )
    return _weigh(left_out, within, fitting.seed)


def error_within(
    autoencoder: Autoencoder, plan: Plan, source: Float32s, target: Float32s, fitting: Fitting
) -> float | None:
    """Measure a plan's error on other events of source and target; NaN if these are too alike, None if too few.

    Args:
        autoencoder: A trained autoencoder.
        plan: The steps.
        source: (n_source, n_markers) float32, standardised; at most ``MAX_CHOICE_EVENTS`` are drawn.
        target: (n_target, n_markers) float32, standardised; at most ``MAX_CHOICE_EVENTS`` are drawn.
        fitting: The settings and weights by which the plan is fitted.

    Raises:
        ModelError: The plan could not be fitted.

    Example:
        >>> from neuronedit.network.autoencoder import Architecture
        >>> network, cells = Autoencoder(1, Architecture()), np.linspace(0, 1, 200, dtype=np.float32)[:, None]
        >>> error_within(network, CANDIDATES["quantile-map"], cells, cells + 2, Fitting()) < 0.1
        True
    """
    kept = [drawn_for_choice(len(population), fitting.seed) for population in (source, target)]
    source, target, fitting = source[kept[0]], target[kept[1]], fitting.subset(*kept)
    trials = try_plans(autoencoder, {"": plan}, source, target, half_folds(source, target, fitting.seed), fitting)
    return blended_error(trials, {"": 1.0}, fitting.seed) if trials else None


_ERRORS = ("left_out_error", "within_error", "without_neurons_error")


def _known(error: float) -> float | None:
    return error if np.isfinite(error) else None


def _or_nan(error: float | None) -> float:
    return float("nan") if error is None else error


def _weigh(left_out: list[Trial], within: list[Trial], seed: int) -> PlanChoice:
    errors = {name: blended_error(left_out or within, {name: 1.0}, seed) for name in CANDIDATES}
    weights = _weights(errors)
    visible = {name: error for name, error in errors.items() if not any(step.latent for step in CANDIDATES[name])}
    within_error = blended_error(within, weights, seed)
    return PlanChoice(
        # NaN, too: source and target are no further apart than halves of the target are.
        {NO_EDIT: 1.0} if within and not within_error < 1 else weights,
        errors,
        blended_error(left_out, weights, seed),
        within_error,
        blended_error(left_out, _weights(visible), seed),
    )


def _weights(errors: Mapping[str, float]) -> dict[str, float]:
    floored = {name: max(error, MIN_ERROR) if np.isfinite(error) else 1.0 for name, error in errors.items()}
    least = min(floored.values())
    weights = {name: (least / error) ** SHARPNESS for name, error in floored.items()}
    kept = {name: weight for name, weight in weights.items() if weight >= MIN_WEIGHT * sum(weights.values())}
    return {name: weight / sum(kept.values()) for name, weight in kept.items()}


def drawn_for_choice(n_events: int, seed: int) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Draw the events that candidates are tried on: (n_events,) bool, at most ``MAX_CHOICE_EVENTS`` of them.

    Example:
        >>> int(drawn_for_choice(10_000, seed=0).sum())
        4000
    """
    kept = np.zeros(n_events, dtype=bool)
    kept[np.random.default_rng(seed).permutation(n_events)[:MAX_CHOICE_EVENTS]] = True
    return kept
