"""The page says how it is known whether an edit carries over, and is never green where it is not."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from neuronedit.measures.evidence import EVIDENCE, EditEvidence
from neuronedit.model.edit_model import EditModel
from neuronedit.model.gates import GATES, Gate, GateConfig, joint_tone
from neuronedit.model.standing import HeldOutEvidence, Standing, review_tags
from neuronedit.review.page.gate_measures import measure_gates
from neuronedit.review.page.html import render_page, review_tables
from neuronedit.review.page.report import Review
from neuronedit.review.page.review_model import review_model
from neuronedit.review.transfer.transfer import Comparison
from tests.measures.test_left_out import left_out
from tests.review.planted import TRUE_SHIFT, planted_events

LIKE = {"extrapolation": planted_events(400, 9)}
"""Events to be edited that are like the source's: nothing else speaks against the edit."""

ONE = left_out(why_none="of donor, source and target have 1, 'P1', in common")
ALIKE, APART, TWO = left_out(0.2, 0.25, 0.3), left_out(0.2, 0.6, 1.0), left_out(0.2, 0.3)
USELESS = left_out(1.2, 1.6, 1.4)

UNKNOWN = {"expected_error", "quantile_map"}
"""What one sample without truth does not tell."""

Reviewed = tuple[Review, dict[str, Gate]]


@pytest.fixture
def reviewed(
    planted_model: Callable[[np.ndarray], EditModel], planted_comparisons: list[Comparison]
) -> Callable[..., Reviewed]:
    """Reviews the planted model of the true shift; by default without its held-out comparison."""

    def make(samples, held_out: bool = False, config: GateConfig | None = None, kinds=None) -> Reviewed:
        found = EditEvidence(samples=samples, kinds=kinds, disagreement=0.18)
        model = replace(planted_model(TRUE_SHIFT), facts={EVIDENCE: {"pair": found.model_dump(mode="json")}})
        comparisons = planted_comparisons[: 2 if held_out else 1]
        review = review_model(model, comparisons, {"source": comparisons[0].source}, None, {"name": "planted"})
        # The planted network is wired by hand and returns little; that is not what is looked at here.
        review = replace(review, reconstruction=review.reconstruction.assign(explained=0.98))
        gates = measure_gates(review, model, comparisons, LIKE, config or GateConfig())
        return replace(review, gates=gates), {gate.name: gate for gate in gates}

    return make


def first_sentence(review: Review) -> str:
    return review.decision.why.split(": ")[0]


def test_unknown_is_never_green_though_all_else_passes(reviewed: Callable[..., Reviewed]) -> None:
    review, gates = reviewed(ONE, config=GateConfig(expected_error=99, quantile_map=99))
    assert {gate.outcome for name, gate in gates.items() if name not in UNKNOWN} == {"pass"}
    assert (gates["expected_error"].outcome, gates["expected_error"].tone) == ("not measured", "amber")
    assert (joint_tone(review.gates), review.decision.tone) == ("amber", "amber")
    assert review.decision.headline.startswith(
        "◆ Do not use it yet on events like those that it was learned on: measure"
    )
    assert first_sentence(review) == "Unknown whether the edit carries over"
    told = "To know, measure some that it is for after the change, too (as drug = yes)"
    assert review.decision.remedy.startswith(told)


def test_unknown_is_not_promoted_without_an_override(reviewed: Callable[..., Reviewed]) -> None:
    review, _ = reviewed(ONE)
    standing = Standing.from_tags(
        review_tags("d", review.gates, review.decision.sentence, "now") | {"neuronedit.digest": "d"}
    )
    assert "expected_error" in standing.blocking
    assert "expected_error" not in standing.against_use  # it may be used, with a warning


def test_samples_left_out_that_agree_are_green_without_any_truth(reviewed: Callable[..., Reviewed]) -> None:
    review, gates = reviewed(ALIKE)
    assert {name: (gate.outcome, gate.tone) for name, gate in gates.items()} == dict.fromkeys(GATES, ("pass", "green"))
    assert review.decision.headline == "▲ Use it on events like those that it was learned on."
    assert first_sentence(review) == "Estimated, not measured"
    assert gates["expected_error"].value == pytest.approx((0.25 + 0.125) / 2)
    assert gates["quantile_map"].value == pytest.approx((0.25 + 0.125) / 2 - 0.5)
    assert gates["quantile_map"].reason.startswith("samples left out of 'pair': nearer to the truth than by the per-")


@pytest.mark.parametrize("samples", [APART, TWO], ids=["apart", "two"])
def test_an_estimate_whose_interval_reaches_1_is_not_green(samples, reviewed: Callable[..., Reviewed]) -> None:
    review, gates = reviewed(samples)
    assert (gates["expected_error"].outcome, gates["expected_error"].tone) == ("pass", "amber")
    assert review.decision.headline.endswith(", with care.")
    assert "so doing nothing may be better. To know, measure" in gates["expected_error"].reason


def test_an_estimate_worse_than_nothing_fails(reviewed: Callable[..., Reviewed]) -> None:
    _, gates = reviewed(USELESS)
    assert (gates["expected_error"].outcome, gates["expected_error"].tone) == ("fail", "red")


def test_a_threshold_that_lets_harm_pass_does_not_make_it_pass(reviewed: Callable[..., Reviewed]) -> None:
    _, gates = reviewed(USELESS, config=GateConfig(expected_error=99, quantile_map=99))
    assert (gates["expected_error"].outcome, gates["expected_error"].tone) == ("overridden", "red")
    assert gates["expected_error"].text.startswith("overridden 1.05 <= 99 (default 0.9): ")


def test_held_out_truth_is_the_highest_level(reviewed: Callable[..., Reviewed]) -> None:
    review, gates = reviewed(ONE, held_out=True)
    assert first_sentence(review) == "Measured"
    assert (gates["expected_error"].outcome, gates["expected_error"].tone) == ("pass", "green")
    assert review.known[0].remedy == ""


def test_a_held_out_sample_does_not_silence_samples_that_say_otherwise(reviewed: Callable[..., Reviewed]) -> None:
    _, gates = reviewed(USELESS, held_out=True)
    assert gates["expected_error"].outcome == "fail"
    assert gates["expected_error"].reason.startswith("expected extrapolation error of the edit 'pair'; 0 is noise")


def test_the_page_has_a_row_for_each_sample_and_kind_left_out(reviewed: Callable[..., Reviewed]) -> None:
    review, _ = reviewed(ALIKE, kinds=left_out(0.4, 0.5))
    table = review_tables(review)["evidence"]
    assert table["name"].tolist() == ["P1", "P2", "P3", "P1", "P2"]
    assert table["emd"].tolist() == [0.2, 0.25, 0.3, 0.4, 0.5]
    page = render_page(review)
    assert page.index("Estimated, not measured: fitted without each of 3") < page.index("<table")
    assert "pair, kinds of cell: fitted without each of 2" in page
    assert "differ by 18.0% of the change" in page
    assert 'download="evidence.csv"' in page


def test_a_page_without_samples_left_out_says_why_and_has_no_empty_table(reviewed: Callable[..., Reviewed]) -> None:
    page = render_page(reviewed(ONE)[0])
    assert "source and target have 1, &#39;P1&#39;, in common" in page
    assert 'download="evidence.csv"' not in page


def test_a_page_tells_that_it_rests_on_less_than_the_review_before(reviewed: Callable[..., Reviewed]) -> None:
    review, _ = reviewed(ALIKE)
    told = HeldOutEvidence((), ("donor 1", "donor 2")).sentence
    assert told == "what an earlier review looked at is not in the last one: 'donor 1', 'donor 2'."
    assert ("▲ Use it on" in render_page(review), 'class="decision green"' in render_page(review)) == (True, True)
    page = render_page(replace(review, lost=told))
    assert "▲ Use it" not in page
    assert 'class="decision red"' in page
    assert "▼ Do not use it on" in page
    assert "What an earlier review looked at is not in the last one: &#39;donor 1" in page
