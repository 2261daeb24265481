import json
import zlib
from itertools import permutations

import numpy as np
import pytest

from neuronedit.errors import DataError
from neuronedit.model.quality.counting import AT_ZERO, EDGES, N_BINS, N_LEVELS, NOT_FINITE
from neuronedit.model.quality.tally import AFTER, BEFORE, Counts, Tally, levels

ZEROS = np.float32([-0.7, 0.2, -99])


@pytest.fixture
def before(rng):
    events = rng.normal(scale=3, size=(5000, 3)).astype(np.float32)
    return np.where(rng.random(events.shape) < 0.3, ZEROS, events)


@pytest.fixture
def after(before):
    return np.where(before == ZEROS, before, before * np.float32(1.1))


def total(*tallies: Tally) -> Tally:
    found = Tally(ZEROS)
    for tally in tallies:
        found.add(tally)
    return found


def tallied(before, after, support=None, group="day1") -> Tally:
    tally = Tally(ZEROS)
    tally.observe(group, before, after, support)
    return tally


def test_counts_are_those_of_numpys_histogram(before, after):
    counts = tallied(before, after).groups["day1"]
    assert counts.n_events == 5000
    for moment, events in enumerate((before, after)):
        for marker in range(3):
            values = events[:, marker]
            in_bins = np.clip(values[values != ZEROS[marker]], -16, 15.99)
            # A value within float32's rounding of an edge may count on its other side.
            expected = np.histogram(in_bins, EDGES)[0]
            assert np.abs(np.cumsum(counts.values[moment, marker, :N_BINS] - expected)).max() <= 2
            assert counts.values[moment, marker, AT_ZERO] == (values == ZEROS[marker]).sum()
            assert counts.lowest[moment, marker] == values.min()
            assert counts.highest[moment, marker] == values.max()


def test_edges_are_where_values_change_their_bin():
    assert len(EDGES) == N_BINS + 1
    assert (np.diff(EDGES) > 0).all()
    inside = ((EDGES[:-1] + EDGES[1:]) / 2).astype(np.float32)
    events = np.stack([inside] * 3, axis=1)
    assert (tallied(events, events).groups["day1"].values[:, :, :N_BINS] == 1).all()


def test_values_far_outside_the_range_are_in_the_outermost_bins():
    events = np.float32([[-1e30, 17, 16], [1e30, -17, -16]])
    counts = tallied(events, events).groups["day1"]
    assert counts.values[BEFORE][:, [0, N_BINS - 1]].tolist() == [[1, 1]] * 3
    assert counts.lowest[BEFORE].tolist() == [np.float32(-1e30), -17, -16]


def test_changed_values_are_counted_by_marker(before, after):
    after[:, 2] = before[:, 2]
    counts = tallied(before, after).groups["day1"]
    assert counts.edited.tolist() == [*(before != after).sum(axis=0)]
    assert tallied(before, before).groups["day1"].edited.tolist() == [0, 0, 0]


def test_values_that_are_not_finite_are_counted_by_marker_and_spoil_nothing_else():
    before = np.float32([[np.nan, 1, 2], [np.inf, 1, 2], [3, -np.inf, 2]])
    after = before.copy()
    after[2, 2] = 5
    counts = tallied(before, after).groups["day1"]
    assert counts.n_events == 3
    assert counts.values[BEFORE, :, NOT_FINITE].tolist() == [2, 1, 0]
    assert counts.lowest[BEFORE].tolist() == counts.lowest[AFTER].tolist() == [3, 1, 2]
    assert counts.highest[BEFORE].tolist() == [3, 1, 2]
    assert counts.edited.tolist() == [0, 0, 1]


def test_no_events_are_no_group(before):
    assert tallied(before[:0], before[:0]) == Tally(ZEROS)


def test_scores_beyond_one_are_unsupported_and_nan_is_not_scored(before):
    support = np.full(5000, np.nan, np.float32)
    support[:6] = [0.5, 1, 1.01, 2, np.inf, 0]
    assert tallied(before, before, support).groups["day1"].scored == (6, 3)


def test_half_of_the_events_have_each_next_level_wherever_they_are_read(rng):
    events = rng.normal(size=(100_000, 3)).astype(np.float32)
    own = levels(events)
    for level in range(N_LEVELS):
        share = 2.0**-level
        # Within five standard deviations of a binomial.
        assert (own >= level).mean() == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / 100_000))
    order = rng.permutation(len(events))
    assert (levels(events[order]) == own[order]).all()
    assert [int(levels(events[row : row + 1])[0]) for row in range(50)] == own[:50].tolist()


def test_the_sum_is_of_the_levels_that_both_have_scored_whole():
    first, second = Tally(ZEROS), Tally(ZEROS)
    first.observe_support("day1", np.float32([2, 0, 2]), np.uint8([0, 1, 3]), 0)
    second.observe_support("day1", np.float32([2, 0, np.nan]), np.uint8([3, 9, 9]), 3)
    assert (first.groups["day1"].scored, second.groups["day1"].scored) == ((3, 2), (2, 1))
    assert total(first, second) == total(second, first)
    assert total(first, second).groups["day1"].scored == (3, 2)


def test_any_cut_any_order_and_any_grouping_of_workers_gives_the_bits_of_a_single_pass(before, after, rng):
    support = rng.random(5000).astype(np.float32) * 2
    groups = np.array(["b", "a"])[rng.integers(0, 2, 5000)]

    def counted(rows) -> Tally:
        tally = Tally(ZEROS)
        for name in np.unique(groups[rows]):
            chosen = rows[groups[rows] == name]
            tally.observe(str(name), before[chosen], after[chosen], support[chosen])
        return tally

    whole = counted(np.arange(5000))
    shuffled = np.array_split(rng.permutation(5000), [1, 1, 700, 4000])
    parts = [counted(rows) for rows in shuffled]
    for order in list(permutations(range(5)))[::17]:
        a, b, c, d, e = (parts[number] for number in order)
        for added in (
            total(a, b, c, d, e),
            total(a, total(b, total(c, total(d, e)))),
            total(total(a, b), total(c, d), e),
        ):
            assert added == whole
            assert added.to_bytes() == whole.to_bytes()


def test_adding_leaves_the_other_as_it_was(before, after):
    first, second = tallied(before, after), tallied(after, before)
    kept = second.to_bytes()
    first.add(second)
    first.observe("day1", before, after)
    assert second.to_bytes() == kept


def test_one_count_makes_tallies_unequal(before, after):
    first, second = tallied(before, after), tallied(before, after)
    assert first == second
    second.groups["day1"].support[3, 1] += 1
    assert first != second


def test_tallies_of_models_with_other_scaling_are_refused(before, after):
    other = Tally(ZEROS + np.float32(1))
    with pytest.raises(DataError) as caught:
        tallied(before, after).add(other)
    assert str(caught.value) == (
        "Tally: expected tallies of one model, found two whose markers are scaled differently. "
        "Transform all files with the same model."
    )


def test_a_tally_is_its_bytes(before, after, rng):
    tally = tallied(before, after, rng.random(5000))
    tally.observe('day "2"\n', after, before)
    again = Tally.from_bytes(tally.to_bytes())
    assert again == tally
    assert again.to_bytes() == tally.to_bytes()
    assert Tally.from_text(tally.to_text()) == tally
    again.observe("day1", before, after)  # it can be added to
    assert again == total(tally, tallied(before, after))


def test_nothing_has_bytes_too():
    assert Tally.from_bytes(Tally(ZEROS).to_bytes()) == Tally(ZEROS)


def test_a_million_events_of_forty_markers_take_at_most_25_kb(rng):
    # A spike, negative events and positive ones, as in blood; counts as of a million events.
    zeros = np.full(40, -0.8, np.float32)
    tally = Tally(zeros)
    high = rng.random((50_000, 40)) < rng.uniform(0.05, 0.6, 40)
    events = np.where(high, rng.normal(1.5, 0.5, high.shape), rng.gamma(1.5, 0.3, high.shape) - 0.8)
    events = np.where(rng.random(high.shape) < 0.2, zeros, events).astype(np.float32)
    tally.observe("day1", events, events + np.float32(0.3))
    counts = tally.groups["day1"].values
    counts[:] = rng.poisson(20 * counts)
    assert 10_000 < len(tally.to_bytes()) <= 25_000


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"nonsense", "error"),
        (b"", "error"),
        (zlib.compress(b"{}"), "KeyError: 'format'"),
        (zlib.compress(b"[]"), "TypeError"),
        (zlib.compress(b"x"), "JSON"),
    ],
)
def test_damaged_bytes_are_told(content, found):
    with pytest.raises(DataError, match=rf"Tally: damaged \(.*{found}.*\)\. Transform the file that it is of again"):
        Tally.from_bytes(content)


@pytest.mark.parametrize("text", ["", "abc", "AAAA"])
def test_damaged_text_is_told(text):
    with pytest.raises(DataError, match=r"^Tally: damaged \("):
        Tally.from_text(text)


def test_cut_bytes_are_told(before, after):
    content = zlib.decompress(tallied(before, after).to_bytes())
    with pytest.raises(DataError, match=r"Tally: damaged \(ValueError"):
        Tally.from_bytes(zlib.compress(content[:-8]))


def test_another_format_is_told():
    content = zlib.compress(json.dumps({"format": 1}).encode() + b"\n")
    with pytest.raises(DataError, match=r"^Tally: expected format 2, found 1\. Use the neuronedit that wrote it\.$"):
        Tally.from_bytes(content)


def test_counts_of_nothing_change_nothing(before, after):
    counts = tallied(before, after).groups["day1"]
    expected = counts.values.copy()
    counts.add(Counts.empty(3))
    assert (counts.values == expected).all()
    assert np.isfinite(counts.lowest).all()
