"""Gates: conditions that a reviewed model must meet before it may be promoted, and whether it meets them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from pydantic import Field

from neuronedit.config import Config
from neuronedit.edits.support import MAX_REACH
from neuronedit.measures.halves import MARGIN

GateName = Literal["reconstruction", "support", "expected_error", "quantile_map"]
GATES: Final[tuple[GateName, ...]] = get_args(GateName)

Outcome = Literal["pass", "fail", "overridden", "not measured"]
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

Tone = Literal["red", "amber", "green"]
TONES: Final[tuple[Tone, ...]] = get_args(Tone)
"""The colours, the gravest first."""

MARKS: Final[Mapping[Tone, str]] = {"green": "▲", "amber": "◆", "red": "▼"}
"""The tones' signs, for where there are no colours."""

_TITLES: Final[Mapping[GateName, str]] = {
    "reconstruction": "Reconstruction",
    "support": "Support",
    "expected_error": "Error where it is applied",
    "quantile_map": "Beside the quantile map",
}

GATE_COLUMNS: Final = ["gate", "outcome", "tone", "value", "threshold", "default", "rule", "reason"]


class GateConfig(Config):
    """Thresholds that a model must meet before it may be promoted; who loosens one answers for it when promoting."""

    reconstruction: float = Field(
        0.75,
        le=1,
        description="at least this share of each population's variance is returned by the autoencoder; on real cells a "
        "code of 50 neurons returned 0.83 to 0.97, one of 10, which is too narrow, 0.64 to 0.70",
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

    @classmethod
    def default(cls, name: GateName) -> float:
        """The threshold that is asked where nobody asks for another.

        Example:
            >>> GateConfig.default("support")
            3.0
        """
        return float(cls.model_fields[name].default)


@dataclass(frozen=True)
class Gate:
    """One gate's outcome.

    Attributes:
        name: The gate's name.
        value: The worst edit's or population's value; None where it could not be measured.
        threshold: The value's limit.
        reason: One sentence that says how the value came about, or why there is none.
        at_least: Whether the value must reach the threshold; otherwise it must not exceed it.
        default: The limit that is asked by default; None: it is the threshold.
        doubt_above: Up to the threshold, a value above this passes with a warning; None: none does.
        doubted: Whether it passes with a warning whatever the value.
    """

    name: GateName
    value: float | None
    threshold: float
    reason: str
    at_least: bool = False
    default: float | None = None
    doubt_above: float | None = None
    doubted: bool = False

    @property
    def outcome(self) -> Outcome:
        """``overridden``: it passes by a looser threshold than the default alone."""
        if self.value is None:
            return "not measured"
        if not self._meets(self.threshold):
            return "fail"
        return "pass" if self.default is None or self._meets(self.default) else "overridden"

    def _meets(self, limit: float) -> bool:
        assert self.value is not None
        return self.value >= limit if self.at_least else self.value <= limit

    @property
    def limit(self) -> str:
        """The threshold as it is told: ``3``, or ``10 (default 3)`` where another is asked."""
        default = f" (default {self.default:g})" if self.default not in (None, self.threshold) else ""
        return f"{self.threshold:g}{default}"

    @property
    def title(self) -> str:
        """The gate's name for people."""
        return _TITLES[self.name]

    @property
    def tone(self) -> Tone:
        """The colour of the outcome on the page."""
        if self.outcome in ("fail", "overridden"):
            return "red"
        above = self.value is not None and self.doubt_above is not None and self.value > self.doubt_above
        return "green" if self.outcome == "pass" and not (above or self.doubted) else "amber"

    @property
    def mark(self) -> str:
        """The tone's sign."""
        return MARKS[self.tone]

    @property
    def text(self) -> str:
        """The outcome with its numbers and the reason, e.g. ``fail 0.41 > 0.3: …``; it starts with the outcome."""
        if self.value is None:
            return f"{self.outcome}: {self.reason}"
        stands, falls = (">=", "<") if self.at_least else ("<=", ">")
        return (
            f"{self.outcome} {self.value:.3g} {falls if self.outcome == 'fail' else stands} {self.limit}: {self.reason}"
        )

    def row(self) -> dict[str, Any]:
        """The gate's row of the review's ``gates`` table."""
        return {
            "gate": self.name,
            "outcome": self.outcome,
            "tone": self.tone,
            "value": self.value,
            "threshold": self.threshold,
            "default": self.threshold if self.default is None else self.default,
            "rule": "at least" if self.at_least else "at most",
            "reason": self.reason,
        }


def joint_tone(gates: Iterable[Gate], *, lost: bool = False) -> Tone:
    """``red`` where a gate or lost evidence is against it; ``green`` where all passed; else ``amber``.

    Args:
        gates: The gates.
        lost: Whether something that an earlier review looked at was left out.

    Example:
        >>> joint_tone([Gate("support", None, 3.0, "no population was named")])
        'amber'
    """
    tones = {gate.tone for gate in gates}
    if "red" in tones or lost:
        return "red"
    return "green" if tones == {"green"} else "amber"


def listed(gates: Mapping[str, str]) -> str:
    """List gates in one line, each with its text; gates of the same text share it.

    Example:
        >>> listed({"support": "not measured: no data.", "expected_error": "not measured: no data."})
        'support, expected_error not measured: no data'
    """
    names: dict[str, list[str]] = {}
    for name, text in gates.items():
        names.setdefault(text.rstrip("."), []).append(name)
    return "; ".join(f"{', '.join(alike)} {text}" for text, alike in names.items())
