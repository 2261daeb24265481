from collections.abc import Callable

import numpy as np
import pytest

from neuronedit.cells.design import PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.edits.baselines import NO_EDIT
from neuronedit.edits.plans import EditConfig
from neuronedit.errors import DataError, ModelError
from neuronedit.fitting.fit import fit_model
from neuronedit.measures.distances import FLOOR
from neuronedit.measures.halves import halved_distances
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan
from neuronedit.review.page.report import Review
from neuronedit.review.transfer import transfer
from neuronedit.review.transfer.transfer import (
    HELD_OUT,
    NEURONEDIT,
    TRAINING_PAIR,
    WITHOUT_NEURONS,
    Comparison,
    measure_transfers,
    method_table,
    reconstruction_table,
    transfer_table,
)
from tests.review.planted import MARKERS, TRUE_SHIFT, planted_events

Build = Callable[[np.ndarray], EditModel]


def test_every_method_and_the_floor_is_scored_in_every_comparison(review_of: Callable[..., Review]) -> None:
    methods = review_of(TRUE_SHIFT).methods
    assert list(methods["method"])[:6] == [
        "neuronedit",
        "no edit",
        "mean shift",
        "quantile map",
        "latent mean",
        "noise floor",
    ]
    assert len(methods) == 12
    assert np.isfinite(methods[["emd", "energy", "r_emd", "r_energy"]]).all(axis=None)


def test_the_edits_scores_are_those_of_its_output_on_halves(
    planted_model: Build, planted_comparisons: list[Comparison]
) -> None:
    model, comparison = planted_model(TRUE_SHIFT), planted_comparisons[1]
    table = method_table(measure_transfers(model, [comparison], seed=3)).set_index("method")
    edited, unedited, truth = (
        model.scaling.transform(events)
        for events in (model.apply(comparison.events, "pair"), comparison.events, comparison.truth)
    )
    halves = halved_distances({NEURONEDIT: edited, NO_EDIT: unedited}, truth, seed=3)
    for name, found in halves.items():
        assert table.at[name, "emd"] == pytest.approx(found.mean.mean_emd)
        assert table.at[name, "energy"] == pytest.approx(found.mean.energy)
        assert table.at[name, "emd_error"] == pytest.approx(found.errors["emd"])
    less = halves[NEURONEDIT].less(halves[NO_EDIT]).errors
    assert table.at[NO_EDIT, "energy_less_error"] == pytest.approx(less["energy"])
    assert (table.at[NEURONEDIT, "emd_less_error"], np.isnan(table.at[FLOOR, "emd_less_error"])) == (0, True)


def test_residuals_run_from_the_floor_to_no_edit(review_of: Callable[..., Review]) -> None:
    methods = review_of(TRUE_SHIFT).methods.set_index("method")
    assert (methods.loc[NO_EDIT, ["r_emd", "r_energy"]] == 1).all(axis=None)
    assert (methods.loc[FLOOR, ["r_emd", "r_energy"]] == 0).all(axis=None)


def test_the_marker_that_the_edit_spoils_is_the_one_named(
    planted_model: Build, planted_comparisons: list[Comparison]
) -> None:
    spoilt = TRUE_SHIFT + np.array([0, 0, 0, 0, 1.5])  # the last marker must not move
    transfers = measure_transfers(planted_model(spoilt), planted_comparisons[1:2], seed=0)
    markers = transfer_table(transfers, MARKERS)
    assert list(markers.loc[markers["worse"], "marker"]) == [MARKERS[-1]]
    assert method_table(transfers).set_index("method").at[NEURONEDIT, "markers_worse"] == 1
    assert markers["before"].is_monotonic_decreasing
    moved = markers.set_index("marker").loc[list(MARKERS), "before"]
    np.testing.assert_allclose(moved, np.abs(TRUE_SHIFT), atol=0.12)  # two samples of 400, sd 0.5


def test_reconstruction_of_the_mean_explains_nothing(planted_model: Build) -> None:
    model = planted_model(TRUE_SHIFT)
    for layer in model.autoencoder.layers:
        layer.weight.zero_()
    population = model.scaling.intensities(model.scaling.unstandardise(np.float32([[-1] * 5, [1] * 5] * 50)))
    row = reconstruction_table(model, {"plus and minus one": population.astype(np.float32)}).iloc[0]
    assert (row["population"], row["events"]) == ("plus and minus one", 100)
    assert row["mse"] == pytest.approx(1, abs=1e-3)  # raw intensities are float32
    assert row["explained"] == pytest.approx(0, abs=1e-3)


def test_too_few_events_are_refused() -> None:
    good, few = planted_events(100, 0), planted_events(49, 0)
    with pytest.raises(DataError, match=r"comparison 'x': truth has the shape \(49, 5\); expected at least 50 events"):
        Comparison("x", HELD_OUT, "pair", good, good, good, few)


def test_populations_with_other_markers_are_refused() -> None:
    good = planted_events(100, 0)
    with pytest.raises(DataError, match=r"target has the shape \(100, 4\); expected at least 50 events by 5 markers"):
        Comparison("x", HELD_OUT, "pair", good, good[:, :4], good, good)


def test_intensities_that_are_not_finite_are_refused() -> None:
    good, bad = planted_events(100, 0), planted_events(100, 0)
    bad[3, 2] = np.nan
    with pytest.raises(DataError, match="comparison 'x': events holds intensities that are not finite"):
        Comparison("x", HELD_OUT, "pair", good, good, bad, good)


def test_an_unknown_edit_is_refused(planted_model: Build) -> None:
    good = planted_events(100, 0)
    pear = Comparison("x", HELD_OUT, "pear", good, good, good, good)
    with pytest.raises(ModelError, match=r"no edit 'pear'.*nearest name 'pair'"):
        measure_transfers(planted_model(TRUE_SHIFT), [pear], seed=0)


def test_what_editing_neurons_adds_stands_beside_the_same_plan_without_it() -> None:
    cells = planted_events(400, 0), planted_events(400, 1, TRUE_SHIFT)
    pair = {"source": cells[0], "target": cells[1]}
    panel, design, training = Panel(MARKERS, (5.0,) * len(MARKERS)), PairDesign.of_arrays(), TrainingPlan(epochs=2)
    network = Architecture(hidden=(8,), code=4)
    fitted = fit_model(
        pair, panel, design, network=network, training=training, edit=EditConfig(preset="trained", serve="teacher")
    )
    markers = fitted.with_edit(EditConfig(preset="strata", serve="teacher")).model
    comparison = Comparison("pair", TRAINING_PAIR, "pair", *cells, *cells)
    both, alone = (measure_transfers(model, [comparison], seed=0)[0].distances for model in (fitted.model, markers))
    assert both[WITHOUT_NEURONS].mean_emd == pytest.approx(alone[NEURONEDIT].mean_emd, rel=1e-3)
    assert both[NEURONEDIT].mean_emd != both[WITHOUT_NEURONS].mean_emd
    assert WITHOUT_NEURONS not in alone


def test_the_plan_without_neurons_is_fitted_once_for_all_comparisons_of_an_edit(
    planted_model: Build, planted_comparisons: list[Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = []
    monkeypatch.setattr(transfer, "_without_neurons", lambda _, comparison, seed: fits.append((comparison.edit, seed)))
    found = measure_transfers(planted_model(TRUE_SHIFT), planted_comparisons, seed=3)
    assert [each.comparison for each in found] == planted_comparisons
    assert (len(planted_comparisons), fits) == (2, [("pair", 3)])
