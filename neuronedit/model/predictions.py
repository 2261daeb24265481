"""Predictions of two treatments together, from the edit of each: A's edit on B-treated cells, and other routes."""

from collections.abc import Callable
from typing import Final

import numpy as np

from neuronedit.arrays import Float32s, Floats
from neuronedit.cells.arms import CONTROL, A, B, Experiment
from neuronedit.cells.design import PAIR_EDIT
from neuronedit.cells.events import check_finite
from neuronedit.cells.panel import Panel
from neuronedit.errors import ModelError, PanelError, listing, nearest_name
from neuronedit.model.edit_model import EditModel

RawEdit = Callable[[Floats], Floats]
"""An edit of raw intensities, (n_events, n_markers) → the same shape; raw, because two models share no other scale."""

A_ON_B: Final = "A's edit on B-treated cells"
B_ON_A: Final = "B's edit on A-treated cells"
A_THEN_B: Final = "A's edit, then B's, on control cells"
B_THEN_A: Final = "B's edit, then A's, on control cells"

ROUTES: Final = {"a_on_b": A_ON_B, "b_on_a": B_ON_A, "a_then_b": A_THEN_B, "b_then_a": B_THEN_A}
"""The routes by which A+B is predicted, by the name in metrics."""

START: Final = {A_ON_B: B, B_ON_A: A, A_THEN_B: CONTROL, B_THEN_A: CONTROL}
"""The arm whose cells each route starts from."""


def panel_edit(model: EditModel, panel: Panel, setting: str) -> RawEdit:
    """Make a pair model's edit of events with a panel's columns; markers that the model lacks stay as they are.

    Args:
        model: A model of a pair design.
        panel: The columns of the events.
        setting: The setting that names the model, for the message.

    Raises:
        ModelError: The model has no pair edit.
        PanelError: The panel lacks a marker of the model.

    Example:
        The panel has a marker that the model lacks, which stays as it is:

        >>> from neuronedit.model.example import example_cells, example_model
        >>> model, cells = example_model(), np.pad(example_cells(seed=2), ((0, 0), (0, 1)), constant_values=7.0)
        >>> edit = panel_edit(model, Panel((*model.panel.markers, "CD19"), (5.0,) * 4), "a.model")
        >>> (np.arcsinh(edit(cells) / 5) - np.arcsinh(cells / 5)).mean(axis=0).round(1).tolist()
        [0.0, 0.0, 1.0, 0.0]
    """
    if PAIR_EDIT not in model.edits:
        raise ModelError(
            f"{setting}: expected a model of a pair design (one edit, {PAIR_EDIT!r}); found one edit for each of "
            f"{model.batch_column!r}: {listing(model.edits)}. Train a pair from the control to the treated cells."
        )
    missing = [marker for marker in model.panel.markers if marker not in panel.markers]
    if missing:
        raise PanelError(
            f"{setting}: the model edits {listing(missing)}, not in the panel ({panel.n_markers} markers"
            f"{nearest_name(missing[0], panel.markers)}). Add them to the panel: an edit needs all of its markers."
        )
    columns = [panel.markers.index(marker) for marker in model.panel.markers]

    def edit(intensities: Floats) -> Floats:
        edited = intensities.copy()
        edited[:, columns] = model.apply(np.ascontiguousarray(intensities[:, columns]), PAIR_EDIT)
        return edited

    return edit


def predict(experiment: Experiment, edit_a: RawEdit, edit_b: RawEdit) -> dict[str, Float32s]:
    """Predict A+B by every route: (n_events of the arm that it starts from, n_markers) transformed units each.

    Raises:
        DataError: An edit gives values that are not finite.

    Example:
        >>> from neuronedit.cells.arms import Arm
        >>> arms = [Arm(name, np.ones((100, 1))) for name in (CONTROL, A, B)]
        >>> found = predict(Experiment(Panel(("CD4",), (1.0,)), *arms), lambda raw: 2 * raw, lambda raw: raw + 1)
        >>> [round(float(np.sinh(found[route][0, 0]))) for route in (A_THEN_B, B_THEN_A)]
        [3, 4]
    """
    control, a, b = (arm.intensities for arm in (experiment.control, experiment.a, experiment.b))
    raw = {
        A_ON_B: edit_a(b),
        B_ON_A: edit_b(a),
        A_THEN_B: edit_b(edit_a(control)),
        B_THEN_A: edit_a(edit_b(control)),
    }
    for route, events in raw.items():
        check_finite(events, experiment.panel.markers, route)
    return {route: experiment.transform(events) for route, events in raw.items()}
