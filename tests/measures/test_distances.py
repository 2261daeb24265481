import numpy as np
import pytest
from scipy.stats import mannwhitneyu, wasserstein_distance

from neuronedit.measures.distances import (
    auroc,
    distance_to_truth,
    emd,
    made_worse,
    noise_floor,
    normalised_residual,
    random_halves,
)


def events(n_events: int, seed: int = 0, n_markers: int = 4) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(2, 1, (n_events, n_markers))
    return np.where(drawn < 1.5, 0, drawn).astype(np.float32)  # a spike at zero, as cytometry has


def test_emd_of_a_shift_is_the_shift() -> None:
    shift = np.array([0, 0.5, -1, 2], dtype=np.float32)
    # float32 additions round at 1e-7 of the value.
    np.testing.assert_allclose(emd(events(300), events(300) + shift), np.abs(shift), atol=1e-6)


def test_emd_of_identical_samples_is_zero_in_any_order() -> None:
    sample = events(300)
    assert (emd(sample, sample[::-1]) < 1e-12).all()


@pytest.mark.parametrize(("n_a", "n_b"), [(200, 200), (200, 317), (1, 50)])
def test_emd_agrees_with_scipy_for_any_counts_and_ties(n_a: int, n_b: int) -> None:
    a, b = events(n_a, seed=1), np.round(events(n_b, seed=2), 1)
    reference = [wasserstein_distance(a[:, i], b[:, i]) for i in range(a.shape[1])]
    np.testing.assert_allclose(emd(a, b), reference, atol=1e-9)  # sums in another order


def test_halves_of_the_truth_share_no_event() -> None:
    truth = np.arange(11, dtype=np.float32)[:, None]
    first, second = random_halves(truth, seed=0)
    assert len(first) == len(second) == 5
    assert not set(first.ravel()) & set(second.ravel())


def test_a_fresh_sample_of_the_truth_scores_like_the_noise_floor() -> None:
    floors = [noise_floor(events(1000, seed=i), seed=0) for i in range(20)]
    scores = [distance_to_truth(events(1000, seed=100 + i), events(1000, seed=i), seed=0) for i in range(20)]
    # Means over 20 draws scatter by a few per cent.
    assert np.mean([s.energy for s in scores]) == pytest.approx(np.mean([f.energy for f in floors]), rel=0.15)
    assert np.mean([s.mean_emd for s in scores]) == pytest.approx(np.mean([f.mean_emd for f in floors]), rel=0.15)


def test_the_score_of_few_events_uses_all_of_them() -> None:
    truth = events(1000, seed=1)
    assert distance_to_truth(events(60, seed=2) + 1, truth).mean_emd == pytest.approx(1, abs=0.15)  # 60 events: sd 0.1


def test_residual_is_zero_at_the_floor_one_without_edit_and_undefined_with_nothing_to_do() -> None:
    assert normalised_residual(0.1, floor=0.1, no_edit=0.5) == 0
    assert normalised_residual(0.5, floor=0.1, no_edit=0.5) == 1
    assert np.isnan(normalised_residual(0.1, floor=0.1, no_edit=0.1))


def test_a_marker_is_made_worse_only_beyond_its_floor() -> None:
    after, before, floor = np.array([0.2, 0.2, 0.1]), np.array([0.1, 0.18, 0.2]), np.array([0.05, 0.05, 0.05])
    assert list(made_worse(after, before, floor)) == [True, False, False]


def test_the_auroc_is_mann_whitneys(rng):
    scores, others = rng.integers(0, 9, 50).astype(float), rng.integers(0, 8, 70).astype(float)
    assert auroc(scores, others) == pytest.approx(mannwhitneyu(scores, others).statistic / (50 * 70))
