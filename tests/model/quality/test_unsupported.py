"""Warnings of events that an edit was not learned on, and the refusal of more than may be."""

from dataclasses import replace

import numpy as np
import pytest

from neuronedit.edits.support import Extrapolation
from neuronedit.errors import ModelError
from neuronedit.model.quality.unsupported import (
    Application,
    EditSupport,
    check_unsupported,
    measured_support,
    scope_facts,
    score_support,
)
from neuronedit.model.route import BATCHES_OWN, Route
from neuronedit.model.scope import ReviewedPopulation, Scope

IGM = {"cell_type": "igm+"}
CD8 = ReviewedPopulation("pair", "cell_type = cd8+", 5_000, Extrapolation(0.18, 0.94, 0.3, 1.0), error=0.08)


@pytest.fixture
def use(pair_model) -> Application:
    """A reviewed pair model, applied to cells of another kind than those it was reviewed for."""
    return Application("models:/pma/1", pair_model, BATCHES_OWN, IGM, Scope((CD8,)))


def of(share: float) -> EditSupport:
    return EditSupport("pair", "pair", share, 500, 1_069)


def test_the_warning_tells_the_share_the_kinds_of_cell_and_what_the_model_was_reviewed_for(use) -> None:
    [warning] = scope_facts([of(0.54)], 0.1, use)["warnings"]
    assert warning.startswith(
        "54% of the 1,069 events of cell_type = igm+ (500 were looked at) have nothing like them among the events that "
        "the edit 'pair' was learned on ("
    )
    assert warning.endswith(
        "Do not trust the edit on them: learn it on a control of these cells, or measure some of them after the "
        "change. models:/pma/1 was reviewed for 'cell_type = cd8+'; these are cell_type = igm+."
    )


def test_a_model_that_was_never_reviewed_says_so(use) -> None:
    assert (
        replace(use, scope=Scope())
        .sentence(of(1.0))
        .endswith("models:/pma/1 was never reviewed for any population; these are cell_type = igm+.")
    )


def test_what_the_review_found_of_the_same_events_is_told(use) -> None:
    against = replace(CD8, name="cell_type = igm+", found=Extrapolation(1.0, 1.0, 7.0, 1.0))
    known = replace(use, scope=Scope((CD8, against)))
    assert known.sentence(of(1.0)).endswith(
        "models:/pma/1 was found by its review not to be for these: 100% unlike what the edit was learned on, and too "
        "far from it."
    )
    assert len(scope_facts([of(0.9)], 0.1, known)["warnings"]) == 1, "a bad review excuses nothing"


def test_events_that_a_review_held_good_are_warned_of_beyond_what_it_found(use) -> None:
    of_cd8 = replace(use, where={"cell_type": "cd8+"})
    assert scope_facts([of(0.27)], 0.1, of_cd8)["warnings"] == []
    [warning] = scope_facts([of(0.3)], 0.1, of_cd8)["warnings"]
    assert warning.endswith("was reviewed for such events, of which 18% had nothing like them.")
    assert len(scope_facts([of(0.27)], 0.1, use)["warnings"]) == 1


def test_events_that_a_review_saw_without_knowing_the_error_are_warned_of_all_the_same(use) -> None:
    within_reach = ReviewedPopulation("pair", "cell_type = igm+", 1_069, Extrapolation(1.0, 1.0, 2.0, 1.0))
    [warning] = scope_facts([of(1.0)], 0.1, replace(use, scope=Scope((within_reach,))))["warnings"]
    assert warning.endswith(
        "was reviewed for such events, of which 100% had nothing like them. The edit's error on them is not known."
    )


def test_the_share_that_is_warned_of_is_to_be_exceeded(use) -> None:
    assert scope_facts([of(0.1)], 0.1, use)["warnings"] == []
    assert scope_facts([of(0.1)], 0.0, use)["warnings"] != []


def test_more_than_may_be_is_an_error_with_expected_found_and_remedy(use) -> None:
    check_unsupported([of(1.0)], None, use, "edited")
    check_unsupported([of(0.2)], 0.2, use, "edited")
    with pytest.raises(
        ModelError,
        match=r"^edited: nothing was edited: expected at most 20% of an edit's events to be unlike those that it was "
        r"learned on \(max_unsupported = 0\.2\)\. 100% of the 1,069 events of cell_type = igm\+ .* was reviewed for "
        r"'cell_type = cd8\+'; these are cell_type = igm\+\. Other edits with more than that: 1\. Leave these "
        r"events out, use a model that is for them, or set a higher max_unsupported with resume = true\.$",
    ):
        check_unsupported([of(1.0), of(0.3), of(0.1)], 0.2, use, "edited: nothing was edited")


def test_events_are_named_by_their_batch_their_choice_or_what_the_input_says(controls_model, pair_model) -> None:
    asked = []
    find = lambda: asked.append(1) or {"cell_type": ["cd4+", "igm+"]}  # noqa: E731
    of_batch = Application("m", controls_model, BATCHES_OWN, {"role": "patient"}, find_values=find)
    assert of_batch.name("1") == f"{controls_model.batch_column} = 1 and role = patient"
    assert Application("m", pair_model, BATCHES_OWN, IGM, find_values=find).name("pair") == "cell_type = igm+"
    assert not asked
    unnamed = Application("m", pair_model, BATCHES_OWN, find_values=find)
    assert [unnamed.name("pair") for _ in range(2)] == ["cell_type = cd4+ or igm+"] * 2
    assert asked == [1]
    routed = Application("m", controls_model, Route(edits=("1", "2")), IGM)
    assert routed.name("1 → 2") == "cell_type = igm+"


def test_only_edits_that_change_something_are_judged_the_least_supported_first(controls_model) -> None:
    facts = {"1": (0.2, 500, 900), "2": (0.7, 500, 800), "3": (None, 0, 700), "left out": (None, 0, 3)}
    quality = {name: dict(zip(("unsupported", "scored", "events"), row, strict=True)) for name, row in facts.items()}
    assert [each.group for each in measured_support(quality, controls_model, BATCHES_OWN)] == ["2", "1"]
    idle = replace(controls_model, edits={n: replace(e, members=()) for n, e in controls_model.edits.items()})
    assert measured_support(quality, idle, BATCHES_OWN) == []


def test_drawn_events_are_scored_by_the_first_edit_that_they_get(controls_model, cells) -> None:
    raw = cells(400, seed=5).astype(np.float32)
    far = raw.copy()
    far[:] = 1e5
    found = score_support({"1": raw, "2": far, "3": far}, controls_model, BATCHES_OWN)
    assert [(each.edit, each.n_scored) for each in found] == [("2", 400), ("1", 400)]
    assert (found[0].share, found[1].share < 0.1) == (1.0, True)
