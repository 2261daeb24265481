import json
from dataclasses import replace

import numpy as np
import pytest

from neuronedit.edits.edit import fit_edit
from neuronedit.edits.folds import Fold, half_folds, left_out_folds
from neuronedit.edits.left_out import LeftOutErrors, blended_error, measure_errors, try_plans
from neuronedit.edits.operators.table import Fitting
from neuronedit.edits.plans import DEFAULT, PRESETS, QUANTILE_MAP
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
    plans = {"quantile-map": QUANTILE_MAP, "nothing": ()}
    trials = try_plans(network, plans, source, target, left_out_folds(source, target, 0), Fitting())
    assert blended_error(trials, {"quantile-map": 1.0}, 0) < 0.3
    assert blended_error(trials, {"nothing": 1.0}, 0) == pytest.approx(1)


def test_a_shift_of_one_kind_only_is_not_expected_to_carry_over(network):
    source, (target, of_target) = kinds(1500, 0)[0], kinds(1500, 1)
    target = target + np.where(of_target[:, None] == 1, np.float32([0, 0, 0, 3]), np.float32(0))
    errors = measure_errors(network, DEFAULT, source, target, Fitting())
    assert errors.left_out > errors.within + 0.3


def test_without_folds_nothing_is_known():
    assert np.isnan(blended_error([], {"strata": 1.0}, 0))


def test_a_fold_fits_on_its_events_and_their_labels_only():
    fitting = Fitting(seed=3, target_weights=np.arange(4.0), labels=(np.array(list("aab")), np.array(list("bbaa"))))
    part = fitting.subset(np.array([True, False, True]), np.array([False, True, True, False]))
    assert part.target_weights.tolist() == [1, 2]
    assert [labels.tolist() for labels in part.labels] == [["a", "b"], ["b", "a"]]
    assert part.seed == 3


def test_where_there_is_nothing_to_learn_the_default_does_nothing(network):
    # One population twice: whatever an edit does is noise.
    source = kinds(400, 0)[0]
    edit = fit_edit("x", (network,), DEFAULT, source, source.copy(), zeros=ZEROS, measured=True)
    assert edit.errors.alike
    edit = edit.as_measured("measured")
    assert edit.summary == (
        "no edit: source and target are no further apart than two halves of the target are; more events would tell "
        "more; a plan given by name (edit.preset) is applied in any case"
    )
    assert edit.expected_error() == 1
    events = kinds(100, 2)[0]
    assert edit.apply((network,), events) is events


@pytest.mark.parametrize(("beyond", "shrinks"), [("measured", True), ("edit", False), ("shrink", True)])
def test_what_does_not_carry_over_shrinks_beyond_the_support(network, beyond, shrinks):
    source = kinds(300, 0)[0]
    edit = fit_edit("x", (network,), QUANTILE_MAP, source, source + 1, zeros=ZEROS)
    assert edit.as_measured(beyond) is edit, "nothing was measured"
    worse = replace(edit, errors=LeftOutErrors(within=0.2, left_out=1.1))
    assert worse.as_measured(beyond).shrinks == shrinks
    assert worse.as_measured(beyond).members
    better = replace(edit, errors=LeftOutErrors(within=0.2, left_out=0.9))
    assert better.as_measured(beyond).shrinks == (beyond == "shrink")


def test_errors_are_the_same_for_the_same_seed(network):
    source, target = kinds(500, 0)[0], kinds(500, 1)[0] * 1.5
    first, second = (measure_errors(network, DEFAULT, source, target, Fitting(seed=5)) for _ in range(2))
    assert first == second


def test_what_neurons_add_is_measured_where_a_plan_has_both(network):
    source, target = kinds(600, 0)[0], kinds(600, 1)[0] * 1.5
    contributions = {
        name: measure_errors(network, PRESETS[name], source, target, Fitting()).neurons_contribution
        for name in ("trained", "quantile-map", "paper")
    }
    assert [name for name, number in contributions.items() if np.isfinite(number)] == ["trained"]


def test_errors_are_said_in_words():
    errors = LeftOutErrors(within=0.1, left_out=0.8, without_neurons=0.9)
    assert errors.neurons_contribution == pytest.approx(0.1)
    assert errors.carries_over
    assert errors.sentence == (
        "error 0.10 on other events of source and target, 0.80 on kinds of cell left out; editing neurons lowers the "
        "latter by 0.10"
    )


def test_errors_that_were_not_measured_are_said_and_never_shown_as_nan():
    errors = LeftOutErrors(within=0.1, left_out=float("nan"))
    assert not errors.carries_over
    assert errors.sentence == (
        "error 0.10 on other events of source and target, not measured on kinds of cell left out (no stratum is large "
        "enough)"
    )
    assert "nan" not in LeftOutErrors(float("nan"), float("nan")).sentence


def test_too_few_events_to_leave_some_out_say_nothing(network):
    source, plan = kinds(900, 0)[0], QUANTILE_MAP
    assert measure_errors(network, plan, source, kinds(900, 1)[0] + 1, Fitting()).within < 0.2
    same = measure_errors(network, plan, source, source.copy(), Fitting())
    assert same.nothing_to_learn
    few = measure_errors(network, plan, source[:80], source[:80] + 1, Fitting())
    assert (few.alike, np.isnan(few.within), few.nothing_to_learn) == (False, True, "")


def test_facts_restore_errors_and_hold_no_nan():
    errors = LeftOutErrors(within=0.1, left_out=float("nan"), alike=False)
    facts = json.loads(json.dumps(errors.facts(), allow_nan=False))
    assert LeftOutErrors.from_facts(facts).facts() == facts
    assert np.isnan(LeftOutErrors.from_facts(facts).left_out)


def test_folds_know_their_masks():
    few, many = np.array([True] * 10), np.arange(200) % 2 == 0
    assert not Fold(few, many).large_enough
    assert Fold(many, many).large_enough
