import logging
from dataclasses import replace

import numpy as np
import pytest

from neuronedit.cells.design import PAIR_EDIT, PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.edits.pair_events import PairEvents
from neuronedit.edits.plans import EditConfig
from neuronedit.edits.students.distillation import distil
from neuronedit.edits.students.fidelity import Fidelity
from neuronedit.fitting import students
from neuronedit.fitting.fit import FittedModel, fit_model
from neuronedit.measures.distances import emd
from neuronedit.model.example import example_cells, example_model
from neuronedit.model.saved.files import load_model, save_model
from neuronedit.network.autoencoder import Architecture, tensor
from neuronedit.network.plan import TrainingPlan

pytestmark = pytest.mark.usefixtures("whole_descent")

PANEL = Panel(("CD3", "CD4", "CD8", "pSTAT1"), (5.0,) * 4)


def cells(seed: int, rise: float = 1.0, n_events: int = 1_500) -> np.ndarray:
    """Two kinds of cell with many zeros, of which one answers with the last marker; CD8 is not stained."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n_events)
    found = rng.lognormal([1.5, 2.0, 0.0, 2.0], 0.5, (n_events, 4)) * np.where(
        kind[:, None], [8, 1, 1, 1], [1, 8, 1, 1]
    )
    found[:, 3] *= np.where(kind, rise, 1)
    found[rng.random((n_events, 4)) < 0.2] = 0
    found[:, 2] = 0
    return found.astype(np.float32)


def fitted(**edit) -> FittedModel:
    pair, network = {"source": cells(0), "target": cells(1, 4.0)}, Architecture(hidden=(16, 8), code=6)
    return fit_model(
        pair,
        PANEL,
        PairDesign.of_arrays(),
        network=network,
        training=TrainingPlan(epochs=5, minibatch=128),
        edit=EditConfig(**edit),
    )


@pytest.fixture(scope="module")
def model():
    return fitted().model


def test_the_student_serves_and_comes_near_its_teacher(model):
    edit, teacher = model.edits[PAIR_EDIT], model.served_by("teacher")
    assert edit.fidelity.passes
    assert edit.student
    assert teacher.edits[PAIR_EDIT].student is None
    events, truth = cells(2), np.arcsinh(cells(3, 4.0) / 5)
    by = {
        name: np.arcsinh(each.apply(events, "pair") / 5)
        for name, each in {"student": model, "teacher": teacher}.items()
    }
    left = {name: emd(edited, truth).mean() for name, edited in by.items()}
    assert left["student"] < left["teacher"] + 0.03
    assert left["student"] < 0.5 * emd(np.arcsinh(events / 5), truth).mean()
    assert not np.array_equal(by["student"], by["teacher"])


def test_what_the_teacher_leaves_as_it_is_the_student_leaves_bit_for_bit(model):
    events = cells(2)
    events[:, 2] = np.arange(len(events))
    assert model.unlearnable["pair"].keys() == {"CD8"}
    assert model.apply(events, "pair")[:, 2].tobytes() == events[:, 2].tobytes()


def test_zeros_keep_their_share_whoever_serves(model):
    shares = [(each.apply(cells(2), "pair") == 0).mean(axis=0) for each in (model, model.served_by("teacher"))]
    np.testing.assert_allclose(*shares, atol=0.05)


def test_the_change_is_bounded_beyond_all_that_was_seen(model):
    far = np.full((20, 4), 1e6, np.float32)
    moved = np.arcsinh(model.apply(far, "pair") / 5) - np.arcsinh(far / 5)
    assert np.abs(moved).max() < 4


def test_a_file_keeps_student_teacher_and_fidelity(model, tmp_path):
    save_model(model, tmp_path / "model")
    loaded, events = load_model(tmp_path / "model"), cells(2)
    assert loaded.apply(events, "pair").tobytes() == model.apply(events, "pair").tobytes()
    taught = [each.served_by("teacher").apply(events, "pair").tobytes() for each in (loaded, model)]
    assert taught[0] == taught[1]
    assert loaded.edits["pair"].fidelity == model.edits["pair"].fidelity


def test_an_event_has_the_same_bits_beside_whatever_events(model):
    events = cells(2)
    whole = model.apply(events, "pair")
    alone = np.concatenate([model.apply(events[row : row + 1], "pair") for row in range(40)])
    assert alone.tobytes() == whole[:40].tobytes()


def test_the_same_seed_gives_the_same_student(model):
    again = fitted().model
    assert again.apply(cells(2), "pair").tobytes() == model.apply(cells(2), "pair").tobytes()


@pytest.mark.parametrize("settings", [{"serve": "teacher"}, {"preset": "quantile-map"}])
def test_no_student_is_made_where_none_is_wanted_or_needed(settings):
    edit = fitted(**settings).model.edits["pair"]
    assert (edit.student, edit.fidelity) == (None, None)


def test_the_events_to_be_edited_are_learned_where_they_are_known():
    """The teacher moves a kind of cell that source and target lack."""
    rng = np.random.default_rng(0)
    known, others = (rng.normal(centre, 0.5, (1_000, 2)).astype(np.float32) for centre in (0, 4))
    none = np.full(2, np.nan, np.float32)

    def error(extrapolation: np.ndarray | None) -> float:
        student = distil(lambda cells: np.where(cells > 2, 1, 0), known, known, (none, none), 0, extrapolation)
        return float(np.abs(student.change(tensor(others)).numpy() - 1).mean())

    assert error(None) > 0.5
    assert error(others[:800]) < 0.1


def test_fidelity_is_measured_on_events_to_be_edited_that_the_student_did_not_learn_from(monkeypatch):
    seen, learn, measure = {}, students.distil, students.measure_fidelity

    def learned_from(*given):
        seen["learned"] = given[-1]
        return learn(*given)

    def tried_on(*given):
        seen["tried"] = given[4]
        return measure(*given)

    monkeypatch.setattr(students, "distil", learned_from)
    monkeypatch.setattr(students, "measure_fidelity", tried_on)
    model, numbers = example_model(), np.arange(100, dtype=np.float32)
    pair = PairEvents(*(model.standardised(example_cells(seed, treated=seed)) for seed in (0, 1)))
    students.with_student(model.edits["pair"], model.autoencoders, pair, np.stack([numbers] * 3, axis=1) / 100, seed=0)
    learned, tried = ({round(float(row[0]), 4) for row in seen[name]} for name in ("learned", "tried"))
    assert (len(learned), len(tried)) == (80, 20)
    assert not learned & tried


def test_a_student_that_is_not_as_good_does_not_serve_and_the_log_says_why(monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    measure = students.measure_fidelity

    def worse(*given) -> Fidelity:
        found = measure(*given)
        return replace(found, emd=(found.emd[0], found.emd[1], found.emd[0]))

    monkeypatch.setattr(students, "measure_fidelity", worse)
    edit = fitted(preset="strata").model.edits["pair"]
    assert edit.student is None
    assert not edit.fidelity.passes
    told = [message for message in caplog.messages if message == f"edit pair: {edit.fidelity.sentence(PANEL.markers)}"]
    assert len(told) == 1
