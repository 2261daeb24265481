import numpy as np
import pytest

from neuronedit.edits.operators.percentiles import PercentileShift, percentiles
from neuronedit.edits.operators.strata import StrataShift
from tests.arrays import of_arrays

# Two kinds of cell, 20 spreads apart in the first neuron; the change differs between them.
CENTRES = np.array([[-10, 0, 3], [10, 0, 3]], dtype=np.float32)
CHANGES = np.array([[1, 4, 0], [1, -2, 0]], dtype=np.float32)


def two_kinds(rng, n_events=600, share=0.5):
    kinds = (rng.random(n_events) < share).astype(int)
    return kinds, (CENTRES[kinds] + rng.normal(size=(n_events, 3))).astype(np.float32)


def fitted(source, target, n_strata=2, seed=0):
    shift = PercentileShift.fit(percentiles(source), percentiles(target), "linear")
    return StrataShift.fit(shift, source, target, n_strata, seed)


@pytest.fixture
def kinds_and_source(rng):
    return two_kinds(rng)


@pytest.fixture
def shift(kinds_and_source) -> StrataShift:
    kinds, source = kinds_and_source
    return fitted(source, source + CHANGES[kinds])


@pytest.mark.parametrize("n_strata", [1, 2, 4])
def test_equal_populations_shift_nothing(rng, n_strata):
    _, source = two_kinds(rng)
    shift = fitted(source, rng.permutation(source), n_strata)
    assert not of_arrays(shift.shift_at, source * 3).any()


def test_each_kind_gets_its_own_shift(shift, rng):
    assert not shift.fell_back.any()
    kinds, events = two_kinds(rng)
    # Each stratum's percentiles moved by a constant; the weights of two strata add up to 1 in float32.
    np.testing.assert_allclose(of_arrays(shift.shift_at, events), CHANGES[kinds], atol=1e-4)


def test_kinds_are_found_although_the_change_is_larger_than_their_distance(rng):
    kinds, source = two_kinds(rng)
    others, target = two_kinds(rng)
    moved = np.array([25, 0, 0], dtype=np.float32)  # unaligned, the low kind of the target lies on the source's high
    shift = fitted(source, target + CHANGES[others] + moved)
    # Percentiles of 300 events with spread 1: inner ones are known to about 0.1, the mean over a kind better.
    for kind in (0, 1):
        found = of_arrays(shift.shift_at, source[kinds == kind]).mean(axis=0)
        np.testing.assert_allclose(found, CHANGES[kind] + moved, atol=0.3)


def test_a_differing_mix_of_kinds_is_not_taken_for_a_change(rng):
    # No quartile changes its kind: where one does, the alignment itself takes the mix for a change.
    _, source = two_kinds(rng, 4000, share=0.3)
    _, target = two_kinds(rng, 4000, share=0.4)
    as_one = of_arrays(fitted(source, target, 1).shift_at, source)
    # Nothing changed but the mix. Without strata, a tenth of the events moves from one kind to the other.
    assert np.abs(as_one[:, 0]).mean() > 1
    # What is left is the noise of percentiles, largest at the few events beyond the 1st and the 99th.
    assert np.abs(of_arrays(fitted(source, target).shift_at, source)[:, 0]).mean() < 0.2


def test_one_stratum_is_the_linear_operator(rng):
    source, target = rng.normal(size=(2, 300, 3)).astype(np.float32)
    linear = PercentileShift.fit(percentiles(source), percentiles(target), "linear")
    # Percentiles of float32 values, interpolated in float64 at levels that differ in the last bit.
    np.testing.assert_allclose(
        of_arrays(fitted(source, target, 1).shift_at, source), of_arrays(linear.shift_at, source), atol=1e-5
    )


def test_a_stratum_with_too_few_events_has_the_shift_of_all_events(rng):
    _, source = two_kinds(rng, 400, share=0.5)
    _, target = two_kinds(rng, 400, share=0.05)  # 20 events of the high kind, below the least number
    shift = fitted(source, target)
    small = int(shift.mixture.centres[:, 0].argmax())
    assert shift.fell_back.tolist() == [stratum == small for stratum in range(2)]
    together = PercentileShift.fit(percentiles(source), percentiles(target), "linear")
    assert (shift.strata[small].shifts == together.shifts).all()
    assert (shift.strata[1 - small].shifts != together.shifts).any()


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")  # as many strata as events
def test_with_too_few_events_altogether_the_edit_is_the_linear_one(rng):
    source, target = rng.normal(size=(2, 3, 2)).astype(np.float32)
    shift = fitted(source, target, 8)
    assert shift.fell_back.all()
    linear = PercentileShift.fit(percentiles(source), percentiles(target), "linear")
    # Six memberships add up to 1 in float32.
    np.testing.assert_allclose(of_arrays(shift.shift_at, source), of_arrays(linear.shift_at, source), atol=1e-6)


def test_memberships_sum_to_one_and_are_soft_between_kinds(shift, kinds_and_source):
    _, source = kinds_and_source
    memberships = of_arrays(shift.memberships, source)
    np.testing.assert_allclose(memberships.sum(axis=1), 1, atol=1e-6)
    path = np.linspace(CENTRES[0], CENTRES[1], 4001, dtype=np.float32)
    steps = np.abs(np.diff(of_arrays(shift.memberships, path), axis=0))
    assert 0 < steps.max() < 0.1


def test_events_beyond_the_controls_range_move_by_a_bounded_shift(shift):
    far = np.array([[1e30, -1e30, 1e30], [-1e30, 1e30, 0]], dtype=np.float32)
    bound = np.abs([stratum.shifts for stratum in shift.strata]).max()
    assert (np.abs(of_arrays(shift.shift_at, far)) <= bound * 1.001).all()


def test_a_neuron_dead_in_both_populations_stays(rng):
    kinds, source = two_kinds(rng)
    source[:, 2] = 3
    assert not of_arrays(fitted(source, source + CHANGES[kinds]).shift_at, source)[:, 2].any()


def test_parts_of_the_events_get_the_bits_that_the_whole_gets(shift, rng):
    _, events = two_kinds(rng, 200)
    whole = of_arrays(shift.shift_at, events)
    assert (
        np.concatenate([of_arrays(shift.shift_at, part) for part in np.array_split(events, 7)]).tobytes()
        == whole.tobytes()
    )
    order = rng.permutation(len(events))
    assert of_arrays(shift.shift_at, events[order]).tobytes() == whole[order].tobytes()


def test_strata_are_found_again_by_seed(rng):
    source, target = rng.normal(size=(2, 400, 3)).astype(np.float32)
    first, again, other = (fitted(source, target, 3, seed) for seed in (1, 1, 2))
    assert all((first.arrays()[name] == again.arrays()[name]).all() for name in first.arrays())
    assert (first.mixture.centres != other.mixture.centres).any()


def test_a_shift_is_its_arrays(shift, kinds_and_source):
    restored = StrataShift.from_arrays(shift.arrays())
    assert (
        of_arrays(restored.shift_at, kinds_and_source[1]).tobytes()
        == of_arrays(shift.shift_at, kinds_and_source[1]).tobytes()
    )
    assert restored.fell_back.tolist() == shift.fell_back.tolist()


def test_events_that_hardly_belong_do_not_count_in_a_stratums_percentiles(shift):
    # The far kind belongs by less than the least membership: its values are not in the percentiles.
    low = int(shift.mixture.centres[:, 0].argmin())
    assert shift.strata[low].source_percentiles[-1, 0] < 0
