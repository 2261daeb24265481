"""Gates: conditions that a reviewed model must meet before it may be promoted, and whether it meets them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from pydantic import Field

from neuronedit.config import Config
from neuronedit.edits.composition import CONFOUNDED
from neuronedit.edits.support import MAX_REACH
from neuronedit.measures.distances import MARGIN

GateName = Literal["reconstruction", "confounding", "support", "expected_error", "quantile_map"]
GATES: Final[tuple[GateName, ...]] = get_args(GateName)

MayBeWaived = Literal["reconstruction", "confounding", "support", "quantile_map"]
"""How an edit carries over must be known: nobody can waive that, only answer for it by an override."""

Outcome = Literal["pass", "fail", "not measured", "waived"]
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

Tone = Literal["green", "amber", "red"]

_TITLES: Final[Mapping[GateName, str]] = {
    "reconstruction": "Reconstruction",
    "confounding": "Mix of cell types",
    "support": "Support",
    "expected_error": "Error where it is applied",
    "quantile_map": "Beside the quantile map",
}

GATE_COLUMNS: Final = ["gate", "outcome", "tone", "value", "threshold", "rule", "reason"]


class GateConfig(Config):
    """Thresholds that a model must meet before it may be promoted."""

    reconstruction: float = Field(
        0.75,
        le=1,
        description="at least this share of each population's variance is returned by the autoencoder; on real cells a "
        "code of 50 neurons returned 0.83 to 0.97, one of 10, which is too narrow, 0.64 to 0.70",
    )
    confounding: float = Field(
        CONFOUNDED,
        ge=0,
        le=1,
        description="at most this share of any edit's change is the mix of cell types and not their state; a mix that "
        "did not differ was measured at up to 0.10, one that did at 0.30 and more. What edit.match_composition "
        "has matched is not counted",
    )
    support: float = Field(
        MAX_REACH,
        gt=0,
        description="a population unlike the source may lie at most this many times as far from it as the target does; "
        "effects that transferred were carried up to 2.1 times, the three that did not and set this limit at least 3.3 "
        "times; of 12 others that did not, none was flagged",
    )
    expected_error: float = Field(
        0.9,
        gt=0,
        description="at most this error where the edits are to be applied, 0 is noise, 1 is doing nothing: measured on "
        "held-out events, or estimated by samples left out in turn (design.sample_column); one sample tells nothing of "
        "another, so without either the gate is not measured, whatever error one sample lets expect. An estimate whose "
        "interval reaches 1 passes with a warning",
    )
    quantile_map: float = Field(
        MARGIN,
        description="held-out events may be further from the truth than by a per-marker quantile map by at most this "
        "part of what there is to correct; the default is the margin below which the review calls two methods no "
        "different, a negative number asks the edit to be better",
    )
    optional: tuple[MayBeWaived, ...] = Field(
        (), description="gates that a model may be promoted without, where they could not be measured"
    )


@dataclass(frozen=True)
class Gate:
    """One gate's outcome.

    Attributes:
        name: The gate's name.
        value: The worst edit's or population's value; None where it could not be measured.
        threshold: The value's limit.
        reason: One sentence that says how the value came about, or why there is none.
        at_least: Whether the value must reach the threshold; otherwise it must not exceed it.
        optional: Whether the model may be promoted where the value is not known.
        doubt_above: Up to the threshold, a value above this passes with a warning; None: none does.
        doubted: Whether it passes with a warning whatever the value.
    """

    name: GateName
    value: float | None
    threshold: float
    reason: str
    at_least: bool = False
    optional: bool = False
    doubt_above: float | None = None
    doubted: bool = False

    @property
    def outcome(self) -> Outcome:
        """``waived``: not measured, and need not be."""
        if self.value is None:
            return "waived" if self.optional else "not measured"
        stands = self.value >= self.threshold if self.at_least else self.value <= self.threshold
        return "pass" if stands else "fail"

    @property
    def title(self) -> str:
        """The gate's name for people."""
        return _TITLES[self.name]

    @property
    def tone(self) -> Tone:
        """The colour of the outcome on the page."""
        if self.outcome == "fail":
            return "red"
        above = self.value is not None and self.doubt_above is not None and self.value > self.doubt_above
        return "green" if self.outcome == "pass" and not (above or self.doubted) else "amber"

    @property
    def text(self) -> str:
        """The outcome with its numbers and the reason, e.g. ``fail 0.41 > 0.3: …``; it starts with the outcome."""
        if self.value is None:
            return f"{self.outcome}: {self.reason}"
        signs = {"pass": (">=" if self.at_least else "<="), "fail": ("<" if self.at_least else ">")}
        return f"{self.outcome} {self.value:.3g} {signs[self.outcome]} {self.threshold:g}: {self.reason}"

    def row(self) -> dict[str, Any]:
        """The gate's row of the review's ``gates`` table."""
        return {
            "gate": self.name,
            "outcome": self.outcome,
            "tone": self.tone,
            "value": self.value,
            "threshold": self.threshold,
            "rule": "at least" if self.at_least else "at most",
            "reason": self.reason,
        }


def headline(gates: Sequence[Gate]) -> str:
    """The joint outcome of all gates in a few words; empty without gates.

    Example:
        >>> headline([Gate("support", 1.5, 3.0, "day 2 lies near the source")])
        '▲ May be promoted.'
    """
    outcomes = {gate.outcome for gate in gates}
    if "fail" in outcomes:
        return "▼ Not to be promoted."
    if "not measured" in outcomes:
        return "◆ Not proven."
    told = {"green": "▲ May be promoted.", "amber": "◆ May be promoted, with care."}
    return told.get(joint_tone(gates), "") if gates else ""


def joint_tone(gates: Iterable[Gate]) -> Tone:
    """``red`` where a gate failed, ``green`` where all passed; ``amber`` where something is not known.

    Example:
        >>> joint_tone([Gate("support", None, 3.0, "no population was named")])
        'amber'
    """
    tones = {gate.tone for gate in gates}
    if "red" in tones:
        return "red"
    return "green" if tones == {"green"} else "amber"


def listed(gates: Mapping[str, str]) -> str:
    """List gates in one line, each with its text; gates of the same text share it.

    Example:
        >>> listed({"support": "not measured: no data.", "confounding": "not measured: no data."})
        'support, confounding not measured: no data'
    """
    names: dict[str, list[str]] = {}
    for name, text in gates.items():
        names.setdefault(text.rstrip("."), []).append(name)
    return "; ".join(f"{', '.join(alike)} {text}" for text, alike in names.items())
