import numpy as np
import pandas as pd
import pytest

from neuronedit.errors import DataError
from neuronedit.measures.distances import FLOOR
from neuronedit.review.cytometry.by_type import MAX_TYPES, _shown, by_type_part
from neuronedit.review.cytometry.stages import Stages, example_transfer, nearness, split_by_type
from neuronedit.review.transfer.transfer import NEURONEDIT
from tests.review.cytometry.planted_transfers import NO_CHANGE, PSTAT1, TYPES, change_of, model_with, planted_transfer


def row(table: pd.DataFrame, marker: str, cell_type: str) -> pd.Series:
    return table[(table["marker"] == marker) & (table["cell_type"] == cell_type)].iloc[0]


def test_a_marker_that_only_one_type_needs_and_gets_is_nearer_there_and_nowhere_else():
    rise = change_of(PSTAT1, 1.5, "B")
    part = by_type_part(model_with(), planted_transfer(rise, rise))
    found = row(part.tables["by_type"], "pSTAT1", "B")
    assert found["before"] == pytest.approx(1.5, abs=0.05)
    # What is left is noise: halves of 50 events with a spread of 0.5.
    assert found["edited"] < 0.2
    assert row(part.tables["by_type"], "pSTAT1", "monocyte")["before"] < 0.2
    assert part.reading.startswith("The edit brings 1 of 12 markers within a cell type nearer to the truth, and none")
    assert "positive_truth" in part.tables["by_type"]


def test_an_edit_that_spoils_a_marker_in_one_type_is_named_with_both():
    part = by_type_part(model_with(), planted_transfer(change_of(PSTAT1, 1.5, "CD8 T")))
    worse = part.tables["by_type"][part.tables["by_type"]["worse"]]
    assert worse[["marker", "cell_type"]].to_numpy().tolist() == [["pSTAT1", "CD8 T"]]
    assert part.reading.endswith("1 further away (by more than the noise floor): most pSTAT1 in CD8 T.")
    assert "furthest from it after the edit is pSTAT1 in CD8 T" in part.drawings[0].alt
    assert part.scalars["by_type_worse"] == 1
    # Only the type that is made worse is crossed, in the edited panel.
    figure = part.drawings[0].figure
    crossed = [axes.collections[0].get_offsets().tolist() for axes in figure.axes[:2] if axes.collections]
    rows = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert crossed == [[[PSTAT1, rows.index("CD8 T")]]]


def test_shares_of_positive_events_are_those_above_the_truths_gate():
    # CD3 has two sides: T cells at 4, others at 1; the edit makes T cells of the B cells.
    part = by_type_part(model_with(), planted_transfer(change_of(0, 3, "B")))
    found = row(part.tables["by_type"], "CD3", "B")
    shares = found[["positive_before", "positive_edited", "positive_truth"]].astype(float)
    assert shares.to_numpy() == pytest.approx([0, 1, 0], abs=0.02)
    assert part.drawings[1].reading.startswith("The share of positive events differs most from the truth's in CD3 of B")
    assert np.isnan(row(part.tables["by_type"], "pSTAT1", "B")["positive_truth"])


def test_types_of_few_events_are_left_out_and_named():
    rare = (TYPES != "monocyte") | (np.arange(len(TYPES)) < 100)
    part = by_type_part(model_with(), planted_transfer(NO_CHANGE, keep_truth=rare))
    assert "monocyte" not in set(part.tables["by_type"]["cell_type"])
    assert part.reading.endswith("Left out, with fewer than 50 events or so few in the truth: monocyte.")


def test_without_types_the_part_asks_for_their_column():
    transfer = planted_transfer(NO_CHANGE, types=False)
    with pytest.raises(DataError, match=r"'planted': the cell types of its events .* Name their column in labels.cell"):
        by_type_part(model_with(), transfer)
    few = planted_transfer(NO_CHANGE, keep_truth=np.arange(len(TYPES)) < 100)
    with pytest.raises(DataError, match=r"no cell type has 50 events and as many of the truth. Draw more events"):
        split_by_type(few)


def test_distances_are_those_of_the_review_on_the_same_events():
    transfer = example_transfer()
    found, halves = nearness(Stages.of(transfer), seed=0), transfer.halves
    assert found.floor == pytest.approx(halves[FLOOR].mean.emd)
    assert found.edited == pytest.approx(halves[NEURONEDIT].mean.emd)


def test_of_many_types_the_furthest_are_shown_in_their_order():
    names = [f"type {number}" for number in range(MAX_TYPES + 6)]
    table = pd.DataFrame(
        {"cell_type": names, "marker": "CD3", "before": 0.0, "edited": np.arange(len(names), dtype=float)}
    )
    assert list(_shown(table, ["before", "edited"])["edited"].index) == names[6:]
