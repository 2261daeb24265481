"""The review's verdicts on edits before any truth is seen, on real tasks, beside the measured truth."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s
from neuronedit.cells.panel import Panel
from neuronedit.edits.plans import EditConfig
from neuronedit.measures.distances import DECISIVE_NAMES, distance_to_truth, noise_floor
from neuronedit.measures.evidence import judge_knowledge, read_evidence
from neuronedit.model.edit_model import EditModel
from neuronedit.model.expected_error import expected_extrapolation_errors
from neuronedit.model.gates import Gate, GateConfig
from neuronedit.review.page.gate_measures import measure_gates
from neuronedit.review.page.report import LOSS_COLUMNS, Review
from neuronedit.review.transfer.transfer import TRAINING_PAIR, Comparison, reconstruction_table

from ..accuracy.methods import Effort, fit_plans
from ..accuracy.run import in_processes
from ..accuracy.tasks import Populations, TransferTask, draw, load_cells

logger = logging.getLogger(__name__)

EDIT = "default"

BEFORE_TRUTH = ("reconstruction", "support", "expected_error")
"""Gates that no truth is needed for."""

TONES = ("red", "amber", "green")


def measure_verdicts(tasks: Sequence[TransferTask], data: Path, effort: Effort, seed: int = 0) -> pd.DataFrame:
    """A row for each task whose dataset is there: see ``judge_edit``, whose columns these are, by task."""
    there = [task for task in tasks if (data / task.dataset / "cells.parquet").is_file()]
    for dataset in sorted({task.dataset for task in tasks} - {task.dataset for task in there}):
        logger.warning("no verdicts on tasks of %s, which is not in %s", dataset, data)
    cells = {dataset: load_cells(data, dataset) for dataset in sorted({task.dataset for task in there})}
    work = [(task, *draw(cells[task.dataset], task, effort.n_events, seed), effort, seed) for task in there]
    return pd.concat(in_processes(measure_verdict, work)).set_index("task") if work else pd.DataFrame()


def measure_verdict(
    task: TransferTask, populations: Populations, truth: Float32s, effort: Effort, seed: int
) -> pd.DataFrame:
    """One task: its edit is fitted, and judged; see ``judge_edit``."""
    n_markers = populations.source.shape[1]
    panel = Panel(tuple(f"marker {number}" for number in range(1, n_markers + 1)), (task.cofactor,) * n_markers)
    model = fit_plans({EDIT: EditConfig()}, vars(populations), panel, seed, effort.architecture, effort.training)
    return judge_edit(task, model, populations, truth, seed)


def judge_edit(
    task: TransferTask, model: EditModel, populations: Populations, truth: Float32s, seed: int
) -> pd.DataFrame:
    """A row of what is known of the model's edit ``EDIT`` before the truth, and what the truth says.

    Columns: task, transfers; tone, and the measures that it rests on: reconstruction (least share of variance),
    mix (share of the pair's change; NaN if it cannot be told), auroc and reach (of the events); expected_error (0 is
    noise, 1 is doing nothing), which from one sample is the least that is left; because, the gates that are not green,
    among them that of the error, as one sample does not tell how an edit carries over; r_emd and r_energy, measured
    residuals of the edit (above 1: worse than none), and helps, whether both are below 1.
    """
    support = model.get_edit(EDIT).support.judge(model.standardised(populations.events))
    # As if the events had been named in training; they were not, so that all plans share one model.
    judged = {EDIT: {"unsupported": support.unsupported}}
    model = replace(model, facts={**model.facts, "extrapolation": judged})
    expected = expected_extrapolation_errors(model.edits, judged, read_evidence(model.facts))
    gates = gates_before_truth(model, populations, seed)
    tones = {name: gate.tone for name, gate in gates.items()}
    values = {name: np.nan if gate.value is None else gate.value for name, gate in gates.items()}
    return pd.DataFrame(
        [
            {
                "task": task.name,
                "transfers": task.transfers,
                "tone": min(tones.values(), key=TONES.index),
                "because": ", ".join(f"{name} {tone}" for name, tone in tones.items() if tone != "green"),
                "reconstruction": values["reconstruction"],
                "mix": values["confounding"],
                "auroc": support.auroc,
                "reach": support.reach,
                "expected_error": expected[EDIT],
                **_measured(model, populations, truth, seed),
            }
        ]
    )


def gates_before_truth(model: EditModel, populations: Populations, seed: int) -> dict[str, Gate]:
    """The gates that need no truth, of a review that holds nothing out; the events are those to be edited."""
    pair = (populations.source, populations.target)
    comparison = Comparison("the pair", TRAINING_PAIR, EDIT, *pair, *pair)
    nothing = pd.DataFrame()
    held_out = pd.DataFrame(columns=["comparison", "kind", "method", *DECISIVE_NAMES])
    review = Review(
        {},
        {},
        held_out,
        nothing,
        nothing,
        reconstruction_table(model, vars(populations)),
        nothing.reindex(columns=LOSS_COLUMNS),
        model.panel.unit,
        known=judge_knowledge([EDIT], model.design, read_evidence(model.facts), {}),
    )
    gates = measure_gates(review, model, [comparison], {"extrapolation": populations.events}, GateConfig())
    return {gate.name: gate for gate in gates if gate.name in BEFORE_TRUTH}


def _measured(model: EditModel, populations: Populations, truth: Float32s, seed: int) -> dict[str, float | bool]:
    measured = model.scaling.transform(truth)
    edited, unedited = (
        distance_to_truth(model.scaling.transform(events), measured, seed)
        for events in (model.apply(populations.events, EDIT), populations.events)
    )
    floor = noise_floor(measured, seed)
    residuals = edited.residuals(floor, unedited)
    return residuals | {"helps": all(residual < 1 for residual in residuals.values())}
