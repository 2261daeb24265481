import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from neuronedit.device import landmarks as landmarks_module
from neuronedit.device.landmarks import DeviceLandmarks
from neuronedit.landmarks import Landmarks

CPU = torch.device("cpu")


def nearest(events, landmarks, n_nearest):
    found, distances = DeviceLandmarks(landmarks, CPU).nearest(torch.from_numpy(events), n_nearest)
    return found.numpy(), distances.numpy()


@pytest.mark.parametrize("place", [0, 1000], ids=["about zero", "far from zero"])
@pytest.mark.parametrize("n_landmarks", [10, 500])
def test_the_nearest_are_the_true_ones(rng, n_landmarks, place):
    landmarks, events = (rng.normal(place, 1, (n, 20)).astype(np.float32) for n in (n_landmarks, 300))
    found, distances = nearest(events, landmarks, 10)
    true = cdist(events.astype(np.float64), landmarks.astype(np.float64))
    assert (found == true.argsort(axis=1)[:, :10]).all()
    # float64, whose rounding of squares of 20 x 1000² is 1e-9.
    np.testing.assert_allclose(distances, np.sort(true, axis=1)[:, :10], atol=1e-8)
    assert (np.sort(found, axis=1) == Landmarks(landmarks).nearest(events, 10)[0]).all()


def test_an_event_that_is_a_landmark_is_at_no_distance(rng):
    landmarks = rng.normal(3, 2, (200, 20)).astype(np.float32)
    found, distances = nearest(landmarks, landmarks, 2)
    assert (found[:, 0] == np.arange(200)).all()
    assert distances[:, 0].max() < 1e-6  # the root of float64's rounding of squares of about 500


def test_events_beyond_all_measure_have_finite_distances(rng):
    landmarks = rng.normal(size=(50, 3)).astype(np.float32)
    _, distances = nearest(np.array([[1e30, -1e30, 0]], np.float32), landmarks, 5)
    np.testing.assert_allclose(distances, np.sqrt(2) * 1e30)


def test_parts_of_the_events_have_the_same_nearest(rng, monkeypatch):
    landmarks, events = rng.normal(size=(2, 300, 5)).astype(np.float32)
    whole = nearest(events, landmarks, 10)[0]
    monkeypatch.setattr(landmarks_module, "ROWS", 37)
    assert (nearest(events, landmarks, 10)[0] == whole).all()
