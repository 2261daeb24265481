"""Evidence of whether an edit carries over to samples that it was not fitted on, and how much of it there is.

*Measured*: held-out events were compared with their measured truth. *Estimated*: each of several samples was left out
in turn, and compared with its own target. *Unknown*: one sample tells nothing of another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from pydantic import ValidationError

from neuronedit.cells.design import INVERSE, POOLED, Design, PairDesign
from neuronedit.cells.selection import describe
from neuronedit.config import Config
from neuronedit.errors import ModelError, listing
from neuronedit.measures.left_out import LeftOut

Level = Literal["measured", "estimated", "unknown"]
LEVELS: Final[tuple[Level, ...]] = ("unknown", "estimated", "measured")
"""The levels of evidence, the lowest first."""

EVIDENCE: Final = "evidence"
"""The key of a model's facts that has what was found of each edit without a truth."""

Errors = Mapping[str, float]
"""An error for each metric of ``DECISIVE``, by its name."""


class EditEvidence(Config):
    """What was found of an edit without a truth."""

    samples: LeftOut
    kinds: LeftOut | None = None
    disagreement: float | None = None

    @property
    def scalars(self) -> dict[str, float]:
        """Numbers for MLflow."""
        found = {f"estimated_{name}": value for name, value in self.samples.scalars.items()}
        if self.kinds:
            found |= {f"estimated_kinds_{name}": value for name, value in self.kinds.scalars.items()}
        return found | ({} if self.disagreement is None else {"disagreement": self.disagreement})


def read_evidence(facts: Mapping[str, Any]) -> dict[str, EditEvidence]:
    """Read the evidence of each edit from a model's facts; none where an older neuronedit trained it.

    Raises:
        ModelError: It is damaged.

    Example:
        >>> read_evidence({}), read_evidence({EVIDENCE: {"pair": {"samples": {"column": "donor"}}}})["pair"].scalars
        ({}, {})
    """
    try:
        return {name: EditEvidence.model_validate(found) for name, found in facts.get(EVIDENCE, {}).items()}
    except ValidationError as error:
        place = error.errors()[0]
        raise ModelError(
            f"The model's facts tell its evidence in a way that this neuronedit does not know "
            f"({'.'.join(map(str, place['loc']))}: {place['msg']}). Train the model again."
        ) from error


@dataclass(frozen=True)
class Knowledge:
    """What is known of how one edit carries over.

    Attributes:
        edit: Its name.
        level: How it is known.
        error: The worst measured error, or the mean of those estimated; None where it is unknown.
        proven: Whether it is better than doing nothing by all metrics: measured to be, or with the whole interval.
        behind_map: The error less that of the per-marker quantile map, where it is estimated.
        text: How it is known, with the number, or why it is not.
        remedy: What to measure to know; empty where it was measured.
    """

    edit: str
    level: Level
    error: float | None
    proven: bool
    behind_map: float | None
    text: str
    remedy: str = ""

    def told(self, which: str = "", *, remedy: bool = True) -> str:
        """Tell the level, the number, and what to measure to know.

        Args:
            which: Names the edits that it is told of, e.g. `` for day2``; empty where there is one.
            remedy: Tell what to measure, too.
        """
        to_know = f" To know, {self.remedy}." if remedy and self.remedy and not self.proven else ""
        if self.level == "unknown":
            return f"Unknown whether the edit carries over{which}: {self.text}.{to_know}"
        if self.level == "measured":
            return f"Measured{which}: {self.text} (0 is noise, 1 is doing nothing)."
        return f"Estimated, not measured{which}: {self.text}.{to_know}"


def judge_knowledge(
    edits: Sequence[str],
    design: Design,
    evidence: Mapping[str, EditEvidence],
    measured: Mapping[str, Mapping[str, Errors]],
) -> tuple[Knowledge, ...]:
    """Judge what is known of each edit but the inverse ones, which are known as far as those that they undo.

    Args:
        edits: Names of the edits that change something.
        design: The model's.
        evidence: What was found of each edit without a truth.
        measured: Errors on held-out events, by edit and comparison.

    Example:
        >>> (pair,) = judge_knowledge(["pair"], PairDesign.of_arrays(), {}, {"pair": {"donor 2": {"emd": 0.25}}})
        >>> pair.level, pair.text
        ('measured', 'on donor 2 (held out) the edit leaves 0.25 of what there is to correct')
    """
    forth = [name for name in edits if not name.endswith(INVERSE)]
    return tuple(_judge(name, design, evidence.get(name), measured.get(name, {})) for name in forth)


def _judge(name: str, design: Design, found: EditEvidence | None, measured: Mapping[str, Errors]) -> Knowledge:
    if measured:
        means = {comparison: float(np.mean(list(errors.values()))) for comparison, errors in measured.items()}
        worst = max(means, key=lambda comparison: means[comparison])
        proven = all(error < 1 for errors in measured.values() for error in errors.values())
        where = (
            f"on {worst} (held out)" if len(means) == 1 else f"on {len(means)} held-out comparisons, at worst {worst},"
        )
        text = f"{where} the edit leaves {max(means[worst], 0):.2f} of what there is to correct"
        return Knowledge(name, "measured", means[worst], proven, behind_map=None, text=text)
    remedy = _remedy(name, design)
    if found is None:
        why = "it was trained by a neuronedit that did not look for it"
        return Knowledge(name, "unknown", None, proven=False, behind_map=None, text=why, remedy=remedy)
    if not found.samples.known:
        why = found.samples.why_none
        return Knowledge(name, "unknown", None, proven=False, behind_map=None, text=why, remedy=remedy)
    samples = found.samples
    error = samples.mean("edit")
    return Knowledge(
        name, "estimated", error, samples.proven, error - samples.mean("quantile_map"), samples.sentence, remedy
    )


def _remedy(edit: str, design: Design) -> str:
    """Say which sample to measure, to know how an edit carries over."""
    several = "or learn on several samples that source and target both have (design.sample_column)"
    if isinstance(design, PairDesign):
        events = f"some events of {describe(design.extrapolation)}" if design.extrapolation else "some that it is for"
        return (
            f"measure {events} after the change, too (as {describe(design.target)}), and hold them out "
            f"(held_out_source, held_out_target), {several}"
        )
    goal = "the other batches" if design.reference == POOLED else repr(design.reference)
    return f"measure a sample of {edit!r} that is no control in {goal}, too, and hold it out (held_out), {several}"


def knowledge_sentence(known: Sequence[Knowledge], *, remedy: bool = True) -> str:
    """Tell the lowest level of several edits' evidence, with the worst number of that level; empty without edits.

    Args:
        known: What is known of each edit.
        remedy: Tell what to measure to know, too.

    Example:
        >>> knowledge_sentence([Knowledge("pair", "unknown", None, False, None, "one donor", "measure another")])
        'Unknown whether the edit carries over: one donor. To know, measure another.'
    """
    if not known:
        return ""
    level = min((each.level for each in known), key=LEVELS.index)
    lowest = [each for each in known if each.level == level]
    worst = max(lowest, key=lambda each: each.error or 0)
    if len(known) == 1:
        return worst.told(remedy=remedy)
    others = f" (told of the worst, {worst.edit!r})" if len(lowest) > 1 else ""
    return worst.told(f" for {listing(each.edit for each in lowest)}{others}", remedy=remedy)
