import pytest
from neuronedit_jobs.review import ReviewConfig

from neuronedit.errors import ConfigError
from neuronedit.model.gates import GATES, Gate, GateConfig, joint_tone

REASON = "donor 2: worse."


@pytest.mark.parametrize(
    ("gate", "outcome", "tone", "text"),
    [
        (Gate("support", 0.12, 0.3, "near."), "pass", "green", "pass 0.12 <= 0.3: near."),
        (Gate("support", 0.3, 0.3, "near."), "pass", "green", "pass 0.3 <= 0.3: near."),
        (Gate("quantile_map", 1.2345, 0.05, REASON), "fail", "red", f"fail 1.23 > 0.05: {REASON}"),
        (Gate("reconstruction", 0.9, 0.5, "well.", True), "pass", "green", "pass 0.9 >= 0.5: well."),
        (Gate("reconstruction", 0.4, 0.5, "badly.", True), "fail", "red", "fail 0.4 < 0.5: badly."),
        (Gate("support", None, 3.0, "nobody"), "not measured", "amber", "not measured: nobody"),
        (Gate("support", 7.0, 10.0, "far.", default=3.0), "overridden", "red", "overridden 7 <= 10 (default 3): far."),
        (Gate("support", 2.0, 10.0, "near.", default=3.0), "pass", "green", "pass 2 <= 10 (default 3): near."),
        (Gate("support", 2.0, 1.0, "near.", default=3.0), "fail", "red", "fail 2 > 1 (default 3): near."),
        (Gate("support", 7.0, 3.0, "far.", default=3.0), "fail", "red", "fail 7 > 3: far."),
        (
            Gate("reconstruction", 0.6, 0.5, "badly.", True, default=0.75),
            "overridden",
            "red",
            "overridden 0.6 >= 0.5 (default 0.75): badly.",
        ),
        (Gate("support", 0.2, 0.3, "near.", doubt_above=0.1), "pass", "amber", "pass 0.2 <= 0.3: near."),
        (Gate("support", 0.1, 0.3, "near.", doubt_above=0.1), "pass", "green", "pass 0.1 <= 0.3: near."),
        (Gate("support", 0.4, 0.3, "near.", doubt_above=0.1), "fail", "red", "fail 0.4 > 0.3: near."),
        (Gate("support", float("nan"), 3.0, "no number"), "fail", "red", "fail nan > 3: no number"),
    ],
)
def test_a_gate_tells_its_outcome_with_its_numbers(gate: Gate, outcome: str, tone: str, text: str) -> None:
    assert (gate.outcome, gate.tone, gate.text) == (outcome, tone, text)


PASSED, DOUBTED = Gate("quantile_map", 0, 0.05, ""), Gate("support", 0.2, 0.3, "", doubt_above=0.1)
FAILED, UNKNOWN = Gate("support", 4, 3, ""), Gate("expected_error", None, 0.9, "")
LOOSENED = Gate("support", 4, 5, "", default=3)


@pytest.mark.parametrize(
    ("gates", "tone"),
    [
        ([], "amber"),
        ([PASSED], "green"),
        ([PASSED, DOUBTED], "amber"),
        ([DOUBTED, UNKNOWN], "amber"),
        ([PASSED, UNKNOWN, FAILED], "red"),
        ([PASSED, UNKNOWN, LOOSENED], "red"),
    ],
)
def test_the_worst_gate_decides_on_the_colour_of_all(gates: list[Gate], tone: str) -> None:
    assert joint_tone(gates) == tone


def test_truth_that_is_left_out_is_never_green() -> None:
    assert joint_tone([PASSED], lost=True) == "red"


def test_every_gate_has_a_threshold_of_its_name() -> None:
    assert set(GateConfig.model_fields) == set(GATES)
    assert all(GateConfig.default(name) == getattr(GateConfig(), name) for name in GATES)


def test_an_unknown_gate_is_told() -> None:
    settings = ["data.path=cells", "model=m", "output=review"]
    with pytest.raises(ConfigError, match=r"unknown key 'gates.suport'; nearest name 'support'\. Known keys of gates"):
        ReviewConfig.load(None, [*settings, "gates.suport=2"])
