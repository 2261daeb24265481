"""Adding a batch to a model, in this process: known ones change no bit, strange ones are learned with replay."""

import json
from dataclasses import replace

import numpy as np
import pytest

from neuronedit.cells.design import ControlsDesign, PairDesign
from neuronedit.cells.draw import DrawnPopulations, SampleConfig
from neuronedit.cells.panel import Panel
from neuronedit.edits.plans import EditConfig
from neuronedit.errors import DataError, ModelError
from neuronedit.fitting.drift import EditDrift
from neuronedit.fitting.fit import FittedModel, fit_model
from neuronedit.fitting.record import TrainingRecord, intensities_digest
from neuronedit.fitting.update import ReplayConfig, check_controls_design, new_populations, update_model
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.state import EpochLosses
from tests.synthetic_cells import GAINS, MARKERS, intensities

DATA = {"uri": "cells/", "files": 3, "events": 900, "sha256": "d" * 64}
PARENT = {"uri": "models:/cells/1", "sha256": "p" * 64}


@pytest.fixture(scope="module")
def parent() -> FittedModel:
    """Of the batches A, B and C."""
    generator = np.random.default_rng(0)
    return fit_model(
        {batch: intensities(300, gain, generator) for batch, gain in GAINS.items()},
        Panel(MARKERS, (5.0,) * len(MARKERS)),
        ControlsDesign(control={"role": "control"}, reference="A"),
        network=Architecture(hidden=(16,), code=4),
        training=TrainingPlan(epochs=3, minibatch=64, learning_rate=1e-2),
        edit=EditConfig(preset="neurons-then-markers", serve="teacher"),
    ).drawn_from(DATA, SampleConfig())


def batch(name: str, strange: bool = False) -> DrawnPopulations:
    """A control of a new batch; a strange one has the values of two pairs of markers in each other's place."""
    events = intensities(300, 1.0, np.random.default_rng(ord(name)))
    swapped = events[:, [1, 0, 3, 2, 4, 5]] if strange else events
    return DrawnPopulations({f"control {name}": swapped}, {f"control {name}": 300})


def updated(parent: FittedModel, new: DrawnPopulations, **replay):
    return update_model(parent.model, "models:/cells/1", parent.prepared.drawn, new, ReplayConfig(**replay))


def test_a_batch_that_the_autoencoder_knows_changes_no_bit_of_what_was_there(parent):
    before, update = parent.model, updated(parent, batch("D"))
    assert list(update.model.edits) == ["B", "C", "D"]
    assert update.model.autoencoders == before.autoencoders
    for name in before.edits:
        events = parent.prepared.drawn.intensities[f"control {name}"]
        assert before.apply(events, name).tobytes() == update.model.apply(events, name).tobytes()
    assert [drift.relative for drift in update.drifts] == [0, 0]
    assert update.sentence.endswith("no weight and no old edit has changed")
    assert update.model.facts["update"]["new_edits"] == ["D"]


def test_the_new_edit_leads_to_the_parents_reference(parent):
    update = updated(parent, batch("D"))
    edited = update.model.apply(batch("D").intensities["control D"], "D")
    reference = parent.prepared.drawn.intensities["control A"]
    # D is like the reference A, which has other events: sample medians of 300 events.
    assert np.abs(np.log(np.median(edited, axis=0) / np.median(reference, axis=0))).max() < 0.1


def test_a_strange_batch_is_learned_with_replay_and_every_edit_fitted_again(parent):
    update = updated(parent, batch("E", strange=True), epochs=2)
    assert update.retrained
    assert len(update.losses) == 2
    assert update.model.facts["update"]["reconstruction_ratio"]["control E"] > 2
    assert set(update.model.facts["update"]["drift"]) == {"B", "C"}
    assert update.worst_drift.relative > 0
    assert "retrained with replay: old edits drifted by " in update.sentence


def test_an_update_of_an_update_finds_all_events_where_they_were(parent):
    update = updated(parent, batch("D")).drawn_from({**DATA, "uri": "new/"}, PARENT)
    facts = json.loads(json.dumps(update.model.facts))
    record = TrainingRecord.from_facts(facts, "models:/cells/2")
    assert {name: found.data for name, found in record.populations.items()} == {
        **{f"control {name}": "cells/" for name in "ABC"},
        "control D": "new/",
    }
    assert record.populations["control D"].sha256 == intensities_digest(batch("D").intensities["control D"])
    assert (facts["parent"], facts["data"]["uri"]) == (PARENT, "new/")
    assert record.goal == ("control A",)


def test_no_new_batch_is_told(parent):
    record = TrainingRecord.from_facts(parent.model.facts, "m")
    message = (
        r"^cells/: found controls \(role = control\) of 'A', 'B' in the column 'batch_id'; expected some of a batch "
        r"that the model does not know yet \(known: 'A', 'B', 'C'\)\. Check data\.path\.$"
    )
    with pytest.raises(DataError, match=message):
        new_populations(["control A", "control B"], record, parent.model.design, "cells/")
    found = new_populations(["control A", "control D"], record, parent.model.design, "cells/")
    assert found == {"control D", "extrapolation D"}


def test_a_pair_design_takes_no_batch(pair_model):
    assert isinstance(pair_model.design, PairDesign)
    with pytest.raises(ModelError, match=r"^models:/lps/1: the model has a pair design, whose one edit no batch"):
        check_controls_design(pair_model, "models:/lps/1")


def test_a_model_of_arrays_does_not_tell_where_its_events_are(parent):
    with pytest.raises(ModelError, match=r"^m: the model does not tell how it was trained \(its facts lack 'populat"):
        update_model(
            fit_model(
                {name: parent.prepared.drawn.intensities[f"control {name}"] for name in "AB"},
                parent.model.panel,
                ControlsDesign.of_arrays(reference="A"),
                network=Architecture(hidden=(), code=2),
                training=TrainingPlan(epochs=1),
                edit=EditConfig(preset="quantile-map"),
            ).model,
            "m",
            parent.prepared.drawn,
            batch("D"),
        )


def test_an_old_edit_that_did_nothing_and_now_does_something_is_told_without_a_number(parent):
    update = updated(parent, batch("D"))
    drifted = replace(update, drifts=(EditDrift("B", 0.1, 0.0),), losses=(EpochLosses(1, 0.1, 0.1),))
    assert drifted.sentence.endswith("; retrained with replay: old edits drifted without bound ('B')")
