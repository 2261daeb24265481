import pytest
from neuronedit_jobs.review import ReviewConfig

from neuronedit.errors import ConfigError
from neuronedit.model.gates import (
    GATE_TAG,
    GATES,
    OVERRIDE_TAG,
    Gate,
    GateConfig,
    Override,
    Standing,
    headline,
    joint_tone,
    listed,
)

REASON = "donor 2: worse."


@pytest.mark.parametrize(
    ("gate", "outcome", "tone", "text"),
    [
        (Gate("confounding", 0.12, 0.3, "a mix."), "pass", "green", "pass 0.12 <= 0.3: a mix."),
        (Gate("confounding", 0.3, 0.3, "a mix."), "pass", "green", "pass 0.3 <= 0.3: a mix."),
        (Gate("quantile_map", 1.2345, 0.05, REASON), "fail", "red", f"fail 1.23 > 0.05: {REASON}"),
        (Gate("reconstruction", 0.9, 0.5, "well.", True), "pass", "green", "pass 0.9 >= 0.5: well."),
        (Gate("reconstruction", 0.4, 0.5, "badly.", True), "fail", "red", "fail 0.4 < 0.5: badly."),
        (Gate("support", None, 3.0, "nobody"), "not measured", "amber", "not measured: nobody"),
        (Gate("support", None, 3.0, "nobody", optional=True), "waived", "amber", "waived: nobody"),
        (Gate("confounding", 0.2, 0.3, "a mix.", doubt_above=0.1), "pass", "amber", "pass 0.2 <= 0.3: a mix."),
        (Gate("confounding", 0.1, 0.3, "a mix.", doubt_above=0.1), "pass", "green", "pass 0.1 <= 0.3: a mix."),
        (Gate("confounding", 0.4, 0.3, "a mix.", doubt_above=0.1), "fail", "red", "fail 0.4 > 0.3: a mix."),
        (Gate("support", float("nan"), 3.0, "no number"), "fail", "red", "fail nan > 3: no number"),
    ],
)
def test_a_gate_tells_its_outcome_with_its_numbers(gate: Gate, outcome: str, tone: str, text: str) -> None:
    assert (gate.outcome, gate.tone, gate.text) == (outcome, tone, text)


PASSED, DOUBTED = Gate("quantile_map", 0, 0.05, ""), Gate("confounding", 0.2, 0.3, "", doubt_above=0.1)
FAILED, UNKNOWN = Gate("support", 4, 3, ""), Gate("expected_error", None, 0.9, "")


@pytest.mark.parametrize(
    ("gates", "tone", "said"),
    [
        ([], "amber", ""),
        ([PASSED], "green", "▲ May be promoted."),
        ([PASSED, DOUBTED], "amber", "◆ May be promoted, with care."),
        ([DOUBTED, UNKNOWN], "amber", "◆ Not proven."),
        ([PASSED, UNKNOWN, FAILED], "red", "▼ Not to be promoted."),
    ],
)
def test_the_worst_gate_decides_what_is_said_of_all(gates: list[Gate], tone: str, said: str) -> None:
    assert (joint_tone(gates), headline(gates)) == (tone, said)


def tags(**texts: str) -> dict[str, str]:
    return {GATE_TAG + name: texts.get(name, "pass 0 <= 1: fine.") for name in GATES}


def test_all_gates_passed_or_waived_stand() -> None:
    standing = Standing.from_tags(tags(support="waived: nobody"))
    assert (standing.state, standing.blocking, standing.failed) == ("pass", {}, {})


def test_a_version_without_a_review_has_every_gate_against_it() -> None:
    standing = Standing.from_tags({"other": "tag"})
    assert standing.state == "never reviewed"
    assert list(standing.blocking) == list(GATES)
    assert set(standing.blocking.values()) == {"never computed: no review of this version has recorded it"}


def test_what_failed_was_not_measured_or_is_missing_blocks() -> None:
    found = tags(support="not measured: nobody", quantile_map="fail 2 > 0.05: worse.")
    del found[GATE_TAG + "confounding"]
    standing = Standing.from_tags(found)
    assert standing.state == "fail"
    assert list(standing.failed) == ["quantile_map"]
    assert list(standing.blocking) == ["confounding", "support", "quantile_map"]
    assert listed(standing.failed) == "quantile_map fail 2 > 0.05: worse"


def test_a_gate_that_was_not_measured_is_no_failure() -> None:
    standing = Standing.from_tags(tags(support="not measured: nobody"))
    assert (standing.state, standing.failed) == ("not measured", {})


def test_an_override_holds_for_the_gates_it_was_given_for_and_no_others() -> None:
    override = Override("we need it", "ada", "2026-11-25T10:00:00+00:00", ("quantile_map",))
    failed = tags(quantile_map="fail 2 > 0.05: worse.") | {OVERRIDE_TAG: override.to_json()}
    assert Standing.from_tags(failed).override == override
    assert Standing.from_tags(failed).excused
    more = tags(quantile_map="fail 2 > 0.05: worse.", support="fail 4 > 3: far.") | {OVERRIDE_TAG: override.to_json()}
    assert not Standing.from_tags(more).excused
    assert Standing.from_tags(failed).facts()["override"]["reason"] == "we need it"


def test_nobody_answers_where_there_is_no_override() -> None:
    assert not Standing.from_tags(tags(quantile_map="fail 2 > 0.05: worse.")).excused


def test_every_gate_has_a_threshold_of_its_name() -> None:
    assert set(GateConfig.model_fields) == {*GATES, "optional"}


def test_an_unknown_gate_is_told() -> None:
    settings = ["data.path=cells", "model=m", "output=review"]
    with pytest.raises(ConfigError, match=r"gates.optional.0: Input should be 'reconstruction', 'confounding', "):
        ReviewConfig.load(None, [*settings, 'gates.optional=["suport"]'])
    with pytest.raises(ConfigError, match=r"unknown key 'gates.suport'; nearest name 'support'\. Known keys of gates"):
        ReviewConfig.load(None, [*settings, "gates.suport=2"])
