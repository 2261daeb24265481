"""Who makes an edit's change: its student, or the plan that this was distilled from; and the numbers that decided."""

from collections.abc import Sequence

import pandas as pd

from neuronedit.edits.edit import Edit
from neuronedit.review.part import Part, finite_scalars


def student_part(edit: Edit, markers: Sequence[str]) -> Part:
    """Show how near an edit's student came to its teacher when it was fitted, and whether it serves.

    Tables: ``student``, with the columns number, found, at_most, holds; the student serves where all hold.

    Args:
        edit: Has the fidelity of a student.
        markers: (n_markers,) names.

    Example:
        >>> from dataclasses import replace
        >>> from neuronedit.edits.students.fidelity import Fidelity
        >>> from neuronedit.model.example import example_model
        >>> found = Fidelity(500, (0.6, 0.05, 0.06), (1.5, 0.02, 0.03), 0.04, 0, 0.08, None, 0.0, 1.1)
        >>> student_part(replace(example_model().edits["pair"], fidelity=found), ("CD3", "CD4", "pSTAT1")).reading
        'A student serves it (EMD to the target 0.060 by the student, 0.050 by its teacher, 0.600 before), by 500 source
        events that it did not learn from.'
    """
    fidelity = edit.fidelity
    assert fidelity is not None
    numbers = fidelity.numbers(markers)
    table = pd.DataFrame(
        [(name, found, most, found <= most) for name, (found, most) in numbers.items()],
        columns=["number", "found", "at_most", "holds"],
    )
    said = fidelity.sentence(markers)
    reading = f"{said[0].upper()}{said[1:]}, by {fidelity.n_events:,} source events that it did not learn from."
    _, by_teacher, by_student = fidelity.emd
    scalars = {"teacher_emd": by_teacher, "student_emd": by_student, "student_serves": float(fidelity.passes)}
    return Part(
        "student", "Student and teacher", "consistency", reading, {"student": table}, (), finite_scalars(scalars)
    )
