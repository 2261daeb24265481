"""Restrictions of use: what whoever uses a model must know, in sentences for the first screen."""

from collections.abc import Iterator
from math import isfinite

import pandas as pd

from neuronedit.cells.design import INVERSE
from neuronedit.errors import told as number
from neuronedit.model.edit_model import EditModel
from neuronedit.review.page.model_facts import unmoved_markers
from neuronedit.review.populations.mix_note import MixNote
from neuronedit.review.transfer.transfer import HELD_OUT

MAX_NAMED = 6
"""Markers of a comparison that are named."""


def restrictions(model: EditModel, markers: pd.DataFrame, mix: MixNote) -> tuple[str, ...]:
    """List what the model may not be trusted in, the gravest first.

    Args:
        model: The model.
        markers: See ``transfer_table``.
        mix: How much of an edit may be another mix of cell types.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.page.review_model import example_review
        >>> restrictions(example_model(), example_review().markers, MixNote(0.4, "The mix makes 40% of it."))
        ('Mix of cell types, a note and no gate: The mix makes 40% of it.',)
    """
    caution = [model.design.caution] if model.design.caution else []
    noted = [f"Mix of cell types, a note and no gate: {mix.sentence}"] if mix.of_concern else []
    return (*caution, *_kinds_lacking(model), *_made_worse(markers), *_left(model), *noted)


def _kinds_lacking(model: EditModel) -> Iterator[str]:
    """What is expected of kinds of cell that were not among those that an edit was learned on, the worst edit's."""
    errors = {
        name: error
        for name, edit in model.edits.items()
        if edit.members and not name.endswith(INVERSE) and isfinite(error := edit.expected_error(unsupported=1.0))
    }
    if not errors:
        return
    worst = max(errors, key=lambda name: errors[name])
    harm = ": worse than doing nothing" if errors[worst] > 1 else ""
    nothing = ", as the change shrinks to nothing there" if model.edits[worst].shrinks else ""
    others = f", the worst of {len(errors)} edits" if len(errors) > 1 else ""
    yield (
        f"Kinds of cell that {worst!r} was not learned on: expected extrapolation error {number(errors[worst])}"
        f"{nothing}{others} (0 is noise, 1 is doing nothing){harm}."
    )


def _made_worse(markers: pd.DataFrame) -> Iterator[str]:
    worse = markers[(markers["kind"] == HELD_OUT) & markers["worse"].astype(bool)]
    for comparison, found in worse.groupby("comparison", sort=False):
        rows = found.assign(by=found["after"] - found["before"]).sort_values("by", ascending=False)
        told = [
            f"{marker} (EMD {before:.2f} → {after:.2f})"
            for marker, before, after in zip(rows["marker"], rows["before"], rows["after"], strict=True)
        ]
        more = f" and {len(told) - MAX_NAMED} more" if len(told) > MAX_NAMED else ""
        yield f"On {comparison} the edit leads away from the truth: {', '.join(told[:MAX_NAMED])}{more}."


def _left(model: EditModel) -> Iterator[str]:
    for edits, markers in unmoved_markers(model).items():
        yield f"As edit.markers says, left as they are by {edits}: {markers}."
    for name, reasons in model.unlearnable.items():
        for marker, reason in reasons.items():
            yield f"The edit {name!r} leaves {marker} as it is, which it cannot learn: {reason}."
