import numpy as np
import pytest
from scipy.stats import energy_distance as scipy_energy_distance

from neuronedit.metrics import Distance, emd, energy_distance, normalised_residual, random_halves


def test_a_shift_by_c_has_emd_c() -> None:
    events = np.random.default_rng(0).normal(size=(300, 2))
    np.testing.assert_allclose(emd(events, events + np.array([0.5, -2.0])), [0.5, 2.0])


def test_equal_samples_are_at_distance_zero() -> None:
    events = np.random.default_rng(0).normal(size=(200, 3))
    assert energy_distance(events, events) == pytest.approx(0, abs=1e-12)
    assert not emd(events, events).any()


def test_energy_distance_of_one_marker_agrees_with_scipy() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(400, 1)), generator.gamma(2, size=(400, 1))
    # scipy gives the square root.
    assert energy_distance(first, second) == pytest.approx(scipy_energy_distance(first.ravel(), second.ravel()) ** 2)


def test_the_floor_and_a_draw_from_the_truth_are_alike() -> None:
    generator = np.random.default_rng(0)
    truth, again = generator.normal(size=(2000, 4)), generator.normal(size=(2000, 4))
    halves = random_halves(truth, seed=0)
    floor, distance = Distance.floor(halves), Distance.to_halves(again, halves)
    # Both are distances between independent samples of 1,000 events of one law; a quarter is three standard errors.
    assert distance.energy == pytest.approx(floor.energy, rel=0.25)
    assert distance.emd.mean() == pytest.approx(floor.emd.mean(), rel=0.25)


def test_halves_are_disjoint_and_equally_large() -> None:
    first, second = random_halves(np.arange(101.0)[:, None], seed=0)
    assert len(first) == len(second) == 50
    assert not np.intersect1d(first, second).size


def test_the_residual_is_0_at_the_floor_and_1_without_edit() -> None:
    assert normalised_residual(0.1, 0.1, 0.5) == 0
    assert normalised_residual(0.5, 0.1, 0.5) == 1
    assert np.isnan(normalised_residual(0.2, 0.1, 0.1))
