from collections.abc import Callable

import numpy as np
import pytest

from neuronedit.model.edit_model import EditModel
from neuronedit.review.cytometry.curves import curve, curves_part
from neuronedit.review.cytometry.stages import ALL_EVENTS
from neuronedit.review.transfer.transfer import Comparison, measure_transfers
from tests.review.cytometry.planted_transfers import NO_CHANGE, PSTAT1, change_of, model_with, planted_transfer
from tests.review.planted import MARKERS, TRUE_SHIFT


def test_a_constant_shift_of_a_model_is_a_flat_curve_at_the_shift(
    planted_model: Callable[[np.ndarray], EditModel], planted_comparisons: list[Comparison]
):
    model = planted_model(TRUE_SHIFT)
    part = curves_part(model, *measure_transfers(model, planted_comparisons[1:2], seed=0))
    table = part.tables["curves"]
    for marker, shift in zip(MARKERS, TRUE_SHIFT, strict=True):
        own = table[table["marker"] == marker]
        assert len(own) > 8
        assert own[["low", "median", "high"]].to_numpy() == pytest.approx(shift, abs=1e-3)
    assert part.reading.startswith(f"The edit moves {MARKERS[0]} most, by 1.00 arcsinh units")
    # The marker that is not moved is not drawn.
    assert {axes.get_title() for axes in part.drawings[0].figure.axes} == {"CD3", "CD19", "CD4", "CD8"}


def test_each_type_has_the_curve_of_its_own_shift():
    edit = change_of(PSTAT1, 1.0, "B") + change_of(PSTAT1, -0.5, "monocyte")
    table = curves_part(model_with(), planted_transfer(edit)).tables["curves"]
    medians = table[table["marker"] == "pSTAT1"].groupby("cell_type")["median"].agg(["min", "max"])
    assert medians.loc["B"].tolist() == pytest.approx([1, 1], abs=1e-4)
    assert medians.loc["monocyte"].tolist() == pytest.approx([-0.5, -0.5], abs=1e-4)
    assert medians.loc["CD4 T"].tolist() == [0, 0]
    # Markers that are not shown have the curve of all events alone.
    assert set(table.loc[table["marker"] == "CD3", "cell_type"]) == {ALL_EVENTS}


def test_a_change_that_grows_with_the_value_is_a_slope_and_the_band_holds_most_events():
    generator = np.random.default_rng(0)
    before = generator.uniform(0, 4, 20_000)
    noise = generator.normal(0, 0.1, len(before))
    found = curve(before, 0.5 * before + noise)
    assert np.polyfit(found["before"], found["median"], 1) == pytest.approx([0.5, 0], abs=0.02)
    # 10 and 90 % of a normal distribution are 1.28 spreads from its mean; bins are 0.28 wide, their slope 0.5.
    assert (found["high"] - found["low"]).to_numpy() == pytest.approx(2 * 1.28 * 0.1, abs=0.04)
    assert found["n_events"].sum() == pytest.approx(0.98 * len(before), rel=0.001)


def test_an_edit_that_changes_nothing_draws_nothing_and_says_so():
    part = curves_part(model_with(), planted_transfer(NO_CHANGE))
    assert part.reading == "The edit moves no marker of these events."
    assert part.drawings == ()
    assert (part.tables["curves"]["median"] == 0).all()


def test_a_marker_that_no_cell_makes_is_one_bin():
    found = curve(np.zeros(100), np.full(100, 0.25))
    assert found[["before", "median", "n_events"]].to_numpy().tolist() == [[0, 0.25, 100]]
