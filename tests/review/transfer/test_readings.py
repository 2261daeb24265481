from collections.abc import Callable

import pandas as pd

from neuronedit.review.page.report import Review
from neuronedit.review.transfer.figures import most_changed
from neuronedit.review.transfer.readings import read_losses, read_markers, read_methods, read_reconstruction
from tests.review.planted import MARKERS, TRUE_SHIFT


def markers(**after: float) -> pd.DataFrame:
    table = pd.DataFrame({"marker": ["CD3", "CD4"], "before": [1.0, 0.5], "floor": 0.1})
    table["after"] = [after["cd3"], after["cd4"]]
    return table.assign(worse=table["after"] - table["before"] > table["floor"])


def test_the_markers_sentence_counts_and_names() -> None:
    assert read_markers(markers(cd3=0.2, cd4=0.9)) == (
        "1 of 2 markers come nearer to the truth by more than their noise floor, most of all CD3 (1.00 → 0.20); "
        "made worse: CD4."
    )
    assert read_markers(markers(cd3=1.0, cd4=0.45)) == (
        "No marker comes nearer to the truth by more than its noise floor; none is made worse."
    )


def test_the_methods_sentence_names_the_nearest_and_what_is_left() -> None:
    methods = pd.DataFrame(
        [
            {"method": "neuronedit", "emd": 0.4, "energy": 0.2, "r_emd": 0.4, "r_energy": 0.05},
            {"method": "quantile map", "emd": 0.3, "energy": 0.5, "r_emd": 0.3, "r_energy": 0.2},
            {"method": "noise floor", "emd": 0.0, "energy": 0.0, "r_emd": 0.0, "r_energy": 0.0},
        ]
    )
    assert read_methods(methods) == (
        "Quantile map comes nearest by EMD, neuronedit by energy distance; "
        "neuronedit leaves 40% of the EMD and 5% of the energy distance above the noise floor."
    )
    undefined = methods.assign(r_emd=float("nan"))
    assert read_methods(undefined).endswith("without edit the events are within noise of the truth already.")


def test_the_losses_sentence_finds_the_lowest_epoch(review_of: Callable[..., Review]) -> None:
    assert read_losses(review_of(TRUE_SHIFT).losses) == (
        "After 3 epochs the validation error is 1.600 (training 1.000); it was lowest, 1.500, after epoch 2."
    )


def test_the_reconstruction_sentence_names_the_hardest_population() -> None:
    table = pd.DataFrame({"population": ["a", "b"], "mse": [0.1, 0.3], "explained": [0.9, 0.75]})
    assert read_reconstruction(table) == (
        "The autoencoder returns 75% to 90% of each population's variance; the hardest is b (mean squared error 0.300)."
    )


def test_the_markers_that_the_edit_moves_furthest_come_first(review_of: Callable[..., Review]) -> None:
    densities = review_of(TRUE_SHIFT).densities.query("comparison == 'the pair'")
    assert most_changed(densities, 2) == [MARKERS[0], MARKERS[3]]
