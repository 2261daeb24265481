"""The review's decisions on edits before any truth is seen, on real tasks, beside the measured truth and after it."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s
from neuronedit.cells.design import PAIR_EDIT, PairDesign
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.cells.panel import Panel
from neuronedit.cells.selection import describe
from neuronedit.fitting.fit import fit_model
from neuronedit.model.edit_model import EditModel
from neuronedit.model.gates import GateConfig
from neuronedit.review.page.gate_measures import measure_gates
from neuronedit.review.page.report import Review
from neuronedit.review.page.review_model import review_model
from neuronedit.review.transfer.transfer import HELD_OUT, NEURONEDIT, TRAINING_PAIR, Comparison

from ..accuracy.evidence import draw_samples
from ..accuracy.methods import Effort
from ..accuracy.run import in_processes
from ..accuracy.tasks import TransferTask, load_cells

logger = logging.getLogger(__name__)

TRUTHS: Final = {"better than": "helps", "worse than": "harms"}
"""What the truth says of an edit, by how it does beside doing nothing; of any other relation it is useless."""


def measure_verdicts(tasks: Sequence[TransferTask], data: Path, effort: Effort, seed: int = 0) -> pd.DataFrame:
    """A row for each task whose dataset is there: see ``judge_edit``, whose columns these are, by task."""
    there = [task for task in tasks if (data / task.dataset / "cells.parquet").is_file()]
    for dataset in sorted({task.dataset for task in tasks} - {task.dataset for task in there}):
        logger.warning("no verdicts on tasks of %s, which is not in %s", dataset, data)
    cells = {dataset: load_cells(data, dataset) for dataset in sorted({task.dataset for task in there})}
    work = [
        (
            task,
            *draw_samples(cells[task.dataset], task, effort.n_events, seed),
            cells[task.dataset].markers,
            effort,
            seed,
        )
        for task in there
    ]
    return pd.concat(in_processes(measure_verdict, work)).set_index("task") if work else pd.DataFrame()


def measure_verdict(
    task: TransferTask,
    drawn: DrawnPopulations,
    events: Float32s,
    truth: Float32s,
    markers: Sequence[str],
    effort: Effort,
    seed: int,
) -> pd.DataFrame:
    """One task: its edit is fitted with the samples that there are, and judged; see ``judge_edit``."""
    model = fit_model(
        drawn,
        Panel(markers, (task.cofactor,) * len(markers)),
        PairDesign.of_arrays(task.sample_column),
        network=effort.architecture,
        training=effort.training.model_copy(update={"seed": seed}),
    ).model
    return judge_edit(task, model, drawn, events, truth, seed)


def judge_edit(
    task: TransferTask, model: EditModel, drawn: DrawnPopulations, events: Float32s, truth: Float32s, seed: int
) -> pd.DataFrame:
    """A row of what a review decides on a model's edit before the truth, what the truth says, and what it then decides.

    Columns: task, transfers; advice, tone and level of evidence, of a review without truth; because, the checks that
    are not green; auroc and reach of the events; mix, a note; r_emd and r_energy, measured residuals of the edit (above
    1: worse than none); truth: helps (better than doing nothing by both distances, surely), harms, or useless; and
    after, the advice with the truth held out.
    """
    source, target = (drawn.intensities[side] for side in ("source", "target"))
    pair = Comparison("the pair", TRAINING_PAIR, PAIR_EDIT, source, target, source, target)
    held_out = Comparison("the truth", HELD_OUT, PAIR_EDIT, source, target, events, truth, cells=describe(task.events))
    support = model.get_edit(PAIR_EDIT).support.judge(model.standardised(events))
    before, after = (_reviewed(model, made, drawn, events, seed) for made in ([pair], [pair, held_out]))
    measured = next(verdict for verdict in after.verdicts if verdict.kind == HELD_OUT)
    rows = after.methods.query("kind == @HELD_OUT").set_index("method")
    row = {
        "task": task.name,
        "transfers": task.transfers,
        "advice": before.decision.advice,
        "tone": before.decision.tone,
        "level": before.known[0].level if before.known else "no edit",
        "because": ", ".join(f"{gate.name} {gate.outcome}" for gate in before.gates if gate.tone != "green"),
        "auroc": support.auroc,
        "reach": support.reach,
        "mix": np.nan if before.mix is None or before.mix.share is None else before.mix.share,
        "r_emd": rows["r_emd"][NEURONEDIT],
        "r_energy": rows["r_energy"][NEURONEDIT],
        "truth": TRUTHS.get(measured.against_nothing, "useless"),
        "after": after.decision.advice,
    }
    return pd.DataFrame([row])


def _reviewed(
    model: EditModel, comparisons: Sequence[Comparison], drawn: DrawnPopulations, events: Float32s, seed: int
) -> Review:
    held_out = any(comparison.kind == HELD_OUT for comparison in comparisons)
    # As the job has it: events whose truth is held out are not judged a second time as those to be edited.
    populations = drawn.intensities if held_out else {**drawn.intensities, "extrapolation": events}
    review = review_model(model, comparisons, populations, None, {}, seed)
    return replace(review, gates=measure_gates(review, model, comparisons, populations, GateConfig()))


def decisions_by_truth(verdicts: pd.DataFrame, when: str = "advice") -> pd.DataFrame:
    """Count tasks: a row for each advice (with its level of evidence, before the truth), a column for each truth."""
    of = [verdicts[when], verdicts["level"]] if when == "advice" else [verdicts[when]]
    counts = pd.crosstab(of, verdicts["truth"]).reindex(columns=["helps", "useless", "harms"], fill_value=0)
    counts.index = [", ".join(each) if isinstance(each, tuple) else each for each in counts.index]
    return counts.rename_axis("decision")
