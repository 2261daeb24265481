import json

import numpy as np
import pytest

from neuronedit.edits.auto import CANDIDATES, MIN_WEIGHT, PlanChoice, _weights, choose, error_within
from neuronedit.edits.baselines import NO_EDIT
from neuronedit.edits.edit import AUTO, fit_edit
from neuronedit.edits.left_out import Fold, blended_error, half_folds, left_out_folds, try_plans
from neuronedit.edits.steps import EditStep, Fitting
from neuronedit.network.autoencoder import Architecture, Autoencoder

N_MARKERS = 4
ZEROS = np.full(N_MARKERS, -99, np.float32)


def kinds(n_events: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three kinds of cell, and the kind of each event."""
    rng = np.random.default_rng(seed)
    of = rng.integers(0, 3, n_events)
    centres = np.array([[0, 0, 0, 0], [4, 0, 2, 0], [0, 4, 0, 2]])
    return (centres[of] + rng.normal(size=(n_events, N_MARKERS))).astype(np.float32), of


@pytest.fixture(scope="module")
def network() -> Autoencoder:
    return Autoencoder(N_MARKERS, Architecture(hidden=(16,), code=8), seed=0).eval().requires_grad_(False)


@pytest.fixture
def two_candidates(monkeypatch) -> None:
    """Time is short; all candidates are tried once, for a shift of one kind."""
    few = {name: CANDIDATES[name] for name in ("quantile-map", "neurons-strata")}
    monkeypatch.setattr("neuronedit.edits.auto.CANDIDATES", few)


def test_left_out_strata_are_those_of_both_populations(network):
    (source, of_source), (target, of_target) = kinds(900, 0), kinds(800, 1)
    folds = left_out_folds(source, target + 3, seed=0)
    assert len(folds) >= 3
    for fold in folds:
        out_source, out_target = of_source[~fold.source], of_target[~fold.target]
        commonest = np.bincount(out_source).argmax()
        # A constant shift of all markers does not confuse the strata; kinds overlap a little.
        assert (out_source == commonest).mean() > 0.8
        assert (out_target == commonest).mean() > 0.8


def test_folds_too_small_to_score_are_left_out():
    source, target = kinds(120, 0)[0], kinds(120, 1)[0]
    assert half_folds(source[:90], target, 0) == []
    assert all(fold.large_enough for fold in left_out_folds(source, target, 0))


def test_a_constant_shift_carries_over_to_populations_left_out(network):
    source, target = kinds(900, 0)[0], kinds(900, 1)[0] + np.float32([1, 0, -1, 0])
    plans = {"quantile-map": CANDIDATES["quantile-map"], "nothing": ()}
    trials = try_plans(network, plans, source, target, left_out_folds(source, target, 0), Fitting())
    assert blended_error(trials, {"quantile-map": 1.0}, 0) < 0.3
    assert blended_error(trials, {"nothing": 1.0}, 0) == pytest.approx(1)


def test_a_shift_of_one_kind_only_is_not_expected_to_carry_over(network):
    source, (target, of_target) = kinds(1500, 0)[0], kinds(1500, 1)
    target = target + np.where(of_target[:, None] == 1, np.float32([0, 0, 0, 3]), np.float32(0))
    edit = fit_edit("x", (network,), AUTO, source, target, zeros=ZEROS)
    assert edit.choice.left_out_error > edit.choice.within_error + 0.3


def test_without_folds_nothing_is_known():
    assert np.isnan(blended_error([], {"strata": 1.0}, 0))


def test_a_fold_fits_on_its_events_and_their_labels_only():
    fitting = Fitting(seed=3, target_weights=np.arange(4.0), labels=(np.array(list("aab")), np.array(list("bbaa"))))
    part = fitting.subset(np.array([True, False, True]), np.array([False, True, True, False]))
    assert part.target_weights.tolist() == [1, 2]
    assert [labels.tolist() for labels in part.labels] == [["a", "b"], ["b", "a"]]
    assert part.seed == 3


def test_weights_follow_errors_and_leave_out_what_hardly_counts():
    weights = _weights({"good": 0.2, "near": 0.21, "poor": 0.6, "unknown": float("nan")})
    assert set(weights) == {"good", "near"}
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["good"] > weights["near"] > MIN_WEIGHT


def test_where_there_is_nothing_to_learn_doing_nothing_is_the_choice(network, two_candidates):
    # One population twice: whatever an edit does is noise.
    source = kinds(400, 0)[0]
    edit = fit_edit("x", (network,), AUTO, source, source.copy(), zeros=ZEROS)
    assert edit.choice.weights == {NO_EDIT: 1.0}
    assert edit.summary == (
        "no edit: source and target are no further apart than two halves of the target are; more events would tell "
        "more, and a plan given by name (edit.preset) is applied in any case"
    )
    assert edit.expected_error() == 1
    events = kinds(100, 2)[0]
    assert edit.apply((network,), events) is events


def test_the_choice_is_the_same_for_the_same_seed(network, two_candidates):
    source, target = kinds(500, 0)[0], kinds(500, 1)[0] * 1.5
    first, second = (choose(network, source, target, Fitting(seed=5)) for _ in range(2))
    assert first == second


def test_a_choice_is_said_in_words():
    choice = PlanChoice({"strata": 1.0}, {}, left_out_error=0.8, within_error=0.1, without_neurons_error=0.9)
    assert choice.neurons_contribution == pytest.approx(0.1)
    assert choice.carries_over
    assert choice.winner == "strata"
    assert choice.summary == (
        "strata 100%; error 0.10 on other events of source and target, 0.80 on kinds of cell left out; editing neurons "
        "lowers the latter by 0.10"
    )


def test_no_edit_is_said_in_words():
    choice = PlanChoice({NO_EDIT: 1.0}, {}, float("nan"), 1.3, float("nan"))
    assert choice.summary == (
        "no edit: doing nothing scores better (error 1.30 on other events of source and target, 1 is nothing)"
    )


def test_errors_that_were_not_measured_are_said_and_never_shown_as_nan():
    choice = PlanChoice({"strata": 1.0}, {}, float("nan"), 0.1, float("nan"))
    assert not choice.carries_over
    assert choice.summary == (
        "strata 100%; error 0.10 on other events of source and target, not measured on kinds of cell left out (no "
        "stratum is large enough)"
    )
    assert "nan" not in PlanChoice({"strata": 1.0}, {}, float("nan"), float("nan"), float("nan")).summary


def test_the_error_of_a_plan_that_was_given_is_measured_on_other_events(network):
    source, plan = kinds(900, 0)[0], CANDIDATES["quantile-map"]
    assert error_within(network, plan, source, kinds(900, 1)[0] + 1, Fitting()) < 0.2
    assert not error_within(network, plan, source, source.copy(), Fitting()) < 1
    assert error_within(network, plan, source[:80], source[:80] + 1, Fitting()) is None


def test_facts_restore_a_choice_and_hold_no_nan():
    choice = PlanChoice({"strata": 1.0}, {"strata": 0.1, "transport": float("nan")}, float("nan"), 0.1, float("nan"))
    facts = json.loads(json.dumps(choice.facts(), allow_nan=False))
    assert PlanChoice.from_facts(facts).facts() == facts
    assert np.isnan(PlanChoice.from_facts(facts).left_out_error)


def test_folds_know_their_masks():
    few, many = np.array([True] * 10), np.arange(200) % 2 == 0
    assert not Fold(few, many).large_enough
    assert Fold(many, many).large_enough


def test_every_candidate_is_a_plan():
    assert all(isinstance(step, EditStep) for plan in CANDIDATES.values() for step in plan)
    assert any(step.latent for plan in CANDIDATES.values() for step in plan)


def test_a_choice_made_before_is_fitted_again_without_a_new_one(network):
    source, target = kinds(900, 0)[0], kinds(900, 1)[0] + np.float32([1, 0, -1, 0])
    chosen = PlanChoice({"quantile-map": 0.75, "neurons-strata": 0.25}, {}, 0.1, 0.1, 0.1)
    edit = fit_edit("x", (network,), AUTO, source, target, zeros=ZEROS, choice=chosen)
    assert edit.choice is chosen
    assert [(member.plan, member.weight) for member in edit.members] == [*chosen.weights.items()]
    given = fit_edit("x", (network,), CANDIDATES["quantile-map"], source, target, zeros=ZEROS, choice=chosen)
    assert given.choice is None, "a plan that was given is not chosen"
