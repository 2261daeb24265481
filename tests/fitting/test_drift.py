import numpy as np
import pytest

from neuronedit.errors import ModelError
from neuronedit.fitting.drift import EditDrift, edit_drift


def test_a_model_that_stayed_has_no_drift_at_all(pair_model, cells):
    drift = edit_drift("pair", pair_model, pair_model, cells(seed=5))
    assert (drift.rms, drift.relative) == (0, 0)
    assert drift.change > 0


def test_drift_is_the_difference_of_both_results_in_units_of_the_first_change(make_model, cells):
    source, target = cells(seed=1), cells(seed=2, gain=2.0)
    before = make_model({"source": source, "target": target})
    after = make_model({"source": source, "target": 3 * target})
    found = edit_drift("pair", before, after, source)
    old, new = (before.scaling.transform(model.apply(source, "pair")) for model in (before, after))
    unedited = before.scaling.transform(source)
    assert found.rms == pytest.approx(np.sqrt(np.mean((new - old) ** 2)), rel=1e-5)  # float32 beside float64
    assert found.change == pytest.approx(np.sqrt(np.mean((old - unedited) ** 2)), rel=1e-5)
    assert found.relative == found.rms / found.change


def test_an_edit_that_did_nothing_and_now_does_something_drifts_without_bound():
    drift = EditDrift("B", rms=0.1, change=0.0)
    assert drift.relative == float("inf")
    assert drift.facts() == {"rms": 0.1, "change": 0.0, "relative": None}


def test_an_edit_that_a_model_lacks_is_told(pair_model, cells):
    with pytest.raises(ModelError, match=r"The model has no edit 'B' \(edits: 'pair'"):
        edit_drift("B", pair_model, pair_model, cells())
