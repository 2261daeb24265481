import numpy as np
import pytest

from neuronedit.errors import DataError
from neuronedit.review.cytometry.embedding import Axes2, centroids_part, embedding_part
from tests.review.cytometry.planted_transfers import CD3, NO_CHANGE, PSTAT1, change_of, model_with, planted_transfer


def test_axes_are_those_along_which_events_vary_most_with_one_sign():
    generator = np.random.default_rng(0)
    events = (generator.normal(size=(2_000, 3)) * [1, 5, 3]).astype(np.float32)
    axes = Axes2.fit(events)
    assert np.abs(axes.loadings).argmax(axis=0).tolist() == [1, 2]
    assert axes.loadings[[1, 2], [0, 1]] == pytest.approx([1, 1], abs=0.02)
    assert axes.explained == pytest.approx(np.array([25, 9]) / 35, abs=0.03)
    assert Axes2.fit(-events).loadings == pytest.approx(axes.loadings, abs=1e-5)
    assert axes.labels(["a", "b", "c"])[0].startswith("PC 1 (7")


def test_centroids_before_and_after_are_apart_by_what_is_planted():
    rise = change_of(PSTAT1, 4.0)
    perfect, half, none = (
        embedding_part(model_with(), planted_transfer(edit, rise)) for edit in (rise, rise / 2, NO_CHANGE)
    )
    gap = none.scalars["embedding_centroid"]
    assert none.scalars["embedding_centroid_before"] == gap > 1
    assert half.scalars["embedding_centroid"] == pytest.approx(gap / 2, rel=0.05)
    assert perfect.scalars["embedding_centroid"] == pytest.approx(0, abs=0.05)
    assert f"{gap:.2f} standard deviations of the truth from the truth's before the edit" in none.reading


def test_points_have_the_colours_of_their_cell_types_and_one_colour_without():
    typed, untyped = (
        embedding_part(model_with(), planted_transfer(NO_CHANGE, types=types)).drawings[0].figure
        for types in (True, False)
    )
    assert [len(np.unique(figure.axes[0].collections[0].get_facecolors(), axis=0)) for figure in (typed, untyped)] == [
        4,
        1,
    ]
    assert typed.axes[0].get_xlim() == typed.axes[2].get_xlim()


def test_of_all_comparisons_the_one_that_stays_furthest_is_named():
    rise = change_of(CD3, 2.0)
    transfers = [
        planted_transfer(rise, rise, name="batch 1"),
        planted_transfer(NO_CHANGE, rise, name="batch 2"),
        planted_transfer(rise / 2, rise, name="batch 3"),
    ]
    part = centroids_part(model_with(), transfers)
    table = part.tables["centroids"].set_index("comparison")
    assert table["edited"].idxmax() == "batch 2"
    assert table.loc["batch 2", "edited"] == table.loc["batch 2", "before"]
    assert part.reading.startswith("The centroids of 2 of 3 comparisons end nearer to their truth")
    assert "furthest is batch 2" in part.reading


def test_events_that_do_not_differ_have_no_embedding():
    with pytest.raises(DataError, match=r"An embedding needs two markers, and events that differ"):
        Axes2.fit(np.ones((50, 3), dtype=np.float32))
    with pytest.raises(DataError, match=r"Centroids of comparisons need at least one"):
        centroids_part(model_with(), [])
