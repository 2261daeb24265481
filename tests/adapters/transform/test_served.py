"""Edits made by their students or, on demand, by their teachers; and outputs that keep to the choice."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.files.dataset import MANIFEST, STARTED
from neuronedit.adapters.files.parquet import marker_matrix
from neuronedit.adapters.transform.event_editor import EventEditor, TransformRules
from neuronedit.adapters.transform.manifest import verify_output
from neuronedit.adapters.transform.plan import TransformPlan
from neuronedit.errors import OutputError
from neuronedit.model.edit_model import EditModel
from tests.adapters.claiming import finish, start, tree
from tests.adapters.transforming import here, run
from tests.fixtures import with_students

FILE = "B-control.parquet"
TEACHER, STUDENT = TransformRules(serve="teacher"), TransformRules(serve="student")


@pytest.fixture(scope="module")
def model(controls_model: EditModel) -> EditModel:
    return with_students(controls_model)


def served(plan: TransformPlan, serve: str) -> TransformPlan:
    return replace(plan, settings={**plan.settings, "serve": serve})


def test_events_are_edited_by_the_student_unless_the_teacher_is_asked_for(
    cells_once: Path, tmp_path: Path, model: EditModel
) -> None:
    before = marker_matrix(pq.read_table(cells_once / FILE), model.panel, "x")
    edited = {}
    for name, rules in {"default": TransformRules(), "student": STUDENT, "teacher": TEACHER}.items():
        run(cells_once, tmp_path / name, model, rules, transform=here)
        edited[name] = marker_matrix(pq.read_table(tmp_path / name / FILE), model.panel, "x")
    assert np.array_equal(edited["default"], model.apply(before, "B"))
    assert np.array_equal(edited["student"], edited["default"])
    assert np.array_equal(edited["teacher"], model.served_by("teacher").apply(before, "B"))
    assert not np.array_equal(edited["teacher"], edited["default"])
    assert verify_output(str(tmp_path / "teacher")).problems == ()


@pytest.mark.parametrize("rules", [STUDENT, TEACHER])
def test_a_model_without_students_is_applied_as_it_is(
    cells_once: Path, controls_model: EditModel, rules: TransformRules
) -> None:
    table = pq.read_table(cells_once / FILE)
    assert EventEditor(controls_model, rules)(table).equals(EventEditor(controls_model)(table))


@pytest.mark.parametrize("state", ["finished", "started"])
@pytest.mark.parametrize(("before", "now"), [("student", "teacher"), ("teacher", "student")])
def test_a_resume_by_another_server_is_refused(
    target: Path, plan: TransformPlan, state: str, before: str, now: str
) -> None:
    (finish if state == "finished" else start)(target, served(plan, before))
    stood = tree(target)
    message = (
        rf'edited: expected serve = "{before}", with which it was started; found serve = "{now}", so it cannot be '
        r"resumed\. Use what it was started with, or set overwrite = true\.$"
    )
    with pytest.raises(OutputError, match=message):
        start(target, served(plan, now), resume=True)
    assert tree(target) == stood
    start(target, served(plan, before), resume=True)


def test_an_output_tells_the_settings_that_it_was_made_by(target: Path, plan: TransformPlan) -> None:
    finish(target, served(plan, "teacher"))
    assert json.loads((target / MANIFEST).read_text())["settings"] == {"where": {}, "serve": "teacher"}


@pytest.mark.parametrize("state", ["finished", "started"])
def test_an_output_from_before_the_choice_is_verified_and_resumed_by_the_student(
    target: Path, plan: TransformPlan, state: str
) -> None:
    (finish if state == "finished" else start)(target, plan)
    note = target / (MANIFEST if state == "finished" else STARTED)
    earlier = json.loads(note.read_text())
    del earlier["settings"]
    note.write_text(json.dumps(earlier))
    if state == "finished":
        assert verify_output(str(target)).problems == ()
    with pytest.raises(OutputError, match="was started with another model, other settings or other input files, so"):
        start(target, served(plan, "teacher"), resume=True)
    assert start(target, served(plan, "student"), resume=True).claim == earlier["claim"]


def test_several_settings_are_told_and_long_ones_are_not(plan: TransformPlan) -> None:
    earlier = {"settings": {"strength": 1.0, "edits": [], "where": {"a": "x" * 60}, "serve": "student", "gone": 1}}
    now = replace(plan, settings={"strength": 0.5, "edits": ("B",), "where": {}, "serve": "student", "new": 2})
    assert now.changed_since(earlier) == (
        'expected strength = 1.0, edits = [], with which it was started; found strength = 0.5, edits = ["B"]'
    )
    assert now.changed_since({"settings": json.loads(json.dumps(now.settings))}) == ""
    assert now.changed_since({"settings": "damaged"}) == ""
