import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from neuronedit.cells.design import PairDesign
from neuronedit.edits.left_out import LeftOutErrors
from neuronedit.measures.evidence import judge_knowledge
from neuronedit.model.edit_model import EditModel
from neuronedit.model.expected_error import expected_extrapolation_errors
from neuronedit.model.gates import GATES, Gate, GateConfig
from neuronedit.review.page.gate_measures import (
    largest_error,
    least_explained,
    measure_gates,
)
from neuronedit.review.page.model_facts import model_facts
from neuronedit.review.page.report import Review
from neuronedit.review.page.review_model import known_of, review_model
from neuronedit.review.transfer.transfer import Comparison
from tests.review.planted import TRUE_SHIFT, planted_events

GOOD, BAD = TRUE_SHIFT, -2 * TRUE_SHIFT
DEFAULTS = GateConfig()


@pytest.fixture(scope="module")
def gates_of(
    planted_model: Callable[[np.ndarray], EditModel],
    planted_comparisons: list[Comparison],
    review_of: Callable[[np.ndarray], Review],
) -> Callable[..., dict[str, Gate]]:
    """Measures the planted model that adds a shift; populations are those to be edited."""

    def measure(shift, populations=None, comparisons=planted_comparisons, config=DEFAULTS, **changes):
        model = replace(planted_model(shift), **changes)
        gates = measure_gates(review_of(shift), model, comparisons, populations or {}, config)
        assert [gate.name for gate in gates] == list(GATES)
        return {gate.name: gate for gate in gates}

    return measure


def test_the_true_edit_passes_and_its_opposite_fails_on_held_out_events(gates_of: Callable[..., dict]) -> None:
    good, bad = gates_of(GOOD), gates_of(BAD)
    for name in ("expected_error", "quantile_map"):
        assert good[name].outcome == "pass", good[name].text
        assert bad[name].outcome == "fail", bad[name].text
    # Thrice the shift away instead of on the spot: three times as bad as doing nothing by EMD, more by energy.
    assert bad["expected_error"].value > 2.5
    assert bad["expected_error"].reason == (
        f"Measured: on donor <2> (held out) the edit leaves {bad['expected_error'].value:.2f} of what there is to "
        "correct (0 is noise, 1 is doing nothing)."
    )
    assert "donor <2>: further from the truth than by the per-marker quantile map, by" in bad["quantile_map"].reason


def test_the_review_carries_its_gates_as_a_table(
    gates_of: Callable[..., dict], review_of: Callable[..., Review]
) -> None:
    gates = tuple(gates_of(GOOD).values())
    table = replace(review_of(GOOD), gates=gates).gate_table()
    assert table["gate"].tolist() == list(GATES)
    assert table.loc[table["gate"] == "reconstruction", "rule"].item() == "at least"
    assert set(table["tone"]) <= {"green", "amber", "red"}
    assert review_of(GOOD).gate_table().empty


def unmeasured(review: Review) -> Review:
    """The same review, without its held-out comparison."""
    design = PairDesign(source={"drug": "no"}, target={"drug": "yes"})
    known = judge_knowledge(["pair"], design, {}, {})
    return replace(review, methods=review.methods.query("kind == 'training pair'"), known=known)


def test_without_held_out_events_nothing_is_known_of_them(
    gates_of: Callable[..., dict],
    planted_model: Callable[..., EditModel],
    review_of: Callable[..., Review],
    planted_comparisons: list[Comparison],
) -> None:
    gates = measure_gates(unmeasured(review_of(GOOD)), planted_model(GOOD), planted_comparisons[:1], {}, GateConfig())
    found = {gate.name: gate.text for gate in gates if gate.outcome == "not measured"}
    assert found == {
        "support": "not measured: no population was named that the edits are to be applied to "
        "(held_out, or design.extrapolation)",
        "expected_error": "not measured: Unknown whether the edit carries over: it was trained by a neuronedit that "
        "did not look for it. To know, measure some that it is for after the change, too (as drug = yes), and hold "
        "them out (held_out_source, held_out_target), or learn on several samples that source and target both have "
        "(design.sample_column).",
        "quantile_map": "not measured: no sample was held out, so nothing is known of events that the edit was not "
        "fitted on",
    }


def test_a_threshold_that_is_looser_than_the_default_does_not_make_a_gate_pass(gates_of: Callable[..., dict]) -> None:
    far = {"extrapolation": planted_events(400, 10, 6.0)}
    reach = gates_of(GOOD, far)["support"].value
    loosened = gates_of(GOOD, far, config=GateConfig(support=2 * reach))["support"]
    assert (loosened.outcome, loosened.value) == ("overridden", reach)
    assert loosened.text.startswith(f"overridden {reach:.3g} <= {2 * reach:g} (default 3): ")


def test_a_new_kind_of_cell_far_away_fails_support_and_one_that_is_like_the_source_does_not(
    gates_of: Callable[..., dict],
) -> None:
    like, far = planted_events(400, 9), planted_events(400, 10, 6.0)
    near = gates_of(GOOD, {"extrapolation": like})["support"]
    assert (near.outcome, near.value) == ("pass", 0.0)
    assert "The source has events like these" in near.reason
    away = gates_of(GOOD, {"extrapolation": far})["support"]
    assert away.outcome == "fail"
    assert away.value > 5  # 6 arcsinh units away, and the target is 0.6 in the mean
    assert away.reason.startswith("extrapolation: Do not trust the edit here")


def test_events_unlike_the_source_pass_where_their_truth_says_that_the_edit_helps(
    planted_model: Callable[[np.ndarray], EditModel], planted_comparisons: list[Comparison]
) -> None:
    """The shift is the same 6 units away: the support flags these events, the truth does not."""
    far = replace(
        planted_comparisons[1],
        events=planted_events(800, 4, 6.0),
        truth=planted_events(800, 5, 6.0 + TRUE_SHIFT),
        cells="cell_type = far",
    )
    gates = {}
    for shift in (GOOD, BAD):
        model = planted_model(shift)
        review = review_model(model, [planted_comparisons[0], far], {"source": far.source}, None, {})
        gates[shift is GOOD] = {each.name: each for each in measure_gates(review, model, [far], {}, DEFAULTS)}
    helps, harms = gates[True]["support"], gates[False]["support"]
    assert (helps.outcome, helps.value) == ("pass", 0.0)
    assert re.fullmatch(
        r"cell_type = far \(held out\): \d+% of the events are unlike the source's, but the measured truth says that "
        r"the edit helps there\.",
        helps.reason,
    )
    assert harms.outcome == "fail"
    assert harms.reason.startswith("cell_type = far (held out): Do not trust the edit here")


def test_a_batchs_extrapolation_is_held_against_its_own_edit(
    planted_model: Callable[..., EditModel], gates_of: Callable[..., dict]
) -> None:
    edit = planted_model(GOOD).edits["pair"]
    populations = {"extrapolation B": planted_events(400, 10, 6.0)}
    gates = gates_of(GOOD, populations, comparisons=[], edits={"A": edit, "B": edit})
    assert gates["support"].reason.startswith("extrapolation B: Do not trust the edit here")


def with_errors(model: EditModel, errors: LeftOutErrors) -> EditModel:
    return replace(model, edits={"pair": replace(model.edits["pair"], errors=errors)})


ERRORS = LeftOutErrors(within=0.1, left_out=1.2)


@pytest.mark.parametrize("unsupported", [0.0, 0.5, 1.0])
def test_the_expected_extrapolation_error_is_the_number_that_the_models_facts_have(
    planted_model: Callable[..., EditModel], review_of: Callable[..., Review], unsupported: float
) -> None:
    judged = {"pair": {"unsupported": unsupported, "sentence": "like the source"}}
    model = replace(with_errors(planted_model(GOOD), ERRORS), facts={"extrapolation": judged})
    expected = expected_extrapolation_errors(model.edits, judged, {})["pair"]
    assert expected == pytest.approx(0.1 * (1 - unsupported) + 1.2 * unsupported)
    known = unmeasured(review_of(GOOD)).known
    too_large = expected, "expected extrapolation error of the edit 'pair'; 0 is noise, 1 is doing nothing."
    # That one sample lets expect a small error does not tell of another; that it lets expect a large one, does.
    assert largest_error(model, known, 0.9) == (too_large if expected > 0.9 else (None, known[0].told()))
    told = f"expected extrapolation error at least {expected:.2f} (0 is noise, 1 is doing nothing)"
    assert model_facts(model)["error of pair"] == (
        f"{told}, on the events named to be edited: it comes from one sample, and what another adds is not known"
    )


def test_where_no_error_is_expected_the_reason_is_told(
    planted_model: Callable[..., EditModel], review_of: Callable[..., Review]
) -> None:
    model = planted_model(GOOD)
    alike = LeftOutErrors(float("nan"), float("nan"), alike=True)
    idle = replace(model.edits["pair"], members=(), errors=alike)  # an edit that does nothing errs in nothing
    value, reason = largest_error(replace(model, edits={"pair": idle}), (), 0.9)
    assert value is None
    assert reason == (
        "the edit 'pair' does nothing (no edit: source and target are no further apart than two halves of the target "
        "are; more events would tell more; a plan given by name (edit.preset) is applied in any case)"
    )
    few = with_errors(model, replace(ERRORS, within=float("nan")))
    assert model_facts(few)["error of pair"].endswith("the edit 'pair' has too few events to leave some out")


def test_the_population_returned_least_well_decides() -> None:
    table = pd.DataFrame({"population": ["a", "b", "c"], "explained": [0.9, 0.4, float("nan")]})
    assert least_explained(table) == (0.4, "the autoencoder returns 40% of the variance of b, the least of all.")
    assert least_explained(table[2:]) == (None, "no population has any variance")


def test_a_gap_below_the_noise_is_measured_in_units_of_the_noise(
    planted_model: Callable[..., EditModel],
    review_of: Callable[..., Review],
    planted_comparisons: list[Comparison],
) -> None:
    rows = review_of(GOOD).methods.query("kind == 'held out'").copy()
    scores = {"no edit": 0.0501, "neuronedit": 0.06, "noise floor": 0.05}
    for column in ("emd", "energy"):
        rows[column] = rows["method"].map(scores).fillna(0.06)
    known = known_of(planted_model(GOOD), planted_comparisons, rows)
    assert largest_error(planted_model(GOOD), known, 0.9)[0] == pytest.approx(0.01 / 0.05)
