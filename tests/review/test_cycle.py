from dataclasses import replace

import numpy as np
import pytest
from neuronedit_jobs.benchmarks.planted import CODE_EDIT, EDITED_MARKERS, SHIFT, planted_cells, planted_model

from neuronedit.edit import fit_edit
from neuronedit.review.cycle import cycle, fit_way_back
from neuronedit.review.cycle_part import cycle_part
from neuronedit.review.neurons import Neurons
from neuronedit.steps import EditStep

SOURCE, TARGET = planted_cells(1_000, 0), planted_cells(1_000, 1, shift=SHIFT)


@pytest.fixture(scope="module")
def model():
    return planted_model(SOURCE, TARGET)


@pytest.fixture(scope="module")
def neurons(model) -> Neurons:
    return Neurons.of(model, "pair", SOURCE.labelled, TARGET.labelled)


def test_nothing_is_left_of_the_planted_edit_and_nothing_drifts(neurons, model):
    found = cycle(neurons, model, seed=0)
    # Rounding of float32, on values of up to 5, through six products.
    assert found.rmse < 1e-5
    assert found.mean_drift < 1e-6
    assert found.share < 1e-5
    moved = dict(zip(found.marker_names, found.moved, strict=True))
    assert min(moved[marker] for marker in EDITED_MARKERS) > 1


def test_a_network_that_misreads_what_it_writes_drifts(neurons, model):
    shifted = neurons.autoencoder.layers[1].bias.clone()
    network = type(neurons.autoencoder)(40, neurons.autoencoder.architecture)
    network.load_state_dict(neurons.autoencoder.state_dict() | {"layers.1.bias": shifted + 0.5})
    found = cycle(replace(neurons, autoencoder=network.eval().requires_grad_(False)), model, seed=0)
    # Every living neuron reads half a standard deviation too much of the markers; dead ones read nothing.
    spread = np.sqrt(neurons.source.activations.var(axis=0).mean())
    assert found.drift[:26] == pytest.approx(0.5 / spread, rel=1e-3)
    assert not found.drift[26:].any()


def test_the_models_own_inverse_leads_back_if_it_has_one(neurons, model):
    halfway = fit_edit(
        "pair inverse", model.autoencoders, CODE_EDIT, SOURCE.markers, SOURCE.markers, zeros=np.zeros(40)
    )
    found = cycle(neurons, replace(model, edits=model.edits | {"pair inverse": halfway}), seed=0)
    assert found.own_inverse
    assert found.share == pytest.approx(1)  # an inverse that does nothing leaves all of the edit


def test_the_way_back_has_the_edits_own_plan_and_is_none_of_an_edit_that_does_nothing(neurons, model):
    plan = (EditStep(operator="strata", n_strata=2), EditStep(layer="visible"))
    of = replace(neurons, edit=planted_model(SOURCE, TARGET, plan).edit("pair"))
    assert [step.plan for step in fit_way_back(of, model, 0).members[0].steps] == list(plan)
    nothing = replace(neurons, edit=replace(neurons.edit, members=()))
    found = cycle(nothing, model, seed=0)
    assert (found.rmse, found.share) == (0, 0)


def test_the_part_tells_what_is_left_and_whose_way_back_it_was(neurons, model):
    part = cycle_part(neurons, model)
    assert part.reading.startswith(
        "After the edit and its inverse the source's events are 0.000 standard deviations from"
    )
    assert part.scalars["cycle_rmse"] < 1e-5
    assert set(part.scalars) == {"cycle_rmse", "cycle_share", "reencode_drift"}
    assert part.warning == "The model has no inverse edit; the way back was fitted for this review."
    assert len(part.tables["cycle_markers"]) == 40
    assert len(part.drawings[0].draw().axes[0].patches) == 40
