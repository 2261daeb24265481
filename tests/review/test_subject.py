from dataclasses import replace

import numpy as np
import pytest
from neuronedit_jobs.benchmarks.review.planted import (
    DEAD,
    EDITED_NEURONS,
    N_MARKERS,
    N_NEURONS,
    SHIFT,
    planted_cells,
    planted_model,
    planted_neurons,
)

from neuronedit.edits.operators.table import EditStep
from neuronedit.errors import ConfigError, DataError, ModelError
from neuronedit.review.subject import ENCODED_AGAIN, OWN_SHIFT, EditSubject, LabelledEvents


@pytest.fixture(scope="module")
def subject() -> EditSubject:
    return planted_neurons(extrapolation={"donor 2": planted_cells(500, 2)})


def test_the_planted_edit_moves_its_program_and_the_copy_and_nothing_else(subject):
    moved = subject.change.mean(axis=0)
    others = np.setdiff1d(np.arange(N_NEURONS), EDITED_NEURONS)
    assert moved[list(EDITED_NEURONS)] == pytest.approx(SHIFT, abs=0.1)
    assert np.abs(moved[others]).max() < 0.1
    assert not subject.change[:, DEAD].any()
    assert subject.seen_by == OWN_SHIFT


def test_activations_are_those_of_the_network(subject):
    donor = subject.extrapolation["donor 2"]
    assert donor.activations.shape == (500, N_NEURONS)
    np.testing.assert_array_equal(subject.encode(donor.markers), donor.activations)
    assert subject.decode(donor.activations).shape == (500, N_MARKERS)
    np.testing.assert_allclose(donor.markers, planted_cells(500, 2).markers, atol=1e-4)


def test_an_edit_of_the_markers_alone_is_seen_by_encoding_its_events_again():
    source, target = planted_cells(800, 0), planted_cells(800, 1, shift=SHIFT)
    model = planted_model(source, target, plan=(EditStep(layer="visible"),))
    found = EditSubject.from_model(model, "pair", source.labelled, target.labelled)
    assert (found.layer, found.seen_by) == ("code", ENCODED_AGAIN)
    assert found.change.mean(axis=0)[list(EDITED_NEURONS)] == pytest.approx(SHIFT, abs=0.15)


def test_a_sample_keeps_each_events_values_together(subject):
    sample = subject.sample(100, seed=3)
    assert len(sample.source.markers) == len(sample.edited) == len(sample.source.labels["type"]) == 100
    rows = [int(np.flatnonzero((subject.source.markers == event).all(axis=1))[0]) for event in sample.source.markers]
    np.testing.assert_array_equal(sample.edited, subject.edited[rows])
    np.testing.assert_array_equal(sample.source.labels["type"], subject.source.labels["type"][rows])


def test_pooled_events_keep_the_labels_that_all_have_and_know_their_population(subject):
    pooled = subject.pooled
    counts = {name: int((pooled.label("population") == name).sum()) for name in subject.populations}
    assert counts == {"source": 2000, "target": 2000, "donor 2": 500}
    np.testing.assert_array_equal(pooled.activations[4000:], subject.extrapolation["donor 2"].activations)
    np.testing.assert_array_equal(pooled.label("type")[:2000], subject.source.label("type"))
    bare = replace(subject, target=replace(subject.target, labels={}))
    assert list(bare.pooled.labels) == ["population"]


def test_what_is_not_there_is_told():
    source = planted_cells(800, 0)
    model = planted_model(source, source)
    with pytest.raises(ModelError, match=r"has no edit 'pear' \(edits: 'pair'; nearest name 'pair'\)"):
        EditSubject.from_model(model, "pear", source.labelled, source.labelled)
    with pytest.raises(ConfigError, match=r"no layer 'encoder.1' \(layers: 'visible', 'code'"):
        EditSubject.from_model(model, "pair", source.labelled, source.labelled, layer="encoder.1")
    with pytest.raises(DataError, match=r"Labels 'type': found 3 for 800 events; expected one for each event"):
        LabelledEvents(source.labelled.intensities, {"type": np.array(["a", "b", "c"], dtype=object)})
    with pytest.raises(DataError, match=r"no label 'doner' \(labels: 'type', .*nearest name 'donor'\). Name a column"):
        EditSubject.from_model(model, "pair", source.labelled, source.labelled).pooled.label("doner")
