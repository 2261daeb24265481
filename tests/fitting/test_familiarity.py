import numpy as np
import pytest
import torch

from neuronedit.fitting.drift import Familiarity, reconstruction_error
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.chunks import CHUNK


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
