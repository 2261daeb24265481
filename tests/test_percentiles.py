import numpy as np
import pytest

from neuronedit.percentiles import PercentileShift, percentiles


def slow_shift(activation: float, source: np.ndarray, target: np.ndarray, interpolation: str) -> float:
    """The paper's formula for one activation, written as it reads (percentiles without ties)."""
    if activation < source[0]:
        return target[0] - source[0]
    if activation >= source[-1]:
        return target[-1] - source[-1]
    for j in range(len(source) - 1):
        if source[j] <= activation < source[j + 1]:
            here, there = target[j] - source[j], target[j + 1] - source[j + 1]
            share = (activation - source[j]) / (source[j + 1] - source[j])
            return here if interpolation == "step" else here + share * (there - here)
    raise AssertionError


@pytest.mark.parametrize("interpolation", ["step", "linear"])
def test_shifts_agree_with_the_papers_formula_written_out(interpolation: str) -> None:
    generator = np.random.default_rng(0)
    source = percentiles(generator.normal(size=(500, 3)).astype(np.float32))
    target = percentiles(generator.gamma(2.0, size=(400, 3)).astype(np.float32))
    activations = generator.normal(scale=2, size=(200, 3)).astype(np.float32)
    activations[:101] = source  # knots themselves, too
    shift = PercentileShift.fit(source, target, interpolation).at(activations)
    expected = [
        [slow_shift(activations[i, j], source[:, j], target[:, j], interpolation) for j in range(3)] for i in range(200)
    ]
    np.testing.assert_allclose(shift, expected, atol=2e-6)  # float32 activations of size 1


def test_an_activation_equal_to_a_percentile_belongs_to_the_bin_that_starts_there() -> None:
    source, target = np.array([[0.0], [1.0], [2.0]], np.float32), np.array([[10.0], [21.0], [32.0]], np.float32)
    shift = PercentileShift.fit(source, target, "step")
    at = shift.at(np.array([[-5.0], [0.0], [0.999], [1.0], [2.0], [99.0]], np.float32))
    np.testing.assert_array_equal(at.ravel(), [10, 10, 10, 20, 30, 30])


@pytest.mark.parametrize("interpolation", ["step", "linear"])
def test_shifts_are_constant_beyond_the_first_and_last_percentile(interpolation: str) -> None:
    source, target = np.array([[0.0], [1.0]], np.float32), np.array([[5.0], [8.0]], np.float32)
    at = PercentileShift.fit(source, target, interpolation).at(np.array([[-1e30], [1e30]], np.float32))
    np.testing.assert_array_equal(at.ravel(), [5, 7])


@pytest.mark.parametrize("interpolation", ["step", "linear"])
def test_a_dead_neuron_gets_the_mean_shift(interpolation: str) -> None:
    source, target = np.full((3, 1), 2.0, np.float32), np.array([[1.0], [3.0], [8.0]], np.float32)
    at = PercentileShift.fit(source, target, interpolation).at(np.array([[2.0], [1.0], [3.0]], np.float32))
    np.testing.assert_allclose(at.ravel(), 2.0, rtol=1e-6)


@pytest.mark.parametrize("interpolation", ["step", "linear"])
def test_a_spike_at_zero_gets_the_mean_of_its_percentiles_shifts(interpolation: str) -> None:
    source = np.array([[0.0], [0.0], [0.0], [1.0], [2.0]], np.float32)
    target = np.array([[0.0], [0.3], [0.6], [1.5], [2.5]], np.float32)
    at = PercentileShift.fit(source, target, interpolation).at(np.array([[0.0], [1.0], [2.0]], np.float32))
    np.testing.assert_allclose(at.ravel(), [0.3, 0.5, 0.5], rtol=1e-6)


@pytest.mark.parametrize("interpolation", ["step", "linear"])
def test_equal_samples_shift_nothing_at_all(interpolation: str) -> None:
    source = percentiles(np.random.default_rng(0).normal(size=(300, 4)).round(1).astype(np.float32))
    at = PercentileShift.fit(source, source.copy(), interpolation).at(
        np.linspace(-9, 9, 400, dtype="f4").reshape(-1, 4)
    )
    assert not at.any()


def test_percentiles_are_evenly_spaced_order_statistics() -> None:
    values = np.arange(1001, dtype=np.float32)[::-1, None]
    np.testing.assert_array_equal(percentiles(values).ravel(), np.arange(101) * 10)
