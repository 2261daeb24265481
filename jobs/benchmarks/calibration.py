"""Intervals and calls of excess over additivity, where the interaction is known."""

import logging
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from neuronedit.arms import CONTROL, A, B, Experiment
from neuronedit.combinations import excess_parts, mean_changes
from neuronedit.synergy import ADDITIVE as ADDITIVE_CALL
from neuronedit.synergy import ANTAGONISTIC, SYNERGISTIC, Estimate, SynergyRule, call, excess_table

from .two_drugs import ADDITIVE, N_MARKERS, TwoDrugs, design

logger = logging.getLogger(__name__)

RULE = SynergyRule(n_draws=500)


@dataclass(frozen=True)
class Setting:
    """How experiments are measured, and what is resampled for their intervals.

    Attributes:
        n_wells: Replicate wells of each arm.
        scatter: Standard deviation of the wells' means, arcsinh units.
        by_well: Resample wells; otherwise events.
    """

    n_wells: int
    scatter: float
    by_well: bool


SETTINGS = {
    "one well, events resampled": Setting(1, 0.0, False),
    "2 wells that scatter by 0.05, events resampled": Setting(2, 0.05, False),
    "2 wells that scatter by 0.05, wells resampled": Setting(2, 0.05, True),
    "4 wells that scatter by 0.05, wells resampled": Setting(4, 0.05, True),
}


def measure_calibration(n_repeats: int, n_events: int = 1_000) -> pd.DataFrame:
    """A row for each setting: over repeats and markers, how often intervals hold the truth and calls are right.

    Columns: coverage; width (mean, arcsinh units); slope and rmse of measured on true excess; false_calls, the share
    of truly additive markers called synergistic or antagonistic; called_additive, the share of them called additive;
    found, the share of markers with a true excess of at least ``min_excess`` that are called what they are.
    """
    rows = {}
    for name, setting in SETTINGS.items():
        rows[name] = _summary(pd.concat([measure_repeat(setting, n_events, seed) for seed in range(n_repeats)]))
        logger.info("%d experiments measured: %s", n_repeats, name)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("setting")


def measure_repeat(setting: Setting, n_events: int, seed: int) -> pd.DataFrame:
    """One experiment: a row for each marker, as of ``excess_table``, with true (excess), true_call, additive_marker."""
    drugs = design(seed)
    experiment = drugs.draw(n_events, setting.n_wells, setting.scatter, seed)
    if not setting.by_well:
        experiment = _without_wells(experiment)
    markers = experiment.panel.markers
    table = excess_table(excess_parts(experiment, {}), mean_changes(experiment), markers, RULE, seed)
    return table.assign(
        true=drugs.true_excess(), true_call=true_calls(drugs), additive_marker=np.isin(range(N_MARKERS), ADDITIVE)
    )


def true_calls(drugs: TwoDrugs) -> np.ndarray:
    """What the rule says of the expected means themselves, (n_markers,)."""
    means, excess = drugs.true_means(), drugs.true_excess()
    exact = Estimate(excess, excess, excess, np.zeros(N_MARKERS))
    return call(exact, exact.p, means[A] + means[B] - 2 * means[CONTROL], RULE)


def _without_wells(experiment: Experiment) -> Experiment:
    control, a, b, both = (replace(arm, samples=None) for arm in experiment.arms)
    return Experiment(experiment.panel, control, a, b, both)


def _summary(table: pd.DataFrame) -> dict[str, float]:
    additive, excess = table["additive_marker"], ~table["additive_marker"] & (table["true_call"] != ADDITIVE_CALL)
    calls = table["call"]
    return {
        "coverage": float(((table["low"] <= table["true"]) & (table["true"] <= table["high"])).mean()),
        "width": float((table["high"] - table["low"]).mean()),
        "slope": float(np.polyfit(table["true"], table["excess"], 1)[0]),
        "rmse": float(np.sqrt(((table["excess"] - table["true"]) ** 2).mean())),
        "false_calls": float(calls[additive].isin([SYNERGISTIC, ANTAGONISTIC]).mean()),
        "called_additive": float((calls[additive] == ADDITIVE_CALL).mean()),
        "found": float((calls == table["true_call"])[excess].mean()),
    }
