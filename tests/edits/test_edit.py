from dataclasses import replace

import numpy as np
import pytest

from neuronedit.edits.edit import fit_edit
from neuronedit.edits.operators.percentiles import percentiles
from neuronedit.edits.operators.table import EditStep, Fitting
from neuronedit.edits.plans import NEURONS_THEN_MARKERS, PRESETS
from neuronedit.edits.steps import apply_steps
from neuronedit.errors import ModelError
from neuronedit.network.autoencoder import Architecture, Autoencoder
from tests.arrays import of_arrays
from tests.plans import EVERY_KIND

ZEROS = np.full(5, -99, np.float32)


@pytest.fixture
def source(rng):
    return rng.normal(size=(400, 5)).astype(np.float32)


@pytest.fixture
def target(rng):
    return (rng.gamma(2, size=(300, 5)) + 1).astype(np.float32)


@pytest.fixture
def networks():
    made = [Autoencoder(5, Architecture(hidden=(8, 6), code=3), seed=seed) for seed in (1, 2, 3)]
    return tuple(network.eval().requires_grad_(False) for network in made)


@pytest.fixture
def edit(networks, source, target):
    return fit_edit("pair", networks[:1], NEURONS_THEN_MARKERS, source, target, zeros=ZEROS)


def test_one_plan_of_one_autoencoder_is_its_steps(edit, networks, source):
    assert (edit.apply(networks, source) == apply_steps(edit.members[0].steps, networks[0], source)).all()
    assert edit.summary == "code linear → visible linear"


def test_an_ensemble_makes_the_mean_of_its_members_changes(networks, source, target):
    ensemble = fit_edit("pair", networks, NEURONS_THEN_MARKERS, source, target, zeros=ZEROS)
    assert [member.autoencoder for member in ensemble.members] == [0, 1, 2]
    each = [apply_steps(member.steps, networks[member.autoencoder], source) for member in ensemble.members]
    # float32 sums in another order.
    np.testing.assert_allclose(ensemble.apply(networks, source), np.mean(each, axis=0), atol=1e-5)


def test_an_edit_is_named_by_the_steps_that_were_fitted(networks, source, target):
    plan = (EditStep(layer="visible", from_events=10**6), EditStep(layer="code"))
    edit = fit_edit("pair", networks, plan, source, target, zeros=ZEROS)
    assert {member.plan for member in edit.members} == {"code linear"}
    assert edit.plan == plan[1:]


def test_a_plan_for_more_events_than_there_are_is_refused(networks, source, target):
    plan = (EditStep(layer="visible", from_events=10**6),)
    with pytest.raises(ModelError, match=r"'pair': source has 400 events, target 300; .* expects more \(from_events\)"):
        fit_edit("pair", networks, plan, source, target, zeros=ZEROS)


def test_a_plan_of_markers_alone_needs_one_member(networks, source, target):
    assert len(fit_edit("pair", networks, PRESETS["quantile-map"], source, target, zeros=ZEROS).members) == 1


def test_strength_goes_a_part_of_the_way(edit, networks, source):
    whole = edit.apply(networks, source)
    half = edit.apply(networks, source, strength=0.5)
    np.testing.assert_allclose(half, (source + whole) / 2, atol=1e-6)
    assert edit.apply(networks, source, strength=0.0).tobytes() == source.tobytes()


def test_beyond_the_support_the_change_shrinks_where_it_is_told_to(edit, networks, source):
    shrinking = replace(edit, shrinks=True)
    far = source[:20] + 50
    assert shrinking.apply(networks, far).tobytes() == far.tobytes()
    near = source[of_arrays(shrinking.support.scores, source) < 1]
    assert shrinking.apply(networks, near).tobytes() == edit.apply(networks, near).tobytes()


def test_a_change_that_was_not_measured_to_carry_over_stays_where_the_plan_was_given(edit):
    assert not edit.shrinks


def test_an_events_bits_do_not_depend_on_the_events_beside_it(edit, networks, source):
    shrinking = replace(edit, shrinks=True)
    mixed = np.concatenate([source[:10], source[:10] + 50])
    # A matrix product this narrow sums in an order that depends on the number of rows: last bits of float32.
    np.testing.assert_allclose(shrinking.apply(networks, mixed)[:10], shrinking.apply(networks, source[:10]), atol=1e-5)


def test_beyond_all_percentiles_the_output_is_bounded_by_the_event_and_a_shift_that_was_seen(networks, source, target):
    for name, plan in EVERY_KIND.items():
        fitted = fit_edit("pair", networks[:1], plan, source, target, zeros=ZEROS)
        far = np.float32([[1e6] * 5, [-1e6] * 5])
        # float32 at a million has steps of 1/16.
        assert np.abs(fitted.apply(networks, far) - far).max() < np.ptp(np.concatenate([source, target])) + 0.1, name


def test_zeros_stay_zeros_and_keep_their_share(networks, rng):
    zeros = np.full(5, -1, np.float32)
    source = np.maximum(rng.normal(size=(600, 5)), -1 + 0.4).astype(np.float32)
    source[source == np.float32(-0.6)] = -1
    target = source + np.float32(0.8)
    target[target < 0.8] = -1
    edit = fit_edit("pair", networks, PRESETS["quantile-map"], source, target, zeros=zeros)
    edited = edit.apply(networks, source)
    shares = [(events == -1).mean(axis=0) for events in (edited, target)]
    np.testing.assert_allclose(*shares, atol=0.02)  # 101 percentiles
    assert edited.min() == -1
    assert not ((edited > -1) & (edited < -0.95)).any()


def test_the_papers_edit_keeps_no_zeros(networks, source, target):
    source[:100] = 0
    edit = fit_edit("pair", networks, PRESETS["paper"], source, target, zeros=np.zeros(5, np.float32))
    assert np.isnan(edit.spikes.zeros).all()


def test_weights_and_labels_reach_the_steps(networks, rng, source):
    target = np.concatenate([source + 1, source + 9])
    weights = np.repeat([1.0, 0.0], len(source))
    edit = fit_edit(
        "pair",
        networks,
        PRESETS["quantile-map"],
        source,
        target,
        zeros=ZEROS,
        fitting=Fitting(target_weights=weights),
    )
    np.testing.assert_allclose(edit.apply(networks, source) - source, 1, atol=0.2)
    assert edit.target_percentiles.max() < 9


def test_an_edit_knows_its_targets_percentiles_as_measured(networks, source, target):
    target[:60] = -99  # of 300 events: exactly zero, not spread below it
    edit = fit_edit("pair", networks, PRESETS["quantile-map"], source, target, zeros=ZEROS)
    assert edit.target_percentiles.tobytes() == percentiles(target).tobytes()
    assert (edit.target_percentiles[:20] == -99).all()
