"""The sample whose support is scored: enough of each edit, the same whichever way the events come."""

import numpy as np
import pytest

from neuronedit.model.quality import sample as sample_module
from neuronedit.model.quality.counting import TOP_LEVEL
from neuronedit.model.quality.sample import ENOUGH, ROOM, QualityObserver, SupportSample
from neuronedit.model.quality.table import quality_table
from neuronedit.model.quality.tally import Tally, levels
from neuronedit.model.route import BATCHES_OWN, Route
from tests.arrays import of_arrays


def scored(model, parts, route=BATCHES_OWN, group="1") -> Tally:
    """The sum of the tallies of parts of the input, each of which comes in blocks."""
    total = Tally(model.scaling.zeros)
    for blocks in parts:
        tally, sample = Tally(model.scaling.zeros), SupportSample()
        for events in blocks:
            following = sample.following()
            QualityObserver(tally, following, model, route)(group, events, events, None)
            sample.add(following)
        sample.score(tally, model, route)
        total.add(tally)
    return total


@pytest.fixture
def events(controls_model, cells):
    found = controls_model.standardised(cells(40_000, seed=5))
    found[:10_000] += 30
    return found


def expected(model, events, level) -> tuple[int, int]:
    chosen = events[levels(events) >= level]
    return len(chosen), int((of_arrays(model.edits["1"].support.scores, chosen) > 1).sum())


def test_all_of_a_small_input_are_scored_and_enough_of_a_larger_one(controls_model, events):
    for n_events in (1, 3, ENOUGH, 2 * ENOUGH, 5_000, 40_000):
        counts = scored(controls_model, [[events[-n_events:]]]).groups["1"]
        n_scored, n_beyond = counts.scored
        assert min(n_events, ENOUGH) <= n_scored <= 2.5 * ENOUGH
        assert (n_scored, n_beyond) == expected(controls_model, events[-n_events:], int(counts.level[0]))
    assert scored(controls_model, [[events[:ENOUGH]]]).groups["1"].scored == (ENOUGH, ENOUGH)


def test_many_parts_are_sampled_as_one_part_of_their_size_would_be_at_most(controls_model, events):
    """A small part scores all of its events; beside a large one, only as many of them count as of the large one."""
    parts = [[events[:10_000]], [events[10_000:39_900]], [events[39_900:]]]
    counts = scored(controls_model, parts).groups["1"]
    assert counts.scored[0] >= ENOUGH
    level = int(counts.level[0])
    assert counts.scored == expected(controls_model, events, level)
    # A quarter of the events lie beyond; as parts, they would be half of what was scored.
    assert counts.scored[1] / counts.scored[0] == pytest.approx(0.25, abs=0.06)


def test_the_order_of_blocks_their_size_and_the_order_of_parts_change_no_bit(controls_model, events, rng):
    blocks = np.array_split(events, 13)
    whole = scored(controls_model, [blocks])
    for _ in range(3):
        order = rng.permutation(len(events))
        cut = np.sort(rng.integers(0, len(events), 30))
        assert scored(controls_model, [np.array_split(events[order], cut)]).to_bytes() == whole.to_bytes()
    parts = [[events[:100]], [events[100:7_000]], [events[7_000:]]]
    assert scored(controls_model, parts) == scored(controls_model, parts[::-1])


def test_of_millions_of_events_one_in_512_is_scored(controls_model, events, monkeypatch):
    monkeypatch.setattr(sample_module, "ENOUGH", 20)
    counts = scored(controls_model, [[events]]).groups["1"]
    assert counts.level[0] == TOP_LEVEL
    assert counts.scored == expected(controls_model, events, TOP_LEVEL)


def test_one_event_very_often_is_held_once(controls_model, events):
    sample = SupportSample()
    for _ in range(30):
        sample.observe("1", np.repeat(events[:1], ROOM // 4, axis=0))
    assert sample._held["1"]._n_rows <= ROOM
    tally = Tally(controls_model.scaling.zeros)
    sample.score(tally, controls_model, BATCHES_OWN)
    assert tally.groups["1"].scored == (30 * (ROOM // 4),) * 2


def test_events_are_scored_by_the_edit_that_they_get_first(controls_model, cells):
    before = controls_model.standardised(cells(400, seed=5))
    before[:200] += 30
    route = Route(edits=("1", "2"))
    tally = scored(controls_model, [[before]], route, "chosen")
    beyond = of_arrays(controls_model.edits["1"].support.scores, before) > 1
    assert tally.groups["chosen"].scored == (400, beyond.sum())
    row = quality_table(tally, controls_model, route).iloc[0]
    assert (row["scored"], row["unsupported"]) == (400, beyond.mean())
    assert 0.3 < row["unsupported"] < 0.7


def test_scores_that_are_there_already_count_the_same(controls_model, cells):
    before = controls_model.standardised(cells(400, seed=5))
    tally = Tally(controls_model.scaling.zeros)
    scores = of_arrays(controls_model.edits["1"].support.scores, before)
    QualityObserver(tally, SupportSample(), controls_model, BATCHES_OWN)("1", before, before, scores)
    assert tally == scored(controls_model, [[before]])


def test_events_that_pass_or_are_not_finite_have_no_support(controls_model, cells):
    before = controls_model.standardised(cells(800, seed=5))
    spoilt = before.copy()
    spoilt[:, 1] = np.nan
    tally = scored(controls_model, [[before]], group="3")
    tally.add(scored(controls_model, [[spoilt]]))
    assert [counts.scored for counts in tally.groups.values()] == [(0, 0), (0, 0)]
    assert quality_table(tally, controls_model, BATCHES_OWN)["unsupported"].isna().all()
