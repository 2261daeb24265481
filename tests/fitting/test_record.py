import json
import re

import numpy as np
import pytest

from neuronedit.cells.draw import SampleConfig
from neuronedit.edits.operators.table import EditStep
from neuronedit.edits.plans import EditConfig
from neuronedit.errors import ModelError
from neuronedit.fitting.record import PopulationRecord, TrainingRecord, intensities_digest, population_records
from neuronedit.network.plan import TrainingPlan


def record(edit: EditConfig) -> TrainingRecord:
    populations = {"control A": PopulationRecord(data="cells", sha256="0" * 64)}
    return TrainingRecord(
        populations=populations,
        goal=("control A",),
        sample=SampleConfig(seed=3),
        training=TrainingPlan(epochs=7),
        validation_loss=(0.1, 0.2),
        edit=edit,
    )


EDITS = [EditConfig(), EditConfig(preset="strata"), EditConfig(steps=(EditStep(), EditStep(layer="visible")))]


@pytest.mark.parametrize("edit", EDITS, ids=["default", "preset", "steps"])
def test_a_record_comes_back_from_a_models_facts(edit):
    facts = {"neuronedit": "0.1.0", **json.loads(json.dumps(record(edit).facts()))}
    assert TrainingRecord.from_facts(facts, "models:/x/1") == record(edit)


def test_settings_of_training_and_sampling_that_there_are_no_more_are_passed_over():
    facts = record(EditConfig()).facts()
    facts["sample"]["sample_column"] = "donor"
    facts["training"] |= {"schedule": "cosine", "warmup": 0.05, "accumulate": 2}
    assert TrainingRecord.from_facts(facts, "models:/x/1") == record(EditConfig())


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda facts: facts.pop("goal"), "its facts lack 'goal'"),
        (lambda facts: facts["training"].update(epochs=0), "training.epochs: Input should be greater than or equal"),
        (lambda facts: facts["training"].update(epoch=3), "training.epoch: Extra inputs are not permitted"),
    ],
)
def test_a_model_that_does_not_tell_how_it_was_trained_is_told(spoil, found):
    facts = record(EditConfig()).facts()
    spoil(facts)
    message = rf"^models:/x/1: the model does not tell how it was trained \({re.escape(found)}.*Train it again, then"
    with pytest.raises(ModelError, match=message):
        TrainingRecord.from_facts(facts, "models:/x/1")


def test_the_digest_is_of_the_events_and_their_order_in_float32():
    events = np.arange(12.0).reshape(4, 3)
    assert intensities_digest(events) == intensities_digest(np.asfortranarray(events, dtype=np.float32))
    assert intensities_digest(events) != intensities_digest(events[::-1])


def test_a_populations_record_has_its_place_and_its_digest(cells):
    found = population_records({"A": cells(50)}, "cells/")["A"]
    assert (found.data, found.sha256) == ("cells/", intensities_digest(cells(50)))
