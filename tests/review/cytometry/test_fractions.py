from dataclasses import replace

import numpy as np
import pytest

from neuronedit.errors import DataError
from neuronedit.review.cytometry.fractions import fractions_part
from tests.review.cytometry.planted_transfers import CD4, NO_CHANGE, TYPES, change_of, model_with, planted_transfer


def test_a_planted_change_of_a_fraction_comes_back():
    # CD8 T cells that gain 3 units of CD4 look like CD4 T cells.
    part = fractions_part(model_with(), planted_transfer(change_of(CD4, 3, "CD8 T")))
    table = part.tables["fractions"].set_index("cell_type")
    assert table.loc["CD4 T", ["before", "edited", "truth", "label"]].tolist() == pytest.approx(
        [0.25, 0.5, 0.25, 0.25], abs=0.02
    )
    assert table.loc["CD8 T", "edited"] == pytest.approx(0, abs=0.02)
    assert part.scalars["fractions_off"] == pytest.approx(0.25, abs=0.02)
    assert part.scalars["fractions_own_label"] == pytest.approx(0.75, abs=0.02)
    assert part.reading.startswith("The edit changes the fraction of CD")
    assert part.reading in part.drawings[0].alt or part.drawings[0].reading in part.drawings[0].alt


def test_another_mix_of_cells_in_the_truth_is_seen_and_not_made_by_an_edit_that_does_nothing():
    fewer = (TYPES != "B") | (np.arange(len(TYPES)) < 240)
    part = fractions_part(model_with(), planted_transfer(NO_CHANGE, keep_truth=fewer))
    row = part.tables["fractions"].set_index("cell_type").loc["B"]
    assert row["before"] == row["edited"] == pytest.approx(0.25, abs=0.02)
    assert row["truth"] == pytest.approx(60 / fewer.sum(), abs=0.02)
    assert row["truth_label"] == pytest.approx(60 / fewer.sum())


def test_one_type_alone_has_no_fractions():
    transfer = planted_transfer(NO_CHANGE, keep_truth=TYPES == "B")
    with pytest.raises(DataError, match=r"1 cell types have 50 events of the truth; expected at least two"):
        fractions_part(model_with(), transfer)


def test_rare_types_and_types_that_markers_do_not_tell_apart_are_said():
    transfer = planted_transfer(NO_CHANGE)
    part = fractions_part(model_with(), transfer)
    assert part.warning == ""
    names = np.where(np.arange(len(TYPES)) % 8 < 4, "odd", "even").astype(object)
    names[:20] = "rare"
    comparison = replace(transfer.comparison, event_types=names, truth_types=names)
    blurred = fractions_part(model_with(), replace(transfer, comparison=comparison))
    assert blurred.warning.startswith("The markers tell these cell types apart poorly")
    assert blurred.reading.endswith("No event is assigned to types with fewer than 50 of the truth: rare.")
    assert list(blurred.tables["fractions"]["cell_type"]) == ["even", "odd"]
