"""What was measured when a model was made: how far an update moved old edits, and how near students came."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from neuronedit.edits.edit import Edit
from neuronedit.model.edit_model import EditModel
from neuronedit.review.charts import bar_figure
from neuronedit.review.part import Drawing, Part, finite_scalars

LARGE = 0.1
"""A drift of at least this share of the edit's own change is warned of."""


def is_update(model: EditModel) -> bool:
    """Whether the model was made from a parent, so that old edits may have drifted.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> is_update(example_model())
        False
    """
    return bool(model.facts.get("parent") and model.facts.get("update"))


def drift_part(model: EditModel) -> Part:
    """How far each old edit drifted, from the facts of an updated model (see ``is_update``).

    Example:
        >>> from dataclasses import replace
        >>> from neuronedit.model.example import example_batches
        >>> update = {"retrained": False, "new_edits": ["day3"], "reconstruction_ratio": {"control day3": 1.1}}
        >>> update |= {"replay": {"above": 2.0}, "drift": {"day1": {"rms": 0.0, "change": 0.6, "relative": 0.0}}}
        >>> facts = {"parent": {"uri": "models:/days/1"}, "update": update}
        >>> drift_part(replace(example_batches(), facts=facts)).reading
        'models:/days/1 plus day3: new events were reconstructed 1.10 times as badly as those known (limit 2), so no
        weight changed, and old edits give the same results, bit for bit.'
    """
    parent, update = model.facts["parent"], model.facts["update"]
    table = _drift_table(update["drift"])
    reading = _read_drift(table, str(parent["uri"]), update, model.panel.unit)
    drawing = Drawing(
        "old_edit_drift",
        lambda: bar_figure(
            table.set_index("edit")[["relative"]], "drift in units of the edit's own change", {"warned of": LARGE}
        ),
        "Bars: how far the result of each edit of the parent has moved",
        reading,
    )
    drifted = table[table["relative"].fillna(np.inf) >= LARGE]
    warning = (
        f"{len(drifted)} of {len(table)} edits of the parent give other results than before: review them again."
        if len(drifted)
        else ""
    )
    known = table["relative"].dropna()
    scalars = {"retrained": float(update["retrained"]), "old_edit_drift": float(known.max()) if len(known) else 0.0}
    tables = {"old_edit_drift": table}
    return Part("drift", "Drift of old edits", "consistency", reading, tables, (drawing,), scalars, warning)


def student_part(edit: Edit, markers: Sequence[str]) -> Part:
    """Show how near an edit's student came to its teacher when it was fitted, and whether it serves.

    Tables: ``student``, with the columns number, found, at_most, holds; the student serves where all hold.

    Args:
        edit: Has the fidelity of a student.
        markers: (n_markers,) names.

    Example:
        >>> from dataclasses import replace
        >>> from neuronedit.edits.students.fidelity import Fidelity
        >>> from neuronedit.model.example import example_model
        >>> found = Fidelity(500, (0.6, 0.05, 0.06), (1.5, 0.02, 0.03), 0.04, 0, 0.08, None, 0.0, 1.1)
        >>> student_part(replace(example_model().edits["pair"], fidelity=found), ("CD3", "CD4", "pSTAT1")).reading
        'A student serves it (EMD to the target 0.060 by the student, 0.050 by its teacher, 0.600 before), by 500 source
        events that it did not learn from.'
    """
    fidelity = edit.fidelity
    assert fidelity is not None
    numbers = fidelity.numbers(markers)
    table = pd.DataFrame(
        [(name, found, most, found <= most) for name, (found, most) in numbers.items()],
        columns=["number", "found", "at_most", "holds"],
    )
    said = fidelity.sentence(markers)
    reading = f"{said[0].upper()}{said[1:]}, by {fidelity.n_events:,} source events that it did not learn from."
    _, by_teacher, by_student = fidelity.emd
    scalars = {"teacher_emd": by_teacher, "student_emd": by_student, "student_serves": float(fidelity.passes)}
    return Part(
        "student", "Student and teacher", "consistency", reading, {"student": table}, (), finite_scalars(scalars)
    )


def _drift_table(drift: Mapping[str, Mapping[str, float | None]]) -> pd.DataFrame:
    """A row for each edit that the parent had, the largest drift first.

    Columns: edit, rms and change (transformed units), relative (rms / change; missing where the edit changed nothing).
    """
    rows = [{"edit": edit, **found} for edit, found in drift.items()]
    table = pd.DataFrame(rows, columns=["edit", "rms", "change", "relative"])
    table = table.astype({"rms": float, "change": float, "relative": float})
    return table.sort_values("relative", ascending=False, na_position="first", kind="stable", ignore_index=True)


def _read_drift(table: pd.DataFrame, parent: str, update: Mapping[str, Any], unit: str) -> str:
    """Say whether the network was trained on, why, and what that did to old edits."""
    added = ", ".join(map(str, update["new_edits"]))
    ratio, limit = max(update["reconstruction_ratio"].values()), update["replay"]["above"]
    because = f"new events were reconstructed {ratio:.2f} times as badly as those known (limit {limit:g})"
    if not update["retrained"]:
        return (
            f"{parent} plus {added}: {because}, so no weight changed, and old edits give the same results, bit for bit."
        )
    worst = table.iloc[0]
    share = "without bound" if np.isnan(worst["relative"]) else f"by {worst['relative']:.0%} of its own change"
    return (
        f"{parent} plus {added}: {because}, so the network was trained on, with old events replayed; of {len(table)} "
        f"old edits, {worst['edit']} drifted most, {share} ({worst['rms']:.2f} {unit})."
    )
