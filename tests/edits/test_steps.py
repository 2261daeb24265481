import numpy as np
import pytest
import torch
from pydantic import ValidationError

from neuronedit.edits.operators.neighbours import NeighbourShift
from neuronedit.edits.operators.percentiles import percentiles
from neuronedit.edits.operators.strata import StrataShift
from neuronedit.edits.operators.table import OPERATORS, EditStep, Fitting
from neuronedit.edits.plans import NEURONS_THEN_MARKERS
from neuronedit.edits.steps import apply_steps, fit_steps
from neuronedit.errors import ConfigError
from neuronedit.network import chunks as chunks_module
from neuronedit.network.chunks import activations
from tests.arrays import of_arrays

STILL_OPERATORS = ("step", "linear", "neighbours", "strata")
"""Those whose shift is nothing where source and target are the same events; a trained network's is near nothing."""

ORDER_OF_SUMS = 1e-3
"""Not the same bits in a network as narrow as this one (see ``chunks.MIN_ROWS``; wider ones: ``test_model``): a product
sums in an order that depends on the number of rows, and on the row.

The last bits of float32 (1e-7) then grow where two percentiles nearly touch, as the edit is steep there, by
up to some hundreds; or another event becomes the tenth neighbour. Edits are of order 1.
"""


@pytest.fixture
def source(rng):
    # 201 events: every percentile of the default 101 is an event, so that knots are met and not passed by.
    return rng.normal(size=(201, 5)).astype(np.float32)


@pytest.fixture
def target(rng):
    return (rng.gamma(2, size=(301, 5)) + 1).astype(np.float32)


@pytest.fixture
def others(rng):
    # Not of the source: no activation *is* a percentile, which its last bit would put in another bin.
    return rng.normal(size=(201, 5)).astype(np.float32)


def plan(layer, operator="linear", form="residual"):
    return (EditStep(layer=layer, operator=operator, form=form, n_neighbours=10),)


def only(step):
    (shift,) = step.shifts.values()
    return shift


def decoded(autoencoder, values, layer):
    with torch.inference_mode():
        return autoencoder.decode(torch.from_numpy(values), layer).numpy()


@pytest.mark.parametrize("operator", STILL_OPERATORS)
@pytest.mark.parametrize("layer", ["visible", "encoder.1", "code", "decoder.2"])
def test_equal_source_and_target_give_the_identity_bit_for_bit(autoencoder, source, rng, layer, operator):
    fitted = fit_steps(autoencoder, plan(layer, operator), source, source.copy())
    others = (rng.normal(size=(50, 5)) * 3).astype(np.float32)
    assert apply_steps(fitted, autoencoder, others).tobytes() == others.tobytes()


def test_a_cascade_of_steps_is_the_identity_too(autoencoder, source):
    steps = [*plan("code", "neighbours"), *plan("decoder.1", "step"), *NEURONS_THEN_MARKERS]
    fitted = fit_steps(autoencoder, steps, source, source.copy())
    assert apply_steps(fitted, autoencoder, source).tobytes() == source.tobytes()


@pytest.mark.parametrize(("from_events", "fitted"), [(201, ["visible", "code"]), (202, ["code"])])
def test_a_step_for_more_events_than_there_are_is_left_out(autoencoder, source, target, from_events, fitted):
    steps = (EditStep(layer="visible", from_events=from_events), EditStep(layer="code"))
    assert [step.plan.layer for step in fit_steps(autoencoder, steps, source, target)] == fitted
    assert [step.plan.layer for step in fit_steps(autoencoder, steps, target, source)] == fitted


def test_after_a_visible_linear_edit_the_source_has_the_targets_percentiles(autoencoder, source, target):
    fitted = fit_steps(autoencoder, plan("visible"), source, target)
    # a + (b - a) in float32, values up to about 10.
    found = percentiles(apply_steps(fitted, autoencoder, source))
    np.testing.assert_allclose(found, percentiles(target), atol=3e-6)


def test_the_default_plan_ends_on_the_targets_percentiles(autoencoder, source, target):
    fitted = fit_steps(autoencoder, NEURONS_THEN_MARKERS, source, target)
    np.testing.assert_allclose(percentiles(apply_steps(fitted, autoencoder, source)), percentiles(target), atol=3e-6)


@pytest.mark.parametrize("operator", ["step", "linear"])
@pytest.mark.parametrize("form", ["residual", "plain"])
def test_a_visible_edit_by_a_constant_shifts_every_event_by_it(autoencoder, rng, operator, form):
    # Multiples of 1/8: sums are exact in float32, so the answer is too.
    source = (rng.integers(-40, 40, size=(201, 5)) / 8).astype(np.float32)
    constant = np.array([1, -0.5, 0, 2, 0.125], dtype=np.float32)
    fitted = fit_steps(autoencoder, plan("visible", operator, form), source, source + constant)
    others = (rng.integers(-400, 400, size=(50, 5)) / 8).astype(np.float32)
    assert (apply_steps(fitted, autoencoder, others) == others + constant).all()


@pytest.mark.parametrize("operator", STILL_OPERATORS)
@pytest.mark.parametrize("layer", ["encoder.2", "code", "decoder.1"])
def test_the_plain_form_decodes_the_edited_activations(autoencoder, source, target, layer, operator):
    fitted = fit_steps(autoencoder, plan(layer, operator, "plain"), source, target)
    before = activations(autoencoder, source, layer)
    expected = decoded(autoencoder, before + of_arrays(only(fitted[0]).shift_at, before), layer)
    assert (apply_steps(fitted, autoencoder, source) == expected).all()


def test_the_residual_form_adds_the_decoded_change(autoencoder, source, target):
    fitted = fit_steps(autoencoder, plan("code"), source, target)
    before = activations(autoencoder, source, "code")
    after = before + of_arrays(only(fitted[0]).shift_at, before)
    change = decoded(autoencoder, after, "code") - decoded(autoencoder, before, "code")
    # The output's product is made of the difference, not the difference of two: values of order 1 in float32.
    np.testing.assert_allclose(apply_steps(fitted, autoencoder, source), source + change, atol=2e-6)
    assert change.any()


def test_each_step_is_fitted_on_the_source_as_the_steps_before_leave_it(autoencoder, source, target):
    fitted = fit_steps(autoencoder, NEURONS_THEN_MARKERS, source, target)
    after_code = apply_steps(fitted[:1], autoencoder, source)
    assert (only(fitted[1]).source_percentiles == percentiles(after_code)).all()
    assert (apply_steps(fitted, autoencoder, source) == apply_steps(fitted[1:], autoencoder, after_code)).all()


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_is_restored_from_its_arrays_bit_for_bit(name, autoencoder, source, target):
    (step,) = plan("code", name)
    shift = only(fit_steps(autoencoder, [step], source, target)[0])
    restored, before = OPERATORS[name].restore(step, shift.arrays()), activations(autoencoder, source, "code")
    assert of_arrays(restored.shift_at, before).tobytes() == of_arrays(shift.shift_at, before).tobytes()


def test_a_steps_help_lists_every_operator_and_it_has_the_options_that_they_read():
    described = EditStep.model_fields["operator"].description
    for name, operator in OPERATORS.items():
        assert f"{name}: {operator.meaning}" in described
        assert set(operator.options) <= set(EditStep.model_fields)
    with pytest.raises(ValidationError, match="'step', 'linear', 'neighbours', 'strata', 'transport' or 'trained'"):
        EditStep(operator="linaer")


def test_the_neighbours_operator_averages_linear_shifts(autoencoder, source, target):
    linear = only(fit_steps(autoencoder, plan("code"), source, target)[0])
    shift = only(fit_steps(autoencoder, plan("code", "neighbours"), source, target)[0])
    assert isinstance(shift, NeighbourShift)
    assert (shift.shifts == of_arrays(linear.shift_at, shift.landmarks)).all()


def test_the_strata_operator_tells_as_many_strata_apart_as_asked_for(autoencoder, source, target):
    steps = [EditStep(operator="strata", n_strata=3)]
    shift = only(fit_steps(autoencoder, steps, source, target, Fitting(21))[0])
    assert isinstance(shift, StrataShift)
    assert [stratum.source_percentiles.shape for stratum in shift.strata] == [(21, 3)] * 3


@pytest.mark.parametrize("n_percentiles", [3, 21])
def test_the_number_of_percentiles_is_the_one_asked_for(autoencoder, source, target, n_percentiles):
    fitted = fit_steps(autoencoder, plan("code"), source, target, Fitting(n_percentiles))
    assert only(fitted[0]).source_percentiles.shape == (n_percentiles, 3)


@pytest.mark.parametrize(
    "steps",
    [
        plan("code", "step"),
        (*plan("code"), *plan("visible")),
        (*plan("code", "neighbours"), *plan("visible")),
        (*plan("code", "strata"), *plan("visible")),
    ],
    ids=STILL_OPERATORS,
)
def test_chunks_give_what_the_whole_gives(autoencoder, source, target, others, steps, monkeypatch):
    fitted = fit_steps(autoencoder, steps, source, target)
    whole = apply_steps(fitted, autoencoder, others)
    parts = np.concatenate([apply_steps(fitted, autoencoder, part) for part in np.array_split(others, 5)])
    monkeypatch.setattr(chunks_module, "CHUNK", 64)
    chunked = apply_steps(fitted, autoencoder, others)
    np.testing.assert_allclose(parts, whole, atol=ORDER_OF_SUMS)
    np.testing.assert_allclose(chunked, whole, atol=ORDER_OF_SUMS)


@pytest.mark.parametrize("operator", ["step", "linear", "strata"])
def test_chunks_of_a_visible_edit_give_the_same_bits(autoencoder, source, target, operator, monkeypatch):
    # No matrix product: each event is edited by itself.
    fitted = fit_steps(autoencoder, plan("visible", operator), source, target)
    whole = apply_steps(fitted, autoencoder, source)
    monkeypatch.setattr(chunks_module, "CHUNK", 64)
    assert apply_steps(fitted, autoencoder, source).tobytes() == whole.tobytes()


@pytest.mark.parametrize("operator", ["linear", "neighbours", "strata"])
def test_the_order_of_events_does_not_matter(autoencoder, source, target, others, rng, operator):
    fitted = fit_steps(autoencoder, (*plan("code", operator), *plan("visible")), source, target)
    order = rng.permutation(len(others))
    shuffled = apply_steps(fitted, autoencoder, others[order])
    np.testing.assert_allclose(shuffled, apply_steps(fitted, autoencoder, others)[order], atol=ORDER_OF_SUMS)


def test_fitting_does_not_depend_on_the_order_of_events(autoencoder, source, target, rng):
    fitted = fit_steps(autoencoder, plan("visible"), source, target)
    shuffled = fit_steps(autoencoder, plan("visible"), rng.permutation(source), rng.permutation(target))
    assert (only(fitted[0]).shifts == only(shuffled[0]).shifts).all()


def test_editing_twice_moves_events_twice(autoencoder, rng):
    source = (rng.integers(-40, 40, size=(101, 5)) / 8).astype(np.float32)
    fitted = fit_steps(autoencoder, plan("visible"), source, source + 1)
    assert (apply_steps(fitted, autoencoder, apply_steps(fitted, autoencoder, source)) == source + 2).all()


def test_no_events_are_edited_to_no_events(autoencoder, source, target):
    fitted = fit_steps(autoencoder, NEURONS_THEN_MARKERS, source, target)
    assert apply_steps(fitted, autoencoder, source[:0]).shape == (0, 5)


def test_inputs_stay_as_they_were(autoencoder, source, target):
    copies = source.copy(), target.copy()
    apply_steps(fit_steps(autoencoder, NEURONS_THEN_MARKERS, source, target), autoencoder, source)
    assert (source == copies[0]).all()
    assert (target == copies[1]).all()


@pytest.mark.filterwarnings("error")
def test_read_only_events_as_ray_hands_them_out_are_taken_without_a_warning(autoencoder, source, target):
    for events in (source, target):
        events.setflags(write=False)
    fit_steps(autoencoder, (*plan("code", "neighbours"), *plan("visible")), source, target)


def test_a_step_for_a_layer_that_does_not_exist_is_refused(autoencoder, source, target):
    with pytest.raises(ConfigError, match=r"no layer 'encoder.3'.*Correct the layer of the edit's step"):
        fit_steps(autoencoder, plan("encoder.3"), source, target)
