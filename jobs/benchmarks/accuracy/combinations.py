"""Two treatments together: are intervals and calls right where the interaction is known, and what do edits foresee?

Known interaction: ``two_drugs`` draws an experiment again and again, with and without scatter between wells; then
edits of A and B, of an autoencoder each, predict A+B. Real cells: OVA and a co-stimulation, each learned without the
other on CD4 T cells, beside the wells that had both. No edit has seen an event of both.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s
from neuronedit.cells.arms import Arm, Experiment
from neuronedit.cells.design import PAIR_EDIT
from neuronedit.cells.panel import Panel
from neuronedit.cells.selection import Where, select
from neuronedit.edits.plans import EditConfig, Preset
from neuronedit.measures.distances import normalised_residual
from neuronedit.measures.synergy import ANTAGONISTIC, SYNERGISTIC, SynergyRule
from neuronedit.model.combination import MEASURED, Combination, combine
from neuronedit.model.edit_model import EditModel
from neuronedit.model.predictions import A_ON_B, B_ON_A, ROUTES, panel_edit
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan

from ..measure import Result
from .methods import fit_plans
from .tasks import DATA, FLUORESCENCE_COFACTOR, Cells, load_cells
from .two_drugs import ADDITIVE, N_MARKERS, SATURATING, SETTINGS, SPECIFIC, design, measure_calibration

logger = logging.getLogger(__name__)

DATASET = "ot_activation_flow"
DEFAULT: Preset = "trained"
KINDS = {"additive": ADDITIVE, "specific": SPECIFIC, "saturating": SATURATING}
"""Markers of known interaction."""


@dataclass(frozen=True)
class Effort:
    """How much work a run takes on.

    Attributes:
        n_repeats: Experiments of known interaction, in each setting.
        n_seeds: Number of seeds of trained edits.
        n_events: At most so many of each arm.
        architecture: The autoencoders' layers.
        training: How long each is trained.
    """

    n_repeats: int
    n_seeds: int
    n_events: int
    architecture: Architecture
    training: TrainingPlan


PRESETS: tuple[Preset, ...] = (DEFAULT, "neurons-then-markers", "quantile-map", "strata", "paper")
PLANS: Mapping[str, EditConfig] = {preset: EditConfig(preset=preset) for preset in PRESETS}
"""The edits that are measured, by name."""

FULL = Effort(200, 3, 4_000, Architecture(), TrainingPlan())
QUICK = Effort(30, 1, 1_500, Architecture(hidden=(100,), code=50), TrainingPlan(epochs=30, minibatch=256))


@dataclass(frozen=True)
class RealCombination:
    """Arms of real cells by column values; the wells are the replicate samples."""

    control: Where
    a: Where
    b: Where
    both: Where


def _ova_and(first: str, second: str) -> RealCombination:
    def arm(treatment: str, ova: float) -> Where:
        return {"cell_type": "CD4T_OTII", "treatment": treatment, "ova": ova}

    return RealCombination(arm(first, 0.0), arm(first, 0.5), arm(second, 0.0), arm(second, 0.5))


REAL = {
    "OVA 0→0.5 with Stim-C→Stim-D": _ova_and("Stim-C", "Stim-D"),
    "OVA 0→0.5 with Stim-A→Stim-D": _ova_and("Stim-A", "Stim-D"),
}


def run(quick: bool, data: Path = DATA) -> Result:
    """Measure calibration, what edits foresee of a known interaction, and predictions on real cells.

    Raises:
        DataError: The dataset is missing from the folder ``data``.
    """
    effort = QUICK if quick else FULL
    cells = load_cells(data, DATASET)
    calibration = measure_calibration(effort.n_repeats)
    foreseen = measure_foreseen(effort)
    combinations = measure_real(cells, effort)
    distances, excess, scalars = real_tables(combinations)
    tables = {"distances": distances, "foreseen": foreseen, "excess": excess, "scalars": scalars}
    details = {name: table.reset_index() for name, table in tables.items()}
    return Result(calibration, _figures(calibration, foreseen, scalars), details)


# --- edits of an autoencoder each


def fit_pair(
    source: Float32s, target: Float32s, events: Float32s, panel: Panel, seed: int, effort: Effort
) -> dict[str, EditModel]:
    """Models of one treatment by the name of their plan: one autoencoder, trained on raw source, target and events."""
    raw = {"source": source, "target": target, "extrapolation": events}
    model = fit_plans(PLANS, raw, panel, seed, effort.architecture, effort.training)
    return {name: replace(model, edits={PAIR_EDIT: edit}) for name, edit in model.edits.items()}


def combine_each_plan(experiment: Experiment, seed: int, effort: Effort) -> dict[str, Combination]:
    """By plan, A+B predicted from edits that have not seen it: of an autoencoder each, on control, A and B."""
    panel, control, a, b = experiment.panel, *(arm.intensities for arm in experiment.arms[:3])
    of_a, of_b = fit_pair(control, a, b, panel, seed, effort), fit_pair(control, b, a, panel, seed, effort)
    return {
        plan: combine(
            experiment, panel_edit(of_a[plan], panel, "A"), panel_edit(of_b[plan], panel, "B"), SynergyRule(), seed
        )
        for plan in of_a
    }


# --- known interaction


def measure_foreseen(effort: Effort) -> pd.DataFrame:
    """A row for each plan and way to predict: how predicted excess follows the true one, by kind of interaction.

    Columns: for each kind, slope through the origin and rmse (arcsinh units), over markers and seeds. A slope of 1
    foresees it all, 0 is additivity. The additive kind, whose truth is 0, has no slope, but false_calls: the share of
    its predictions that are called synergistic or antagonistic.
    """
    tables = []
    for seed in range(effort.n_seeds):
        drugs = design(seed)
        experiment = drugs.draw(effort.n_events, 1, 0.0, seed)
        for plan, combination in combine_each_plan(experiment, seed, effort).items():
            rows = combination.excess[combination.excess["source"] != MEASURED]
            true = np.tile(drugs.true_excess(), len(ROUTES))
            kind = np.tile(np.array(_kinds(), dtype=object), len(ROUTES))
            tables.append(rows.assign(plan=plan, true=true, kind=kind))
        logger.info("known interaction, seed %d: predicted", seed)
    keys = ["plan", "source"]
    groups = pd.concat(tables).groupby(keys, sort=False)
    follows = [dict(zip(keys, key, strict=True)) | _follows(group) for key, group in groups]
    return pd.DataFrame(follows).set_index(keys)


def _kinds() -> list[str]:
    return [next(kind for kind, markers in KINDS.items() if marker in markers) for marker in range(N_MARKERS)]


def _follows(table: pd.DataFrame) -> dict[str, object]:
    values: dict[str, object] = {}
    for kind in KINDS:
        rows = table[table["kind"] == kind]
        values[f"rmse_{kind}"] = float(np.sqrt(((rows["excess"] - rows["true"]) ** 2).mean()))
        if kind == "additive":
            values["false_calls"] = float(rows["call"].isin([SYNERGISTIC, ANTAGONISTIC]).mean())
        else:
            values[f"slope_{kind}"] = float((rows["excess"] * rows["true"]).sum() / (rows["true"] ** 2).sum())
    return values


# --- real cells


def measure_real(cells: Cells, effort: Effort) -> dict[tuple[str, int, str], Combination]:
    """By combination, seed and plan."""
    found = {}
    for name, arms in REAL.items():
        for seed in range(effort.n_seeds):
            experiment = draw_real(cells, arms, effort.n_events, seed)
            for plan, combination in combine_each_plan(experiment, seed, effort).items():
                found[name, seed, plan] = combination
            logger.info("%s, seed %d: predicted", name, seed)
    return found


def draw_real(cells: Cells, arms: RealCombination, n_events: int, seed: int) -> Experiment:
    """At most ``n_events`` events of each arm, in random order, with their wells."""
    panel = Panel(cells.markers, (FLUORESCENCE_COFACTOR,) * len(cells.markers))
    drawn = []
    for number, (arm, where) in enumerate(vars(arms).items()):
        chosen = np.flatnonzero(select(cells.annotations, where))
        rows = np.random.default_rng([seed, number]).permutation(chosen)[:n_events]
        wells, _ = pd.factorize(cells.annotations["sample"].iloc[rows])
        drawn.append(Arm(arm, cells.intensities[rows], wells.astype(np.int64)))
    return Experiment(panel, *drawn)


def real_tables(
    found: Mapping[tuple[str, int, str], Combination],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Means over seeds: distances by combination, plan and method; excess by marker, too; and the scalars.

    The simple methods are the same for every plan and stand there once, under the plan ``none``.
    """
    distances = pd.concat([_named(combination.distances, *key) for key, combination in found.items()])
    excess = pd.concat([_named(combination.excess, *key) for key, combination in found.items()])
    scalars = pd.concat([_named(pd.DataFrame([combination.scalars()]), *key) for key, combination in found.items()])
    distances["plan"] = distances["plan"].where(distances["method"].isin(list(ROUTES.values())), "none")
    return (
        _means(distances, ["combination", "plan", "method"], ["emd", "energy", "r_emd", "r_energy"]),
        _means(excess, ["combination", "plan", "source", "marker"], ["additive", "change", "excess", "low", "high"]),
        scalars.drop(columns="seed").groupby(["combination", "plan"], sort=False).mean(),
    )


def _named(table: pd.DataFrame, combination: str, seed: int, plan: str) -> pd.DataFrame:
    return table.assign(combination=combination, seed=seed, plan=plan)


def _means(table: pd.DataFrame, by: list[str], columns: list[str]) -> pd.DataFrame:
    return table.groupby(by, sort=False)[columns].mean()


def _figures(calibration: pd.DataFrame, foreseen: pd.DataFrame, scalars: pd.DataFrame) -> dict[str, float]:
    """Calibration by setting; then of the default plan, either edit on the other drug's cells, on average."""
    figures: dict[str, float] = {}
    for setting, name in zip(SETTINGS, ("one_well", "2_wells_by_event", "2_wells", "4_wells"), strict=True):
        row = dict(calibration.loc[setting])
        figures |= {f"{score}_{name}": row[score] for score in ("coverage", "false_calls", "found")}
    slopes = foreseen.loc[[(DEFAULT, A_ON_B), (DEFAULT, B_ON_A)]].mean()
    figures |= {f"foreseen_{kind}": slopes[f"slope_{kind}"] for kind in ("specific", "saturating")}
    for number, name in enumerate(REAL, start=1):
        found = dict(scalars.loc[[(name, DEFAULT)]].iloc[0])
        floor, nothing = found["emd_floor"], found["emd_no_edit"]
        edited = (found["emd_a_on_b"] + found["emd_b_on_a"]) / 2
        figures |= {
            f"real_{number}_r_emd": normalised_residual(edited, floor, nothing),
            f"real_{number}_r_emd_additivity": normalised_residual(found["emd_additivity"], floor, nothing),
            f"real_{number}_order_emd": found["order_emd"],
            f"real_{number}_synergistic": found["synergistic_measured"],
        }
    return {name: float(figure) for name, figure in figures.items()}
