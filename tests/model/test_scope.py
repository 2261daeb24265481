"""The scope of a version: what it was reviewed for and not for, as a tag of the version."""

import json
import logging
from dataclasses import replace

import pytest

from neuronedit.cells.design import ControlsDesign, PairDesign
from neuronedit.edits.support import Extrapolation
from neuronedit.model import scope as scope_module
from neuronedit.model.scope import (
    NO_SCOPE,
    SCOPE_TAG,
    ReviewedPopulation,
    Scope,
    extrapolation_name,
    source_name,
)

NEAR, FAR = Extrapolation(0.18, 0.94, 0.3, 1.0), Extrapolation(1.0, 1.0, 7.0, 1.0)
CD8 = ReviewedPopulation("pair", "cell_type = cd8+", 5_000, NEAR, error=0.08)
IGM = ReviewedPopulation("pair", "cell_type = igm+", 1_069, FAR)


def test_flagged_populations_and_those_where_doing_nothing_is_as_good_are_what_a_version_is_not_for() -> None:
    nothing_gained = replace(CD8, name="donor = P2", error=1.0)
    scope = Scope((CD8, IGM, nothing_gained))
    assert (scope.reviewed_for, scope.not_for) == ((CD8,), (IGM, nothing_gained))
    assert scope.sentence == (
        "was reviewed for 'cell_type = cd8+', and found not to be for 'cell_type = igm+', 'donor = P2'"
    )
    assert scope.facts() == {
        "reviewed for": ["cell_type = cd8+ (5,000 events by 'pair': 18% unsupported, error 0.08)"],
        "not for": [
            "cell_type = igm+ (1,069 events by 'pair': 100% unlike what the edit was learned on, and too far from it)",
            "donor = P2 (5,000 events by 'pair': the edit leaves 1.00 of what there is to correct there)",
        ],
    }


def test_a_new_kind_of_cell_within_reach_and_an_unknown_error_are_nothing_against_it() -> None:
    assert replace(IGM, found=replace(FAR, distance=2.0)).against == ""
    assert Scope((IGM,)).sentence == "was reviewed, and found not to be for 'cell_type = igm+'"


def test_a_scope_is_its_text_also_where_an_edit_has_no_effect() -> None:
    scope = Scope((CD8, IGM, replace(IGM, found=replace(FAR, effect=0.0))), n_others=3)
    assert Scope.from_tags({SCOPE_TAG: scope.to_json(), "other": "tag"}) == scope
    assert Scope.from_tags({}) == NO_SCOPE
    assert NO_SCOPE.sentence == "was never reviewed for any population"


@pytest.mark.parametrize(
    "text",
    ["", "yes", "[]", "7", "[" * 100_000, '{"populations": 7}', '{"populations": [{}]}', '{"n_others": "many"}']
    + [
        json.dumps({"populations": [{"edit": "pair", "name": "x", "n_events": 1, "found": found, "error": None}]})
        for found in (None, {}, {"auroc": 1}, {"unsupported": "a", "auroc": 1, "distance": 1, "effect": 1})
    ],
    ids=range(12),
)
def test_a_damaged_scope_counts_as_none_and_is_told(text: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert Scope.from_tags({SCOPE_TAG: text}) == NO_SCOPE
    assert "the tag neuronedit.scope is damaged (" in caplog.text
    assert "the version counts as reviewed for no population. Review it again." in caplog.text


def test_of_very_many_populations_those_to_beware_of_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scope_module, "MAX_POPULATIONS", 2)
    supported = replace(CD8, name="donor = P3", found=replace(NEAR, auroc=0.5))
    scope = Scope.of([supported, CD8, IGM])
    assert (scope.populations, scope.n_others) == ((CD8, IGM), 1)
    assert scope.sentence.startswith("was reviewed for 'cell_type = cd8+' (and 1 more), and")


def test_as_many_populations_as_are_kept_fit_into_a_tag() -> None:
    long = [replace(IGM, edit=f"batch {number}", name=f"{number} " + 120 * "x") for number in range(1_000)]
    assert len(Scope.of(long).to_json()) < 100_000


def test_populations_have_the_names_of_their_column_values() -> None:
    pair = PairDesign(source={"type": "cd4+"}, target={"type": "cd4+", "drug": "PMA"}, extrapolation={"type": "igm+"})
    assert source_name(pair, "pair") == "type = cd4+"
    assert source_name(pair, "pair inverse") == "type = cd4+ and drug = PMA"
    assert extrapolation_name(pair, "pair") == "type = igm+"
    controls = ControlsDesign(control={"role": "control"}, reference="day1", extrapolation={"role": "patient"})
    assert source_name(controls, "day2") == "batch_id = day2 and role = control"
    assert source_name(controls, "day2 inverse") == "batch_id = day1 and role = control"
    assert extrapolation_name(controls, "day2") == "batch_id = day2 and role = patient"
