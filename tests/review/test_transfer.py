import numpy as np
import pandas as pd
import pytest

from neuronedit.model import EditModel
from neuronedit.review.report import Identity, Review, review_model
from neuronedit.review.transfer import (
    FLOOR,
    NEURONEDIT,
    NO_EDIT,
    QUANTILE_MAP,
    Comparison,
    marker_table,
    measure_transfer,
    method_table,
    reconstruction_table,
)
from tests.known_cells import intensities

IDENTITY = Identity("models:/test/1", "0" * 64, "cells")
NO_LOSSES = pd.DataFrame(columns=["epoch", "train_loss", "validation_loss"])


def held_out(truth_shift: float) -> Comparison:
    """Batch b1's shift is -0.6 on the way to the reference; the truth of held-out events has another or the same."""
    return Comparison(
        "b1 → ref",
        "held-out",
        "b1",
        source=intensities(900, 2, 0.6),
        target=intensities(900, 1),
        events=intensities(800, 20, 0.6),
        truth=intensities(800, 21, truth_shift),
    )


def reviewed(model: EditModel, truth_shift: float) -> Review:
    comparison = held_out(truth_shift)
    return review_model(model, IDENTITY, [comparison], {"control b1": comparison.source}, NO_LOSSES)


def test_a_good_edit_is_said_to_be_better_than_doing_nothing(model: EditModel) -> None:
    verdict = reviewed(model, truth_shift=0.0).verdict()
    assert verdict.startswith("On 1 held-out comparison, the edit is better than doing nothing")


def test_a_bad_edit_is_said_to_be_no_better(model: EditModel) -> None:
    review = reviewed(model, truth_shift=0.6)
    assert "the edit is no better than doing nothing" in review.verdict()
    assert review.scalars()["held_out_emd"] > review.scalars()["held_out_emd_no_edit"]
    assert review.summary().loc[NEURONEDIT, "markers_worse"] >= 1


def test_residuals_are_0_at_the_floor_and_1_without_edit(model: EditModel) -> None:
    table = method_table([measure_transfer(model, held_out(0.0), seed=0)]).set_index("method")
    assert table.loc[FLOOR, "r_emd"] == table.loc[FLOOR, "r_energy"] == 0
    assert table.loc[NO_EDIT, "r_emd"] == table.loc[NO_EDIT, "r_energy"] == 1
    assert table.loc[NO_EDIT, "markers_worse"] == 0
    assert table.loc[QUANTILE_MAP, "r_emd"] < 0.5


def test_the_markers_table_holds_what_the_methods_table_averages(model: EditModel) -> None:
    transfer = measure_transfer(model, held_out(0.0), seed=0)
    markers = marker_table([transfer], model.panel.markers)
    methods = method_table([transfer]).set_index("method")["emd"]
    assert list(markers["marker"]) == list(model.panel.markers)
    means = markers[["before", "after", "quantile_map", "floor"]].mean()
    np.testing.assert_allclose(means, methods[[NO_EDIT, NEURONEDIT, QUANTILE_MAP, FLOOR]])


def test_the_reconstruction_error_is_the_mean_square(model: EditModel) -> None:
    raw = intensities(300, 4)
    row = reconstruction_table(model, {"x": raw}).iloc[0]
    expected = ((model.reconstruct(raw) - model.standardised(raw)) ** 2).mean()
    assert row["mse"] == pytest.approx(expected)
    assert row["variance_explained"] == pytest.approx(1 - expected / model.standardised(raw).var(axis=0).mean())


def test_scalars_are_finite_and_speak_of_what_was_held_out(model: EditModel) -> None:
    scalars = reviewed(model, 0.0).scalars()
    assert all(np.isfinite(list(scalars.values())))
    assert {"held_out_emd", "held_out_energy_floor", "held_out_r_emd", "recon_mse"} <= set(scalars)
