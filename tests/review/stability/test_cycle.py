from dataclasses import replace

import numpy as np
import pytest
from neuronedit_jobs.benchmarks.review.planted import CODE_EDIT, EDITED_MARKERS, SHIFT, planted_cells, planted_model

from neuronedit.edits.edit import fit_edit
from neuronedit.edits.operators.table import EditStep
from neuronedit.review.stability.cycle import cycle, cycle_part, fit_way_back
from neuronedit.review.subject import EditSubject

SOURCE, TARGET = planted_cells(1_000, 0), planted_cells(1_000, 1, shift=SHIFT)


@pytest.fixture(scope="module")
def model():
    return planted_model(SOURCE, TARGET)


@pytest.fixture(scope="module")
def subject(model) -> EditSubject:
    return EditSubject.from_model(model, "pair", SOURCE.labelled, TARGET.labelled)


def test_a_network_that_misreads_what_it_writes_drifts(subject, model):
    shifted = subject.autoencoder.layers[1].bias.clone()
    network = type(subject.autoencoder)(40, subject.autoencoder.architecture)
    network.load_state_dict(subject.autoencoder.state_dict() | {"layers.1.bias": shifted + 0.5})
    places = (replace(subject.place, autoencoder=network.eval().requires_grad_(False)),)
    found = cycle(replace(subject, places=places), model, seed=0)
    # Every living neuron reads half a standard deviation too much of the markers; dead ones read nothing.
    spread = np.sqrt(subject.source.activations.var(axis=0).mean())
    assert found.drift[:26] == pytest.approx(0.5 / spread, rel=1e-3)
    assert not found.drift[26:].any()


def test_the_models_own_inverse_leads_back_if_it_has_one(subject, model):
    halfway = fit_edit(
        "pair inverse", model.autoencoders, CODE_EDIT, SOURCE.markers, SOURCE.markers, zeros=np.zeros(40)
    )
    found = cycle(subject, replace(model, edits=model.edits | {"pair inverse": halfway}), seed=0)
    assert found.own_inverse
    assert found.share == pytest.approx(1)  # an inverse that does nothing leaves all of the edit


def test_the_way_back_has_the_edits_own_plan_and_is_none_of_an_edit_that_does_nothing(subject, model):
    plan = (EditStep(operator="strata", n_strata=2), EditStep(layer="visible"))
    of = replace(subject, edit=planted_model(SOURCE, TARGET, plan).get_edit("pair"))
    assert [step.plan for step in fit_way_back(of, model, 0).members[0].steps] == list(plan)
    nothing = replace(subject, edit=replace(subject.edit, members=()))
    found = cycle(nothing, model, seed=0)
    assert (found.rmse, found.share) == (0, 0)


def test_the_part_tells_what_is_left_and_whose_way_back_it_was(subject, model):
    part = cycle_part(subject, model)
    assert part.reading.startswith("After the edit and its inverse the source's events are 0 standard deviations from")
    assert part.scalars["cycle_rmse"] < 1e-5
    assert set(part.scalars) == {"cycle_rmse", "cycle_share", "reencode_drift"}
    assert part.warning == "The model has no inverse edit; the way back was fitted for this review."
    markers = part.tables["cycle_markers"].set_index("marker")
    assert len(markers) == 40
    assert (markers.loc[list(EDITED_MARKERS), "moved"] > 1).all()
    assert len(part.drawings[0].draw().axes[0].patches) == 40
