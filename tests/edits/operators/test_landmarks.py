import pickle

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from neuronedit.edits.operators import landmarks as landmarks_module
from neuronedit.edits.operators.landmarks import Landmarks, nearest_by_product
from neuronedit.network.autoencoder import tensor
from tests.arrays import of_arrays


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
    found, distances = of_arrays(Landmarks(landmarks).nearest, events, n_nearest)
    expected, expected_distances = slow_nearest(events, landmarks, n_nearest)
    # Two distances of this data in 10^5 differ by less than float32 tells.
    assert (found == expected).mean() > 0.9999
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-5)


def test_far_from_all_landmarks_a_product_tells_nothing_and_distances_still_do(rng):
    landmarks = np.round(rng.normal(size=(200, 3)) * 100).astype(np.float32)
    events = np.float32([[65536, 0, 0], [0, -65536, 0]])
    landmarks[[3, 150]] = [[1000, 0, 0], [0, -1000, 0]]
    found, _ = of_arrays(Landmarks(landmarks).nearest, events, 1)
    assert found[:, 0].tolist() == [3, 150]


def test_of_equally_far_landmarks_the_first_are_taken():
    landmarks = np.zeros((100, 2), dtype=np.float32)
    landmarks[10:] = 1
    found, distances = of_arrays(Landmarks(landmarks).nearest, np.zeros((1, 2), np.float32), 12)
    assert found[0].tolist() == list(range(12))
    assert distances[0].tolist() == [0] * 10 + [np.float32(2**0.5)] * 2


def test_a_landmark_is_its_own_nearest_at_no_distance(rng):
    landmarks = rng.normal(size=(300, 30)).astype(np.float32)
    found, distances = of_arrays(Landmarks(landmarks).nearest, landmarks, 1)
    assert found[:, 0].tolist() == list(range(300))
    assert not distances.any()


def test_an_event_beyond_float32s_squares_has_neighbours():
    landmarks = np.eye(5, dtype=np.float32)
    found, distances = of_arrays(Landmarks(landmarks).nearest, np.full((1, 5), 1e30, np.float32), 2)
    assert found.tolist() == [[0, 1]]
    assert np.isinf(distances).all()


def test_an_events_bits_do_not_depend_on_the_events_beside_it(rng, monkeypatch):
    landmarks, events = (rng.normal(size=(n, 30)).astype(np.float32) for n in (700, 300))
    kept = Landmarks(landmarks)
    found, distances = of_arrays(kept.nearest, events, 10)
    monkeypatch.setattr(landmarks_module, "BLOCK", 7)
    for size in (1, 2, 3, 50, 300):
        parts = [of_arrays(kept.nearest, events[start : start + size], 10) for start in range(0, 300, size)]
        assert np.concatenate([part for part, _ in parts]).tobytes() == found.tobytes()
        assert np.concatenate([part for _, part in parts]).tobytes() == distances.tobytes()


def test_no_events_have_no_neighbours():
    found, distances = of_arrays(Landmarks(np.eye(3, dtype=np.float32)).nearest, np.empty((0, 3), np.float32), 2)
    assert found.shape == distances.shape == (0, 2)


def test_only_the_landmarks_travel(rng):
    kept = Landmarks(rng.normal(size=(100, 3)).astype(np.float32))
    bare = len(pickle.dumps(kept))
    of_arrays(kept.nearest, kept.events, 2)
    assert len(pickle.dumps(kept)) == bare


def by_product(landmarks, events, n_nearest):
    """As a GPU finds them."""
    given = tensor(events)
    found = nearest_by_product(Landmarks(landmarks)._doubles.beside(given), given, n_nearest)
    return tuple(each.numpy() for each in found)


@pytest.mark.parametrize("place", [0, 1000], ids=["about zero", "far from zero"])
@pytest.mark.parametrize("n_landmarks", [10, 500])
def test_a_gpu_finds_the_same_nearest_in_the_same_order(rng, n_landmarks, place, monkeypatch):
    landmarks, events = (rng.normal(place, 1, (n, 20)).astype(np.float32) for n in (n_landmarks, 300))
    monkeypatch.setattr(landmarks_module, "ROWS", 37)  # in parts
    found, distances = by_product(landmarks, events, 10)
    expected, expected_distances = of_arrays(Landmarks(landmarks).nearest, events, 10)
    assert (found == expected).all()
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-5)
    true = np.sort(cdist(events.astype(np.float64), landmarks.astype(np.float64)), axis=1)[:, :10]
    # float64, whose rounding of squares of 20 x 1000² is 1e-9, kept as float32.
    np.testing.assert_allclose(np.sort(distances, axis=1), true, rtol=1e-7, atol=1e-8)


def test_on_a_gpu_a_landmark_is_its_own_nearest_at_no_distance(rng):
    landmarks = rng.normal(3, 2, (200, 20)).astype(np.float32)
    found, distances = by_product(landmarks, landmarks, 1)
    assert (found[:, 0] == np.arange(200)).all()
    assert distances.max() < 1e-6  # the root of float64's rounding of squares of about 500


def test_on_a_gpu_events_beyond_all_measure_have_finite_distances(rng):
    landmarks = rng.normal(size=(50, 3)).astype(np.float32)
    _, distances = by_product(landmarks, np.array([[1e30, -1e30, 0]], np.float32), 5)
    np.testing.assert_allclose(distances, np.sqrt(2) * 1e30)


def test_on_a_gpu_no_events_have_no_neighbours():
    found, distances = by_product(np.eye(3, dtype=np.float32), np.empty((0, 3), np.float32), 2)
    assert found.shape == distances.shape == (0, 2)
