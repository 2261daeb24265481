"""The plan chosen by measurement: candidates blended by how well each carries over to events that it was not fitted on.

Which operator wins differs from edit to edit, by up to a factor of two, and no rule of thumb tells beforehand. So every
candidate is tried on populations left out of both source and target; the better it does there, the more it counts.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from neuronedit.autoencoder import VISIBLE, Autoencoder
from neuronedit.left_out import Trial, blended_error, half_folds, left_out_folds, try_plans
from neuronedit.percentiles import FloatArray
from neuronedit.steps import EditStep, Fitting

Plan = tuple[EditStep, ...]

CANDIDATES: Mapping[str, Plan] = {
    "quantile-map": (EditStep(layer=VISIBLE),),
    "strata": (EditStep(layer=VISIBLE, operator="strata"),),
    "fine-strata": (EditStep(layer=VISIBLE, operator="strata", n_strata=12),),
    "transport": (EditStep(layer=VISIBLE, operator="transport"), EditStep(layer=VISIBLE)),
    "neurons-strata": (EditStep(operator="strata"), EditStep(layer=VISIBLE, operator="strata")),
    "neurons-neighbours": (EditStep(operator="neighbours"), EditStep(layer=VISIBLE)),
}
"""Plans that differ in where the shift of an event comes from: its markers one by one, its kind of cell, coarse or
fine, all markers at once, its neurons."""

NO_PLAN = "no edit"

SHARPNESS = 6
"""A plan whose error is q times the least has the weight q^-SHARPNESS: one of 1.4 times the error counts an eighth."""

MIN_WEIGHT = 0.05
"""Plans that would count less are left out: they cost time on every event."""

MIN_ERROR = 0.02
"""Errors below are alike: they are noise."""

MAX_EVENTS = 4_000
"""Events of each population that the choice is made on."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, and what it rests on.

    Errors are normalised residuals, the mean of EMD's and energy distance's: 0 is the noise floor, 1 doing nothing.

    Attributes:
        weights: By plan, sums to 1; ``no edit`` alone where doing nothing scores better.
        errors: By candidate, on populations left out of source and target (the expected extrapolation error).
        left_out_error: Of the chosen blend, on populations left out; NaN where no stratum is large enough. The weights
            come from the same trials, so it is slightly optimistic.
        within_error: Of the chosen blend, on other events of the same populations.
        without_neurons_error: Of the blend without the plans that edit neurons, on populations left out.
    """

    weights: Mapping[str, float]
    errors: Mapping[str, float]
    left_out_error: float
    within_error: float
    without_neurons_error: float

    def facts(self) -> dict[str, Any]:
        """All of it as JSON has it: None for an error that is not known."""
        facts = asdict(self)
        facts["errors"] = {name: _known(error) for name, error in self.errors.items()}
        return facts | {name: _known(facts[name]) for name in _ERRORS}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """The choice whose ``facts`` these are."""
        errors = {name: _or_nan(error) for name, error in facts["errors"].items()}
        return cls(facts["weights"], errors, *(_or_nan(facts[name]) for name in _ERRORS))

    @property
    def edits(self) -> bool:
        """Whether there is anything that scores better than doing nothing."""
        return NO_PLAN not in self.weights

    @property
    def carries_over(self) -> bool:
        """Whether the change was seen to carry over to kinds of cell that the edit was not fitted on."""
        return self.left_out_error < 1

    @property
    def winner(self) -> str:
        """The plan that counts most."""
        return max(self.weights, key=lambda plan: self.weights[plan])

    @property
    def neurons_contribution(self) -> float:
        """By how much the plans that edit neurons lower the error on populations left out; 0 where none counts."""
        return self.without_neurons_error - self.left_out_error

    @property
    def summary(self) -> str:
        """The choice in words."""
        if not self.edits:
            return f"no edit: doing nothing scores better (error {self.within_error:.2f}, 1 is that of doing nothing)"
        plans = sorted(self.weights, key=lambda plan: -self.weights[plan])
        left_out = "not measured: no stratum is large enough" if np.isnan(self.left_out_error) else ""
        return (
            f"{', '.join(f'{plan} {self.weights[plan]:.0%}' for plan in plans)}; expected extrapolation error "
            f"{left_out or f'{self.left_out_error:.2f}'} (0 noise, 1 doing nothing), {self.within_error:.2f} on kinds "
            f"of cell that it was fitted on; editing neurons lowers it by {self.neurons_contribution:.2f}"
        )

    def expected_error(self, unsupported: float) -> float:
        """The error to expect on events of which a share, 0 … 1, is unlike any that the edit was fitted on."""
        if not self.edits:
            return 1.0
        parts = ((1 - unsupported, self.within_error), (unsupported, self.left_out_error))
        return sum(share * error for share, error in parts if share > 0)


def choose(autoencoder: Autoencoder, source: FloatArray, target: FloatArray, fitting: Fitting) -> Choice:
    """Try all candidates on events left out, and weigh them.

    Args:
        autoencoder: Trained.
        source: (n_events, n_markers) float32, standardised; at most ``MAX_EVENTS`` are drawn.
        target: The same of the target.
        fitting: How each plan is fitted.

    Raises:
        ModelError: A plan could not be fitted.
    """
    kept = [drawn_for_choice(len(population), fitting.seed) for population in (source, target)]
    source, target, fitting = source[kept[0]], target[kept[1]], fitting.of(*kept)
    within, left_out = (
        try_plans(autoencoder, CANDIDATES, source, target, folds(source, target, fitting.seed), fitting)
        for folds in (half_folds, left_out_folds)
    )
    return _weigh(left_out, within, fitting.seed)


_ERRORS = ("left_out_error", "within_error", "without_neurons_error")


def _known(error: float) -> float | None:
    return error if np.isfinite(error) else None


def _or_nan(error: float | None) -> float:
    return float("nan") if error is None else error


def _weigh(left_out: list[Trial], within: list[Trial], seed: int) -> Choice:
    errors = {name: blended_error(left_out or within, {name: 1.0}, seed) for name in CANDIDATES}
    weights = _weights(errors)
    visible = {name: error for name, error in errors.items() if not any(step.latent for step in CANDIDATES[name])}
    within_error = blended_error(within, weights, seed)
    return Choice(
        # NaN, too: source and target are no further apart than halves of the target are.
        {NO_PLAN: 1.0} if within and not within_error < 1 else weights,
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
    """Which events a choice is made on: (n_events,) bool, at most ``MAX_EVENTS`` of them."""
    kept = np.zeros(n_events, dtype=bool)
    kept[np.random.default_rng(seed).permutation(n_events)[:MAX_EVENTS]] = True
    return kept
