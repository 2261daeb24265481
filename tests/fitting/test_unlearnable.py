"""What cannot be learned stays as it is, whatever route it takes, and is told: markers, and whole edits."""

import json
import logging
from dataclasses import replace
from math import exp

import numpy as np
import pytest

from neuronedit.cells.design import ControlsDesign, PairDesign
from neuronedit.cells.draw import DrawnPopulations, SampleConfig
from neuronedit.cells.panel import Panel
from neuronedit.edits.plans import EditConfig
from neuronedit.errors import DataError, ModelError
from neuronedit.fitting.edits import edits_sentence
from neuronedit.fitting.fit import FittedModel, fit_model
from neuronedit.fitting.search_result import SearchConfig
from neuronedit.fitting.update import ReplayConfig, update_model
from neuronedit.model.gates import GateConfig
from neuronedit.model.route import Route
from neuronedit.model.saved.files import load_model, save_model
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan
from neuronedit.review.page.gate_measures import largest_error, measure_gates
from neuronedit.review.page.html import render_page
from neuronedit.review.page.model_facts import model_facts
from neuronedit.review.page.review_model import review_model
from neuronedit.review.transfer.transfer import Comparison

MARKERS = ("CD3", "CD4", "CD8")
CD3, CD4, CD8 = range(3)
PANEL = Panel(MARKERS, (150.0,) * 3)
DAYS = ControlsDesign.of_arrays(reference="1")
SHIFT = 0.4
NO_SIGNAL = "'control 1' has no signal: 100.0% of its events are at 0"

PLANS = (None, "paper", "quantile-map")


def blood(seed: int, shift: float = 0.0, n_events: int = 400) -> np.ndarray:
    """Cells of two kinds, stained for CD3 or CD4, and a dim CD8; a shift of the stains between two batches."""
    rng = np.random.default_rng(seed)
    kind = rng.random(n_events) < 0.4
    cd3 = np.where(kind, rng.lognormal(8.5 + shift, 0.4, n_events), rng.normal(40, 120, n_events))
    cd4 = np.where(kind, rng.normal(20, 90, n_events), rng.lognormal(7 + shift, 0.5, n_events))
    return np.stack([cd3, cd4, rng.lognormal(5.5, 1.0, n_events) - 150], axis=1).astype(np.float32)


def with_marker(events: np.ndarray, marker: int, values) -> np.ndarray:
    changed = events.copy()
    changed[:, marker] = values
    return changed


def noise(seed: int, n_events: int = 400) -> np.ndarray:
    return np.random.default_rng(seed).normal(40, 120, n_events)


def few(n_events: int = 400) -> np.ndarray:
    return np.where(np.arange(n_events) < 4, 2000, 0)


REFERENCE, BATCH = blood(1), blood(2, SHIFT)
PATIENT = blood(4, SHIFT)

CASES = {
    "no signal in the reference's control": (CD8, with_marker(REFERENCE, CD8, 0), BATCH),
    "no signal in the batch's control": (CD8, REFERENCE, with_marker(BATCH, CD8, 0)),
    "hardly any in the reference's": (CD8, with_marker(REFERENCE, CD8, few()), BATCH),
    "hardly any in the batch's": (CD8, REFERENCE, with_marker(BATCH, CD8, few())),
    "constant in both": (CD8, with_marker(REFERENCE, CD8, 3), with_marker(BATCH, CD8, 3)),
    "no positive cells in the reference's control": (CD3, with_marker(REFERENCE, CD3, noise(5)), BATCH),
    "no positive cells in the batch's control": (CD3, REFERENCE, with_marker(BATCH, CD3, noise(6))),
}


def fitted(populations, design=DAYS, preset: str | None = "quantile-map", **settings) -> FittedModel:
    return fit_model(
        populations,
        PANEL,
        design,
        network=Architecture(hidden=(8,), code=3),
        training=TrainingPlan(epochs=1, minibatch=128),
        edit=EditConfig(preset=preset, serve="teacher", **settings),
    )


@pytest.mark.parametrize("preset", PLANS)
@pytest.mark.parametrize(("marker", "reference", "batch"), CASES.values(), ids=CASES)
def test_patients_keep_a_marker_that_the_controls_cannot_teach(marker, reference, batch, preset):
    model = fitted({"1": reference, "2": batch}, preset=preset).model
    edited = model.apply(PATIENT, "2")
    assert edited[:, marker].tobytes() == PATIENT[:, marker].tobytes()
    assert list(model.unlearnable["2"]) == [MARKERS[marker]]
    if marker == CD8:  # CD8 keeps the values that it has in the field
        assert np.percentile(edited[:, CD8], [0, 25, 50, 75, 100]).round(1).tolist() == pytest.approx(
            [-143.0, -30.1, 89.0, 292.2, 2410.8], abs=0.1
        )
    if preset == "quantile-map":  # and other markers are edited: positive cells lose the batch's gain
        other = CD4 if marker != CD4 else CD3
        positive = PATIENT[:, other] > 500
        gain = np.median(edited[positive, other] / PATIENT[positive, other])
        assert gain == pytest.approx(exp(-SHIFT), rel=0.15)  # medians of 240 cells


def test_a_pair_leaves_a_constant_marker_and_learns_a_stimulation_from_nothing():
    rng = np.random.default_rng(7)
    perk = rng.normal(0, 20, 400), rng.lognormal(7.5, 0.4, 400)
    source, target = (with_marker(events, CD3, values) for events, values in zip((REFERENCE, BATCH), perk, strict=True))
    model = fitted({"source": with_marker(source, CD8, 0), "target": target}, PairDesign.of_arrays()).model
    assert model.unlearnable == {"pair": {"CD8": "'source' has no signal: 100.0% of its events are at 0"}}
    other = with_marker(PATIENT, CD3, rng.normal(0, 20, 400))
    edited = model.apply(other, "pair")
    assert np.median(edited[:, CD3]) == pytest.approx(exp(7.5), rel=0.1)
    assert edited[:, CD8].tobytes() == other[:, CD8].tobytes()


@pytest.fixture(scope="module")
def dead() -> FittedModel:
    """Of three batches, whose reference has no CD8; with inverses."""
    days = {"1": with_marker(REFERENCE, CD8, 0), "2": BATCH, "3": blood(3, -SHIFT)}
    return fitted(days, inverse=True)


def test_every_route_leaves_the_marker(dead):
    model = dead.model
    assert set(model.unlearnable) == {"2", "2 inverse", "3", "3 inverse"}
    cd8 = PATIENT[:, CD8].tobytes()
    for edits in ("2", "2 inverse", ["2", "3 inverse"]):
        for strength in (1.0, 0.3):
            edited = model.apply(PATIENT, edits, strength)
            assert edited[:, CD8].tobytes() == cd8
            assert not np.array_equal(edited, PATIENT)
    transformed = model.transform(PATIENT, ["2"] * 400, Route(support=True))
    assert transformed.intensities[:, CD8].tobytes() == cd8
    assert (transformed.support < 1).mean() > 0.95, "patients' CD8 does not make them unlike a control without it"


def test_whole_numbers_are_left_too(dead):
    counts = PATIENT.round().astype(np.int32)
    assert (dead.model.apply(counts, "2")[:, CD8] == counts[:, CD8]).all()


def test_the_model_keeps_its_reasons_on_disk(dead, tmp_path):
    save_model(dead.model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.unlearnable == dead.model.unlearnable
    assert loaded.unlearnable["2"] == {"CD8": NO_SIGNAL}
    for edits in ("2", ["2", "3 inverse"]):
        assert loaded.apply(PATIENT, edits).tobytes() == dead.model.apply(PATIENT, edits).tobytes()
    recorded = json.loads((tmp_path / "model" / "model.json").read_text())
    assert recorded["edits"]["2"]["unlearnable"] == {"CD8": NO_SIGNAL}
    recorded["edits"]["2"]["unlearnable"] = {"CD9": "?"}
    (tmp_path / "model" / "model.json").write_text(json.dumps(recorded))
    with pytest.raises(ModelError, match=r"incomplete model \(KeyError: 'CD9'\)"):
        load_model(tmp_path / "model")


def test_a_model_whose_markers_can_all_be_learned_is_written_as_ever(tmp_path):
    save_model(fitted({"1": REFERENCE, "2": BATCH}).model, tmp_path / "model")
    assert "unlearnable" not in json.loads((tmp_path / "model" / "model.json").read_text())["edits"]["2"]


def test_training_names_the_marker(caplog, dead):
    caplog.set_level(logging.WARNING)
    fitted({"1": with_marker(REFERENCE, CD8, 0), "2": BATCH})
    assert f"edit 2: CD8 stays as it is, it cannot be learned: {NO_SIGNAL}" in caplog.messages
    assert edits_sentence(dead.model).startswith("4 edit(s) of 3 markers; '2' leaves 'CD8' as it is; ")


def test_training_stops_where_such_markers_are_refused():
    def train(*asked):
        pytest.fail("trained")

    with pytest.raises(DataError) as told:
        fit_model(
            {"1": with_marker(REFERENCE, CD8, 0), "2": BATCH},
            PANEL,
            DAYS,
            edit=EditConfig(unlearnable="refuse"),
            train=train,
        )
    assert str(told.value) == (
        f"The edit '2' cannot learn the marker 'CD8': {NO_SIGNAL}. Choose other controls or another reference, leave "
        'the marker out of the panel, or leave it as it is with edit.unlearnable = "leave".'
    )


def test_such_markers_are_edited_where_that_is_asked_for():
    model = fitted({"1": with_marker(REFERENCE, CD8, 0), "2": BATCH}, unlearnable="learn").model
    assert model.unlearnable == {}
    assert np.abs(model.apply(PATIENT, "2")[:, CD8]).max() < 10


def test_no_edit_leads_to_pooled_controls_of_which_one_has_no_signal():
    days = {"1": with_marker(REFERENCE, CD8, 0), "2": BATCH, "3": blood(3)}
    model = fitted(days, ControlsDesign.of_arrays(reference="pooled")).model
    assert {edit: list(markers) for edit, markers in model.unlearnable.items()} == {edit: ["CD8"] for edit in "123"}
    assert model.unlearnable["3"]["CD8"] == NO_SIGNAL


def test_where_no_marker_has_a_signal_the_edit_does_nothing():
    model = fitted({"1": 0 * REFERENCE, "2": BATCH}).model
    assert set(model.unlearnable["2"]) == set(MARKERS)
    assert model.apply(PATIENT, "2").tobytes() == PATIENT.tobytes()
    assert edits_sentence(model).startswith("0 edit(s) of 3 markers; 1 without effect: '2'; ")


def test_a_search_does_not_look_at_the_marker():
    search = SearchConfig(code=(2, 3))
    found = fit_model(
        {"1": with_marker(REFERENCE, CD8, 0), "2": BATCH},
        PANEL,
        DAYS,
        network=Architecture(hidden=(8,), code=3),
        training=TrainingPlan(epochs=1, minibatch=128),
        edit=EditConfig(preset="neurons-then-markers", serve="teacher"),
        search=search,
    )
    assert all(trial.error < 10 for trial in found.search.trials), "a wiped marker would be a hundred times as bad"


@pytest.mark.parametrize("unlearnable", ["leave", "refuse"])
def test_a_batch_that_comes_later_is_judged_before_anything_is_trained(unlearnable):
    data = {"uri": "cells/", "files": 2, "events": 800, "sha256": "d" * 64}
    parent = fitted({"1": REFERENCE, "2": BATCH}, unlearnable=unlearnable).drawn_from(data, SampleConfig())
    new = DrawnPopulations({"control 3": with_marker(blood(3), CD8, 0)}, {"control 3": 400})

    def update():
        return update_model(parent.model, "models:/m/1", parent.prepared.drawn, new, ReplayConfig(above=0, epochs=1))

    if unlearnable == "refuse":
        with pytest.raises(DataError, match=r"^The edit '3' cannot learn the marker 'CD8': 'control 3' has no signal"):
            update()
        return
    updated = update().model
    assert list(updated.unlearnable) == ["3"]
    assert updated.apply(PATIENT, "3")[:, CD8].tobytes() == PATIENT[:, CD8].tobytes()
    assert set(updated.facts["expected_extrapolation_error"]) == {"2", "3"}


def test_the_review_names_the_marker_on_its_first_screen_and_in_its_facts(dead):
    model = replace(dead.model, edits={"2": dead.model.edits["2"]})
    pair = (BATCH, with_marker(REFERENCE, CD8, 0))
    comparison = Comparison("2 → 1", "training pair", "2", *pair, *pair)
    review = review_model(model, [comparison], {"control 2": BATCH}, None, {"name": "m"})
    gates = measure_gates(review, model, [comparison], {}, GateConfig())
    page = render_page(replace(review, gates=gates))
    told = "The edit &#39;2&#39; leaves CD8 as it is, which it cannot learn: &#39;control 1&#39; has no signal"
    assert page.index(told) < page.index("<table")
    assert model_facts(model)["markers that 2 leaves as they are"] == f"CD8: {NO_SIGNAL}"


# Edits of which doing nothing is expected to be as good.


def test_controls_too_alike_to_learn_from_are_told_in_the_same_words_by_log_count_and_review(caplog):
    caplog.set_level(logging.INFO)
    model = fitted({"1": REFERENCE, "2": BATCH}, preset=None).model
    told = (
        "no edit: source and target are no further apart than two halves of the target are; more events would tell "
        "more; a plan given by name (edit.preset) is applied in any case"
    )
    expected = (
        "expected extrapolation error 1.00 (0 is noise, 1 is doing nothing), on events like the source's, as none to "
        "be edited were named"
    )
    assert ("WARNING", f"edit 2: {told}") in [(record.levelname, record.getMessage()) for record in caplog.records]
    assert f"edit 2: {expected}" in caplog.messages
    assert model.facts["expected_extrapolation_error"] == {"2": 1.0}
    assert edits_sentence(model) == "0 edit(s) of 3 markers; 1 without effect: '2'"
    assert model.apply(PATIENT, "2").tobytes() == PATIENT.tobytes()
    facts = model_facts(model)
    assert (facts["edit 2"], facts["error of 2"], facts["plan of the edit"]) == (told, expected, "none")
    assert largest_error(model, (), limit=0.9) == (None, f"the edit '2' does nothing ({told})")
    assert not [message for message in caplog.messages if " nan" in message]


def test_a_plan_that_was_given_is_applied_with_a_warning_where_doing_nothing_scores_better(caplog):
    same = blood(1), blood(2)
    model = fitted({"1": same[0], "2": same[1]}).model
    doubts = [
        message for message in caplog.messages if message.startswith("edit 2: the plan was given and is applied, ")
    ]
    assert len(doubts) == 1
    assert not np.array_equal(model.apply(PATIENT, "2"), PATIENT)
    (expected,) = model.facts["expected_extrapolation_error"].values()
    assert expected is None or expected >= 1


def test_a_plan_that_was_given_and_does_better_than_nothing_is_not_warned_of(caplog):
    caplog.set_level(logging.WARNING)
    fitted({"1": blood(1, n_events=1000), "2": blood(2, 1.2, n_events=1000)})
    assert caplog.messages == []
