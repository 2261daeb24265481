from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from neuronedit.edits.left_out import LeftOutErrors
from neuronedit.model.edit_model import EditModel
from neuronedit.review.page.restrictions import restrictions
from neuronedit.review.populations.mix_note import MixNote
from tests.review.planted import TRUE_SHIFT

CLEAN, MIXED = MixNote(0.02, "The mix makes 2%."), MixNote(0.4, "The mix makes 40%.")
NO_MARKERS = pd.DataFrame({"comparison": [], "kind": [], "marker": [], "before": [], "after": [], "worse": []})


@pytest.fixture
def model(planted_model: Callable[[np.ndarray], EditModel]) -> EditModel:
    return planted_model(TRUE_SHIFT)


def with_errors(model: EditModel, shrinks: bool = False, **left_out: float) -> EditModel:
    edit = model.edits["pair"]
    return replace(
        model,
        edits={
            name: replace(edit, name=name, errors=LeftOutErrors(0.1, error), shrinks=shrinks)
            for name, error in left_out.items()
        },
    )


def test_kinds_of_cell_that_the_worst_edit_lacks_are_told_under_the_one_name_of_the_error(model: EditModel) -> None:
    assert restrictions(with_errors(model, day2=0.4), NO_MARKERS, CLEAN) == (
        "Kinds of cell that 'day2' was not learned on: expected extrapolation error 0.40 (0 is noise, 1 is doing "
        "nothing).",
    )
    assert restrictions(with_errors(model, day2=0.4, day3=1.29), NO_MARKERS, CLEAN) == (
        "Kinds of cell that 'day3' was not learned on: expected extrapolation error 1.29, the worst of 2 edits (0 is "
        "noise, 1 is doing nothing): worse than doing nothing.",
    )
    (shrunk,) = restrictions(with_errors(model, shrinks=True, day2=0.4), NO_MARKERS, CLEAN)
    assert "error 1.00, as the change shrinks to nothing there" in shrunk
    assert restrictions(model, NO_MARKERS, CLEAN) == (), "the errors of a model made by hand are not known"


def test_markers_made_worse_are_named_the_worst_first_and_of_held_out_comparisons_alone(model: EditModel) -> None:
    names = [f"CD{number}" for number in range(8)]
    table = pd.DataFrame(
        {
            "comparison": ["donor 2"] * 8 + ["the pair"],
            "kind": ["held out"] * 8 + ["training pair"],
            "marker": [*names, "CD99"],
            "before": 0.1,
            "after": [0.2 + 0.1 * number for number in range(8)] + [2.0],
            "worse": True,
        }
    )
    (told,) = restrictions(model, table, CLEAN)
    assert told.startswith("On donor 2 the edit leads away from the truth: CD7 (EMD 0.10 → 0.90), CD6 (EMD 0.10")
    assert told.endswith(" and 2 more.")
    assert restrictions(model, table.assign(worse=False), CLEAN) == ()


def test_a_mix_of_concern_is_noted_last(model: EditModel) -> None:
    told = restrictions(with_errors(model, day2=0.4), NO_MARKERS, MIXED)
    assert told[-1] == "Mix of cell types, a note and no gate: The mix makes 40%."
