"""The words for an edit's sides, and how numbers are written."""

import numpy as np
import pytest

from neuronedit.cells.design import ControlsDesign, PairDesign
from neuronedit.review.wording import Wording, from_to, settled, short


def test_an_inverse_edit_leads_back_in_words_too() -> None:
    controls, pair = ControlsDesign.of_arrays(reference="day2"), PairDesign.of_arrays()
    assert Wording.of(controls, "day1 inverse") == Wording("of the reference", "of batch day1")
    assert Wording.of(pair, "pair inverse").path == "from events after the change to events before the change"


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (3.2e-16, ".2g", "0"),
        (-1e-5, "+.1f", "0"),
        (0.004, ".2f", "0"),
        (-0.0, ".0%", "0%"),
        (0.001, ".0%", "0%"),
        (-0.5, "+.1f", "-0.5"),
        (10.0, ".2g", "10"),
        (1.0, ".0%", "100%"),
        (np.inf, ".2f", "not measured"),
    ],
)
def test_noise_is_written_as_0_and_numbers_as_they_are(value: float, form: str, text: str) -> None:
    assert short(value, form) == text


def test_what_is_not_known_stays_unknown() -> None:
    assert np.isnan(settled(np.array([np.nan]))).all()
    assert from_to(np.nan, 1.0) == "not measured → 1.00"
