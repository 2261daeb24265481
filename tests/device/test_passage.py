"""A passage on a device beside the one on the processor."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from neuronedit.auto import CANDIDATES
from neuronedit.device import landmarks, passage
from neuronedit.device.passage import found_device
from neuronedit.edit import PRESETS
from neuronedit.errors import DataError, ModelError
from neuronedit.route import Route
from neuronedit.steps import EditStep
from tests.gpu import GPU

ROUNDING = 1e-4
"""Of edited markers, standard deviations: sums in another order are off by float32's last bits (1e-7), which grow by up
to some hundreds where two percentiles nearly touch, as the edit is steep there."""

BACK = 1e-3
"""Of intensities: ``ROUNDING`` times spreads of up to 2, and sinh, whose relative slope is 1 to the arcsinh of 10."""

JUMPS = 0.002
"""Of events: those within rounding of a bin's edge of the operator ``step``, or with two landmarks equally far."""

OPERATORS = {
    "step": (EditStep(operator="step"), EditStep(layer="visible", operator="step")),
    "neighbours": (EditStep(operator="neighbours", n_neighbours=10),),
    "visible neighbours": (EditStep(layer="visible", operator="neighbours"),),
    "plain strata": (EditStep(operator="strata", form="plain"),),
    "transport of neurons": (EditStep(layer="encoder.2", operator="transport"),),
    "three steps": (
        EditStep(operator="neighbours", n_neighbours=10),
        EditStep(layer="decoder.1", operator="step"),
        EditStep(layer="visible"),
    ),
}
PLANS = OPERATORS | dict(PRESETS) | dict(CANDIDATES)

WITH_SUPPORT = Route(support=True)

DEVICES = ["cpu", pytest.param("cuda", marks=GPU)]


@pytest.fixture(autouse=True)
def small_minibatches(monkeypatch):
    """So that a test's few events are several minibatches, as in a transform."""
    monkeypatch.setattr(passage, "MINIBATCH", 1000)
    monkeypatch.setattr(landmarks, "ROWS", 300)


def check_agreement(model, intensities, device="cpu", route=WITH_SUPPORT, batch_ids=None, jumps=False):
    """The same zeros, unmoved values and outcomes; all else to rounding. Gives the edited intensities."""
    near = np.ones(len(intensities), dtype=bool)
    seen = {}
    found, expected = (
        made.transform(
            intensities,
            batch_ids,
            route,
            observe=lambda *told, made=made: seen.update({(made.device, told[0]): told[1:]}),
        )
        for made in (model.on(device), model)
    )
    assert found.intensities.dtype == intensities.dtype
    assert (found.outcomes == expected.outcomes).all()
    for (at, group), told in seen.items():
        if at is None:
            before, after, scores = seen[device, group]
            assert before.tobytes() == told[0].tobytes()
            off = (np.abs(after - told[1]) > ROUNDING).any(axis=1)
            assert off.mean() <= (JUMPS if jumps else 0)
            if jumps:
                near = ~off
            if told[2] is not None:
                np.testing.assert_allclose(scores, told[2], rtol=1e-5)
    edited, there, before = found.intensities[near], expected.intensities[near], intensities[near]
    assert ((edited == 0) == (there == 0)).all()
    assert ((edited == before) == (there == before)).all()
    np.testing.assert_allclose(edited, there, rtol=BACK, atol=BACK)
    return found.intensities


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_every_plan_gives_what_the_processor_gives(make_model, cells, plan, device):
    model = make_model({"source": cells(seed=1), "target": cells(seed=2, gain=2.0)}, plan)
    events = cells(2500, seed=3)
    jumps = any(step.operator in ("step", "neighbours") and step.latent for step in plan)
    assert (check_agreement(model, events, device, jumps=jumps) != events).any()


@pytest.mark.parametrize("device", DEVICES)
def test_a_blend_of_all_candidates_and_an_ensemble_do_too(make_wide_model, device):
    members = []
    for plan in CANDIDATES.values():
        model, events = make_wide_model(plan, n_networks=2)
        members += model.edit("pair").members
    blend = tuple(replace(member, weight=1 / len(members)) for member in members)
    assert {member.autoencoder for member in blend} == {0, 1}
    blended = replace(model, edits={"pair": replace(model.edit("pair"), members=blend)})
    check_agreement(blended, events, device, jumps=True)


@pytest.mark.parametrize("route", [Route(), Route(strength=0.5), Route(strength=0, support=True)])
@pytest.mark.parametrize("shrinks", [False, True])
def test_strength_and_shrinking_do_too(pair_model, cells, route, shrinks):
    model = replace(pair_model, edits={"pair": replace(pair_model.edit("pair"), shrinks=shrinks)})
    events = cells(2500, seed=3)
    far = np.concatenate([events, 100 * events[:50], np.full((1, 5), 3e37, np.float32)])
    edited = check_agreement(model, far, route=route)
    assert (edited == far).all() == (route.strength == 0)


def test_an_edit_that_does_nothing_does_nothing(pair_model, cells):
    nothing = replace(pair_model, edits={"pair": replace(pair_model.edit("pair"), members=())})
    assert check_agreement(nothing, cells(2500)).tobytes() == cells(2500).tobytes()


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.uint16, np.int64])
def test_every_type_of_intensities_comes_back(make_model, cells, dtype):
    model = make_model({"source": cells(seed=1), "target": cells(seed=2, gain=2.0)})
    intensities = (cells(3000, seed=3).clip(0, 3e4)).astype(dtype)
    route = Route()
    found, expected = (made.transform(intensities, None, route).intensities for made in (model.on("cpu"), model))
    assert found.dtype == expected.dtype
    # A rounding apart may be rounded to the next whole number.
    exact = 1 if np.issubdtype(dtype, np.integer) else 0
    np.testing.assert_allclose(found.astype(np.float64), expected.astype(np.float64), rtol=1e-5, atol=exact)


def test_values_that_are_not_moved_keep_their_bits(make_model, cells):
    extreme = [[0, -0.0, -1, -1e5, 1e-30], [1e30, 3e5, np.pi, 1e-3, 262143], [-1e30, 1 / 3, 0.1, 7, 1e10]]
    intensities = np.concatenate([cells(seed=2, dtype=np.float64), extreme])
    same = make_model({"source": cells(seed=1), "target": cells(seed=1)}, PLANS["three steps"]).on("cpu")
    assert same.apply(intensities, "pair").tobytes() == intensities.tobytes()


def test_views_and_read_only_intensities_are_read_and_not_written(pair_model, cells):
    whole = cells(5000)
    whole.setflags(write=False)
    kept = whole.copy()
    expected = pair_model.apply(whole, "pair")[::2]
    found = pair_model.on("cpu").apply(whole[::2], "pair")
    np.testing.assert_allclose(found, expected, rtol=BACK, atol=BACK)
    assert (whole == kept).all()
    assert found.flags.writeable


def test_batches_get_their_own_edits_and_the_reference_none(controls_model, cells):
    batches = np.array(["1", "2", "3", "7"] * 600)
    check_agreement(
        controls_model, cells(2400, seed=4), route=Route(unknown_batch="pass", support=True), batch_ids=batches
    )


def test_edits_one_after_another_agree_where_no_event_is_at_zero(controls_model, cells):
    halfway = controls_model.apply(cells(3000, seed=4) + 1, "1")
    kept = cells(3000, seed=4)[(halfway > 0).all(axis=1)] + 1  # a zero's rank comes from all bits of its event
    check_agreement(controls_model, kept, route=Route(edits=("1", "2"), support=True))


@pytest.mark.parametrize("n_events", [0, 1, 999, 1000, 1001])
def test_any_number_of_events_is_edited(pair_model, cells, n_events):
    found, expected = (model.apply(cells(1001)[:n_events], "pair") for model in (pair_model.on("cpu"), pair_model))
    np.testing.assert_allclose(found, expected, rtol=BACK, atol=BACK)


@pytest.mark.parametrize("device", DEVICES)
def test_however_events_are_cut_results_are_the_same_to_rounding(make_model, cells, device):
    populations = {"source": cells(seed=1), "target": cells(seed=2, gain=2.0)}
    model, events = make_model(populations, PRESETS["neurons-strata"]).on(device), cells(2500, seed=3)
    whole = model.apply(events, "pair")
    assert model.apply(events, "pair").tobytes() == whole.tobytes()
    for size in (1, 3, 700):
        cut = np.concatenate([model.apply(events[start : start + size], "pair") for start in range(0, 2 * size, size)])
        np.testing.assert_allclose(cut, whole[: len(cut)], rtol=BACK, atol=BACK)


@pytest.mark.parametrize("row", [7, 2990])
def test_a_value_that_is_not_finite_is_refused_with_its_marker(pair_model, cells, row):
    intensities = cells(3000)
    intensities[row, 2] = np.nan
    with pytest.raises(DataError, match=r"^Marker 'CD8' has 1 values that are not finite float32 numbers, of 3000\."):
        pair_model.on("cpu").transform(intensities, None)


def test_what_is_on_a_device_does_not_travel_with_the_model(pair_model, cells):
    model = pair_model.on("cpu")
    bare = len(pickle.dumps(model))
    edited = model.apply(cells(), "pair")
    assert len(pickle.dumps(model)) == bare
    arrived = pickle.loads(pickle.dumps(model))
    assert arrived.device == "cpu"
    assert arrived.apply(cells(), "pair").tobytes() == edited.tobytes()


def test_a_passage_is_taken_to_the_device_once(pair_model, cells, monkeypatch):
    made = []
    monkeypatch.setattr(passage.DevicePassage, "__init__", _noted(passage.DevicePassage.__init__, made))
    model = pair_model.on("cpu")
    for strength in (1.0, 1.0, 0.5, 1.0):
        model.apply(cells(), "pair", strength)
    assert len(made) == 2
    pair_model.on("cpu").on(None).apply(cells(), "pair")
    assert len(made) == 2


@pytest.mark.parametrize("name", ["gpu", "mps", "meta", ""])
def test_another_device_is_told(pair_model, name):
    with pytest.raises(ModelError) as caught:
        pair_model.on(name)
    assert str(caught.value) == (
        f"There is no device {name!r}; expected 'cpu', 'cuda' or the number of a GPU, as in 'cuda:1'."
    )


@pytest.mark.parametrize(
    "name", ["cuda:99", pytest.param("cuda", marks=pytest.mark.skipif(not GPU[1].args[0], reason="there is a GPU"))]
)
def test_a_gpu_that_torch_does_not_find_is_told(name):
    with pytest.raises(ModelError) as caught:
        found_device(name)
    assert str(caught.value) == (
        f"There is no device {name!r}: torch {torch.__version__} finds {torch.cuda.device_count()} GPU. Install "
        "torch's build for CUDA and NVIDIA's driver, or compute on the processor."
    )


def test_a_full_memory_is_told(pair_model, cells, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nSee documentation")

    monkeypatch.setattr(passage.Transfers, "send", full)
    with pytest.raises(ModelError) as caught:
        pair_model.on("cpu").apply(cells(), "pair")
    assert str(caught.value) == (
        "The device's memory is full (CUDA out of memory. Tried to allocate 20.00 MiB.); expected room for 1,000 "
        "events and what is made of them. Lower actors_per_gpu, or end what else runs on the GPU."
    )


def test_tf32_is_off_while_events_pass_and_as_it_was_afterwards(pair_model, cells, monkeypatch):
    seen = []
    send = passage.Transfers.send
    monkeypatch.setattr(
        passage.Transfers, "send", lambda *given: (seen.append(torch.get_float32_matmul_precision()), send(*given))[1]
    )
    torch.set_float32_matmul_precision("high")
    try:
        pair_model.on("cpu").apply(cells(), "pair")
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert set(seen) == {"highest"}


def _noted(function, calls):
    def noting(*given):
        calls.append(given)
        function(*given)

    return noting
