"""A model on a GPU beside the one on the processor, and what surrounds computing on either."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from neuronedit.cells.transforms import all_cofactors
from neuronedit.edits.operators import landmarks
from neuronedit.edits.operators.table import EditStep
from neuronedit.edits.plans import PRESETS
from neuronedit.errors import ModelError
from neuronedit.model.pipeline import device as on_device
from neuronedit.model.pipeline.device import Fetched, Transfers, found_device
from neuronedit.model.pipeline.passage import back_by_masks
from neuronedit.model.route import Route
from neuronedit.network.autoencoder import tensor
from tests.gpu import GPU
from tests.plans import EVERY_KIND

ROUNDING = 1e-4
"""Of edited markers, standard deviations: sums in another order are off by float32's last bits (1e-7), which grow by up
to some hundreds where two percentiles nearly touch, as the edit is steep there."""

BACK = 1e-3
"""Of intensities: ``ROUNDING`` times spreads of up to 2, and sinh, whose relative slope is 1 to the arcsinh of 10."""

JUMPS = 0.002
"""Of events: those within rounding of a bin's edge of the operator ``step``, or with two landmarks equally far."""

PLANS = {
    "step": (EditStep(operator="step"), EditStep(layer="visible", operator="step")),
    "neighbours": (EditStep(operator="neighbours", n_neighbours=10),),
    "plain strata": (EditStep(operator="strata", form="plain"),),
    "transport of neurons": (EditStep(layer="encoder.2", operator="transport"),),
    "three steps": (
        EditStep(operator="neighbours", n_neighbours=10),
        EditStep(layer="decoder.1", operator="step"),
        EditStep(layer="visible"),
    ),
    **PRESETS,
    **EVERY_KIND,
}

WITH_SUPPORT = Route(support=True)


def on_gpu(test):
    for mark in GPU:
        test = mark(test)
    return test


@pytest.fixture(autouse=True)
def small_minibatches(monkeypatch):
    """So that a test's few events are several minibatches, as in a transform."""
    monkeypatch.setattr(on_device, "MINIBATCH", 1000)
    monkeypatch.setattr(landmarks, "ROWS", 300)


def check_agreement(model, intensities, route=WITH_SUPPORT, batch_ids=None, jumps=False):
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
        for made in (model.to("cuda"), model)
    )
    assert found.intensities.dtype == intensities.dtype
    assert (found.outcomes == expected.outcomes).all()
    for (at, group), told in seen.items():
        if at == "cpu":
            before, after, scores = seen["cuda", group]
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


@on_gpu
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_every_plan_gives_what_the_processor_gives(make_model, cells, plan):
    model = make_model({"source": cells(seed=1), "target": cells(seed=2, gain=2.0)}, plan)
    events = cells(2500, seed=3)
    jumps = any(step.operator in ("step", "neighbours") and step.latent for step in plan)
    assert (check_agreement(model, events, jumps=jumps) != events).any()


@on_gpu
def test_a_blend_of_all_candidates_and_an_ensemble_do_too(make_wide_model):
    members = []
    for plan in EVERY_KIND.values():
        model, events = make_wide_model(plan, n_networks=2)
        members += model.get_edit("pair").members
    blend = tuple(replace(member, weight=1 / len(members)) for member in members)
    blended = replace(model, edits={"pair": replace(model.get_edit("pair"), members=blend)})
    check_agreement(blended, events, jumps=True)
    check_agreement(blended, events, route=Route(strength=0.5), jumps=True)


@on_gpu
def test_batches_get_their_own_edits_and_the_reference_none(controls_model, cells):
    batches = np.array(["1", "2", "3", "7"] * 600)
    route = Route(unknown_batch="pass", support=True)
    check_agreement(controls_model, cells(2400, seed=4), route=route, batch_ids=batches)


@on_gpu
def test_however_events_are_cut_results_are_the_same_to_rounding(make_model, cells):
    populations = {"source": cells(seed=1), "target": cells(seed=2, gain=2.0)}
    model, events = make_model(populations, PRESETS["neurons-strata"]).to("cuda"), cells(2500, seed=3)
    whole = model.apply(events, "pair")
    assert model.apply(events, "pair").tobytes() == whole.tobytes()
    for size in (1, 3, 700):
        cut = np.concatenate([model.apply(events[start : start + size], "pair") for start in range(0, 2 * size, size)])
        np.testing.assert_allclose(cut, whole[: len(cut)], rtol=BACK, atol=BACK)


@on_gpu
def test_what_is_on_a_gpu_does_not_travel_with_the_model(pair_model, cells):
    model = pair_model.to("cuda")
    bare = len(pickle.dumps(model))
    edited = model.apply(cells(), "pair")
    assert len(pickle.dumps(model)) == bare
    assert pickle.loads(pickle.dumps(model)).apply(cells(), "pair").tobytes() == edited.tobytes()
    assert model.to("cpu").apply(cells(), "pair").tobytes() == pair_model.apply(cells(), "pair").tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint16, np.int64])
def test_intensities_are_computed_back_on_a_gpu_as_on_the_processor(pair_model, cells, dtype):
    intensities = cells(2500, seed=3).clip(0, 3e4).astype(dtype)
    seen = [], []
    expected = pair_model.transform(
        intensities,
        None,
        observe=lambda *told: [of.append(part.copy()) for of, part in zip(seen, told[1:], strict=False)],
    ).intensities
    scaling = pair_model.scaling
    before, after, spreads, cofactors, zeros = (
        tensor(array)
        for array in (*map(np.concatenate, seen), scaling.spreads, all_cofactors(scaling.transforms), scaling.zeros)
    )
    moved = tensor(scaling.transform(intensities)) + (after - before) * spreads
    found = back_by_masks(tensor(intensities), moved.double().sinh() * cofactors, before, after, zeros).numpy()
    assert found.dtype == dtype
    assert ((found == intensities) == (expected == intensities)).all()
    assert ((found == 0) == (expected == 0)).all()
    # A rounding of float64 apart may be rounded to the next whole number.
    exact = 1 if np.issubdtype(dtype, np.integer) else 0
    np.testing.assert_allclose(found.astype(np.float64), expected.astype(np.float64), rtol=1e-6, atol=exact)


def test_a_model_taken_to_the_processor_is_the_same(pair_model, cells):
    there = pair_model.to("cpu")
    assert there == pair_model
    assert there.apply(cells(), "pair").tobytes() == pair_model.apply(cells(), "pair").tobytes()


def test_what_is_made_for_computing_does_not_travel_with_the_model(make_model, cells):
    model = make_model({"source": cells(seed=1), "target": cells(seed=2, gain=2.0)}, PLANS["three steps"])
    bare = len(pickle.dumps(model))
    edited = model.apply(cells(), "pair")
    assert len(pickle.dumps(model)) == bare
    assert pickle.loads(pickle.dumps(model)).apply(cells(), "pair").tobytes() == edited.tobytes()


@pytest.mark.parametrize("name", ["gpu", "mps", "meta", ""])
def test_another_device_is_told(pair_model, name):
    with pytest.raises(ModelError) as caught:
        pair_model.to(name)
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

    monkeypatch.setattr(Transfers, "send", full)
    with pytest.raises(ModelError) as caught:
        pair_model.apply(cells(), "pair")
    assert str(caught.value) == (
        "The device's memory is full (CUDA out of memory. Tried to allocate 20.00 MiB.); expected room for 1,000 "
        "events and what is made of them. Lower actors_per_gpu, or end what else runs on the GPU."
    )


def test_tf32_is_off_while_events_pass_and_as_it_was_afterwards(pair_model, cells, monkeypatch):
    seen = []
    send = Transfers.send
    monkeypatch.setattr(
        Transfers, "send", lambda *given: (seen.append(torch.get_float32_matmul_precision()), send(*given))[1]
    )
    torch.set_float32_matmul_precision("high")
    try:
        pair_model.apply(cells(), "pair")
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert set(seen) == {"highest"}


def test_events_land_while_the_next_are_computed(pair_model, cells, monkeypatch):
    told = []
    fetch, landed = Transfers.fetch, Fetched.landed
    monkeypatch.setattr(Transfers, "fetch", lambda *given: (told.append("begun"), fetch(*given))[1])
    monkeypatch.setattr(Fetched, "landed", lambda *given: (told.append("landed"), landed(*given))[1])
    pair_model.apply(cells(5000), "pair")
    assert told == ["begun", "begun", "landed", "begun", "landed", "landed"]
