import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from neuronedit.edits.operators.percentiles import percentiles
from neuronedit.model.quality.counting import FAR, FINE, N_BINS, NEAR
from neuronedit.model.quality.cumulative import Cumulative
from neuronedit.model.quality.table import RESOLUTION
from neuronedit.model.quality.tally import BEFORE, Tally

ZERO = np.float32(-0.7)

NEAR_BIN = 1 / FINE + 1e-5
"""A bin's width, and float32's rounding of its edges."""


def of(events, zero=ZERO) -> Cumulative:
    """The distribution of one marker, (n_events,), as it is read from a tally."""
    column = np.asarray(events, dtype=np.float32)[:, None]
    tally = Tally(np.float32([zero]))
    tally.observe("day1", column, column)
    counts = tally.groups["day1"]
    found = Cumulative.from_counts(
        counts.values[BEFORE, 0], float(counts.lowest[BEFORE, 0]), float(counts.highest[BEFORE, 0]), float(zero)
    )
    assert found is not None
    return found


def reference(events) -> Cumulative:
    return Cumulative.from_percentiles(percentiles(np.asarray(events, dtype=np.float32)[:, None])[:, 0])


def blood(rng, n_events, shift=0.0, spike=0.3, tail=0.5):
    """A marker of mass cytometry: a spike at zero, dim events beside it, bright ones, a few very bright."""
    events = np.where(rng.random(n_events) < 0.25, rng.normal(1.8, 0.4, n_events), rng.gamma(1.5, 0.3, n_events) - 0.7)
    events = np.where(rng.random(n_events) < 0.005, events + rng.exponential(tail, n_events), events) + shift
    return np.where(rng.random(n_events) < spike, ZERO, np.maximum(events, ZERO)).astype(np.float32)


SHAPES = {
    "blood": blood,
    "normal": lambda rng, n: rng.normal(size=n),
    "steps": lambda rng, n: rng.integers(-2, 3, n).astype(float),
    "constant": lambda _rng, n: np.full(n, 1.234),
    "all zero": lambda _rng, n: np.full(n, ZERO),
    "spike within": lambda rng, n: np.where(rng.random(n) < 0.5, ZERO, rng.normal(-0.7, 0.3, n)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_events", [1, 2, 10_007])
def test_quantiles_are_numpys_within_a_bin(rng, shape, n_events):
    events = np.asarray(SHAPES[shape](rng, n_events), dtype=np.float32)
    events = np.clip(events, -NEAR, NEAR)
    levels = np.array([0, 1, 5, 25, 50, 75, 95, 99, 100]) / 100
    expected = np.quantile(events, levels, method="inverted_cdf")
    np.testing.assert_allclose(of(events).quantiles(levels), expected, atol=NEAR_BIN)


def test_a_constant_marker_and_a_single_event_are_exact():
    for events in ([1.25], [1.25] * 100, [ZERO] * 3, [50.0], [-1e30]):
        assert of(events).quantiles([0, 0.01, 0.5, 1]).tolist() == [np.float32(events[0])] * 4


def test_a_spike_is_exact():
    found = of(np.repeat([ZERO, 1.0], [40, 60]))
    assert found.spike == 0.4
    assert found.quantiles([0.01, 0.4]).tolist() == [ZERO, ZERO]


def test_values_far_outside_the_range_lie_between_the_last_edge_and_the_furthest():
    found = of([0.0] * 90 + [100.0] * 10)
    assert FAR - 1 < found.quantiles([0.95])[0] <= 100
    assert found.quantiles([1])[0] == 100


def test_a_shift_is_its_own_emd(rng):
    # All of one marker, exactly: no bin is involved.
    base = rng.normal(size=2000)
    assert reference(base).emd(reference(base + 0.75)) == pytest.approx(0.75, abs=1e-6)
    assert reference(base).emd(reference(base)) == 0
    # Bins: half of one's width at most, on either side.
    assert of(base).emd(of(base + 0.75)) == pytest.approx(0.75, abs=NEAR_BIN)
    assert of(base).emd(of(base)) == 0


def test_the_emd_of_two_points_is_their_distance():
    assert of([1.5] * 10).emd(of([-0.25] * 3)) == pytest.approx(1.75)
    assert of([0.0, 1.0]).emd(of([1.0, 1.0])) == pytest.approx(0.5, abs=NEAR_BIN)


@pytest.mark.parametrize(("shift", "spike"), [(0.0, 0.3), (0.4, 0.3), (0.0, 0.6), (-0.3, 0.0)])
def test_the_emd_to_percentiles_is_scipys_on_raw_values(rng, shift, spike):
    events, target = blood(rng, 20_000, shift, spike), blood(rng, 8000)
    found = of(events).emd(reference(target))
    assert found == pytest.approx(wasserstein_distance(events, target), abs=RESOLUTION)


@pytest.mark.parametrize("tail", [0.5, 2, 4])
def test_whatever_the_tail_the_emd_is_within_half_a_bin_and_half_a_hundredth_of_the_targets_range(rng, tail):
    events, target = blood(rng, 20_000, 0.1, tail=tail), blood(rng, 8000, tail=tail)
    found = of(events).emd(reference(target))
    # Between percentiles, events are spread evenly; each hundredth of them is off by half of what it spans at most.
    assert abs(found - wasserstein_distance(events, target)) < NEAR_BIN / 2 + 0.005 * float(np.ptp(target))


def test_the_emd_does_not_depend_on_who_is_compared_with_whom(rng):
    events, target = of(blood(rng, 500)), reference(blood(rng, 800, 0.3))
    assert events.emd(target) == pytest.approx(target.emd(events), abs=1e-12)


def test_no_finite_value_has_no_distribution():
    assert Cumulative.from_counts(np.zeros(N_BINS + 2, np.int64), np.inf, -np.inf, float(ZERO)) is None
