from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neuronedit.errors import DataError
from neuronedit.measures.distances import distance_to_truth, noise_floor
from neuronedit.measures.evaluation import ComparedEvents, Evaluation, classifier_auc, evaluate, write_evaluation

MARKERS = ("CD3", "CD4", "CD8")
EFFECT = np.array([0.0, 1.0, -2.0], dtype=np.float32)


def cells(seed: int, shift: np.ndarray | float = 0.0, n_events: int = 600) -> np.ndarray:
    """Two kinds of cell, one high in the first marker, moved by a known change."""
    generator = np.random.default_rng(seed)
    kind = generator.random(n_events) < 0.4
    centres = np.where(kind[:, None], [4.0, 1.0, 3.0], [1.0, 2.0, 3.0])
    return (centres + 0.4 * generator.standard_normal(centres.shape) + shift).astype(np.float32)


def samples(edited: np.ndarray, unedited: np.ndarray | None = None) -> dict[str, ComparedEvents]:
    drawn = {"edited": ComparedEvents("edited", edited), "truth": ComparedEvents("truth", cells(2, EFFECT))}
    return drawn if unedited is None else drawn | {"unedited": ComparedEvents("unedited", unedited)}


@pytest.fixture(scope="module")
def perfect() -> Evaluation:
    """The edit added the true change to other cells than those of the truth."""
    return evaluate(samples(cells(1, EFFECT), cells(1)), MARKERS)


@pytest.fixture(scope="module")
def nothing() -> Evaluation:
    return evaluate(samples(cells(1), cells(1)), MARKERS)


def test_a_perfect_edit_is_at_the_floor_and_its_residuals_at_zero(perfect: Evaluation) -> None:
    scores = perfect.scores
    residuals = scores.loc[["emd", "energy", "mmd", "auc", "delta_r2"], "residual"]
    # Scores of 300 events scatter: by 0.02 in EMD, of a gap of about 1.
    assert (residuals.abs() < 0.1).all(), residuals
    assert scores.at["delta_r2", "edited"] > 0.98
    assert scores.at["auc", "edited"] == pytest.approx(0.5, abs=0.1)  # 300 events: sd 0.024
    assert scores.at["mad_score", "edited"] == pytest.approx(0, abs=1e-6)  # a shift keeps every spread
    assert scores.at["markers_worse", "edited"] == 0


def test_doing_nothing_has_residual_one_and_no_r2(nothing: Evaluation) -> None:
    scores = nothing.scores
    assert (scores.loc[["emd", "energy", "mmd", "auc", "delta_r2"], "residual"] == 1).all()
    assert scores.at["delta_r2", "edited"] <= 0
    assert scores.at["auc", "edited"] > 0.95
    assert (scores["edited"] == scores["unedited"]).all()


def test_distances_are_those_of_the_review(perfect: Evaluation) -> None:
    distance, floor = distance_to_truth(cells(1, EFFECT), cells(2, EFFECT)), noise_floor(cells(2, EFFECT))
    assert perfect.scores.at["emd", "edited"] == pytest.approx(distance.mean_emd)
    assert perfect.scores.at["energy", "edited"] == pytest.approx(distance.energy)
    assert perfect.scores.at["energy", "floor"] == pytest.approx(floor.energy)
    assert perfect.markers.set_index("marker").loc[list(MARKERS), "edited"].to_numpy() == pytest.approx(distance.emd)


def test_the_marker_that_an_edit_spoils_is_named() -> None:
    spoilt = EFFECT + np.array([1, 0, 0], dtype=np.float32)  # CD3 must not move
    evaluation = evaluate(samples(cells(1, spoilt), cells(1)), MARKERS)
    assert list(evaluation.markers.loc[evaluation.markers["worse"], "marker"]) == ["CD3"]
    assert evaluation.markers["marker"][0] == "CD3"
    assert evaluation.scores.at["markers_worse", "edited"] == 1
    changes = evaluation.markers.set_index("marker").loc[list(MARKERS), ["predicted", "measured"]]
    np.testing.assert_allclose(changes["predicted"], spoilt, atol=1e-5)  # float32
    np.testing.assert_allclose(changes["measured"], EFFECT, atol=0.3)  # 600 cells of two kinds: sd of a mean 0.09


def test_without_unedited_events_what_needs_them_is_left_out(perfect: Evaluation) -> None:
    evaluation = evaluate(samples(cells(1, EFFECT)), MARKERS)
    assert list(evaluation.scores.columns) == ["edited", "floor"]
    assert list(evaluation.scores.index) == ["emd", "energy", "mmd", "auc", "correlation_error", "mad_error"]
    pd.testing.assert_frame_equal(evaluation.scores, perfect.scores.loc[evaluation.scores.index, ["edited", "floor"]])
    assert list(evaluation.markers.columns) == ["marker", "edited", "floor", "mad_ratio"]


def with_populations(name: str, events: Mapping[str, np.ndarray]) -> ComparedEvents:
    return ComparedEvents(
        name, np.concatenate(list(events.values())), events, {key: len(rows) for key, rows in events.items()}
    )


def test_a_change_within_one_population_is_seen_there_and_small_ones_are_only_counted() -> None:
    edited = with_populations("edited", {"B": cells(1), "NK": cells(3, n_events=20), "T": cells(4, EFFECT)})
    truth = with_populations("truth", {"B": cells(5), "T": cells(6)})
    table = evaluate({"edited": edited, "truth": truth}, MARKERS).populations
    assert list(table["population"]) == ["B"] * 3 + ["NK"] + ["T"] * 3
    assert table.loc[table["population"] == "T", "marker"].tolist()[0] == "CD8"  # moved by 2, the furthest
    assert (table.loc[table["population"] == "B", "edited"] < 0.3).all()
    nk = table[table["population"] == "NK"].iloc[0]
    assert (nk["events_edited"], nk["events_truth"]) == (20, 0)
    assert nk[["marker", "edited"]].isna().all()


def test_tables_are_written_as_they_are(perfect: Evaluation, tmp_path: Path) -> None:
    write_evaluation(perfect, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["markers.csv", "scores.csv"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "scores.csv", index_col="metric"), perfect.scores)


def test_scalars_are_named_by_metric_and_finite(perfect: Evaluation) -> None:
    scalars = perfect.scalars()
    assert {"emd", "emd_floor", "emd_unedited", "emd_residual", "mad_score", "markers_worse"} <= set(scalars)
    assert "mad_score_residual" not in scalars  # it is not compared with the truth
    assert np.isfinite(list(scalars.values())).all()


@pytest.mark.parametrize(("n_events", "found"), [(0, "no"), (49, "49")])
def test_too_few_events_are_told(n_events: int, found: str) -> None:
    with pytest.raises(
        DataError,
        match=rf"^truth: found {found} events; expected at least 50 to compare\. Correct truth\.where, or add",
    ):
        ComparedEvents("truth", cells(1)[:n_events])


def normal(n_events: int, seed: int, n_markers: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_events, n_markers)).astype(np.float32)


def test_disjoint_laws_score_one() -> None:
    # Few enough events for a bin each (255 bins): of more, the bin at the border would mix two of both laws.
    assert classifier_auc(normal(100, 1), normal(100, 2) + 100) == 1
    assert classifier_auc(normal(1000, 1), normal(1000, 2) + 100) > 0.99


def test_equal_laws_score_one_half() -> None:
    scores = [classifier_auc(normal(500, seed), normal(500, 100 + seed)) for seed in range(4)]
    # One score of 500 events each has a standard deviation of 1/sqrt(6 * 500) = 0.018, a mean of four 0.009; 4 of it.
    assert np.mean(scores) == pytest.approx(0.5, abs=0.036)


def test_a_shift_scores_near_what_the_best_classifier_could() -> None:
    shifted = normal(2000, 2, n_markers=1) + 1
    # Two normal laws one standard deviation apart: AUC = Phi(1 / sqrt(2)) = 0.760. A curve of trees loses a little.
    assert classifier_auc(normal(2000, 1, n_markers=1), shifted) == pytest.approx(0.760, abs=0.03)


def test_a_joint_change_that_no_marker_shows_alone_is_seen() -> None:
    first = normal(1000, 1, n_markers=1)
    assert classifier_auc(np.column_stack([first, first]), normal(1000, 2, n_markers=2)) > 0.9


def test_unequal_counts_tell_nothing_and_the_seed_repeats_the_draw() -> None:
    a, b = normal(1500, 1), normal(300, 2)
    assert classifier_auc(a, b, seed=3) == classifier_auc(a, b, seed=3)
    assert classifier_auc(a, b, seed=3) != classifier_auc(a, b, seed=4)
    # 300 of each: a standard deviation of 0.024; 4 of it. With 1,500 against 300 accuracy would look like 0.83.
    assert classifier_auc(a, b, seed=3) == pytest.approx(0.5, abs=0.1)
