import numpy as np
import pytest

from neuronedit.edits.operators.percentiles import PercentileShift, percentiles, weighted_percentiles
from tests.arrays import of_arrays

# One neuron, five knots, all exact in float32: answers below are exact too.
SOURCE = np.array([[0], [1], [2], [4], [8]], dtype=np.float32)
TARGET = np.array([[10], [12], [14], [17], [22]], dtype=np.float32)  # shifts 10, 11, 12, 13, 14


def shift_at(shift, *activations):
    return of_arrays(shift.shift_at, np.array(activations, dtype=np.float32)[:, None])[:, 0].tolist()


def tied_shifts(p_source, p_target):
    """The shift of every knot, the mean over knots that are equal."""
    return [float(np.mean([t - s for s, t in zip(p_source, p_target, strict=True) if s == knot])) for knot in p_source]


def slow_step(a, p_source, p_target):
    """method.md, section 2, step 3, as it is written."""
    shifts = tied_shifts(p_source, p_target)
    if a < p_source[0]:
        return shifts[0]
    for j in range(len(p_source) - 1):
        if p_source[j] <= a < p_source[j + 1]:
            return shifts[j]
    return shifts[-1]


def slow_linear(a, p_source, p_target):
    shifts = tied_shifts(p_source, p_target)
    if a < p_source[0]:
        return shifts[0]
    for j in range(len(p_source) - 1):
        if p_source[j] <= a < p_source[j + 1]:
            share = (a - p_source[j]) / (p_source[j + 1] - p_source[j])
            return shifts[j] + share * (shifts[j + 1] - shifts[j])
    return shifts[-1]


SLOW = {"step": slow_step, "linear": slow_linear}


def test_percentiles_run_from_minimum_to_maximum_through_the_median():
    activations = np.array([[3, 30], [1, 10], [2, 20]], dtype=np.float32)
    found = percentiles(activations, 3)
    assert found.tolist() == [[1, 10], [2, 20], [3, 30]]
    assert found.dtype == np.float32


def test_there_are_101_percentiles_as_in_the_paper():
    activations = np.arange(101, dtype=np.float32)[::-1, None]
    assert percentiles(activations)[:, 0].tolist() == list(range(101))


def test_an_activation_equal_to_a_percentile_belongs_to_the_bin_that_starts_there():
    shift = PercentileShift.fit(SOURCE, TARGET, "step")
    below = float(np.nextafter(np.float32(2), np.float32(0)))
    assert shift_at(shift, below, 2.0, 3.999) == [11, 12, 12]


def test_the_maximum_belongs_to_the_last_bin():
    shift = PercentileShift.fit(SOURCE, TARGET, "step")
    assert shift_at(shift, 7.999, 8.0) == [13, 14]


@pytest.mark.parametrize("interpolation", ["step", "linear"])
def test_beyond_the_source_range_the_outermost_shift_holds(interpolation):
    shift = PercentileShift.fit(SOURCE, TARGET, interpolation)
    assert shift_at(shift, -1e30, -0.001, 8.001, 1e30) == [10, 10, 14, 14]


def test_linear_interpolates_between_knots_and_meets_them_exactly():
    shift = PercentileShift.fit(SOURCE, TARGET, "linear")
    assert shift_at(shift, 0, 0.5, 1, 3, 4, 6) == [10, 10.5, 11, 12.5, 13, 13.5]


@pytest.mark.parametrize("interpolation", ["step", "linear"])
def test_equal_percentiles_shift_nothing(interpolation, rng):
    knots = percentiles(rng.normal(size=(200, 3)).astype(np.float32))
    shifts = of_arrays(
        PercentileShift.fit(knots, knots.copy(), interpolation).shift_at, rng.normal(size=(50, 3)).astype(np.float32)
    )
    assert not shifts.any()


@pytest.mark.parametrize("interpolation", ["step", "linear"])
def test_a_constant_shift_is_found_exactly(interpolation, rng):
    # Multiples of 1/8 below 2^10 add without rounding in float32.
    knots = np.sort(rng.integers(-800, 800, size=(21, 2)), axis=0).astype(np.float32) / 8
    shift = PercentileShift.fit(knots, knots + np.array([2.5, -0.125], dtype=np.float32), interpolation)
    shifts = of_arrays(shift.shift_at, (rng.integers(-2000, 2000, size=(100, 2)) / 8).astype(np.float32))
    assert (shifts == [2.5, -0.125]).all()


@pytest.mark.parametrize("interpolation", ["step", "linear"])
def test_a_dead_neuron_gets_the_mean_shift_everywhere(interpolation):
    dead = np.full((5, 1), 3, dtype=np.float32)
    shift = PercentileShift.fit(dead, TARGET, interpolation)  # target's mean is 15
    assert shift_at(shift, -5, 3, 8) == [12, 12, 12]


@pytest.mark.parametrize("interpolation", ["step", "linear"])
def test_a_neuron_dead_in_both_populations_stays(interpolation):
    dead = np.zeros((5, 1), dtype=np.float32)
    assert shift_at(PercentileShift.fit(dead, dead, interpolation), -1, 0, 1) == [0, 0, 0]


@pytest.mark.parametrize("interpolation", ["step", "linear"])
def test_events_in_a_spike_at_zero_get_the_mean_of_the_tied_shifts(interpolation):
    spike = np.array([[0], [0], [0], [2], [4]], dtype=np.float32)
    target = np.array([[0], [1], [5], [2], [4]], dtype=np.float32)  # shifts 0, 1, 5: mean 2
    with np.errstate(all="raise"):
        assert shift_at(PercentileShift.fit(spike, target, interpolation), -1, 0) == [2, 2]


def test_linear_leaves_a_spike_towards_the_next_knot_without_a_jump():
    spike = np.array([[0], [0], [2], [2], [4]], dtype=np.float32)
    target = np.array([[1], [3], [2], [4], [4]], dtype=np.float32)  # tied shifts 2, 1, 0
    assert shift_at(PercentileShift.fit(spike, target, "linear"), 0, 1, 2, 3, 4) == [2, 1.5, 1, 0.5, 0]


@pytest.mark.parametrize("interpolation", ["step", "linear"])
@pytest.mark.parametrize("grid", [None, 0.5], ids=["distinct", "tied"])
def test_shifts_agree_with_the_formula_written_out(interpolation, grid, rng):
    source, target = rng.normal(size=(2, 300, 3)) * [[[1.0]], [[2.0]]]
    if grid:
        source, target = np.round(source / grid) * grid, np.round(target / grid) * grid
    p_source, p_target = percentiles(source.astype(np.float32), 21), percentiles(target.astype(np.float32), 21)
    activations = np.concatenate([rng.normal(size=(60, 3)) * 2, p_source]).astype(np.float32)
    found = of_arrays(PercentileShift.fit(p_source, p_target, interpolation).shift_at, activations)
    expected = [
        [SLOW[interpolation](float(a), p_source[:, k].tolist(), p_target[:, k].tolist()) for k, a in enumerate(row)]
        for row in activations
    ]
    # Shifts of order 1, subtracted and kept in float32.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_fitting_and_applying_leave_their_inputs_as_they_were():
    source, target = SOURCE.copy(), TARGET.copy()
    activations = np.array([[1], [9]], dtype=np.float32)
    for array in (source, target, activations):
        array.setflags(write=False)
    of_arrays(PercentileShift.fit(source, target, "linear").shift_at, activations)
    assert (source == SOURCE).all()
    assert (target == TARGET).all()


def slow_weighted_percentile(values, weights, level):
    """Events stand in the middle of their weights, from 0 (the first) to 1 (the last)."""
    events = sorted((v, w) for v, w in zip(values, weights, strict=True) if w > 0)
    places = [sum(w for _, w in events[:i]) + events[i][1] / 2 for i in range(len(events))]
    wanted = places[0] + level * (places[-1] - places[0])
    for i in range(len(events) - 1):
        if places[i] <= wanted <= places[i + 1]:
            share = (wanted - places[i]) / (places[i + 1] - places[i])
            return events[i][0] + share * (events[i + 1][0] - events[i][0])
    return events[-1][0]


@pytest.mark.parametrize("grid", [None, 0.5], ids=["distinct", "tied"])
def test_weighted_percentiles_agree_with_a_loop_over_events(grid, rng):
    values, weights = rng.normal(size=(60, 2)), rng.random(60)
    values = (np.round(values / grid) * grid if grid else values).astype(np.float32)
    weights[::7] = 0
    found = weighted_percentiles(values, weights, 11)
    expected = [[slow_weighted_percentile(values[:, k].tolist(), weights, j / 10) for k in range(2)] for j in range(11)]
    # Kept in float32, values of order 1.
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_equal_weights_give_plain_percentiles(rng):
    values = rng.normal(size=(137, 3)).astype(np.float32)
    found = weighted_percentiles(values, np.full(137, 0.3))
    # Levels differ in float64's last bits, values are kept in float32.
    np.testing.assert_allclose(found, percentiles(values), atol=1e-6)


def test_events_without_weight_do_not_count():
    values = np.array([[-100], [1], [2], [3], [100]], dtype=np.float32)
    weights = np.array([0, 1, 1, 1, 0], dtype=np.float32)
    assert weighted_percentiles(values, weights, 5)[:, 0].tolist() == [1, 1.5, 2, 2.5, 3]


def test_a_heavy_event_fills_the_percentiles_around_it():
    values = np.array([[0], [1], [2]], dtype=np.float32)
    # Middles at 0.5, 5, 9.5: the heavy event is the median, and half way lies half way.
    assert weighted_percentiles(values, np.array([1, 8, 1]), 5)[:, 0].tolist() == [0, 0.5, 1, 1.5, 2]


def test_the_one_event_with_weight_is_every_percentile():
    values = np.array([[5], [7]], dtype=np.float32)
    assert weighted_percentiles(values, np.array([0, 0.2]), 3)[:, 0].tolist() == [7, 7, 7]


def test_weighted_percentiles_do_not_depend_on_the_order_of_events(rng):
    values, weights = np.round(rng.normal(size=(200, 2)), 1).astype(np.float32), rng.random(200)
    order = rng.permutation(200)
    assert (weighted_percentiles(values, weights) == weighted_percentiles(values[order], weights[order])).all()
