from dataclasses import replace

import numpy as np
import pytest

from neuronedit.model.example import example_batches
from neuronedit.review.cytometry.lineage import find_lineage, lineage_part
from neuronedit.review.transfer.transfer import TRAINING_PAIR
from tests.review.cytometry.planted_transfers import (
    CD4,
    NO_CHANGE,
    PSTAT1,
    TYPES,
    change_of,
    model_with,
    planted_transfer,
)

GUARDED = model_with(CD3="lineage", CD4="lineage", pSTAT1="state")


def test_a_lineage_marker_moved_within_one_type_away_from_the_truth_is_red_and_named():
    transfer = planted_transfer(change_of(CD4, 0.8, "CD8 T"))
    found = find_lineage(GUARDED, transfer)
    assert found.tone == "red"
    red = found.table[found.table["tone"] == "red"]
    assert red[["marker", "cell_type"]].to_numpy().tolist() == [["CD4", "CD8 T"]]
    assert red["moved"].iloc[0] == pytest.approx(0.8, abs=1e-4)
    assert found.sentence.startswith("The edit moves lineage markers within their cells: CD4 in CD8 T by 0.80 (0.")
    part = lineage_part(GUARDED, transfer, found)
    assert part.reading == f"Red: {found.sentence}"
    assert part.warning.startswith("By lineage markers cells are gated")
    assert part.scalars == {"lineage_red": 1, "lineage_moved_max": pytest.approx(0.8, abs=1e-4)}


@pytest.mark.parametrize("edit", [NO_CHANGE, change_of(PSTAT1, 2.0), change_of(CD4, 0.15)])
def test_an_edit_that_leaves_lineage_markers_is_green(edit: np.ndarray):
    transfer = planted_transfer(edit)
    found = find_lineage(GUARDED, transfer)
    assert found.tone == "green"
    assert set(found.table["marker"]) == {"CD3", "CD4"}
    assert found.sentence.startswith("The edit moves none of 2 lineage markers without a reason")
    assert lineage_part(GUARDED, transfer, found).warning == ""


def test_a_lineage_marker_that_the_truth_moves_too_may_be_moved():
    shift = change_of(CD4, 0.8, "CD8 T")
    assert find_lineage(GUARDED, planted_transfer(shift, shift)).tone == "green"


def test_in_a_training_pair_a_marker_may_move_as_far_as_source_and_target_differ():
    shift = change_of(CD4, 0.8, "CD8 T")
    as_learned = find_lineage(GUARDED, planted_transfer(shift, shift, kind=TRAINING_PAIR))
    assert as_learned.tone == "green"
    further = find_lineage(GUARDED, planted_transfer(shift, shift / 2, kind=TRAINING_PAIR))
    assert further.tone == "red"
    row = further.table[further.table["tone"] == "red"].iloc[0]
    assert row["pair"] == pytest.approx(0.4, abs=0.1)
    assert row["pair_within"] == "CD8 T"
    assert "source and target differ by 0." in further.sentence


def test_the_learned_pairs_difference_is_that_of_the_type_where_its_types_are_known():
    shift = change_of(CD4, 0.8, "CD8 T")
    transfer, learned = planted_transfer(shift, shift), planted_transfer(shift, shift, kind=TRAINING_PAIR)
    within = find_lineage(GUARDED, transfer, learned).table
    over_all = find_lineage(GUARDED, transfer).table
    assert set(within["pair_within"]) == set(TYPES)
    assert set(over_all["pair_within"]) == {"all events"}
    chosen = (within["marker"] == "CD4") & (within["cell_type"] == "CD8 T")
    assert within.loc[chosen, "pair"].iloc[0] == pytest.approx(0.8, abs=0.1)
    assert over_all.loc[chosen, "pair"].iloc[0] < 0.4


def test_a_moved_type_that_the_truth_lacks_is_amber():
    found = find_lineage(GUARDED, planted_transfer(change_of(CD4, 0.8, "B"), keep_truth=TYPES != "B"))
    assert found.tone == "amber"
    assert "no truth of these cells says whether it should" in found.sentence
    assert "CD4 in B by 0.80" in found.sentence


def test_without_roles_nothing_is_guarded_and_the_column_is_named():
    transfer = planted_transfer(NO_CHANGE)
    for model in (model_with(), model_with(pSTAT1="state")):
        found = find_lineage(model, transfer)
        assert found.tone == "amber"
        assert "write lineage in the column role of panel.csv" in found.sentence
        assert len(found.table) == 0
        assert lineage_part(model, transfer, found).drawings == ()


def test_a_pair_whose_cell_types_are_not_known_asks_for_their_labels():
    transfer = planted_transfer(NO_CHANGE, types=False)
    found = find_lineage(GUARDED, transfer)
    assert found.table["cell_type"].tolist() == ["all events"] * 2
    assert found.sentence.endswith("labels.cell_type makes sure.")
    controls = replace(example_batches(), panel=GUARDED.panel)
    assert "labels.cell_type" not in find_lineage(controls, transfer).sentence
    assert "labels.cell_type" not in find_lineage(GUARDED, planted_transfer(NO_CHANGE)).sentence
