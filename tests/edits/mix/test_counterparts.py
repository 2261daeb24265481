import numpy as np
import pytest

from neuronedit.edits.mix.counterparts import Counterparts

# Three kinds of cell, told apart by the first four markers; the last two are functional.
CENTRES = np.array([[0, 6, 0, 6, 1, 2], [6, 0, 0, 6, 1, 2], [0, 0, 6, 0, 1, 2]], dtype=np.float32)
TELLING = [0, 1, 2, 3]


def cells(rng, counts):
    kinds = np.repeat(np.arange(3), counts)
    return kinds, (CENTRES[kinds] + rng.normal(size=(len(kinds), 6))).astype(np.float32)


def confusion(kinds, memberships):
    """Mean memberships of each true kind, columns by the kind that they hold most of: (3, 3)."""
    means = np.stack([memberships[kinds == kind].mean(axis=0) for kind in range(3)])
    return means[:, means.argmax(axis=1)]


@pytest.fixture
def source(rng):
    return cells(rng, (300, 200, 100))


@pytest.fixture
def target(rng):
    return cells(rng, (100, 200, 300))


def test_kinds_are_followed_whatever_their_shares(source, target):
    found = Counterparts.fit(source[1], target[1], 3, seed=0)
    # Six spreads apart, hardly an event belongs to two kinds, and one in a thousand to none.
    np.testing.assert_allclose(confusion(source[0], found.source_memberships), np.eye(3), atol=0.02)
    columns = [found.source_memberships[source[0] == kind].mean(axis=0).argmax() for kind in range(3)]
    shares = found.target_memberships.mean(axis=0)[columns]
    np.testing.assert_allclose(shares, [1 / 6, 2 / 6, 3 / 6], atol=0.02)


def test_a_change_of_all_kinds_beyond_their_distance_does_not_mislead(source, target):
    moved = target[1] + np.array([7, 7, 7, 7, 0, 0], dtype=np.float32)
    found = Counterparts.fit(source[1], moved, 3, seed=0)
    columns = [found.source_memberships[source[0] == kind].mean(axis=0).argmax() for kind in range(3)]
    np.testing.assert_allclose(found.target_memberships.mean(axis=0)[columns], [1 / 6, 2 / 6, 3 / 6], atol=0.02)


def test_functional_markers_do_not_decide(source, target):
    kinds, events = target
    changed = events + np.array([[9, 0], [-9, 5], [0, -9]])[kinds] @ np.eye(6)[4:]
    found = Counterparts.fit(source[1], changed.astype(np.float32), 3, seed=0)
    assert found.markers.tolist() == TELLING
    np.testing.assert_allclose(confusion(kinds, found.target_memberships), np.eye(3), atol=0.02)


def test_a_kind_that_loses_some_of_a_telling_marker_is_still_followed(source, target, rng):
    def with_marker(kinds, events, high):
        return np.column_stack([events, np.where(kinds == 0, high, 0) + rng.normal(size=len(kinds))]).astype(np.float32)

    found = Counterparts.fit(with_marker(*source, 8), with_marker(*target, 5), 3, seed=0)
    # 100 events against the prior's 50: the kind is followed two thirds of the way, and some of it seems unlike.
    np.testing.assert_allclose(confusion(target[0], found.target_memberships), np.eye(3), atol=0.06)


def test_a_kind_that_the_source_lacks_belongs_to_none(source, rng):
    kinds, events = cells(rng, (200, 200, 200))
    unlike = kinds == 0
    events[unlike] += np.array([0, 9, 9, 9, 0, 0], dtype=np.float32)  # beside the source's three kinds
    found = Counterparts.fit(source[1], events, 3, seed=0)
    totals = found.target_memberships.sum(axis=1)
    assert totals[unlike].max() < 0.01
    assert totals[~unlike].mean() > 0.98


def test_a_kind_that_the_target_lacks_takes_no_others_events(source, rng):
    _, events = cells(rng, (300, 300, 0))
    found = Counterparts.fit(source[1], events, 3, seed=0)
    lacking = int(found.source_memberships[source[0] == 2].mean(axis=0).argmax())
    assert found.target_memberships[:, lacking].max() < 0.01


def test_counterparts_are_found_again_by_seed(source, target):
    first, again = (Counterparts.fit(source[1], target[1], 5, seed=1) for _ in range(2))
    assert first.target_memberships.tobytes() == again.target_memberships.tobytes()


def test_a_population_of_one_kind_is_not_cut_across(rng):
    source, target = rng.normal(size=(2, 500, 6)).astype(np.float32)
    found = Counterparts.fit(source, target, 3, seed=0)
    assert len(found.markers) == 0
    assert found.source_memberships.tolist() == found.target_memberships.tolist() == [[1]] * 500


def test_a_dead_marker_tells_nothing(source, target):
    before, after = (
        np.column_stack([np.full(len(events), 3), events]).astype(np.float32) for _, events in (source, target)
    )
    found = Counterparts.fit(before, after, 3, seed=0)
    assert found.markers.tolist() == [1, 2, 3, 4]
    assert np.isfinite(found.target_memberships).all()
