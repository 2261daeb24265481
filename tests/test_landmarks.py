import pickle

import numpy as np
import pytest

from neuronedit import landmarks as landmarks_module
from neuronedit.landmarks import Landmarks


def slow_nearest(events, landmarks, n_nearest):
    squares = ((events[:, None].astype(np.float64) - landmarks) ** 2).sum(axis=2)
    nearest = np.sort(np.argsort(squares, axis=1, kind="stable")[:, :n_nearest], axis=1)
    return nearest, np.sqrt(np.take_along_axis(squares, nearest, axis=1))


@pytest.mark.parametrize("n_landmarks", [1, 7, 64, 65, 500, 1000])
@pytest.mark.parametrize("n_nearest", [1, 10, 50, 400])
def test_the_nearest_are_those_of_all_distances_compared(rng, n_landmarks, n_nearest):
    n_nearest = min(n_nearest, n_landmarks)
    kinds = rng.normal(size=(5, 20)) * 3
    landmarks, events = (
        (kinds[rng.integers(0, 5, n)] + rng.normal(size=(n, 20))).astype(np.float32) for n in (n_landmarks, 300)
    )
    found, distances = Landmarks(landmarks).nearest(events, n_nearest)
    expected, expected_distances = slow_nearest(events, landmarks, n_nearest)
    # Two distances of this data in 10^5 differ by less than float32 tells.
    assert (found == expected).mean() > 0.9999
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-5)


def test_far_from_all_landmarks_a_product_tells_nothing_and_distances_still_do(rng):
    landmarks = np.round(rng.normal(size=(200, 3)) * 100).astype(np.float32)
    events = np.float32([[65536, 0, 0], [0, -65536, 0]])
    landmarks[[3, 150]] = [[1000, 0, 0], [0, -1000, 0]]
    found, _ = Landmarks(landmarks).nearest(events, 1)
    assert found[:, 0].tolist() == [3, 150]


def test_of_equally_far_landmarks_the_first_are_taken():
    landmarks = np.zeros((100, 2), dtype=np.float32)
    landmarks[10:] = 1
    found, distances = Landmarks(landmarks).nearest(np.zeros((1, 2), np.float32), 12)
    assert found[0].tolist() == list(range(12))
    assert distances[0].tolist() == [0] * 10 + [np.float32(2**0.5)] * 2


def test_a_landmark_is_its_own_nearest_at_no_distance(rng):
    landmarks = rng.normal(size=(300, 30)).astype(np.float32)
    found, distances = Landmarks(landmarks).nearest(landmarks, 1)
    assert found[:, 0].tolist() == list(range(300))
    assert not distances.any()


def test_an_event_beyond_float32s_squares_has_neighbours():
    landmarks = np.eye(5, dtype=np.float32)
    found, distances = Landmarks(landmarks).nearest(np.full((1, 5), 1e30, np.float32), 2)
    assert found.tolist() == [[0, 1]]
    assert np.isinf(distances).all()


def test_an_events_bits_do_not_depend_on_the_events_beside_it(rng, monkeypatch):
    landmarks, events = (rng.normal(size=(n, 30)).astype(np.float32) for n in (700, 300))
    kept = Landmarks(landmarks)
    found, distances = kept.nearest(events, 10)
    monkeypatch.setattr(landmarks_module, "BLOCK", 7)
    for size in (1, 2, 3, 50, 300):
        parts = [kept.nearest(events[start : start + size], 10) for start in range(0, 300, size)]
        assert np.concatenate([part for part, _ in parts]).tobytes() == found.tobytes()
        assert np.concatenate([part for _, part in parts]).tobytes() == distances.tobytes()


def test_no_events_have_no_neighbours():
    found, distances = Landmarks(np.eye(3, dtype=np.float32)).nearest(np.empty((0, 3), np.float32), 2)
    assert found.shape == distances.shape == (0, 2)


def test_only_the_landmarks_travel(rng):
    kept = Landmarks(rng.normal(size=(100, 3)).astype(np.float32))
    bare = len(pickle.dumps(kept))
    kept.nearest(kept.events, 2)
    assert len(pickle.dumps(kept)) == bare
