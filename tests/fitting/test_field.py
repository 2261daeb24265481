"""What a field trial found of training: each kind is told, or done right."""

import logging

import numpy as np
import pyarrow as pa
import pytest

from neuronedit.adapters.transform.event_editor import NO_FILE, EventEditor
from neuronedit.cells.design import ControlsDesign, PairDesign
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.edits.auto import CANDIDATES
from neuronedit.fitting.prepare import prepare
from neuronedit.model.edit_model import Route
from tests.fitting.test_unlearnable import BATCH, DAYS, PANEL, PATIENT, REFERENCE, blood, fitted

CONTROLS = ControlsDesign(control={"role": "control"}, reference="1")


def drawn(**batches: int) -> DrawnPopulations:
    populations = {"control 1": REFERENCE, "control 2": BATCH}
    return DrawnPopulations(populations, dict.fromkeys(populations, 400), batches=batches)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_batches_without_a_control_are_named_by_train_with_their_events(caplog):
    found = drawn(**{"1": 800, "2": 800, "3": 1400, "day 4": 7})
    assert [pair.name for pair in prepare(found, PANEL, CONTROLS).pairs] == ["2"]
    assert told(caplog) == [
        "no control (role = control) in batch '3' (1,400 events), 'day 4' (7 events): no edit can be learned for it. "
        'transform will refuse its events, or pass them as they are with unknown_batch = "pass". Add its control, or '
        "leave the batch out."
    ]


def test_many_batches_without_a_control_are_one_line(caplog):
    prepare(drawn(**{str(number): 10 for number in range(1, 31)}), PANEL, CONTROLS)
    (line,) = told(caplog)
    assert "'10' (10 events) and 20 more: no edit" in line


def test_where_every_batch_has_its_control_nothing_is_said(caplog):
    prepare(drawn(**{"1": 800, "2": 800}), PANEL, CONTROLS)
    prepare({"1": REFERENCE, "2": BATCH}, PANEL, DAYS)
    prepare({"source": REFERENCE, "target": BATCH}, PANEL, PairDesign.of_arrays())
    assert told(caplog) == []


def test_fluorescence_on_the_cofactor_of_mass_cytometry_is_told_while_training(caplog):
    prepare({"1": blood(1), "2": blood(2)}, type(PANEL)(PANEL.markers, (5.0,) * 3), DAYS)
    (line,) = told(caplog)
    assert line.startswith("The cofactor of 'CD3', 'CD4', 'CD8' is 5, that of mass cytometry")
    assert np.mean(blood(1)[:, 0] < 0) > 0.1


def test_events_of_an_edit_that_does_nothing_are_not_counted_as_edited(monkeypatch):
    monkeypatch.setattr("neuronedit.edits.auto.CANDIDATES", {"quantile-map": CANDIDATES["quantile-map"]})
    model = fitted({"1": REFERENCE, "2": BATCH, "3": blood(3, 1.2, n_events=1000)}, preset="auto").model
    assert [len(model.edits[name].members) for name in ("2", "3")] == [0, 1], "2 is too like the reference"
    batches = ["1"] * 100 + ["2"] * 100 + ["3"] * 200
    found = model.transform(PATIENT, batches)
    expected = ["reference"] * 100 + ["without effect"] * 100 + ["edited"] * 200
    assert found.outcomes.tolist() == expected
    assert found.intensities[:200].tobytes() == PATIENT[:200].tobytes()
    table = pa.table(dict(zip(PANEL.markers, PATIENT.T, strict=True)) | {"batch_id": batches})
    counts = EventEditor(model).edit(table, NO_FILE, 0).counts
    assert counts == {"reference": 100, "without effect": 100, "edited": 200}
    for names, outcome in ((("2",), "without effect"), (("2", "3"), "edited")):
        assert set(model.transform(PATIENT, batches, Route(edits=names)).outcomes) == {outcome}
