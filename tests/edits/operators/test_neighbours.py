import numpy as np
import pytest

from neuronedit.edits.operators import neighbours
from neuronedit.edits.operators.neighbours import NeighbourShift
from neuronedit.edits.operators.percentiles import PercentileShift, percentiles
from tests.arrays import of_arrays


def fitted(source, target, n_neighbours, seed=0):
    shift = PercentileShift.fit(percentiles(source), percentiles(target), "linear")
    return NeighbourShift.fit(shift, source, n_neighbours, seed)


def slow_mean_shift(event, landmarks, shifts, n_neighbours):
    distances = [sum((float(a) - float(b)) ** 2 for a, b in zip(event, other, strict=True)) for other in landmarks]
    nearest = sorted(range(len(landmarks)), key=distances.__getitem__)[:n_neighbours]
    return [float(np.mean([shifts[i][neuron] for i in nearest])) for neuron in range(len(event))]


def test_equal_populations_shift_nothing(rng):
    source = rng.normal(size=(80, 3)).astype(np.float32)
    assert not of_arrays(fitted(source, source.copy(), 10).shift_at, source + 1).any()


def test_each_kind_of_cell_gets_its_own_shift():
    # One neuron alone cannot tell the kinds apart in its overlap; the pair of neurons can.
    landmarks = np.array([[0, 0], [0, 1], [9, 0], [9, 1]], dtype=np.float32)
    shifts = np.array([[1, 0], [3, 0], [-1, 4], [-3, 4]], dtype=np.float32)
    shift = NeighbourShift(landmarks, shifts, 2)
    assert of_arrays(shift.shift_at, np.array([[1, 0.5], [8, 0.5]], dtype=np.float32)).tolist() == [[2, 0], [-2, 4]]


def test_all_landmarks_are_averaged_where_there_are_fewer_than_k(rng):
    source = rng.normal(size=(6, 2)).astype(np.float32)
    shift = fitted(source, source + 1, 50)
    assert shift.n_neighbours == 6
    # The mean of six shifts of 1, each rounded in float32.
    np.testing.assert_allclose(of_arrays(shift.shift_at, source), 1, atol=1e-6)


def test_shifts_agree_with_a_loop_over_all_landmarks(rng):
    source = rng.normal(size=(120, 4)).astype(np.float32)
    shift = fitted(source, source * 2 + 1, 7)
    events = rng.normal(size=(40, 4)).astype(np.float32)
    expected = [slow_mean_shift(event, shift.landmarks, shift.shifts, 7) for event in events]
    # Shifts of order 1, averaged in float32; in this data no seventh neighbour is near a tie with the eighth.
    np.testing.assert_allclose(of_arrays(shift.shift_at, events), expected, atol=1e-5)


def test_nearest_finds_a_landmark_itself_first(rng):
    source = rng.normal(size=(30, 3)).astype(np.float32)
    shift = fitted(source, source, 1)
    assert of_arrays(shift.nearest, shift.landmarks)[:, 0].tolist() == list(range(30))


@pytest.mark.filterwarnings("error")
def test_landmarks_that_ray_has_made_read_only_are_used_without_a_warning(rng):
    shift = fitted(*rng.normal(size=(2, 30, 3)).astype(np.float32), 5)
    for array in (shift.landmarks, shift.shifts):
        array.setflags(write=False)
    assert of_arrays(shift.shift_at, shift.landmarks).shape == (30, 3)


def test_landmarks_are_drawn_by_seed(rng, monkeypatch):
    monkeypatch.setattr(neighbours, "MAX_LANDMARKS", 10)
    source = rng.normal(size=(50, 2)).astype(np.float32)
    drawn = [fitted(source, source, 5, seed).landmarks for seed in (1, 1, 2)]
    assert drawn[0].shape == (10, 2)
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).any()
    assert all(any((row == other).all() for other in source) for row in drawn[0])
