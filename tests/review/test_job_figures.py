"""Each figure of a job shows what its table holds."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from neuronedit.model.combination import MEASURED, combine
from neuronedit.model.predictions import A_ON_B, B_ON_A
from neuronedit.review.job_figures import MAX_BATCHES, MAX_MARKERS, NONE, excess_figure, quality_figure
from tests.two_drugs import CHANGE_A, CHANGE_B, experiment, shift

UNIT = "arcsinh units"


def table(n_batches: int, n_markers: int = 3) -> pd.DataFrame:
    """Batch b lies at b/10 from the reference before the edit, and at b/100 after it; marker m at m/1,000 more."""
    rows = [
        {
            "group": f"b{batch:02d}",
            "marker": f"CD{marker}",
            "edited": 9,
            "emd_before": batch / 10 + marker / 1000,
            "emd_after": batch / 100 + marker / 1000,
            "worse": False,
            "unsupported": batch / 100,
        }
        for batch in range(1, n_batches + 1)
        for marker in range(n_markers)
    ]
    return pd.DataFrame(rows)


def test_before_and_after_stand_side_by_side_on_one_scale():
    left, right, _ = quality_figure(table(2), UNIT).axes
    for axes, factor in ((left, 10), (right, 100)):
        expected = [[batch / factor + marker / 1000 for batch in (1, 2)] for marker in range(3)]
        np.testing.assert_allclose(np.square(axes.images[0].get_array()), expected)
        assert [label.get_text() for label in axes.get_xticklabels()] == ["b01", "b02"]
    assert [label.get_text() for label in left.get_yticklabels()] == ["CD0", "CD1", "CD2"]
    assert left.images[0].get_clim() == right.images[0].get_clim()
    assert [text.get_text() for text in right.texts] == ["0.01", "0.02", "0.01", "0.02", "0.01", "0.02"]


def test_a_marker_that_is_led_away_is_crossed():
    found = table(8)
    found.loc[4, "worse"] = True  # CD1 of b02
    figure = quality_figure(found, UNIT)
    assert figure.axes[1].collections[0].get_offsets().tolist() == [[1, 1]]
    assert figure.get_suptitle().endswith("\n×: led away from it")


def test_of_many_the_furthest_are_shown_and_that_is_said():
    figure = quality_figure(table(MAX_BATCHES + 6, MAX_MARKERS + 2), UNIT)
    shown = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert shown == [f"b{batch:02d}" for batch in range(7, MAX_BATCHES + 7)]
    assert len(figure.axes[0].get_yticklabels()) == MAX_MARKERS
    assert figure.get_suptitle().splitlines()[1] == (
        "the 24 of 30 batches that are furthest after the edit; the 40 of 42 markers that are furthest after the edit"
    )
    assert not figure.axes[0].texts


@pytest.mark.parametrize("n_batches", [0, 1])
def test_without_a_reference_there_is_nothing_to_show(n_batches):
    found = table(1).assign(emd_before=np.nan, emd_after=np.nan)[: 3 * n_batches]
    assert quality_figure(found, UNIT).texts[0].get_text() == NONE


def test_a_value_that_is_not_known_leaves_its_cell_empty():
    found = table(2)
    found.loc[0, ["emd_before", "emd_after"]] = np.nan
    assert len(quality_figure(found, UNIT).axes[0].texts) == 5


@pytest.fixture(scope="module")
def excess() -> pd.DataFrame:
    return combine(experiment(500), shift(CHANGE_A), shift(CHANGE_B)).excess


def drawn(excess: pd.DataFrame) -> Axes:
    return excess_figure(excess, 0.1, UNIT).axes[0]


def points(axes: Axes) -> dict[str, list[float]]:
    """The excess of each source as drawn, from the top."""
    scatters = [found for found in axes.collections if found.get_offsets().size and found.get_label()[0] != "_"]
    return {str(found.get_label()): list(found.get_offsets()[:, 0]) for found in scatters}


def test_measured_and_predicted_stand_side_by_side_the_largest_measured_first(excess: pd.DataFrame) -> None:
    axes = drawn(excess)
    rows = {source: excess[excess["source"] == source].set_index("marker")["excess"] for source in (MEASURED, A_ON_B)}
    order = list(rows[MEASURED].sort_values(ascending=False).index)
    assert [label.get_text() for label in axes.get_yticklabels()] == order
    found = points(axes)
    assert set(found) == {MEASURED, f"predicted: {A_ON_B}", f"predicted: {B_ON_A}"}
    assert found[MEASURED] == pytest.approx(list(rows[MEASURED][order]))
    assert found[f"predicted: {A_ON_B}"] == pytest.approx(list(rows[A_ON_B][order]))


def test_every_marker_has_its_call(excess: pd.DataFrame) -> None:
    said = [text.get_text() for text in drawn(excess).texts]
    assert said[0] == "call (measured)"
    measured = excess[excess["source"] == MEASURED].sort_values("excess", ascending=False)
    assert said[1:] == list(measured["call"])


def test_without_measured_events_the_predictions_are_shown(excess: pd.DataFrame) -> None:
    axes = drawn(excess[excess["source"] != MEASURED])
    assert set(points(axes)) == {f"predicted: {A_ON_B}", f"predicted: {B_ON_A}"}
    assert axes.texts[0].get_text() == "call (predicted)"
