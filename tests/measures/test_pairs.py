import numpy as np
import pytest
from scipy.spatial.distance import cdist

from neuronedit.measures import pairs
from neuronedit.measures.pairs import MAX_PAIRED_EVENTS, MMD_RATES, energy_distance, euclidean, rbf_mmd


def events(n_events: int, seed: int = 0, n_markers: int = 4) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(2, 1, (n_events, n_markers))
    return np.where(drawn < 1.5, 0, drawn).astype(np.float32)  # a spike at zero, as cytometry has


def test_euclidean_distances_agree_with_scipys() -> None:
    a, b = events(60), events(40, seed=1)
    np.testing.assert_allclose(euclidean(a, b), cdist(a, b), atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_event_that_is_not_finite_is_at_nan_from_all_others_and_no_error(value: float) -> None:
    """As from a method that failed: its score is NaN, and the others' go on."""
    a, b = events(30), events(30, seed=1)
    a[3, 2] = value
    assert np.isnan(euclidean(a, b)).all(axis=1).nonzero()[0].tolist() == [3]
    assert np.isnan(energy_distance(a, b))


def test_energy_distance_of_two_points_is_twice_their_distance() -> None:
    assert energy_distance(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])) == pytest.approx(10)


def test_energy_distance_of_identical_samples_is_zero_even_where_events_are_drawn() -> None:
    assert energy_distance(events(300), events(300)) == pytest.approx(0, abs=1e-9)
    large = events(MAX_PAIRED_EVENTS + 100, n_markers=1)
    assert energy_distance(large, large) == pytest.approx(0, abs=1e-9)


def test_energy_distance_in_chunks_agrees_with_all_pairs_at_once() -> None:
    a, b = events(1_203, seed=1), events(1_203, seed=2) + 0.3
    reference = 2 * cdist(a, b).mean() - cdist(a, a).mean() - cdist(b, b).mean()
    assert energy_distance(a, b) == pytest.approx(reference, abs=1e-9)


def test_energy_distance_takes_equal_counts_and_repeats_by_seed() -> None:
    a, b = events(500, seed=1), events(200, seed=2)
    assert energy_distance(a, b, seed=3) == energy_distance(a, b, seed=3)
    assert energy_distance(a, b, seed=3) != energy_distance(a, b, seed=4)


def test_energy_distance_draws_no_more_than_its_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "MAX_PAIRED_EVENTS", 100)
    a, b = events(300, seed=1), events(300, seed=2)
    order = np.random.default_rng(0).permutation(300)[:100]
    assert energy_distance(a, b) == pytest.approx(energy_distance(a[order], b[order]))


def test_energy_distance_sees_a_joint_change_that_no_marker_shows_alone() -> None:
    generator = np.random.default_rng(0)
    a = generator.normal(size=(1000, 2))
    b = np.column_stack([a[:, 0], a[:, 0]])[generator.permutation(1000)]
    independent = generator.normal(size=(1000, 2))
    assert energy_distance(a, b) > 10 * energy_distance(a, independent)


def test_mmd_of_two_points_is_two_minus_twice_their_mean_kernel() -> None:
    kernels = [np.exp(-rate * 0.5**2) for rate in np.logspace(-10, 3, 14, base=2)]
    assert rbf_mmd(np.array([[0.0, 0.0]]), np.array([[0.3, 0.4]])) == pytest.approx(2 - 2 * np.mean(kernels))
    assert rbf_mmd(np.array([[0.0]]), np.array([[1e4]])) == pytest.approx(2)


def test_mmd_of_identical_samples_is_zero() -> None:
    assert rbf_mmd(events(300), events(300)) == pytest.approx(0, abs=1e-12)


def test_mmd_agrees_with_a_loop_over_all_pairs_and_widths() -> None:
    a, b = events(17, seed=1).astype(float), events(17, seed=2).astype(float) + 0.3

    def mean_kernel(x: np.ndarray, y: np.ndarray, rate: float) -> float:
        return float(np.mean([[np.exp(-rate * ((p - q) ** 2).sum()) for q in y] for p in x]))

    reference = [mean_kernel(a, a, g) + mean_kernel(b, b, g) - 2 * mean_kernel(a, b, g) for g in MMD_RATES]
    assert rbf_mmd(a, b) == pytest.approx(np.mean(reference), abs=1e-12)


def test_mmd_in_chunks_takes_equal_counts() -> None:
    a, b = events(900, seed=1), events(700, seed=2) + 0.3
    order = np.random.default_rng(5).permutation(900)[:700]
    assert rbf_mmd(a, b, seed=5) == pytest.approx(rbf_mmd(a[order], b), abs=1e-12)
