"""Markers that ``edit.markers`` leaves out keep their bits by every route, still tell an event's kind, and are told."""

import json
import logging
from dataclasses import replace
from math import exp

import numpy as np
import pyarrow as pa
import pytest

from neuronedit.adapters.registry.versions import pinned_model
from neuronedit.adapters.transform.event_editor import EventEditor
from neuronedit.cells.draw import DrawnPopulations, SampleConfig
from neuronedit.edits.left_out import measure_errors
from neuronedit.edits.operators.table import Fitting
from neuronedit.edits.plans import PRESETS, EditConfig
from neuronedit.errors import ConfigError, ModelError
from neuronedit.fitting.edits import edits_sentence
from neuronedit.fitting.fit import fit_model
from neuronedit.fitting.record import TrainingRecord
from neuronedit.fitting.update import ReplayConfig, update_model
from neuronedit.model.gates import GateConfig
from neuronedit.model.route import Route
from neuronedit.model.saved.files import load_model, save_model
from neuronedit.review.page.gate_measures import measure_gates
from neuronedit.review.page.html import render_page
from neuronedit.review.page.model_facts import model_facts
from neuronedit.review.page.review_model import review_model
from neuronedit.review.stability.cycle import fit_way_back
from neuronedit.review.subject import EditSubject, LabelledEvents
from neuronedit.review.transfer.transfer import Comparison
from tests.fitting.test_unlearnable import (
    BATCH,
    CD3,
    CD4,
    CD8,
    DAYS,
    NO_SIGNAL,
    PANEL,
    PATIENT,
    REFERENCE,
    SHIFT,
    blood,
    fitted,
    with_marker,
)

MOVED = ("CD3", "CD4")


@pytest.fixture(scope="module")
def model():
    """Of three batches, with inverses; CD8 is not to be moved."""
    return fitted({"1": REFERENCE, "2": BATCH, "3": blood(3, -SHIFT)}, inverse=True, markers=MOVED).model


@pytest.mark.parametrize("preset", PRESETS)
def test_a_marker_that_is_not_named_keeps_its_bits_whatever_the_plan(preset):
    edited = fitted({"1": REFERENCE, "2": BATCH}, preset=preset, markers=["CD4"]).model.apply(PATIENT, "2")
    assert edited[:, [CD3, CD8]].tobytes() == PATIENT[:, [CD3, CD8]].tobytes()
    if preset == "quantile-map":
        positive = PATIENT[:, CD4] > 500
        gain = np.median(edited[positive, CD4] / PATIENT[positive, CD4])
        assert gain == pytest.approx(exp(-SHIFT), rel=0.15)  # medians of 240 cells


def test_every_route_leaves_the_marker_and_moves_the_others(model):
    cd8 = PATIENT[:, CD8].tobytes()
    for edits in ("2", "2 inverse", ["2", "3 inverse"]):
        for strength in (1.0, 0.3):
            edited = model.apply(PATIENT, edits, strength)
            assert edited[:, CD8].tobytes() == cd8
            assert (edited[:, [CD3, CD4]] != PATIENT[:, [CD3, CD4]]).all(axis=1).mean() > 0.9
    assert model.transform(PATIENT, ["2"] * 400, Route(support=True)).intensities[:, CD8].tobytes() == cd8


def test_such_a_marker_still_tells_the_others_an_events_kind():
    other = with_marker(PATIENT, CD8, np.random.default_rng(9).permutation(PATIENT[:, CD8]))
    for edits, context in (({"markers": MOVED}, True), ({"markers": None}, True), ({"preset": "quantile-map"}, False)):
        plan = {"preset": "neurons-then-markers"} | edits
        edited = fitted({"1": REFERENCE, "2": BATCH}, **plan).model
        seen = [edited.apply(events, "2")[:, [CD3, CD4]].tobytes() for events in (PATIENT, other)]
        assert (seen[0] != seen[1]) == context, plan


def test_the_others_move_as_they_do_where_all_may():
    free, bound = (fitted({"1": REFERENCE, "2": BATCH}, preset="strata", markers=each).model for each in (None, MOVED))
    moved = [each.apply(PATIENT, "2")[:, [CD3, CD4]].tobytes() for each in (free, bound)]
    assert moved[0] == moved[1]


def test_naming_all_markers_is_naming_none():
    models = [fitted({"1": REFERENCE, "2": BATCH}, markers=each).model for each in (None, ("CD8", "CD4", "CD3"))]
    assert models[0].unmoved == models[1].unmoved == {}
    assert models[0].apply(PATIENT, "2").tobytes() == models[1].apply(PATIENT, "2").tobytes()


def test_plans_are_measured_by_the_markers_that_they_move():
    """CD8 differs in a way that no plan can learn: it would be most of every plan's error."""
    rng = np.random.default_rng(0)
    source, target = (rng.normal(size=(2000, 3)).astype(np.float32) for _ in range(2))
    target[:, :2] += 1
    source[:, 2], target[:, 2] = 0, rng.normal(0, 1, 2000).cumsum() / 20
    network, plan = fitted({"1": REFERENCE, "2": BATCH}).model.autoencoder, PRESETS["quantile-map"]
    errors = [
        measure_errors(network, plan, source, target, Fitting(unmoved=unmoved)).left_out for unmoved in ((), (2,))
    ]
    assert errors[1] < 0.1 < errors[0]


def test_a_name_that_is_not_in_the_panel_is_refused_before_anything_is_trained():
    def train(*asked):
        pytest.fail("trained")

    with pytest.raises(ConfigError) as told:
        fit_model({"1": REFERENCE, "2": BATCH}, PANEL, DAYS, edit=EditConfig(markers=("CD3", "cd 4")), train=train)
    assert str(told.value) == (
        "edit.markers: found 'cd 4'; expected markers of the panel, as the model sees it (3 markers; nearest name "
        "'CD4'). Correct the name."
    )


def test_an_empty_list_of_markers_is_refused():
    with pytest.raises(ConfigError, match=r"markers: Tuple should have at least 1 item"):
        EditConfig.load(None, ["markers=[]"])


def test_the_model_keeps_the_choice_on_disk_and_for_later_batches(model, tmp_path):
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.unmoved == model.unmoved == dict.fromkeys(["2", "2 inverse", "3", "3 inverse"], ("CD8",))
    for edits in ("2", ["2", "3 inverse"]):
        assert loaded.apply(PATIENT, edits).tobytes() == model.apply(PATIENT, edits).tobytes()
    recorded = json.loads((tmp_path / "model" / "model.json").read_text())
    assert recorded["edits"]["2"]["unmoved"] == ["CD8"]
    assert recorded["facts"]["edit"]["markers"] == list(MOVED)
    recorded["edits"]["2"]["unmoved"] = ["CD9"]
    (tmp_path / "model" / "model.json").write_text(json.dumps(recorded))
    with pytest.raises(ModelError, match=r"incomplete model \(KeyError: 'CD9'\)"):
        load_model(tmp_path / "model")


def test_a_model_that_may_move_all_is_written_as_ever(tmp_path):
    save_model(fitted({"1": REFERENCE, "2": BATCH}).model, tmp_path / "model")
    assert "unmoved" not in json.loads((tmp_path / "model" / "model.json").read_text())["edits"]["2"]


def test_a_batch_that_comes_later_is_edited_by_the_same_choice():
    data = {"uri": "cells/", "files": 2, "events": 800, "sha256": "d" * 64}
    parent = fitted({"1": REFERENCE, "2": BATCH}, markers=MOVED).drawn_from(data, SampleConfig())
    assert TrainingRecord.from_facts(parent.model.facts, "m").edit.markers == MOVED
    new = DrawnPopulations({"control 3": blood(3)}, {"control 3": 400})
    updated = update_model(parent.model, "m", parent.prepared.drawn, new, ReplayConfig(above=0, epochs=1)).model
    assert updated.unmoved == {"2": ("CD8",), "3": ("CD8",)}
    assert updated.apply(PATIENT, "3")[:, CD8].tobytes() == PATIENT[:, CD8].tobytes()


@pytest.mark.parametrize("unlearnable", ["leave", "refuse"])
def test_a_marker_that_is_not_to_be_moved_need_not_be_learnable(unlearnable, caplog):
    caplog.set_level(logging.WARNING)
    days = {"1": with_marker(REFERENCE, CD8, 0), "2": BATCH}
    model = fitted(days, markers=MOVED, unlearnable=unlearnable).model
    assert not [message for message in caplog.messages if "CD8" in message]
    assert (model.unlearnable, model.unmoved) == ({}, {"2": ("CD8",)})
    other = with_marker(PATIENT, CD8, -7)
    edited, beside = (model.apply(events, "2") for events in (PATIENT, other))
    assert edited[:, [CD3, CD4]].tobytes() == beside[:, [CD3, CD4]].tobytes(), "no signal, nothing to tell"
    assert edited[:, CD8].tobytes() == PATIENT[:, CD8].tobytes()


def test_where_the_named_marker_cannot_be_learned_the_edit_does_nothing(tmp_path):
    model = fitted({"1": with_marker(REFERENCE, CD8, 0), "2": BATCH}, markers=["CD8"]).model
    assert model.apply(PATIENT, "2").tobytes() == PATIENT.tobytes()
    assert model.edits["2"].summary == "no edit: no marker of those that edit.markers names can be learned"
    assert (model.unlearnable, model.unmoved) == ({"2": {"CD8": NO_SIGNAL}}, {"2": ("CD3", "CD4")})
    save_model(model, tmp_path / "model")
    assert load_model(tmp_path / "model").unmoved == model.unmoved


def test_the_choice_is_told_by_train_facts_manifest_and_the_reviews_first_screen(model, tmp_path):
    assert edits_sentence(model) == "4 edit(s) of 3 markers; edit.markers leaves 'CD8' as it is"
    assert model_facts(model)["markers that 2, 3, 2 inverse, 3 inverse may not move"] == "CD8"
    save_model(model, tmp_path / "model")
    facts = pinned_model(str(tmp_path / "model")).facts()
    assert (facts["unlearnable"], facts["unmoved"]["3"]) == ({}, ["CD8"])
    two = replace(model, edits={"2": model.edits["2"]})
    pair = (BATCH, REFERENCE)
    comparison = Comparison("2 → 1", "training pair", "2", *pair, *pair)
    review = review_model(two, [comparison], {"control 2": BATCH}, None, {"name": "m"})
    assert "As edit.markers says, left as they are by 2: CD8." in review.restrictions
    page = render_page(replace(review, gates=measure_gates(review, two, [comparison], {}, GateConfig())))
    assert page.index("As edit.markers says, left as they are by 2: CD8.") < page.index("<table")


def test_the_way_back_that_a_review_fits_leaves_the_marker_too(model):
    events = [LabelledEvents(each) for each in (BATCH, REFERENCE)]
    subject = EditSubject.from_model(model, "2", *events)
    assert fit_way_back(subject, model, seed=0).unmoved == (CD8,)


def test_a_column_that_is_not_moved_is_handed_on_with_its_type(model):
    counts = pa.array((PATIENT[:, CD8] * 1e6).astype(np.int64) + 2**40)
    table = pa.table({"CD3": PATIENT[:, CD3], "CD8": counts, "CD4": PATIENT[:, CD4], "batch_id": ["2"] * 400})
    editor = EventEditor(model)
    edited = editor(table)
    assert edited["CD8"] == table["CD8"]
    assert editor.schema(table.schema).equals(edited.schema)
    assert edited.schema.field("CD8").type == pa.int64()
    assert edited["CD3"] != table["CD3"]
