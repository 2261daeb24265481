"""How gates stand by a version's tags: sealed by a review, changed afterwards, overridden."""

import json

import pytest

from neuronedit.edits.support import Extrapolation
from neuronedit.errors import ModelError
from neuronedit.model.gates import GATES, Gate, listed
from neuronedit.model.scope import NO_SCOPE, SCOPE_TAG, ReviewedPopulation, Scope
from neuronedit.model.standing import (
    DIGEST_TAG,
    GATE_TAG,
    HELD_OUT_TAG,
    OVERRIDE_TAG,
    REVIEWED_TAG,
    SEAL_TAG,
    SEALED,
    VERDICT_TAG,
    HeldOutEvidence,
    Override,
    Standing,
    gates_digest,
    review_tags,
)

NONE_BEFORE = HeldOutEvidence()
FAIL = "fail 2 > 0.05: worse."


def tags(**texts: str) -> dict[str, str]:
    """The tags of a version after its review; every gate passed but for those named."""
    told = {GATE_TAG + name: texts.get(name, "pass 0 <= 1: fine.") for name in GATES}
    told = {name: text for name, text in told.items() if text} | {DIGEST_TAG: "d1"}
    told |= {VERDICT_TAG: "Better in 2.", REVIEWED_TAG: "2026-11-29T10:00:00.000000Z by ada", "neuronedit.gates": "?"}
    return told | {SEAL_TAG: gates_digest(told)}


def override(*gates: str, digest: str) -> dict[str, str]:
    return {OVERRIDE_TAG: Override("we need it", "ada", "2026-11-25T10:00:00+00:00", gates, digest).to_json()}


def test_all_gates_passed_stand() -> None:
    standing = Standing.from_tags(tags())
    assert (standing.state, standing.blocking, standing.failed, standing.problem) == ("pass", {}, {}, "")


def test_what_a_review_writes_is_sealed() -> None:
    gates = [Gate(name, 0.5, 1.0, "fine.") for name in GATES]
    written = review_tags("d1", gates, "Better in 2.", "today by ada") | {DIGEST_TAG: "d1"}
    assert list(written)[-2] == SEAL_TAG, "the seal is written last"
    standing = Standing.from_tags(written | {"other": "tag"})
    assert (standing.state, standing.changed, standing.digest) == ("pass", False, written[SEAL_TAG])
    assert standing.facts()["sha256"] == written[SEAL_TAG]


def test_a_version_without_a_review_has_every_gate_against_it() -> None:
    standing = Standing.from_tags({"other": "tag"})
    assert (standing.state, standing.changed) == ("never reviewed", False)
    assert list(standing.blocking) == list(GATES)
    assert set(standing.blocking.values()) == {"never computed: no review of this version has recorded it"}


def test_what_failed_was_not_measured_or_is_missing_blocks() -> None:
    found = tags(support="not measured: nobody", quantile_map=FAIL, reconstruction="")
    standing = Standing.from_tags(found)
    assert standing.state == "fail"
    assert list(standing.failed) == ["quantile_map"]
    assert list(standing.blocking) == ["reconstruction", "support", "quantile_map"]
    assert listed(standing.failed) == "quantile_map fail 2 > 0.05: worse"


def test_a_gate_that_was_not_measured_is_no_failure() -> None:
    standing = Standing.from_tags(tags(support="not measured: nobody"))
    assert (standing.state, standing.failed) == ("not measured", {})


def test_a_gate_that_passed_by_a_looser_threshold_blocks_and_is_against_use() -> None:
    standing = Standing.from_tags(tags(support="overridden 7 <= 10 (default 3): far."))
    assert (standing.state, list(standing.blocking), list(standing.against_use)) == (
        "overridden",
        ["support"],
        ["support"],
    )


def test_gates_that_an_older_review_waived_do_not_stand() -> None:
    standing = Standing.from_tags(tags(support="waived: nobody"))
    assert (standing.state, list(standing.blocking), standing.against_use) == ("not measured", ["support"], {})


def reviewed_on(*held_out: str, before: HeldOutEvidence = NONE_BEFORE) -> Standing:
    gates = [Gate(name, 0.5, 1.0, "fine.") for name in GATES]
    written = review_tags("d1", gates, "Better in 2.", "today by ada", before.then(held_out))
    return Standing.from_tags(written | {DIGEST_TAG: "d1"})


def test_truth_that_an_earlier_review_measured_and_a_later_one_left_out_blocks() -> None:
    first = reviewed_on("donor 1", "donor 2")
    assert (first.state, first.evidence.measured) == ("pass", ("donor 1", "donor 2"))
    second = reviewed_on("donor 1", before=first.evidence)
    assert second.state == "overridden"
    assert second.against_use == {
        "evidence": "overridden: what an earlier review looked at is not in the last one: 'donor 2'."
    }
    assert not second.excused
    third = reviewed_on("donor 1", before=second.evidence)
    assert third.state == "overridden", "two reviews without it are no way round"
    assert reviewed_on("donor 1", "donor 2", "donor 3", before=third.evidence).state == "pass"


def test_what_was_held_out_is_sealed_too() -> None:
    gates = [Gate(name, 0.5, 1.0, "fine.") for name in GATES]
    lost = HeldOutEvidence((), ("donor 1",))
    found = review_tags("d1", gates, "Better in 2.", "today by ada", lost) | {DIGEST_TAG: "d1"}
    assert not Standing.from_tags(found).changed
    for text in (HeldOutEvidence().to_json(), "", "[]", "[" * 100_000):
        assert Standing.from_tags(found | {HELD_OUT_TAG: text}).changed
    assert Standing.from_tags({key: text for key, text in found.items() if key != HELD_OUT_TAG}).changed


def test_the_scope_is_sealed_too_and_a_review_of_before_scopes_keeps_its_seal() -> None:
    gates = [Gate(name, 0.5, 1.0, "fine.") for name in GATES]
    near, far = Extrapolation(0.18, 0.94, 0.3, 1.0), Extrapolation(1.0, 1.0, 7.0, 1.0)
    scope = Scope((ReviewedPopulation("pair", "cell_type = igm+", 1_069, far),))
    found = review_tags("d1", gates, "Better.", "today by ada", scope=scope) | {DIGEST_TAG: "d1"}
    assert (Standing.from_tags(found).state, Standing.from_tags(found).scope) == ("pass", scope)
    better = Scope((ReviewedPopulation("pair", "cell_type = igm+", 1_069, near),))
    for text in (better.to_json(), "", "[]", "[" * 100_000):
        changed = Standing.from_tags(found | {SCOPE_TAG: text})
        assert (changed.changed, changed.scope) == (True, NO_SCOPE)
    assert Standing.from_tags({key: text for key, text in found.items() if key != SCOPE_TAG}).changed
    older = review_tags("d1", gates, "Better.", "today by ada") | {DIGEST_TAG: "d1"}
    assert SCOPE_TAG not in older
    assert (Standing.from_tags(older).changed, Standing.from_tags(older).scope) == (False, NO_SCOPE)
    assert Standing.from_tags(older | {SCOPE_TAG: scope.to_json()}).changed, "a scope cannot be added by hand"


@pytest.mark.parametrize("key", SEALED)
def test_whatever_is_changed_after_the_review_makes_all_gates_not_measured(key: str) -> None:
    reviewed = tags(quantile_map=FAIL)
    for changed in (reviewed | {key: "pass 0 <= 1: changed."}, {k: text for k, text in reviewed.items() if k != key}):
        standing = Standing.from_tags(changed)
        assert standing.changed
        assert (standing.state, list(standing.blocking), standing.failed) == ("not measured", list(GATES), {})
        assert standing.blocking["support"].startswith("not measured: changed after the review")
        assert standing.blocking["support"].endswith(f"({SEAL_TAG} is of others). Review the version again")
        assert standing.problem.startswith("its gates were changed after the review")


def test_gates_without_a_seal_are_not_measured() -> None:
    found = {key: text for key, text in tags().items() if key != SEAL_TAG}
    standing = Standing.from_tags(found)
    assert standing.changed
    assert standing.problem == (
        f"its gates were recorded without {SEAL_TAG}: by hand, or by an older neuronedit. Review the version again"
    )


def test_gates_that_were_all_taken_away_are_not_those_of_a_version_never_reviewed() -> None:
    left = {SEAL_TAG: tags()[SEAL_TAG], REVIEWED_TAG: "2026-11-29T10:00:00.000000Z by ada"}
    standing = Standing.from_tags(left)
    assert (standing.changed, list(standing.against_use)) == (True, list(GATES))
    assert "changed after the review of 2026-11-29T10:00:00.000000Z by ada" in standing.problem


def test_an_override_holds_for_the_gates_it_was_given_for_as_they_stood_and_no_others() -> None:
    failed = tags(quantile_map=FAIL)
    given = override("quantile_map", digest=failed[SEAL_TAG])
    standing = Standing.from_tags(failed | given)
    assert standing.excused
    assert standing.facts()["override"]["reason"] == "we need it"
    assert not Standing.from_tags(tags(quantile_map=FAIL, support="fail 4 > 3: far.") | given).excused
    worse = tags(quantile_map="fail 9 > 0.05: far worse.")
    assert not Standing.from_tags(worse | given).excused, "the numbers are others than those that were answered for"
    more = tags(quantile_map=FAIL, support="fail 4 > 3: far.")
    assert not Standing.from_tags(more | override("quantile_map", digest=more[SEAL_TAG])).excused


def test_an_override_of_changed_gates_holds_as_long_as_they_are_not_changed_again() -> None:
    changed = tags(quantile_map=FAIL) | {GATE_TAG + "quantile_map": "pass 0 <= 1: changed."}
    given = override(*GATES, digest=gates_digest(changed))
    assert Standing.from_tags(changed | given).excused
    assert not Standing.from_tags(changed | given | {GATE_TAG + "support": "pass 0 <= 1: changed."}).excused


def test_nobody_answers_where_there_is_no_override() -> None:
    assert not Standing.from_tags(tags(quantile_map=FAIL)).excused


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON of an override"),
        ("yes", "not JSON of an override"),
        ("[]", "not JSON of an override"),
        ("[" * 100_000, "not JSON of an override"),
        ("{}", "'reason' is missing"),
        (json.dumps({"reason": "r", "user": "u", "time": "t", "gates": ["support"]}), "'gates_digest' is missing"),
        (json.dumps({"reason": 1, "user": "u", "time": "t", "gates": [], "gates_digest": "d"}), "not texts"),
        (json.dumps({"reason": "r", "user": "u", "time": "t", "gates": 7, "gates_digest": "d"}), "not texts"),
    ],
    ids=range(8),
)
def test_a_damaged_override_holds_for_nothing_and_is_told(text: str, problem: str) -> None:
    told = f"its tag neuronedit.override is damaged ({problem}) and holds for nothing: give the override again"
    standing = Standing.from_tags(tags(quantile_map=FAIL) | {OVERRIDE_TAG: text})
    assert (standing.override, standing.excused, standing.problem) == (None, False, told)
    with pytest.raises(ModelError, match=r"^its tag neuronedit\.override is damaged"):
        Override.from_json(text)


def test_the_seal_of_a_review_with_a_gate_that_is_none_any_more_holds() -> None:
    older = review_tags("59aca6d6", [Gate("support", 1.5, 3.0, "near.")], "verdict", "now by ada")
    older[f"{GATE_TAG}confounding"] = "pass 0.1 <= 0.3: a mix."
    sealed = older | {DIGEST_TAG: "59aca6d6"}
    sealed[SEAL_TAG] = gates_digest(sealed)
    assert not Standing.from_tags(sealed).changed
    assert Standing.from_tags(sealed).recorded == {"support": "pass 1.5 <= 3: near."}
    assert Standing.from_tags(sealed | {f"{GATE_TAG}confounding": "pass 0.0 <= 0.3: a mix."}).changed
