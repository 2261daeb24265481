from dataclasses import replace

import pytest

from neuronedit.edits.students.fidelity import Fidelity
from neuronedit.model.example import example_model
from neuronedit.review.neurons.context import LabelColumns
from neuronedit.review.page import edit_review
from neuronedit.review.page.edit_review import review_edit
from neuronedit.review.subject import example_subject

LABELS = LabelColumns()
NEAR = Fidelity(500, (0.6, 0.05, 0.06), (1.5, 0.02, 0.03), 0.04, 1, 0.08, None, 0.0, 1.1)


def part_of(fidelity):
    subject = example_subject()
    reviewed = replace(subject, edit=replace(subject.edit, fidelity=fidelity))
    return {part.name: part for part in review_edit("pair", reviewed, example_model(), LABELS).parts}.get("student")


@pytest.fixture(autouse=True)
def only_this_part(monkeypatch):
    """All other parts have tests of their own."""
    own = tuple(feature for feature in edit_review.PARTS if feature.name == "student")
    monkeypatch.setattr(edit_review, "PARTS", own)


def test_a_student_that_serves_is_told_with_the_numbers_that_decided():
    part = part_of(NEAR)
    assert part.reading == (
        "A student serves it (EMD to the target 0.060 by the student, 0.050 by its teacher, 0.600 before), by 500 "
        "source events that it did not learn from."
    )
    assert part.tables["student"]["holds"].all()
    assert part.scalars == {"teacher_emd": 0.05, "student_emd": 0.06, "student_serves": 1.0}


def test_a_student_that_does_not_serve_is_told_with_its_reason_and_the_markers_name():
    part = part_of(replace(NEAR, worst_excess=0.26))
    assert part.reading.startswith(
        "The teacher serves it, its student is not as good: excess of the EMD of 'CD4' 0.26; expected at "
        "most 0.15, by 500"
    )
    table = part.tables["student"].set_index("number")
    assert table.index[~table["holds"]].tolist() == ["excess of the EMD of 'CD4'"]
    assert part.scalars["student_serves"] == 0


def test_an_edit_without_a_student_has_no_such_part():
    assert part_of(None) is None
