import numpy as np
import pytest
from neuronedit_jobs.benchmarks.accuracy.confounded import (
    BY_LABELS,
    BY_STRATA,
    N_MARKERS,
    N_MOVED,
    PLAIN,
    SAME_MIX,
    SOURCE_SHARES,
    confound,
    measure_confounded,
    score,
)

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def scores():
    """Three seeds of the confounded task: (n_seeds, n_methods) columns spurious and error."""
    return measure_confounded(2000, 3).set_index(["seed", "method"]).unstack()


def test_only_the_markers_that_the_change_moves_differ_from_the_counterfactuals():
    task = confound(500, seed=0)
    moved = (task.counterfactuals != task.events.events).any(axis=0)
    assert moved.tolist() == [marker >= N_MARKERS - N_MOVED for marker in range(N_MARKERS)]


def test_the_mixes_are_as_told():
    task = confound(20_000, seed=0)
    shares = [np.bincount(cells.types) / 20_000 for cells in (task.source, task.target, task.same_mix, task.events)]
    # 20,000 events: a share is known to 0.004.
    for found in (shares[0], *shares[2:]):
        np.testing.assert_allclose(found, SOURCE_SHARES, atol=0.015)
    np.testing.assert_allclose(shares[1], [0.55, *(0.45 / 0.77 * np.array(SOURCE_SHARES[1:]))], atol=0.015)


def test_the_truth_scores_no_error_and_doing_nothing_nothing_spurious():
    task = confound(500, seed=0)
    assert score(task, task.counterfactuals)["error"] == 0
    unedited = score(task, task.events.events)
    assert unedited["spurious"] == 0
    assert unedited["error"] == unedited["unedited"] > 0


@pytest.mark.parametrize("matched", [BY_LABELS, BY_STRATA])
def test_matching_takes_at_least_four_fifths_of_the_spurious_shift_away(scores, matched):
    assert list(scores["spurious"].columns) == sorted((PLAIN, BY_LABELS, BY_STRATA, SAME_MIX))
    assert (scores["spurious", matched] <= scores["spurious", PLAIN] / 5).all()
    assert (scores["error", matched] < scores["error", PLAIN]).all()
    # As good as a target of the source's mix, whose own mix is sampled.
    assert scores["error", matched].mean() <= scores["error", SAME_MIX].mean() * 1.02


@pytest.mark.parametrize("matched", [BY_LABELS, BY_STRATA])
def test_matching_loses_nothing_where_the_mix_is_the_same(matched):
    same = measure_confounded(2000, 3, target_monocytes=SOURCE_SHARES[0]).groupby("method").mean()
    assert same["error"][matched] <= same["error"][PLAIN] * 1.03
    assert same["spurious"][matched] <= same["spurious"][PLAIN]
