"""The gates' values, measured on a review and on the events that it was made from."""

from collections.abc import Mapping, Sequence, Set
from typing import Final

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s
from neuronedit.edits.baselines import QUANTILE_MAP
from neuronedit.measures.evidence import Knowledge, knowledge_sentence, read_evidence
from neuronedit.model.edit_model import EditModel
from neuronedit.model.expected_error import expected_extrapolation_errors, why_unmeasured
from neuronedit.model.gates import Gate, GateConfig, GateName
from neuronedit.review.applied import HELD_OUT_MARK, Applied, judge_applied
from neuronedit.review.page.report import Review
from neuronedit.review.transfer.transfer import HELD_OUT, Comparison
from neuronedit.review.transfer.verdict import behind, held_out_rows

Finding = tuple[float | None, str]
"""A value and what it rests on; None, and why there is none."""

DOUBT: Final[Mapping[GateName, float]] = {"support": 0}
"""Above these a gate passes with a warning: a new kind of cell, though within reach."""


def measure_gates(
    review: Review,
    model: EditModel,
    comparisons: Sequence[Comparison],
    populations: Mapping[str, Float32s],
    config: GateConfig,
) -> tuple[Gate, ...]:
    """Measure every gate, in the order of ``GATES``.

    Args:
        review: The model's review.
        model: The reviewed model.
        comparisons: Those of the review.
        populations: All of the model's design by name, (n_events, n_markers) raw intensities each.
        config: Thresholds.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.page.review_model import example_review
        >>> from neuronedit.review.transfer.transfer import example_comparison
        >>> gates = measure_gates(example_review(), example_model(), [example_comparison()], {}, GateConfig())
        >>> {gate.name: gate.outcome for gate in gates}
        {'reconstruction': 'pass', 'support': 'pass', 'expected_error': 'pass', 'quantile_map': 'pass'}
    """
    held_out = {_held_out_name(each): (each.edit, each.events) for each in comparisons if each.kind == HELD_OUT}
    applied = judge_applied(model, held_out, populations)
    measured: dict[GateName, Finding] = {
        "reconstruction": least_explained(review.reconstruction),
        "support": _furthest_reach(applied, _measured_to_help(review, comparisons)),
        "expected_error": largest_error(model, review.known, config.expected_error),
        "quantile_map": _furthest_behind_quantile_map(review),
    }
    return tuple(
        Gate(
            name,
            value,
            getattr(config, name),
            reason,
            name == "reconstruction",
            config.default(name),
            DOUBT.get(name),
            name == "expected_error" and not all(each.proven for each in review.known),
        )
        for name, (value, reason) in measured.items()
    )


def least_explained(reconstruction: pd.DataFrame) -> Finding:
    """The least share of variance that the autoencoder returns, of the rows of ``reconstruction_table``.

    Example:
        >>> table = pd.DataFrame({"population": ["source", "target"], "explained": [0.9, 0.8]})
        >>> least_explained(table)
        (0.8, 'the autoencoder returns 80% of the variance of target, the least of all.')
    """
    shares = dict(zip(reconstruction["population"], reconstruction["explained"].astype(float), strict=True))
    known = {name: share for name, share in shares.items() if np.isfinite(share)}
    if not known:
        return None, "no population has any variance"
    worst = min(known, key=lambda name: known[name])
    return known[worst], f"the autoencoder returns {known[worst]:.0%} of the variance of {worst}, the least of all."


def _measured_to_help(review: Review, comparisons: Sequence[Comparison]) -> set[str]:
    """The names of held-out events where the truth says that the edit is better than doing nothing."""
    helped = {each.comparison for each in review.verdicts if each.against_nothing == "better than"}
    held_out = [each for each in comparisons if each.kind == HELD_OUT and each.name in helped]
    return {f"{_held_out_name(each)}{HELD_OUT_MARK}" for each in held_out}


def _held_out_name(comparison: Comparison) -> str:
    return comparison.cells or comparison.name


def _furthest_reach(applied: Mapping[str, Applied], helped: Set[str]) -> Finding:
    """How many times as far as the target the furthest population unlike the source lies; 0 where none is unlike it.

    Where the truth says that the edit helps, how far these events are from the source says nothing more.
    """
    if not applied:
        return None, "no population was named that the edits are to be applied to (held_out, or design.extrapolation)"
    doubtful = {name: each.found.new_kind and name not in helped for name, each in applied.items()}
    reaches = {name: each.found.reach if doubtful[name] else 0.0 for name, each in applied.items()}
    # Where none is unlike the source, the least like it is the one to tell of.
    worst = max(applied, key=lambda name: (reaches[name], applied[name].found.auroc))
    if applied[worst].found.new_kind and not doubtful[worst]:
        unlike = f"{applied[worst].found.unsupported:.0%} of the events are unlike the source's"
        return 0.0, f"{worst}: {unlike}, but the measured truth says that the edit helps there."
    return reaches[worst], f"{worst}: {applied[worst].found.finding}"


def largest_error(model: EditModel, known: Sequence[Knowledge], limit: float) -> Finding:
    """The largest error where an edit is to be applied: measured, or estimated by samples left out.

    An error that one sample lets expect is the least that is left: it can be too large, but does not tell that an edit
    carries over. An edit that changes nothing errs in nothing.

    Args:
        model: The model.
        known: What is known of its edits.
        limit: The largest error that is small enough.

    Returns:
        The largest error; None where all that are known are within the limit, and that of some edit is unknown.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.page.review_model import example_review
        >>> error, reason = largest_error(example_model(), example_review().known, limit=0.9)
        >>> error < 0.1, reason
        (True, 'Measured: on other cells (held out) the edit leaves ... of what there is to correct (0 is noise, ...')
    """
    evidence = read_evidence(model.facts)
    expected = expected_extrapolation_errors(model.edits, model.facts.get("extrapolation", {}), evidence)
    reasons = {name: why_unmeasured(model.edits[name], error) for name, error in expected.items()}
    several = len(known) > 1
    errors = {each.told(f" for {each.edit}" * several): each.error for each in known if each.error is not None}
    measured = {each.edit for each in known if each.level == "measured"}
    # Where the truth was measured, what was expected before it was counts if it is too much for other cells alone.
    errors |= {
        f"expected extrapolation error of the edit {name!r}; 0 is noise, 1 is doing nothing.": expected[name]
        for name, reason in reasons.items()
        if not reason and (name not in measured or expected[name] > limit)
    }
    worst = max(errors, key=lambda text: errors[text], default=None)
    if worst is not None and errors[worst] > limit:
        return errors[worst], worst
    unknown = [each for each in known if each.error is None]
    if unknown:
        return None, knowledge_sentence(known)
    return (None, "; ".join(reasons.values())) if worst is None else (errors[worst], worst)


def _furthest_behind_quantile_map(review: Review) -> Finding:
    """How far the worst edit is behind the quantile map on samples held out or left out, in parts of what is to do."""
    found = {
        name: float(np.mean(list(behind(rows, QUANTILE_MAP).values()))) for name, rows in held_out_rows(review.methods)
    }
    found |= {
        f"samples left out of {each.edit!r}": each.behind_map for each in review.known if each.behind_map is not None
    }
    if not found:
        return None, "no sample was held out, so nothing is known of events that the edit was not fitted on"
    worst = max(found, key=lambda name: found[name])
    beside = "further from" if found[worst] > 0 else "nearer to"
    part = f"{abs(found[worst]):.0%} of what there is to correct"
    return found[worst], f"{worst}: {beside} the truth than by the per-marker quantile map, by {part}."
