"""What is foreseen of how an edit carries over, beside what came, where there are several samples and where one is.

Each task learns an effect on several samples and is applied to one that was not among them. Whether the edit is better
than doing nothing there is foreseen by rules whose limits nobody chose on these tasks, and then measured. A rule's
*false alarm* says that an edit helps which does not, its *miss* does not say so of one that does.

The plan is ``strata``, which needs no network: what is measured is the evidence and not the plan.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s
from neuronedit.cells.design import PAIR_EDIT, PairDesign
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.cells.panel import Panel
from neuronedit.cells.selection import Where
from neuronedit.cells.transforms import MASS_COFACTOR
from neuronedit.edits.folds import half_folds, left_out_folds
from neuronedit.edits.left_out import blended_error, try_plans
from neuronedit.edits.operators.table import Fitting
from neuronedit.edits.plans import PRESETS, EditConfig
from neuronedit.fitting.fit import fit_model
from neuronedit.measures.distances import DECISIVE_NAMES, distance_to_truth, noise_floor
from neuronedit.measures.evidence import read_evidence
from neuronedit.measures.left_out import errors_left
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan

from ..measure import Result
from .run import in_processes
from .tasks import DATA, FLUORESCENCE_COFACTOR, LINES, TASKS, Cells, TransferTask, draw_rows, load_cells

logger = logging.getLogger(__name__)

PRESET = "strata"

N_EVENTS, N_DRAWS = 2_000, 10
QUICK_EVENTS, QUICK_DRAWS = 600, 1

TWICE = "shaham_ms_cytof"
BLOOD = "blood"
"""The dataset of tubes of blood that were measured on two days; a column made of donor and condition names them."""

RULES: Mapping[str, str] = {
    "interval": "the interval of the next sample's error lies below 1, by both distances",
    "mean": "the mean error of the samples left out lies below 1, by both distances",
    "expected": "the error that source and target alone let expect (strata and halves left out) lies below 1",
    "support": "the events to be edited are not flagged as unlike the source's",
}
"""The rules by which an edit is said to be better than doing nothing, by the name of their column."""


def _all_but(column: str, values: Sequence[str], left: str) -> Where:
    return {column: [value for value in values if value != left]}


def _left_out_tasks(
    dataset: str,
    column: str,
    values: Sequence[str],
    effect: tuple[Where, Where],
    name: str,
    cofactor: float = MASS_COFACTOR,
) -> list[TransferTask]:
    """A task for each of several samples: the effect is learned on all others."""
    before, after = effect
    return [
        TransferTask(
            f"{name}: the other {len(values) - 1} → {left}",
            dataset,
            source={**before, **_all_but(column, values, left)},
            target={**after, **_all_but(column, values, left)},
            events={**before, column: left},
            truth={**after, column: left},
            cofactor=cofactor,
            sample_column=column,
        )
        for left in values
    ]


BLOODS = ("P1 3month", "P1 baseline", "P2 3month", "P2 baseline")
TREATMENTS = ("Stim-A", "Stim-B", "Stim-C", "Stim-D")
KINDS = {
    "PMA_ionomycin": ("cd14+hladrmid", "cd14-surf-", "cd4+", "cd8+", "igm+", "nk"),
    "vanadate": ("cd14-surf-", "cd4+", "cd8+", "igm+", "nk"),
    "BCR_FcR_XL": ("cd14+hladrmid", "cd14-surf-", "cd4+", "cd8+", "igm+", "igm-", "nk"),
}
"""Kinds of cell with 200 events and more, both unstimulated and stimulated."""

FAMILIES: Mapping[str, Sequence[TransferTask]] = {
    "cell lines, irradiated": _left_out_tasks(
        "rucova_hnscc", "donor", LINES, ({"condition": "0Gy"}, {"condition": "10Gy"}), "0→10 Gy"
    ),
    "tubes of blood, two days": [
        task
        for first, second in (("day1", "day2"), ("day2", "day1"))
        for task in _left_out_tasks(TWICE, BLOOD, BLOODS, ({"batch": first}, {"batch": second}), f"{first}→{second}")
    ],
    "co-stimulations, antigen": [
        task
        for kind in ("CD4T_OTII", "CD8T_OTI")
        for task in _left_out_tasks(
            "ot_activation_flow",
            "treatment",
            TREATMENTS,
            ({"cell_type": kind, "ova": 0.0}, {"cell_type": kind, "ova": 0.5}),
            f"OVA 0→0.5, {kind}",
            cofactor=FLUORESCENCE_COFACTOR,
        )
    ],
    "kinds of cell, stimulated": [
        task
        for stimulus, kinds in KINDS.items()
        for task in _left_out_tasks(
            "bodenmiller_pbmc", "cell_type", kinds, ({"condition": "unstimulated"}, {"condition": stimulus}), stimulus
        )
    ],
}
"""Tasks with several samples, by what a sample is. Kinds of cell are hardly draws of one another: the hardest test."""

ONE_SAMPLE = "one sample"


def run(quick: bool, data: Path = DATA) -> Result:
    """Compare what is foreseen with what is measured, over draws of each task's events.

    Args:
        quick: One draw of few events of a few tasks.
        data: The datasets.

    Raises:
        DataError: A dataset is missing from the folder ``data``.
    """
    n_events, n_draws = (QUICK_EVENTS, QUICK_DRAWS) if quick else (N_EVENTS, N_DRAWS)
    families = {**FAMILIES, ONE_SAMPLE: [task for task in TASKS if task.sample_column is None]}
    chosen = {family: tasks[:1] if quick else tasks for family, tasks in families.items()}
    draws = measure_draws(chosen, data, n_events, n_draws)
    several = draws[draws["family"] != ONE_SAMPLE]
    table = rates(several)
    one = draws[draws["family"] == ONE_SAMPLE]
    details = {
        "by_task": by_task(several),
        "by_family": pd.concat({name: rates(rows) for name, rows in several.groupby("family", sort=False)}),
        "one_sample": by_task(one),
        "one_sample_rates": rates(one),
        "draws": draws,
    }
    details["by_family"] = details["by_family"].reset_index(names=["family", "rule"])
    figures = {f"{rule}_{rate}": float(table[rate][rule]) for rule in RULES for rate in ("false_alarms", "misses")}
    figures |= {
        "within_interval": float(several["within"].mean()),
        "spearman_estimated": spearman(several, "estimated"),
        "spearman_expected": spearman(draws, "expected_error"),
    }
    return Result(table, {name: value for name, value in figures.items() if np.isfinite(value)}, details)


def measure_draws(
    families: Mapping[str, Sequence[TransferTask]], data: Path, n_events: int, n_draws: int
) -> pd.DataFrame:
    """A row for each task and draw: see ``measure_draw``, and the family."""
    names = {task.dataset for tasks in families.values() for task in tasks}
    cells = {dataset: load_cells(data, dataset) for dataset in sorted(names)}
    if TWICE in cells:
        known = cells[TWICE].annotations
        blood = known["donor"] + " " + known["condition"]
        cells[TWICE] = replace(cells[TWICE], annotations=known.assign(**{BLOOD: blood}))
    tables = []
    for seed in range(n_draws):
        logger.info("draw %d of %d", seed + 1, n_draws)
        tables += in_processes(
            measure_draw,
            [
                (family, task, seed, *draw_samples(cells[task.dataset], task, n_events, seed))
                for family, tasks in families.items()
                for task in tasks
            ],
        )
    return pd.concat(tables, ignore_index=True)


def draw_samples(
    cells: Cells, task: TransferTask, n_events: int, seed: int
) -> tuple[DrawnPopulations, Float32s, Float32s]:
    """At most ``n_events`` of source and target, with their samples; of the events to be edited; and of the truth."""
    rows = draw_rows(cells, task, n_events, seed)
    sides = dict(zip(("source", "target"), rows[:2], strict=True))
    samples = (
        {side: cells.annotations[task.sample_column].to_numpy(object)[chosen] for side, chosen in sides.items()}
        if task.sample_column
        else {}
    )
    intensities = {side: cells.intensities[chosen] for side, chosen in sides.items()}
    drawn = DrawnPopulations(intensities, {side: len(chosen) for side, chosen in sides.items()}, samples=samples)
    return drawn, cells.intensities[rows[2]], cells.intensities[rows[3]]


def measure_draw(
    family: str, task: TransferTask, seed: int, drawn: DrawnPopulations, events: Float32s, truth: Float32s
) -> pd.DataFrame:
    """One task and draw.

    Columns: family, task, draw; samples (left out in turn); emd, energy, error: those measured on the truth (error is
    their mean); helps: whether both are below 1; estimated, estimated_map: the mean error of the edit and of the
    quantile map on samples left out; emd_high, energy_high: the upper ends of the interval; within: whether both
    measured errors are below these; expected_error: what source and target alone let expect; and a column for each of
    ``RULES``, whether it says that the edit is better than doing nothing. What is not known is NaN, and no rule says of
    it that it helps.
    """
    n_markers = events.shape[1]
    model = fit_model(
        drawn,
        Panel(tuple(f"marker {number}" for number in range(1, n_markers + 1)), (task.cofactor,) * n_markers),
        PairDesign.of_arrays(task.sample_column),
        network=Architecture(hidden=(8,), code=2),
        training=TrainingPlan(epochs=1, seed=seed),
        edit=EditConfig(preset=PRESET, serve="teacher"),
    ).model
    transformed, measured = model.scaling.transform(events), model.scaling.transform(truth)
    edited = model.scaling.transform(model.apply(events, PAIR_EDIT))
    errors = errors_left(
        distance_to_truth(edited, measured, seed),
        distance_to_truth(transformed, measured, seed),
        noise_floor(measured, seed),
    )
    row = {
        "family": family,
        "task": task.name,
        "draw": seed,
        **errors,
        "error": float(np.mean(list(errors.values()))),
        "helps": all(error < 1 for error in errors.values()),
        **estimate(model, errors),
        **expect(model, drawn, events, seed),
    }
    return pd.DataFrame([row])


def estimate(model: EditModel, errors: Mapping[str, float]) -> dict[str, float | bool]:
    """What the samples left out let foresee, and whether the measured errors lie below the interval's upper ends."""
    samples = read_evidence(model.facts)[PAIR_EDIT].samples
    if not samples.known:
        return {"samples": 1, "within": np.nan, "interval": False, "mean": False}
    intervals = {name: samples.interval(name) for name in DECISIVE_NAMES}
    return {
        "samples": len(samples.units),
        "estimated": samples.mean("edit"),
        "estimated_map": samples.mean("quantile_map"),
        **{f"{name}_high": found.high for name, found in intervals.items()},
        "within": float(all(errors[name] <= found.high for name, found in intervals.items())),
        "interval": samples.proven,
        "mean": all(found.mean < 1 for found in intervals.values()),
    }


def expect(model: EditModel, drawn: DrawnPopulations, events: Float32s, seed: int) -> dict[str, float | bool]:
    """What source and target let expect whatever their samples: from strata and halves left out, and from support."""
    source, target = (model.standardised(drawn.intensities[side]) for side in ("source", "target"))
    plans, fitting = {PRESET: PRESETS[PRESET]}, Fitting(seed=seed)
    within, beyond = (
        blended_error(try_plans(model.autoencoder, plans, source, target, folds, fitting), {PRESET: 1.0}, seed)
        for folds in (half_folds(source, target, seed), left_out_folds(source, target, seed))
    )
    found = model.edits[PAIR_EDIT].support.judge(model.standardised(events))
    expected = (1 - found.unsupported) * within + found.unsupported * beyond
    return {"expected_error": expected, "expected": expected < 1, "support": not found.flagged}


def rates(draws: pd.DataFrame) -> pd.DataFrame:
    """A row for each rule: how often it is wrong, of all draws.

    Columns: false_alarms, the share that it says is better than doing nothing, of draws that are not; misses, the share
    that it does not say so of, of draws that are; helping and others, the numbers of these draws; and what it says.
    """
    helps = draws["helps"].astype(bool)
    return pd.DataFrame(
        [
            {
                "rule": rule,
                "false_alarms": draws.loc[~helps, rule].astype(float).mean(),
                "misses": 1 - draws.loc[helps, rule].astype(float).mean(),
                "others": int((~helps).sum()),
                "helping": int(helps.sum()),
                "says better where": text,
            }
            for rule, text in RULES.items()
        ]
    ).set_index("rule")


def by_task(draws: pd.DataFrame) -> pd.DataFrame:
    """A row for each task: the means over draws of all that is measured and foreseen."""
    numbers = draws.drop(columns=["family", "draw"]).set_index("task").astype(float)
    return numbers.groupby("task", sort=False).mean().dropna(axis="columns", how="all")


def spearman(draws: pd.DataFrame, foreseen: str) -> float:
    """The rank correlation, over tasks, of an error that was foreseen with the one that was measured."""
    return float(np.corrcoef(by_task(draws)[[foreseen, "error"]].rank().to_numpy().T)[0, 1])
