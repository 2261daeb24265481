import sys

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu

from neuronedit.edits import support as support_module
from neuronedit.edits.operators import landmarks as landmarks_module
from neuronedit.edits.support import MAX_REACH, N_NEIGHBOURS, NEW_KIND, Extrapolation, Support, shrink
from neuronedit.errors import DataError
from neuronedit.network.autoencoder import VISIBLE
from neuronedit.network.chunks import activations, reconstruction_errors
from tests.arrays import of_arrays


def two_kinds(rng, n_events=600):
    """Two kinds of cell at ±3 in the first two markers, always of the same sign."""
    centres = np.where(rng.random((n_events, 1)) < 0.5, -3, 3) * np.array([1, 1, 0])
    return (centres + rng.normal(size=(n_events, 3))).astype(np.float32)


@pytest.fixture
def source(rng):
    return two_kinds(rng)


@pytest.fixture
def support(source):
    return Support.fit(source, source + np.float32(0.5), seed=0)


def test_distances_agree_with_scipy(support, source, rng):
    events = two_kinds(rng, 40)
    expected = np.sort(cdist(events, source), axis=1)[:, :N_NEIGHBOURS].mean(axis=1)
    # float32 against float64 distances of up to about 1.
    np.testing.assert_allclose(of_arrays(support.distances, events), expected, rtol=1e-5)
    own = np.sort(cdist(source, source), axis=1)[:, 1 : N_NEIGHBOURS + 1].mean(axis=1)
    np.testing.assert_allclose(support.own_distances, np.sort(own), rtol=1e-5)


def test_more_of_the_source_is_as_near_as_the_source_is_to_itself(support, rng):
    verdict = support.judge(two_kinds(rng, 2000))
    # 600 own distances: an AUROC known to 0.01, and the outermost hundredth by six events.
    assert verdict.auroc == pytest.approx(0.5, abs=0.05)
    assert verdict.unsupported < 0.03
    assert not verdict.new_kind


def test_a_new_combination_is_unsupported_although_each_marker_is_within_range(support, rng):
    events = (np.array([3, -3, 0]) + 0.3 * rng.normal(size=(300, 3))).astype(np.float32)
    assert (events >= support.landmarks.min(axis=0)).all()
    assert (events <= support.landmarks.max(axis=0)).all()
    assert (of_arrays(support.scores, events) > 1).all()
    assert support.judge(events).auroc > 0.99


def test_a_new_kind_is_flagged_where_the_effect_is_small_beside_its_distance(source, rng):
    events = source + np.array([0, 0, 20], dtype=np.float32)
    small, large = (Support.fit(source, source + np.float32(effect), seed=0).judge(events) for effect in (0.5, 5))
    assert (small.new_kind, small.flagged) == (True, True)
    assert (large.new_kind, large.flagged) == (True, False)
    # The EMD of a shift is the shift; the events lie at 20 in one marker of three.
    assert small.effect == pytest.approx(0.5, rel=1e-4)
    assert small.distance == pytest.approx(20 / 3, rel=1e-4)


def test_the_auroc_is_mann_whitneys(support, rng):
    events = two_kinds(rng, 200) * np.float32(1.2)
    distances = of_arrays(support.distances, events)
    expected = mannwhitneyu(distances, support.own_distances).statistic / (len(distances) * len(support.own_distances))
    assert support.judge(events).auroc == pytest.approx(expected)


def test_one_is_the_score_of_the_sources_own_outermost_hundredth(support):
    threshold = np.percentile(support.own_distances, support_module.OWN_PERCENTILE)
    # Far along a marker, the distance grows as the event moves away.
    far = np.array([[3, 3, 40]], dtype=np.float32)
    assert of_arrays(support.scores, far)[0] == pytest.approx(
        of_arrays(support.distances, far)[0] / threshold, rel=1e-6
    )
    # Of 600 own distances, a hundredth is six.
    assert (support.own_distances > threshold).sum() == 6


def test_shifts_shrink_smoothly_from_all_to_nothing(support):
    path = np.linspace([3, 3, 0], [3, 3, 40], 4001, dtype=np.float32)
    scores = of_arrays(support.scores, path)
    factors = of_arrays(shrink, scores)
    assert (factors[scores <= 1] == 1).all()
    assert (factors[scores >= support_module.NOTHING_LEFT] == 0).all()
    assert ((factors >= 0) & (factors <= 1)).all()
    # 0.01 of a step in 40; the cubic's steepest slope is 1.5 per own distance, of about 2.
    assert np.abs(np.diff(factors)).max() < 0.02
    middle = np.abs(scores - 1.5).argmin()
    assert factors[middle] == pytest.approx(0.5, abs=0.01)


def test_an_event_beyond_all_measure_is_unsupported_and_not_moved(support):
    far = np.array([[1e30, -1e30, 0]], dtype=np.float32)
    scores = of_arrays(support.scores, far)
    assert scores > 1
    assert of_arrays(shrink, scores) == 0


def test_each_event_gets_the_bits_that_it_gets_alone(support, rng, monkeypatch):
    events = two_kinds(rng, 200)
    whole = of_arrays(support.scores, events)
    alone = np.concatenate([of_arrays(support.scores, events[row : row + 1]) for row in range(len(events))])
    assert alone.tobytes() == whole.tobytes()
    monkeypatch.setattr(landmarks_module, "BLOCK", 7)
    assert of_arrays(support.scores, events).tobytes() == whole.tobytes()


def test_repeated_events_count_once(source):
    repeated = np.tile(source, (3, 1))
    once, thrice = (Support.fit(events, source, seed=0) for events in (source, repeated))
    assert (thrice.own_distances == once.own_distances).all()


def test_landmarks_are_drawn_by_seed(source, monkeypatch):
    monkeypatch.setattr(support_module, "MAX_LANDMARKS", 100)
    first, again, other = (Support.fit(source, source, seed).landmarks for seed in (1, 1, 2))
    assert first.shape == (100, 3)
    assert (first == again).all()
    assert (first != other).any()


def test_fewer_events_than_neighbours_are_enough():
    source = np.array([[0, 0], [0, 1], [0, 0]], dtype=np.float32)
    support = Support.fit(source, source, seed=0)
    assert support.own_distances.tolist() == [1, 1]
    assert of_arrays(support.scores, np.array([[0, 3]], dtype=np.float32)).tolist() == [2]


def test_a_source_of_equal_events_is_refused():
    events = np.ones((60, 2), dtype=np.float32)
    with pytest.raises(DataError) as caught:
        Support.fit(events, events, seed=0)
    assert str(caught.value) == (
        "Source: found 1 different events among 60; expected at least 2, to tell how near source events are to one "
        "another. Choose the source's events anew."
    )


def test_no_events_are_not_judged(support):
    with pytest.raises(DataError) as caught:
        support.judge(np.empty((0, 3), dtype=np.float32))
    assert str(caught.value) == (
        "Support: found no events to judge; expected at least one. Correct the choice of the events to edit."
    )


def test_a_support_is_its_arrays(support, source):
    restored = Support.from_arrays(support.arrays())
    assert of_arrays(restored.scores, source).tobytes() == of_arrays(support.scores, source).tobytes()
    assert restored.judge(source) == support.judge(source)


def test_scores_need_no_scipy(support, source, monkeypatch):
    monkeypatch.setitem(sys.modules, "neuronedit.measures.distances", None)
    assert of_arrays(support.scores, source).shape == (600,)


def test_reconstruction_errors_are_mean_squares(autoencoder, rng):
    events = rng.normal(size=(30, 5)).astype(np.float32)
    with torch.inference_mode():
        output = autoencoder(torch.from_numpy(activations(autoencoder, events, VISIBLE))).numpy()
    np.testing.assert_allclose(
        reconstruction_errors(autoencoder, events), ((output - events) ** 2).mean(axis=1), rtol=1e-5
    )


def verdict(auroc: float = 0.99, distance: float = 4.0, effect: float = 1.0) -> Extrapolation:
    return Extrapolation(0.62, auroc, distance, effect)


def test_a_new_kind_beyond_the_reach_is_flagged():
    assert verdict().flagged
    assert verdict().sentence == (
        "Do not trust the edit here: the source has hardly any event like these (AUROC 0.99, 62% of events "
        "unsupported), and they lie 4.0 times as far from the source as the target is. Learn it on a control of these "
        "cells, or measure some of them after the change."
    )


def test_a_new_kind_within_the_reach_is_not_flagged_but_named():
    near = verdict(distance=MAX_REACH)
    assert near.new_kind
    assert not near.flagged
    assert near.sentence == (
        "Take care: the source has hardly any event like these (AUROC 0.99, 62% of events unsupported), but they lie "
        "only 3.0 times as far from the source as the target is. Effects of this size have carried over to other kinds "
        "of cell."
    )


def test_known_kinds_in_another_mix_are_not_flagged_however_small_the_effect():
    known = verdict(auroc=NEW_KIND - 0.01, distance=50)
    assert not known.flagged
    assert known.sentence == "The source has events like these (AUROC 0.94, 62% of events unsupported)."


@pytest.mark.parametrize(("distance", "effect", "reach"), [(4, 2, 2), (0, 1, 0), (1, 0, float("inf"))])
def test_reach_is_distance_over_effect(distance, effect, reach):
    assert verdict(distance=distance, effect=effect).reach == reach


def test_where_the_target_does_not_differ_the_reach_is_told_in_words():
    found = Extrapolation(unsupported=1.0, auroc=1.0, distance=2.0, effect=0.0)
    assert "and they lie infinitely as far from the source as the target is" in found.sentence
