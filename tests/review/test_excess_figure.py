"""The figure of excess over additivity shows what its table holds."""

import pandas as pd
import pytest
from matplotlib.axes import Axes

from neuronedit.model.combination import A_ON_B, B_ON_A, MEASURED, combine
from neuronedit.review.job_figures import excess_figure
from tests.two_drugs import CHANGE_A, CHANGE_B, experiment, shift


@pytest.fixture(scope="module")
def excess() -> pd.DataFrame:
    return combine(experiment(500), shift(CHANGE_A), shift(CHANGE_B)).excess


def drawn(excess: pd.DataFrame) -> Axes:
    return excess_figure(excess, 0.1, "arcsinh units").axes[0]


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
