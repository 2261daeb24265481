"""The decision that a review leads to, in plain words: use the edit, use the quantile map instead, or use neither."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from neuronedit.measures.evidence import Knowledge, knowledge_sentence
from neuronedit.model.gates import MARKS, Gate, GateName, Tone, joint_tone
from neuronedit.review.transfer.transfer import HELD_OUT
from neuronedit.review.transfer.verdict import Relation, Verdict

Advice = Literal["use", "use the quantile map", "measure first", "do not use"]

_REMEDIES: Final[Mapping[GateName, str]] = {
    "reconstruction": "Train longer, or with a wider code (network.code): what the autoencoder does not return is lost",
    "support": "Leave these cells as they are, or learn the edit on a control of them",
    "expected_error": "Leave these cells as they are, or learn the edit on cells more like them",
    "quantile_map": 'Train with edit.preset = "quantile-map", which is simpler, and review that',
}

_FROM_USELESS: Final[Sequence[Relation]] = ("better than", "no different from", "mixed against", "worse than")

_WITH_THE_MAP: Final = 'Train with edit.preset = "quantile-map", and review that model'


@dataclass(frozen=True)
class Decision:
    """A decision on a reviewed model.

    Attributes:
        advice: In one of four words.
        tone: Its colour.
        cells: The cells that it is about, by the data's names.
        why: Two sentences with their numbers.
        remedy: What to do next.
    """

    advice: Advice
    tone: Tone
    cells: str
    why: str
    remedy: str

    @property
    def headline(self) -> str:
        """The advice for a person, with the tone's sign and the cells' names."""
        told: Mapping[Advice, str] = {
            "use": f"Use it on {self.cells}" + (", with care" if self.tone == "amber" else ""),
            "use the quantile map": f"Use the per-marker quantile map instead on {self.cells}",
            "measure first": f"Do not use it yet on {self.cells}: measure first",
            "do not use": f"Do not use it on {self.cells}",
        }
        return f"{MARKS[self.tone]} {told[self.advice]}."

    @property
    def sentence(self) -> str:
        """Headline and reasons in one line."""
        return f"{self.headline} {self.why}"


def decide(
    gates: Sequence[Gate],
    verdicts: Sequence[Verdict],
    known: Sequence[Knowledge],
    cells: Sequence[str],
    lost: str = "",
    *,
    doubted: str = "",
) -> Decision:
    """Decide on a model by its gates, and on how it does beside doing nothing and the quantile map.

    Args:
        gates: The gates; without any, nothing was measured.
        verdicts: One for each comparison.
        known: What is known of how each edit carries over.
        cells: Names of the cells that the edits are to be applied to.
        lost: What an earlier review measured and this one leaves out; empty where that is nothing.
        doubted: Why the edit is to be used with care, whatever its gates say; empty where it is not.

    Example:
        >>> passed = [Gate("support", 0.0, 3.0, "The source has events like these.")]
        >>> verdict = Verdict("IgM+", HELD_OUT, "better than", "no different from", "")
        >>> decision = decide(passed, [verdict], [], ["IgM+"])
        >>> decision.headline, decision.why
        ('▲ Use it on IgM+.', 'Measured: on 1 held-out comparison it comes nearer to the truth than doing nothing, by
        both distances. A per-marker quantile map, which is simpler, does as well.')
    """
    about = _named(cells) if cells else "events like those that it was learned on"
    failed = [gate for gate in gates if gate.outcome == "fail"]
    against = [gate for gate in failed if gate.name != "quantile_map"]
    if against:
        return Decision("do not use", "red", about, _against(against, known), f"{_REMEDIES[against[0].name]}.")
    held_out = [verdict for verdict in verdicts if verdict.kind == HELD_OUT]
    useless = [verdict for verdict in held_out if verdict.against_nothing != "better than"]
    if held_out and len(useless) == len(held_out):
        return Decision("do not use", "red", about, _useless(useless), f"{_REMEDIES['expected_error']}.")
    if failed:
        return Decision("use the quantile map", "red", about, _against(failed, known), f"{_WITH_THE_MAP}.")
    looser = [gate for gate in gates if gate.outcome == "overridden"]
    if looser or lost:
        why = " ".join(filter(None, (_against(looser, known), lost[:1].upper() + lost[1:])))
        remedy = "Review it by the default thresholds, with all that was held out before."
        return Decision("do not use", "red", about, why, remedy)
    open_ = [gate for gate in gates if gate.outcome == "not measured"]
    if open_ or not gates:
        return Decision("measure first", "amber", about, _unknown(known, open_), _to_measure(known))
    beside = _beside_map(held_out, known)
    why = f"{_carries_over(held_out, useless, known)} {beside}"
    if _map_is_better(held_out):
        return Decision("use the quantile map", "amber", about, why, f"{_WITH_THE_MAP}.")
    tone: Tone = "amber" if doubted or useless or joint_tone(gates) != "green" else "green"
    doubts = [gate.reason for gate in gates if gate.tone == "amber"]
    return Decision("use", tone, about, " ".join(filter(None, (why, doubted, *doubts))), "")


def _reasons(gates: Sequence[Gate]) -> str:
    return " ".join(f"{gate.title}: {gate.reason}" for gate in gates[:2])


def _useless(verdicts: Sequence[Verdict]) -> str:
    worst = max(verdicts, key=lambda verdict: _FROM_USELESS.index(verdict.against_nothing))
    none = "It is not" if len(verdicts) == 1 else f"On none of {len(verdicts)} held-out comparisons is it"
    return f"Measured: {none} better than doing nothing by both distances. {worst.comparison}: {worst.sentence}"


def _against(gates: Sequence[Gate], known: Sequence[Knowledge]) -> str:
    """How it is known that the edit does not carry over, and the first reasons against it."""
    level = knowledge_sentence(known, remedy=False)
    return " ".join(filter(None, (level, *(gate.reason for gate in gates[:2] if gate.reason not in level))))


def _unknown(known: Sequence[Knowledge], open_: Sequence[Gate]) -> str:
    unknown = [each for each in known if each.level == "unknown"]
    return knowledge_sentence(unknown, remedy=False) or _reasons(open_) or "Its gates were not measured."


def _to_measure(known: Sequence[Knowledge]) -> str:
    remedy = next((each.remedy for each in known if each.level == "unknown" and each.remedy), "")
    return f"To know, {remedy}." if remedy else "Hold samples with measured truth out (held_out), and review it again."


def _carries_over(held_out: Sequence[Verdict], useless: Sequence[Verdict], known: Sequence[Knowledge]) -> str:
    """How it is known that the edit carries over, the lowest level of evidence last."""
    estimated = knowledge_sentence([each for each in known if each.level == "estimated"])
    if not held_out:
        return estimated
    n = len(held_out)
    of = f"{n - len(useless)} of {n} held-out comparisons" if useless else f"{n} held-out comparison{'s' * (n > 1)}"
    told = f"Measured: on {of} it comes nearer to the truth than doing nothing, by both distances"
    but = f"; not on {_named([each.comparison for each in useless])}" if useless else ""
    return " ".join(filter(None, (f"{told}{but}.", estimated)))


def _beside_map(held_out: Sequence[Verdict], known: Sequence[Knowledge]) -> str:
    """How the edit does beside the quantile map, where that is known."""
    if not held_out:
        return ""
    better, worse = (sum(each.against_map == which for each in held_out) for which in ("better than", "worse than"))
    if better:
        behind = f", and behind it on {worse}" if worse else ""
        return f"It is better than a per-marker quantile map on {better} of {len(held_out)}{behind}."
    if worse:
        return f"A per-marker quantile map, which is simpler, is nearer to the truth on {worse} of {len(held_out)}."
    return "A per-marker quantile map, which is simpler, does as well."


def _named(names: Sequence[str], limit: int = 4) -> str:
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest


def _map_is_better(held_out: Sequence[Verdict]) -> bool:
    relations = {each.against_map for each in held_out}
    return "worse than" in relations and "better than" not in relations
