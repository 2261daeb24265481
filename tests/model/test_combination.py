from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neuronedit.cells.arms import Arm, Experiment
from neuronedit.cells.panel import Panel
from neuronedit.edits.baselines import NO_EDIT
from neuronedit.errors import DataError, ModelError, PanelError
from neuronedit.measures.distances import FLOOR, noise_floor
from neuronedit.model.combination import (
    ADDITIVITY,
    BETWEEN_SAMPLES,
    MEASURED,
    Combination,
    combine,
    write_combination,
)
from neuronedit.model.edit_model import EditModel
from neuronedit.model.predictions import A_ON_B, A_THEN_B, B_ON_A, B_THEN_A, ROUTES, panel_edit, predict
from tests.two_drugs import CHANGE_A, CHANGE_B, COFACTOR, EXCESS, MARKERS, experiment, raw, shift


def halve(intensities: np.ndarray) -> np.ndarray:
    """Halves events on the arcsinh scale: what it takes away depends on the state, as saturation does."""
    return raw(np.arcsinh(intensities / COFACTOR) / 2)


@pytest.fixture(scope="module")
def planted() -> Combination:
    return combine(experiment(), shift(CHANGE_A), shift(CHANGE_B))


def exact(excess: np.ndarray | float) -> Experiment:
    """The same cells in every arm, moved by the known changes alone."""
    cells = 2 + 0.5 * np.random.default_rng(0).standard_normal((300, len(MARKERS)))
    moves = {"control": 0, "a": CHANGE_A, "b": CHANGE_B, "both": CHANGE_A + CHANGE_B + excess}
    arms = [Arm(name, raw(cells + move)) for name, move in moves.items()]
    return Experiment(Panel(MARKERS, (COFACTOR,) * len(MARKERS)), *arms)


def of(combination: Combination, source: str) -> pd.DataFrame:
    return combination.excess[combination.excess["source"] == source].set_index("marker")


def test_exact_additivity_has_no_excess_measured_or_predicted() -> None:
    combination = combine(exact(0), shift(CHANGE_A), shift(CHANGE_B))
    np.testing.assert_allclose(combination.excess["excess"], 0, atol=1e-5)  # float32
    assert set(combination.excess["call"]) <= {"additive", "undecided"}


def test_an_exact_excess_is_measured_exactly() -> None:
    rows = of(combine(exact(EXCESS), shift(CHANGE_A), shift(CHANGE_B)), MEASURED)
    np.testing.assert_allclose(rows["excess"], EXCESS, atol=1e-5)  # float32
    np.testing.assert_allclose(rows["additive"], CHANGE_A + CHANGE_B, atol=1e-5)
    np.testing.assert_allclose(rows["change"], CHANGE_A + CHANGE_B + EXCESS, atol=1e-5)


def test_a_planted_interaction_is_within_its_interval_and_called(planted: Combination) -> None:
    rows = of(planted, MEASURED)
    assert ((rows["low"] < EXCESS) & (rows["high"] > EXCESS)).all()
    # Four means of 2,000 events of spread 0.5: the sd of the excess is 0.022.
    assert (rows["high"] - rows["low"]).to_numpy() == pytest.approx(4 * 0.022, rel=0.15)
    assert list(rows["call"]) == ["synergistic", "antagonistic", "additive", "synergistic"]


def test_what_a_prediction_shares_with_its_cells_widens_no_interval(planted: Combination) -> None:
    """A pure shift of B-treated cells: their own means cancel, and the control's and A's are left."""
    rows, measured = of(planted, A_ON_B), of(planted, MEASURED)
    widths = (rows["high"] - rows["low"]) / (measured["high"] - measured["low"])
    assert widths.to_numpy() == pytest.approx(np.sqrt(2 / 4), rel=0.15)  # two means of four; ends scatter by 2 %
    assert ((rows["low"] < 0) & (rows["high"] > 0)).all()


def test_pure_shifts_have_no_order_effect(planted: Combination) -> None:
    np.testing.assert_allclose(planted.order.emd, 0, atol=1e-5)  # float32
    assert planted.order.energy == pytest.approx(0, abs=1e-5)
    assert (planted.markers["order_emd"] < planted.markers["order_floor"]).all()


def test_edits_that_do_not_commute_have_the_order_effect_of_their_formulas() -> None:
    """(x + 1) / 2 beside x / 2 + 1: half a unit apart in every marker."""
    combination = combine(experiment(), shift(1.0), halve)
    np.testing.assert_allclose(combination.order.emd, 0.5, atol=1e-5)
    assert combination.scalars()["order_emd"] == pytest.approx(0.5, abs=1e-5)
    assert combination.order.energy > 10 * combination.order_floor.energy


def test_an_edit_whose_effect_depends_on_the_state_foresees_an_interaction() -> None:
    """B halves: on cells that A has raised by 1 it takes away 0.5 more than it does on control cells."""
    cells = 2 + 0.5 * np.random.default_rng(0).standard_normal((300, 4))
    arms = {"control": cells, "a": cells + 1, "b": cells / 2, "both": (cells + 1) / 2}
    measured = Experiment(Panel(MARKERS, (COFACTOR,) * 4), *(Arm(name, raw(events)) for name, events in arms.items()))
    combination = combine(measured, shift(1.0), halve)
    for source, expected in ((MEASURED, -0.5), (B_ON_A, -0.5), (A_THEN_B, -0.5), (A_ON_B, 0), (B_THEN_A, 0)):
        np.testing.assert_allclose(of(combination, source)["excess"], expected, atol=1e-5)
    scalars = combination.scalars()
    assert scalars["excess_rmse_b_on_a"] == pytest.approx(0, abs=1e-5)
    assert scalars["excess_rmse_a_on_b"] == pytest.approx(0.5, abs=1e-5)
    assert scalars["excess_rmse_additivity"] == pytest.approx(0.5, abs=1e-5)


def test_predictions_start_from_their_arms_cells() -> None:
    two = experiment(60)
    predictions = predict(two, shift(CHANGE_A), shift(CHANGE_B))
    moved = {
        A_ON_B: two.transform(two.b.intensities) + CHANGE_A,
        B_ON_A: two.transform(two.a.intensities) + CHANGE_B,
        A_THEN_B: two.transform(two.control.intensities) + CHANGE_A + CHANGE_B,
    }
    assert set(predictions) == set(ROUTES.values())
    for route, expected in moved.items():
        np.testing.assert_allclose(predictions[route], expected, atol=1e-5)


def test_distances_to_measured_stand_beside_the_simple_methods(planted: Combination) -> None:
    rows = planted.distances.set_index("method")
    assert rows.at[NO_EDIT, "r_emd"] == 1
    assert rows.at[FLOOR, "r_emd"] == 0
    two = experiment()
    assert two.both is not None
    assert rows.at[FLOOR, "emd"] == pytest.approx(noise_floor(two.transform(two.both.intensities)).mean_emd)
    # Additivity misses the excess, and nothing else.
    assert rows.at[ADDITIVITY, "emd"] == pytest.approx(np.abs(EXCESS).mean(), abs=0.03)
    assert rows.at[A_ON_B, "emd"] == pytest.approx(rows.at[ADDITIVITY, "emd"], abs=0.03)
    assert BETWEEN_SAMPLES not in rows.index


def test_replicate_samples_widen_the_intervals_and_have_a_distance_of_their_own() -> None:
    samples = experiment(n_samples=3, scatter=0.1)
    combination = combine(samples, shift(CHANGE_A), shift(CHANGE_B))
    pooled = replace(
        samples, **{name: Arm(name, getattr(samples, name).intensities) for name in ("control", "a", "b", "both")}
    )
    by_event = combine(pooled, shift(CHANGE_A), shift(CHANGE_B))
    wide, narrow = (of(one, MEASURED).eval("high - low") for one in (combination, by_event))
    assert (wide > narrow).all()
    rows = combination.distances.set_index("method")
    assert rows.at[BETWEEN_SAMPLES, "emd"] > rows.at[FLOOR, "emd"]


def test_without_measured_both_only_predictions_are_told(tmp_path: Path) -> None:
    combination = combine(experiment(measured=False), shift(CHANGE_A), shift(CHANGE_B))
    assert list(combination.excess["source"].unique()) == list(ROUTES.values())
    assert combination.distances.empty
    scalars = combination.scalars()
    assert {"order_emd", "routes_emd", "synergistic_a_on_b"} <= set(scalars)
    assert not [name for name in scalars if name.startswith(("emd_", "excess_rmse"))]
    write_combination(combination, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["excess.csv", "markers.csv"]


def test_one_marker_is_enough() -> None:
    full = experiment(200)
    arms = [Arm(arm.name, arm.intensities[:, :1]) for arm in full.arms]
    combination = combine(Experiment(Panel(MARKERS[:1], (COFACTOR,)), *arms), shift(1.0), shift(0.5))
    assert len(combination.excess) == 5
    assert np.isfinite(combination.excess["excess"]).all()


def test_the_same_seed_gives_the_same_combination(planted: Combination) -> None:
    again = combine(experiment(), shift(CHANGE_A), shift(CHANGE_B))
    pd.testing.assert_frame_equal(again.excess, planted.excess)
    pd.testing.assert_frame_equal(again.distances, planted.distances)


def test_tables_are_written_as_they_are(planted: Combination, tmp_path: Path) -> None:
    write_combination(planted, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["distances.csv", "excess.csv", "markers.csv"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "excess.csv"), planted.excess, check_dtype=False)


def test_an_edit_that_gives_infinite_intensities_is_told() -> None:
    with (
        np.errstate(over="ignore"),
        pytest.raises(DataError, match=r"^A's edit on B-treated cells: marker 'CD69' has infinity in row 0 "),
    ):
        predict(experiment(60), lambda events: np.full_like(events, np.inf), shift(0.0))


# --- the edit of a model, for a panel of other markers


def test_a_models_edit_finds_its_markers_in_any_order_and_leaves_the_others(
    pair_model: EditModel, cells: Callable[..., np.ndarray]
) -> None:
    own = pair_model.panel
    panel = Panel(("extra", *own.markers[::-1]), (5.0, *own.transforms[::-1]))
    events = cells(100, seed=5)
    extra = np.arange(100, dtype=np.float32)[:, None]
    edited = panel_edit(pair_model, panel, "model_a")(np.hstack([extra, events[:, ::-1]]))
    np.testing.assert_array_equal(edited[:, :1], extra)
    np.testing.assert_array_equal(edited[:, :0:-1], pair_model.apply(events, "pair"))


def test_a_model_of_controls_is_told(controls_model: EditModel) -> None:
    with pytest.raises(
        ModelError,
        match=r"^model_b: expected a model of a pair design \(one edit, 'pair'\); found one edit for each of "
        r"'batch_id': '1', '2'\. Train a pair",
    ):
        panel_edit(controls_model, controls_model.panel, "model_b")


def test_a_panel_that_lacks_a_models_marker_is_told(pair_model: EditModel) -> None:
    markers = pair_model.panel.markers[1:]
    with pytest.raises(
        PanelError,
        match=rf"^model_a: the model edits '{pair_model.panel.markers[0]}', not in the panel \({len(markers)} m",
    ):
        panel_edit(pair_model, Panel(markers, (5.0,) * len(markers)), "model_a")
