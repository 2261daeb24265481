"""What a field trial found of training: each kind is told, or done right."""

import logging

import numpy as np
import pytest

from neuronedit.cells.design import ControlsDesign, PairDesign
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.fitting.prepare import prepare
from tests.fitting.test_unlearnable import BATCH, DAYS, PANEL, REFERENCE, blood

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
