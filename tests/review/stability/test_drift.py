from dataclasses import replace

import numpy as np
import pytest
from neuronedit_jobs.benchmarks.review.planted import planted_cells, planted_model

from neuronedit.model.edit_model import EditModel
from neuronedit.review.stability.drift import drift_part, is_update


@pytest.fixture(scope="module")
def model() -> EditModel:
    return planted_model(planted_cells(300, 0), planted_cells(300, 1))


def updated(model: EditModel, retrained: bool, drift: dict[str, tuple[float, float | None]]) -> EditModel:
    facts = {
        "parent": {"uri": "models:/batches/3", "sha256": "0" * 64},
        "update": {
            "retrained": retrained,
            "new_edits": ["day9"],
            "reconstruction_ratio": {"control day9": 2.5 if retrained else 1.1},
            "replay": {"above": 1.5},
            "drift": {edit: {"rms": rms, "change": 2.0, "relative": found} for edit, (rms, found) in drift.items()},
        },
    }
    return replace(model, facts=facts)


def test_a_model_without_a_parent_has_no_such_part(model):
    assert not is_update(model)
    assert is_update(updated(model, False, {}))


def test_edits_that_stayed_are_said_to_give_the_same_bits(model):
    part = drift_part(updated(model, False, {"day1": (0.0, 0.0), "day2": (0.0, 0.0)}))
    assert part.reading == (
        "models:/batches/3 plus day9: new events were reconstructed 1.10 times as badly as those known (limit 1.5), so "
        "no weight changed, and old edits give the same results, bit for bit."
    )
    assert part.scalars == {"retrained": 0.0, "old_edit_drift": 0.0}
    assert part.warning == ""


def test_the_edit_that_drifted_most_stands_first_and_is_warned_of(model):
    part = drift_part(updated(model, True, {"day1": (0.1, 0.05), "day2": (0.6, 0.3)}))
    assert list(part.tables["old_edit_drift"]["edit"]) == ["day2", "day1"]
    assert part.reading.endswith("of 2 old edits, day2 drifted most, by 30% of its own change (0.60 arcsinh units).")
    assert part.warning == "1 of 2 edits of the parent give other results than before: review them again."
    assert part.scalars["old_edit_drift"] == 0.3


def test_a_drift_without_bound_is_named_and_is_no_number(model):
    part = drift_part(updated(model, True, {"day1": (0.1, 0.05), "day2": (0.6, None)}))
    assert "day2 drifted most, without bound" in part.reading
    assert all(np.isfinite(value) for value in part.scalars.values())
    assert part.warning.startswith("1 of 2")


def test_the_figure_has_a_bar_for_each_old_edit(model):
    (drawing,) = drift_part(updated(model, True, {"day1": (0.1, 0.05), "day2": (0.6, 0.3)})).drawings
    axes = drawing.draw().axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["day2", "day1"]
