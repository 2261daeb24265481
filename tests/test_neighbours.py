import numpy as np

from neuronedit.neighbours import MAX_LANDMARKS, NeighbourShift
from neuronedit.percentiles import PercentileShift, percentiles


def fitted(n_events: int, n_neighbours: int) -> tuple[NeighbourShift, np.ndarray, np.random.Generator]:
    generator = np.random.default_rng(0)
    source = generator.normal(size=(n_events, 3)).astype(np.float32)
    target = (source * 1.5 + 1).astype(np.float32)
    shift = PercentileShift.fit(percentiles(source), percentiles(target), "linear")
    return NeighbourShift.fit(shift, source, n_neighbours, seed=0), source, generator


def test_the_shift_is_the_mean_of_the_nearest_source_events_shifts() -> None:
    shift, _, generator = fitted(200, 7)
    events = generator.normal(size=(20, 3)).astype(np.float32)
    for event, found in zip(events, shift.at(events), strict=True):
        nearest = np.argsort(((shift.landmarks - event) ** 2).sum(axis=1))[:7]
        np.testing.assert_allclose(found, shift.shifts[nearest].mean(axis=0), atol=1e-6)  # float32 means


def test_one_neighbour_gives_a_source_event_its_own_shift() -> None:
    shift, source, _ = fitted(200, 1)
    np.testing.assert_array_equal(shift.at(shift.landmarks), shift.shifts)
    assert len(shift.landmarks) == len(source)


def test_fewer_events_than_neighbours_use_all_of_them() -> None:
    shift, _, _ = fitted(10, 50)
    np.testing.assert_allclose(shift.at(shift.landmarks), np.tile(shift.shifts.mean(axis=0), (10, 1)), atol=1e-6)


def test_landmarks_are_bounded_and_drawn_by_seed() -> None:
    first, _, _ = fitted(MAX_LANDMARKS + 500, 5)
    second, _, _ = fitted(MAX_LANDMARKS + 500, 5)
    assert len(first.landmarks) == MAX_LANDMARKS
    np.testing.assert_array_equal(first.landmarks, second.landmarks)
