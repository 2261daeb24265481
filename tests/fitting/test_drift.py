import numpy as np
import pytest
import torch

from neuronedit.errors import ModelError
from neuronedit.fitting.drift import EditDrift, Familiarity, edit_drift, reconstruction_error
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.chunks import CHUNK


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


def test_errors_are_in_units_of_the_usual_one():
    found = Familiarity(0.2, {"C": 0.3, "D": 0.2}, limit=1.2)
    assert found.ratios == pytest.approx({"C": 1.5, "D": 1.0})
    assert found.strange == ["C"]
    assert found.sentence == (
        "reconstruction error of 'C' is 1.50 times that of the populations trained on (limit 1.2): "
        "it has to learn such events"
    )


def test_populations_within_the_limit_are_known():
    found = Familiarity(0.1, {"C": 0.12, "D": 0.05}, limit=1.5)
    assert found.strange == []
    assert found.sentence.endswith("'C' is 1.20 times that of the populations trained on (limit 1.5): "
                                   "the autoencoder knows such events")  # fmt: skip


def test_the_strangest_population_is_named_first():
    assert Familiarity(1.0, {"C": 2.0, "D": 3.0, "E": 1.0}, limit=1.5).strange == ["D", "C"]


def test_a_perfect_reconstruction_of_the_known_makes_any_error_strange():
    assert Familiarity(0.0, {"C": 1e-9}, limit=1.5).strange == ["C"]


def test_the_error_is_the_mean_over_events_markers_and_autoencoders(rng):
    networks = [Autoencoder(5, Architecture(hidden=(8,), code=3), seed).requires_grad_(False) for seed in (1, 2)]
    markers = rng.normal(size=(CHUNK + 10, 5)).astype(np.float32)
    expected = [np.mean((network(torch.from_numpy(markers)).numpy() - markers) ** 2) for network in networks]
    # Sums of float32 in chunks, and in one.
    assert reconstruction_error(networks, markers) == pytest.approx(np.mean(expected), rel=1e-5)
