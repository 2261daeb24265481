"""A two-drug experiment whose interaction is known, and the share of right intervals and calls of excess on it.

It has cells of several types, four arms, replicate wells. On most markers the drugs add up. On some they interact in a
way that no single drug shows (*specific*), on others both pull cells towards a ceiling, so that the second finds less
to do (*saturating*): that much each drug alone gives away. All responses are affine in a cell's own value, so the
expected excess follows from the types' centres exactly.
"""

import logging
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from neuronedit.arrays import Float64s, Int64s
from neuronedit.cells.arms import BOTH, CONTROL, A, Arm, B, Experiment
from neuronedit.cells.panel import Panel
from neuronedit.cells.transforms import MASS_COFACTOR
from neuronedit.measures.synergy import ADDITIVE as ADDITIVE_CALL
from neuronedit.measures.synergy import ANTAGONISTIC, SYNERGISTIC, Estimate, SynergyRule, call, excess_table
from neuronedit.model.combination import excess_parts, mean_changes

N_TYPES, N_MARKERS = 4, 20

SPECIFIC = (0, 5, 6, 7, 8)
"""Markers that both drugs together move by more or less than each alone tells."""

SATURATING = (9, 10, 11)

ADDITIVE = tuple(marker for marker in range(N_MARKERS) if marker not in (*SPECIFIC, *SATURATING))

SPREAD, SIZE_SPREAD = 0.4, 0.2
"""Spreads of a cell about its type's centre, in each marker by itself and in all together, arcsinh units."""

CEILING = 5.0

TREATMENTS = {CONTROL: (0, 0), A: (1, 0), B: (0, 1), BOTH: (1, 1)}
"""By arm, whether A and B were given."""


@dataclass(frozen=True)
class TwoDrugs:
    """The cells and the drugs' effects, arcsinh units.

    Attributes:
        shares: (n_types,) of the events, the same in every arm.
        centres: (n_types, n_markers).
        effects: (2, n_types, n_markers), what A and B add.
        interaction: (n_types, n_markers), what both together add to that.
        pulls: (2, n_markers), the share of the way to the ceiling that A and B lead a cell.
    """

    shares: Float64s
    centres: Float64s
    effects: Float64s
    interaction: Float64s
    pulls: Float64s

    def respond(self, values: Float64s, types: Int64s, a: int, b: int) -> Float64s:
        """Untreated cells after the treatment: (n_events, n_markers), (n_events,) → (n_events, n_markers)."""
        moved = values + a * self.effects[0, types] + b * self.effects[1, types] + a * b * self.interaction[types]
        return CEILING - (CEILING - moved) * (1 - a * self.pulls[0]) * (1 - b * self.pulls[1])

    def true_means(self) -> dict[str, Float64s]:
        """Each arm's expected mean, (n_markers,)."""
        types = np.arange(N_TYPES)
        return {arm: self.shares @ self.respond(self.centres, types, *given) for arm, given in TREATMENTS.items()}

    def true_excess(self) -> Float64s:
        """(n_markers,), the expected excess over additivity."""
        means = self.true_means()
        return means[BOTH] - means[A] - means[B] + means[CONTROL]

    def draw(self, n_events: int, n_wells: int, scatter: float, seed: int) -> Experiment:
        """Measure all four arms.

        Args:
            n_events: Number of events of each arm.
            n_wells: Replicate wells of each arm; below 2, wells are not told apart.
            scatter: Standard deviation of the wells' means, arcsinh units.
            seed: Draws cells and wells.
        """
        generator = np.random.default_rng([seed, 1])
        arms = [self._draw_arm(arm, n_events, n_wells, scatter, generator) for arm in TREATMENTS]
        names = tuple(f"marker {number}" for number in range(1, N_MARKERS + 1))
        return Experiment(Panel(names, (MASS_COFACTOR,) * N_MARKERS), *arms)

    def _draw_arm(self, arm: str, n_events: int, n_wells: int, scatter: float, generator: np.random.Generator) -> Arm:
        types = generator.choice(N_TYPES, n_events, p=self.shares)
        wells = np.arange(n_events) % max(n_wells, 1)
        untreated = self.centres[types] + generator.normal(0, SIZE_SPREAD, (n_events, 1))
        untreated += generator.normal(0, SPREAD, (n_events, N_MARKERS))
        events = self.respond(untreated, types, *TREATMENTS[arm])
        events += generator.normal(0, scatter, (max(n_wells, 1), N_MARKERS))[wells]
        return Arm(arm, (np.sinh(events) * MASS_COFACTOR).astype(np.float32), wells if n_wells > 1 else None)


def design(seed: int) -> TwoDrugs:
    """Random types and effects; A moves markers 0 to 8, B markers 5 to 8 and 12 to 15, each type by its own factor."""
    generator = np.random.default_rng([seed, 0])
    shares = generator.dirichlet(np.full(N_TYPES, 10.0))
    centres = generator.uniform(0.5, 3.5, (N_TYPES, N_MARKERS))
    effects, pulls = np.zeros((2, N_TYPES, N_MARKERS)), np.zeros((2, N_MARKERS))
    for drug, moved in enumerate([[*range(9)], [*range(5, 9), *range(12, 16)]]):
        size = generator.choice([-1, 1], len(moved)) * generator.uniform(0.3, 1.0, len(moved))
        effects[drug][:, moved] = size * generator.uniform(0.5, 1.5, (N_TYPES, len(moved)))
    pulls[:, SATURATING] = generator.uniform(0.2, 0.5, (2, len(SATURATING)))
    interaction = np.zeros((N_TYPES, N_MARKERS))
    signed = generator.choice([-1, 1], len(SPECIFIC)) * generator.uniform(0.2, 0.8, len(SPECIFIC))
    interaction[:, SPECIFIC] = signed * generator.uniform(0.5, 1.5, (N_TYPES, len(SPECIFIC)))
    return TwoDrugs(shares, centres, effects, interaction, pulls)


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
    """Apply the rule to the expected means themselves: (n_markers,) calls."""
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
