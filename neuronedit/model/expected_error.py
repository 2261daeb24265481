"""The expected extrapolation error of an edit: one number, before any truth is seen, in log, facts, gate and review.

It is the error on the events to be edited, 0 for noise and 1 for doing nothing. Events like those that the edit was
learned on have the error of the plan on other events of source and target; for the share unlike them it is that on
kinds of cell left out, or 1 where the change shrinks to nothing there. Where no events to be edited were named, they
are taken to be like the source's.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from neuronedit.edits.edit import Edit
from neuronedit.errors import told


def expected_extrapolation_errors(
    edits: Mapping[str, Edit], extrapolation: Mapping[str, Mapping[str, Any]]
) -> dict[str, float]:
    """Give each edit's expected extrapolation error, by its name; NaN where it was not measured.

    Args:
        edits: By name.
        extrapolation: The support of the events to be edited, by the edit's name, as a model's facts have it.

    Example:
        >>> expected_extrapolation_errors({}, {})
        {}
    """
    return {
        name: edit.expected_error(float(extrapolation.get(name, {}).get("unsupported", 0.0)))
        for name, edit in edits.items()
    }


def expected_sentence(edit: Edit, error: float, *, named: bool) -> str:
    """Tell an edit's expected extrapolation error to a person, or why it was not measured.

    Args:
        edit: The edit.
        error: Its expected extrapolation error.
        named: Whether events to be edited were named.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> expected_sentence(example_model().edits["pair"], 0.25, named=True)
        'expected extrapolation error 0.25 (0 is noise, 1 is doing nothing), on the events named to be edited'
    """
    if not isfinite(error):
        return f"expected extrapolation error {told(error)}: {why_unmeasured(edit, error)}"
    events = "the events named to be edited" if named else "events like the source's, as none to be edited were named"
    return f"expected extrapolation error {told(error)} (0 is noise, 1 is doing nothing), on {events}"


def why_unmeasured(edit: Edit, error: float) -> str:
    """Say why an edit has no expected extrapolation error to be judged by; empty where it has one.

    Args:
        edit: The edit.
        error: Its expected extrapolation error: that of an edit that does nothing says nothing of it.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> why_unmeasured(example_model().edits["pair"], float("nan"))
        "the errors of the edit 'pair' were not measured: an older neuronedit fitted it, or it was made by hand"
    """
    if not edit.members:
        return f"the edit {edit.name!r} does nothing ({edit.summary})"
    if edit.errors is None:
        made = "an older neuronedit fitted it, or it was made by hand"
        return f"the errors of the edit {edit.name!r} were not measured: {made}"
    return "" if isfinite(error) else f"the edit {edit.name!r} has too few events to leave some out"
