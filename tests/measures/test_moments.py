import numpy as np
import pytest
from scipy.stats import median_abs_deviation
from sklearn.metrics import r2_score

from neuronedit.measures.moments import correlation_error, delta_r2, mad, mad_ratio, mad_score, rms


def events(n_events: int = 400, seed: int = 0, n_markers: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(2, 1, (n_events, n_markers)).astype(np.float32)


def test_mad_agrees_with_scipy() -> None:
    np.testing.assert_allclose(mad(events()), median_abs_deviation(events(), axis=0), rtol=1e-6)  # float32 medians


def test_a_shift_keeps_every_spread_and_a_stretch_shows() -> None:
    before = events()
    # float32 sums round at 1e-7 of values up to about 10.
    np.testing.assert_allclose(mad_ratio(before + 3, before), 1, rtol=1e-5)
    assert mad_score(before + 3, before) == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(mad_ratio(before * 2, before), 2, rtol=1e-5)
    assert mad_score(before * 2, before) == pytest.approx(np.median(mad(before)), rel=1e-5)


def test_the_ratio_is_not_a_number_where_there_was_no_spread() -> None:
    before = events()
    before[:300, 1] = 0  # a spike at zero: its MAD is 0
    assert np.isnan(mad_ratio(events(), before)).tolist() == [False, True, False, False]


def test_the_score_is_a_median_over_markers() -> None:
    before = events()
    after = before.copy()
    after[:, 0] *= 100  # one marker of four does not move the median of four beyond the others
    assert mad_score(after, before) == 0


def test_correlation_error_of_opposite_correlations_is_two() -> None:
    first = events(n_markers=1)
    assert correlation_error(np.hstack([first, first]), np.hstack([first, -first])) == pytest.approx(2)


def test_correlation_error_agrees_with_numpy() -> None:
    a = events(seed=1)
    b = a @ np.random.default_rng(2).normal(size=(4, 4))
    difference = np.abs(np.corrcoef(a.T) - np.corrcoef(b.T))
    assert correlation_error(a, b) == pytest.approx(difference.sum() / 12)  # 12 off the diagonal, which is 0


def test_correlations_do_not_see_shifts_and_scales() -> None:
    assert correlation_error(events() * np.array([1, 2, 3, 4]) + 5, events()) == pytest.approx(0, abs=1e-6)


def test_a_constant_marker_is_uncorrelated_and_one_marker_has_no_pair() -> None:
    first = events(n_markers=1)
    pair = np.hstack([first, first])
    assert correlation_error(pair, np.hstack([first, np.full_like(first, 3)])) == pytest.approx(1)
    assert np.isnan(correlation_error(first, first))


def test_delta_r2_is_one_for_the_truth_and_zero_for_the_mean_change() -> None:
    measured = np.array([0.0, 1.0, 2.0])
    assert delta_r2(measured, measured) == 1
    assert delta_r2(np.full(3, 1.0), measured) == 0
    assert delta_r2(np.zeros(3), measured) == pytest.approx(1 - 5 / 2)
    assert np.isnan(delta_r2(measured, np.ones(3)))


def test_delta_r2_agrees_with_scikit_learn() -> None:
    predicted, measured = np.random.default_rng(0).normal(size=(2, 30))
    assert delta_r2(predicted, measured) == pytest.approx(r2_score(measured, predicted))


def test_the_root_mean_square_is_taken_in_float64() -> None:
    values = np.array([[1e20, 0], [1e20, 3]], dtype=np.float32)  # squares beyond float32
    assert rms(values, axis=0) == pytest.approx([1e20, np.sqrt(4.5)])
    assert float(rms(values)) == pytest.approx(1e20 / np.sqrt(2))
