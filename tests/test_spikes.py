import numpy as np
import pytest

from neuronedit.spikes import MIN_MASS, WIDTH, Spikes

ZEROS = np.array([-1.0, -0.5, -2.0], np.float32)


@pytest.fixture
def source(rng) -> np.ndarray:
    """300 events by 3 markers: 40 % of the first at zero, none of the second, a single one of the third."""
    events = ZEROS + rng.gamma(2, size=(300, 3)).astype(np.float32)
    events[:120, 0] = ZEROS[0]
    events[0, 2] = ZEROS[2]
    return events


def test_only_markers_with_enough_mass_at_exact_zero_have_a_spike(source):
    assert MIN_MASS > 1 / 300
    assert np.isnan(Spikes.find(source, source, ZEROS).zeros).tolist() == [False, True, True]


def test_a_spike_of_the_target_alone_counts(source):
    assert np.isnan(Spikes.find(source[120:], source, ZEROS).zeros).tolist() == [False, True, True]


def test_spreading_moves_zeros_below_zero_and_nothing_else(source):
    spikes = Spikes.find(source, source, ZEROS)
    spread = spikes.spread(source)
    at_zero = source[:, 0] == ZEROS[0]
    assert (spread[~at_zero] == source[~at_zero]).all()
    assert (spread[:, 1:] == source[:, 1:]).all()
    moved = ZEROS[0] - spread[at_zero, 0]
    assert 0 <= moved.min() < 0.1 * WIDTH
    assert 0.9 * WIDTH < moved.max() <= WIDTH
    assert len(np.unique(moved)) == at_zero.sum()
    assert (spikes.gather(spread, spread, source) == source).all()
    nudged = np.nextafter(spread, np.float32(9))
    assert (spikes.gather(nudged, spread, source)[at_zero, 0] == ZEROS[0]).all()


def test_ranks_are_an_events_own(source):
    spikes = Spikes.find(source, source, ZEROS)
    assert (spikes.spread(source)[60:90] == spikes.spread(source[60:90])).all()


def test_evenly_spread_zeros_of_equal_mass_have_equal_percentiles(source, rng):
    spikes = Spikes.find(source, source, ZEROS)
    other = source.copy()
    other[:, 1] = rng.permutation(other[:, 1])  # other events, so other ranks
    spread, others = (np.sort(spikes.spread(events, evenly=True)[:, 0]) for events in (source, other))
    assert (spread == others).all()


def test_as_many_edited_events_are_at_zero_as_target_events(source):
    target = source.copy()
    target[120:180, 0] = ZEROS[0]
    spikes = Spikes.find(source, target, ZEROS)
    edited = spikes.spread(source)
    matched = spikes.matched(edited, target)
    at_zero = (matched.gather(edited, edited - 1, source)[:, 0] == ZEROS[0]).mean()  # all of them moved
    assert at_zero == pytest.approx((target[:, 0] == ZEROS[0]).mean(), abs=1 / len(source))


def test_nothing_stays_below_zero(source):
    spikes = Spikes.find(source, source, ZEROS)
    assert spikes.gather(spikes.spread(source) - np.float32(0.3), source, source)[:, 0].min() == ZEROS[0]


def test_without_spikes_nothing_is_spread_or_gathered(source):
    none = Spikes.none(3)
    assert none.spread(source) is source
    assert (none.gather(source - 5, source, source) == source - 5).all()


def test_arrays_restore_it(source):
    spikes = Spikes.find(source, source, ZEROS)
    restored = Spikes.from_arrays(spikes.arrays())
    np.testing.assert_array_equal(restored.zeros, spikes.zeros)
    np.testing.assert_array_equal(restored.thresholds, spikes.thresholds)
