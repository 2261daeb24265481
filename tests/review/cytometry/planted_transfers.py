"""Comparisons of four cell types whose edit, and whose truth, are known by construction."""

from dataclasses import replace

import numpy as np

from neuronedit.cells.panel import Panel, Role
from neuronedit.edits.baselines import NO_EDIT
from neuronedit.model.edit_model import EditModel
from neuronedit.model.example import MARKERS, example_cells, example_labels, example_model
from neuronedit.review.transfer.transfer import HELD_OUT, NEURONEDIT, Comparison, Kind, Transfer

TYPES = example_labels()["type"]
CD3, CD4, PSTAT1 = range(3)
NO_CHANGE = np.zeros((len(TYPES), len(MARKERS)), dtype=np.float32)


def change_of(marker: int, by: float, cell_type: str | None = None) -> np.ndarray:
    """(400, 3): one marker is moved, in one cell type or in all."""
    change = NO_CHANGE.copy()
    change[cell_type == TYPES if cell_type else slice(None), marker] = by
    return change


def planted_transfer(
    edit: np.ndarray,
    truth: np.ndarray = NO_CHANGE,
    *,
    kind: Kind = HELD_OUT,
    types: bool = True,
    keep_truth: np.ndarray | slice = slice(None),
    name: str = "planted",
) -> Transfer:
    """Cells to which the edit adds one change, (400, 3) arcsinh units, and whose truth has another one."""
    before = np.arcsinh(example_cells(0) / 5).astype(np.float32)
    measured = (np.arcsinh(example_cells(1) / 5) + truth).astype(np.float32)[keep_truth]
    raw, raw_truth = ((np.sinh(events) * 5).astype(np.float32) for events in (before, measured))
    comparison = Comparison(
        name,
        kind,
        "pair",
        raw,
        raw_truth,
        raw,
        raw_truth,
        TYPES if types else None,
        TYPES[keep_truth] if types else None,
    )
    return Transfer(comparison, {NO_EDIT: before, NEURONEDIT: before + edit.astype(np.float32)}, measured, {})


def model_with(**roles: Role) -> EditModel:
    """The example's model, whose panel gives markers roles."""
    return replace(example_model(), panel=Panel(MARKERS, (5.0,) * len(MARKERS), roles))
