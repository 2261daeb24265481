"""The expected extrapolation error of an edit: one number, before any truth is seen, in log, facts, gate and review.

It is the error on the events to be edited, 0 for noise and 1 for doing nothing. Events like those that the edit was
learned on have the mean error over samples left out; where there are not several, that on other events of the same
sample, which is the least that it can be. For the share unlike them it is that on kinds of cell left out, or 1 where
the change shrinks to nothing there. Where no events to be edited were named, they are taken to be like the source's.
"""

from collections.abc import Mapping
from math import isfinite, isnan
from typing import Any

from neuronedit.edits.edit import Edit
from neuronedit.errors import told
from neuronedit.measures.evidence import EditEvidence


def expected_extrapolation_errors(
    edits: Mapping[str, Edit],
    extrapolation: Mapping[str, Mapping[str, Any]],
    evidence: Mapping[str, EditEvidence],
) -> dict[str, float]:
    """Give each edit's expected extrapolation error, by its name; NaN where it was not measured.

    Args:
        edits: By name.
        extrapolation: The support of the events to be edited, by the edit's name, as a model's facts have it.
        evidence: What was found by leaving samples and kinds of cell out, by the edit's name.

    Example:
        >>> expected_extrapolation_errors({}, {}, {})
        {}
    """
    return {
        name: _expected_error(edit, float(extrapolation.get(name, {}).get("unsupported", 0.0)), evidence.get(name))
        for name, edit in edits.items()
    }


def _expected_error(edit: Edit, unsupported: float, found: EditEvidence | None) -> float:
    if found is None or not found.samples.known or not edit.members:
        return edit.expected_error(unsupported)
    like = found.samples.mean("edit")
    if edit.shrinks:
        unlike = 1.0
    elif found.kinds and found.kinds.known:
        unlike = found.kinds.mean("edit")
    else:
        unlike = edit.expected_error(1.0)
    return (1 - unsupported) * like + unsupported * (like if isnan(unlike) else max(like, unlike))


def expected_sentence(edit: Edit, error: float, found: EditEvidence | None, *, named: bool) -> str:
    """Tell an edit's expected extrapolation error to a person, or why it was not measured.

    Args:
        edit: The edit.
        error: Its expected extrapolation error.
        found: What was found by leaving samples out, if that was tried.
        named: Whether events to be edited were named.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> expected_sentence(example_model().edits["pair"], 0.25, None, named=True)
        'expected extrapolation error at least 0.25 (0 is noise, 1 is doing nothing), on the events named to be edited:
        it comes from one sample, and what another adds is not known'
    """
    if not isfinite(error):
        return f"expected extrapolation error {told(error)}: {why_unmeasured(edit, error)}"
    events = "the events named to be edited" if named else "events like the source's, as none to be edited were named"
    of_samples = found is not None and found.samples.known
    least = "" if of_samples or not edit.members else "at least "
    rests_on = "samples left out in turn" if of_samples else "one sample, and what another adds is not known"
    return (
        f"expected extrapolation error {least}{told(error)} (0 is noise, 1 is doing nothing), on {events}"
        f"{f': it comes from {rests_on}' if edit.members else ''}"
    )


def why_unmeasured(edit: Edit, error: float) -> str:
    """Say why an edit has no expected extrapolation error to be judged by; empty where it has one.

    Args:
        edit: The edit.
        error: Its expected extrapolation error: that of an edit that does nothing says nothing of it.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> why_unmeasured(example_model().edits["pair"], float("nan"))
        "the plan of the edit 'pair' was given (edit.preset = auto measures plans)"
    """
    if not edit.members:
        return f"the edit {edit.name!r} does nothing ({edit.summary})"
    if isfinite(error):
        return ""
    if edit.choice is None:
        return f"the plan of the edit {edit.name!r} was given (edit.preset = auto measures plans)"
    return f"the edit {edit.name!r} has too few events to leave some out"
