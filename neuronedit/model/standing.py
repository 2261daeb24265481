"""Standing: how a reviewed version's gates stand, by its tags in the registry, and who answers for those that do not.

A review seals what it writes: one tag holds a digest of the model, of every gate with its numbers, of the verdict, and
of the review's time and user. Gates that were changed afterwards, by hand or in part, count as not measured. The seal
has no key: whoever can write all tags can write another seal, and with the files, too, another model.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self

from neuronedit.errors import ModelError, listing
from neuronedit.model.gates import GATES, Gate, Outcome
from neuronedit.model.scope import NO_SCOPE, SCOPE_TAG, Scope

State = Literal["pass", "fail", "overridden", "not measured", "never reviewed"]

GATE_TAG: Final = "neuronedit.gate."
"""Begins the tag of a model version that tells a gate's outcome; the gate's name follows."""

DIGEST_TAG: Final = "neuronedit.digest"
STATE_TAG: Final = "neuronedit.gates"
SEAL_TAG: Final = "neuronedit.gates.digest"
VERDICT_TAG: Final = "neuronedit.verdict"
REVIEWED_TAG: Final = "neuronedit.reviewed"
HELD_OUT_TAG: Final = "neuronedit.held_out"
"""The tag of the comparisons and populations that reviews were made of (see ``HeldOutEvidence``)."""
OVERRIDE_TAG: Final = "neuronedit.override"

EVIDENCE: Final = "evidence"
"""Stands among the gates' names where what an earlier review looked at is not in the last one."""

SEALED: Final = (DIGEST_TAG, *(GATE_TAG + name for name in GATES), STATE_TAG, VERDICT_TAG, REVIEWED_TAG)
"""The tags that the seal is of: the model, each gate's verdict, number, threshold and reason, and the review."""


def is_sealed(tag: str) -> bool:
    """Tell whether a review may have sealed a tag that another has not: older ones have other gates, and no scope.

    Example:
        >>> is_sealed("neuronedit.gate.confounding"), is_sealed("neuronedit.override")
        (True, False)
    """
    return tag in (HELD_OUT_TAG, SCOPE_TAG) or tag.startswith(GATE_TAG)


def gates_digest(tags: Mapping[str, str]) -> str:
    """Compute the SHA-256 of the sealed tags, as canonical JSON.

    Example:
        >>> gates_digest({GATE_TAG + "support": "pass 1 <= 3: near."})[:12]
        'e524fe4cffc5'
    """
    sealed = {key: tags.get(key) for key in SEALED}
    sealed |= {key: text for key, text in tags.items() if is_sealed(key)}
    return hashlib.sha256(json.dumps(sealed, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class HeldOutEvidence:
    """The comparisons, and the populations to be edited, that a version's reviews looked at.

    Attributes:
        measured: Those of the last review.
        lost: Those of earlier reviews that the last one did not repeat.

    Example:
        >>> HeldOutEvidence(("donor 1", "donor 2")).then(["donor 1"]).then(["donor 3"])
        HeldOutEvidence(measured=('donor 3',), lost=('donor 1', 'donor 2'))
    """

    measured: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What is lost, for a person; empty where nothing is."""
        told = f"what an earlier review looked at is not in the last one: {listing(self.lost)}."
        return told if self.lost else ""

    def then(self, measured: Iterable[str]) -> "HeldOutEvidence":
        """Give the evidence after a further review; what is lost stays so until it is measured again."""
        names = tuple(measured)
        return HeldOutEvidence(names, tuple(sorted({*self.measured, *self.lost} - set(names))))

    def to_json(self) -> str:
        """Give the text that a tag holds."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> "HeldOutEvidence":
        """Read it from a version's tags; what is damaged counts as none, as the seal tells that it was changed."""
        try:
            facts = json.loads(tags.get(HELD_OUT_TAG, "{}"))
            return cls(tuple(map(str, facts.get("measured", ()))), tuple(map(str, facts.get("lost", ()))))
        except (ValueError, AttributeError, TypeError, RecursionError):
            return cls()


def review_tags(
    model_digest: str,
    gates: Sequence[Gate],
    verdict: str,
    reviewed: str,
    evidence: HeldOutEvidence = HeldOutEvidence(),
    scope: Scope | None = None,
) -> dict[str, str]:
    """Make the tags that a review writes to a version; the seal is last.

    Args:
        model_digest: The digest of the reviewed model.
        gates: The gates.
        verdict: One sentence.
        reviewed: The time and user of the review.
        evidence: Its comparisons and populations to be edited, and those that it lost.
        scope: The populations that it held the model against.

    Example:
        >>> tags = review_tags("59aca6d6", [Gate("support", 1.5, 3.0, "near.")], "Better in 2.", "2026-11-29 by ada")
        >>> Standing.from_tags(tags | {DIGEST_TAG: "59aca6d6"}).recorded
        {'support': 'pass 1.5 <= 3: near.'}
    """
    texts: dict[str, str] = {gate.name: gate.text for gate in gates}
    tags = {GATE_TAG + name: text for name, text in texts.items()}
    state = Standing(texts, evidence=evidence).state
    tags |= {STATE_TAG: state, VERDICT_TAG: verdict, REVIEWED_TAG: reviewed, HELD_OUT_TAG: evidence.to_json()}
    tags |= {SCOPE_TAG: scope.to_json()} if scope else {}
    return tags | {SEAL_TAG: gates_digest(tags | {DIGEST_TAG: model_digest})}


@dataclass(frozen=True)
class Override:
    """A person's decision that a version may be used although some gates are not passed.

    Attributes:
        reason: The person's reason.
        user: The person's name, as the environment of the one who asked has it.
        time: The time of the decision, UTC.
        gates: The gates that were not passed; the decision holds for no others.
        gates_digest: The digest of what the person saw (see ``gates_digest``); the decision holds for nothing else.
    """

    reason: str
    user: str
    time: str
    gates: tuple[str, ...]
    gates_digest: str

    def to_json(self) -> str:
        """The text that a tag holds."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read an override from the text of ``to_json``.

        Raises:
            ModelError: It is not one.
        """
        names = ("reason", "user", "time", "gates_digest")
        try:
            facts = json.loads(text)
            told, gates = [facts[name] for name in names], facts["gates"]
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            missing = f"{error} is missing" if isinstance(error, KeyError) else "not JSON of an override"
            raise _no_override(missing) from error
        if not all(isinstance(name, str) for name in told) or not isinstance(gates, list):
            raise _no_override("not texts")
        reason, user, time, digest = told
        return cls(reason, user, time, tuple(map(str, gates)), digest)


@dataclass(frozen=True)
class Standing:
    """The outcomes of a model version's gates, read from its tags.

    Attributes:
        recorded: Each gate's text; no entry where it was never computed.
        override: The last override; None where there is none.
        digest: Of the tags that tell them (see ``gates_digest``).
        changed: The gates are not those that a review sealed; they count as not measured.
        problem: A sentence on what is wrong with the tags; empty where nothing is.
        evidence: The comparisons and populations to be edited that its reviews were made of.
        scope: The populations that its last review held it against; none where the tags were changed.
        verdict: The decision of its last review; empty where there is none, or where the tags were changed.
    """

    recorded: Mapping[str, str]
    override: Override | None = None
    digest: str = ""
    changed: bool = False
    problem: str = ""
    evidence: HeldOutEvidence = HeldOutEvidence()
    scope: Scope = NO_SCOPE
    verdict: str = ""

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self:
        """Read the outcomes from the tags of a model version."""
        recorded: dict[str, str] = {name: tags[GATE_TAG + name] for name in GATES if GATE_TAG + name in tags}
        digest, seal = gates_digest(tags), tags.get(SEAL_TAG)
        override, problem = None, ""
        changed = seal != digest if recorded else seal is not None
        if changed:
            recorded = dict.fromkeys(GATES, f"not measured: {_changed(tags)}")
            problem = f"its gates were {_changed(tags)}"
        try:
            override = Override.from_json(tags[OVERRIDE_TAG]) if OVERRIDE_TAG in tags else None
        except ModelError as error:
            problem = "; ".join(filter(None, (problem, str(error))))
        scope = NO_SCOPE if changed else Scope.from_tags(tags)
        verdict = "" if changed else tags.get(VERDICT_TAG, "")
        return cls(recorded, override, digest, changed, problem, HeldOutEvidence.from_tags(tags), scope, verdict)

    def with_outcome(self, outcome: Outcome) -> dict[str, str]:
        """The gates with an outcome: name → text."""
        return {name: text for name, text in self.recorded.items() if text.startswith(outcome)}

    @property
    def failed(self) -> dict[str, str]:
        """The gates that failed: name → text."""
        return self.with_outcome("fail")

    @property
    def overridden(self) -> dict[str, str]:
        """What stands by the reviewer's choice alone: gates by looser thresholds, and truth no longer looked at."""
        found = self.with_outcome("overridden")
        if lost := self.evidence.sentence:
            found[EVIDENCE] = f"overridden: {lost}"
        return found

    @property
    def told(self) -> dict[str, str]:
        """Every gate's text by name, and what else is against a promotion."""
        return {**dict.fromkeys(GATES, ""), **self.recorded, **self.blocking}

    @property
    def blocking(self) -> dict[str, str]:
        """What prevents a promotion, by gate: failed, overridden, not measured, or never computed."""
        standing, overridden = self.with_outcome("pass"), self.overridden
        open_ = {
            name: self.recorded.get(name, "never computed: no review of this version has recorded it")
            for name in GATES
            if name not in standing
        }
        return open_ | overridden

    @property
    def against_use(self) -> dict[str, str]:
        """What forbids that events are edited, by gate: failed and overridden ones; all, where they were changed."""
        return self.blocking if self.changed else self.failed | self.overridden

    @property
    def state(self) -> State:
        """The joint outcome of all gates in one word."""
        if not self.recorded:
            return "never reviewed"
        if self.failed:
            return "fail"
        if self.overridden:
            return "overridden"
        return "not measured" if self.blocking else "pass"

    @property
    def excused(self) -> bool:
        """Tell whether an override holds for every gate that is against use, as these stand now."""
        if self.override is None or self.override.gates_digest != self.digest:
            return False
        return set(self.against_use) <= set(self.override.gates)

    def facts(self) -> dict[str, Any]:
        """The outcomes as plain values, for a manifest."""
        override = asdict(self.override) if self.override else None
        return {"state": self.state, "recorded": dict(self.recorded), "override": override, "sha256": self.digest}


def _no_override(problem: str) -> ModelError:
    return ModelError(f"its tag {OVERRIDE_TAG} is damaged ({problem}) and holds for nothing: give the override again")


def _changed(tags: Mapping[str, str]) -> str:
    if SEAL_TAG not in tags:
        return f"recorded without {SEAL_TAG}: by hand, or by an older neuronedit. Review the version again"
    when = f" of {tags[REVIEWED_TAG]}" if REVIEWED_TAG in tags else ""
    return f"changed after the review{when} ({SEAL_TAG} is of others). Review the version again"
