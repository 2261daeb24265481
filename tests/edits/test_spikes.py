import numpy as np
import pytest
import torch

from neuronedit.cells.events import mix_bits
from neuronedit.edits.spikes import MIN_MASS, WIDTH, Spikes, gather_by_masks, mix_int64, ranks_of_int64
from neuronedit.network.autoencoder import tensor
from tests.arrays import of_arrays

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
    spread = of_arrays(spikes.spread, source)
    at_zero = source[:, 0] == ZEROS[0]
    assert (spread[~at_zero] == source[~at_zero]).all()
    assert (spread[:, 1:] == source[:, 1:]).all()
    moved = ZEROS[0] - spread[at_zero, 0]
    assert 0 <= moved.min() < 0.1 * WIDTH
    assert 0.9 * WIDTH < moved.max() <= WIDTH
    assert len(np.unique(moved)) == at_zero.sum()
    assert (of_arrays(spikes.gather, spread, spread, source) == source).all()
    nudged = np.nextafter(spread, np.float32(9))
    assert (of_arrays(spikes.gather, nudged, spread, source)[at_zero, 0] == ZEROS[0]).all()


def test_ranks_are_an_events_own(source):
    spikes = Spikes.find(source, source, ZEROS)
    assert (of_arrays(spikes.spread, source)[60:90] == of_arrays(spikes.spread, source[60:90])).all()


def test_evenly_spread_zeros_of_equal_mass_have_equal_percentiles(source, rng):
    spikes = Spikes.find(source, source, ZEROS)
    other = source.copy()
    other[:, 1] = rng.permutation(other[:, 1])  # other events, so other ranks
    spread, others = (np.sort(spikes.spread_evenly(events)[:, 0]) for events in (source, other))
    assert (spread == others).all()


def test_as_many_edited_events_are_at_zero_as_target_events(source):
    target = source.copy()
    target[120:180, 0] = ZEROS[0]
    spikes = Spikes.find(source, target, ZEROS)
    edited = of_arrays(spikes.spread, source)
    matched = spikes.matched(edited, target)
    at_zero = (of_arrays(matched.gather, edited, edited - 1, source)[:, 0] == ZEROS[0]).mean()  # all of them moved
    assert at_zero == pytest.approx((target[:, 0] == ZEROS[0]).mean(), abs=1 / len(source))


def test_nothing_stays_below_zero(source):
    spikes = Spikes.find(source, source, ZEROS)
    assert (
        of_arrays(spikes.gather, of_arrays(spikes.spread, source) - np.float32(0.3), source, source)[:, 0].min()
        == ZEROS[0]
    )


def test_without_spikes_nothing_is_spread_or_gathered(source):
    none = Spikes.none(3)
    assert of_arrays(none.spread, source).tobytes() == source.tobytes()
    assert (of_arrays(none.gather, source - 5, source, source) == source - 5).all()


def test_arrays_restore_it(source):
    spikes = Spikes.find(source, source, ZEROS)
    restored = Spikes.from_arrays(spikes.arrays())
    np.testing.assert_array_equal(restored.zeros, spikes.zeros)
    np.testing.assert_array_equal(restored.thresholds, spikes.thresholds)


def test_bits_are_mixed_on_a_gpu_as_on_the_processor(rng):
    ends = np.array([0, 1, 2**63 - 1, 2**63, 2**64 - 1], np.uint64)
    states = np.concatenate([ends, rng.integers(0, 2**64, 10_000, dtype=np.uint64)])
    assert (of_arrays(mix_int64, states.view(np.int64)).view(np.uint64) == mix_bits(states)).all()


def test_a_gpu_spreads_and_gathers_zeros_to_the_same_bits(rng):
    zeros = np.array([-1.0, 0.0, np.nan, -2.0], np.float32)
    markers = rng.normal(size=(500, 4)).astype(np.float32)
    for marker in (0, 1, 3):
        markers[rng.random(500) < 0.3, marker] = zeros[marker]
    spikes = Spikes(zeros, zeros + np.float32(0.1))
    before, spread = tensor(markers), spikes.spread(tensor(markers))
    there, thresholds, weights, starts = spikes._tensors.beside(before)
    ranks = torch.where(before == there, ranks_of_int64(before, weights, starts), 0)
    assert (before - WIDTH * ranks).numpy().tobytes() == spread.numpy().tobytes()
    edited = spread + tensor(np.where(rng.random((500, 4)) < 0.5, rng.normal(size=(500, 4)), 0).astype(np.float32))
    gathered = gather_by_masks(there, thresholds, edited, spread, before)
    assert gathered.numpy().tobytes() == spikes.gather(edited, spread, before).numpy().tobytes()
