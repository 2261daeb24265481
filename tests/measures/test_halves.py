import numpy as np
import pytest

from neuronedit.measures import halves as module
from neuronedit.measures.distances import FLOOR, distance
from neuronedit.measures.halves import N_SPLITS, halved_distances


def normal(n_events: int, mean: float = 0.0, seed: int = 0, n_markers: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, (n_events, n_markers)).astype(np.float32)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The halves that were drawn: of the events, then of the truth."""
    found: list[np.ndarray] = []
    draw_halves = module._draw_halves
    monkeypatch.setattr(module, "_draw_halves", lambda *given: found.append(draw_halves(*given)) or found[-1])
    return found


def test_distances_are_those_between_the_halves(drawn: list[np.ndarray]) -> None:
    """With every half given, they are what ``distance`` gives for it."""
    events, truth = normal(41), normal(60, mean=0.5, seed=1)
    found = halved_distances({"a": events}, truth, seed=3)
    of_events, of_truth = drawn
    assert (of_events.sum(axis=1) == 20).all()
    assert (of_truth.sum(axis=1) == 20).all()
    assert not (of_events[::2] & of_events[1::2]).any()
    for half in range(2 * N_SPLITS):
        one = distance(events[of_events[half]], truth[of_truth[half]])
        assert found["a"].emd[half] == pytest.approx(one.emd, rel=1e-5)
        assert found["a"].scores["energy"][half] == pytest.approx(one.energy, rel=1e-5)
        assert found["a"].scores["emd"][half] == pytest.approx(one.mean_emd, rel=1e-5)


def test_the_floor_is_of_a_splits_two_halves_of_the_truth(drawn: list[np.ndarray]) -> None:
    truth = normal(60)
    floor = halved_distances({"a": normal(41, seed=1)}, truth, seed=3)[FLOOR]
    (_, of_truth) = drawn
    for split in range(N_SPLITS):
        one = distance(truth[of_truth[2 * split]], truth[of_truth[2 * split + 1]])
        assert floor.emd[split] == pytest.approx(one.emd, rel=1e-5)
        assert floor.joint["energy"][split] == pytest.approx(one.energy, rel=1e-5)


def test_all_methods_are_on_the_same_halves_so_that_equal_ones_differ_in_nothing() -> None:
    events, truth = normal(50), normal(50, seed=1)
    found = halved_distances({"a": events, "b": events + 0}, truth, seed=0)
    difference = found["a"].less(found["b"])
    assert difference.errors == {"emd": 0, "energy": 0}
    assert not difference.emd.any()


def test_of_many_events_some_are_drawn(monkeypatch: pytest.MonkeyPatch, drawn: list[np.ndarray]) -> None:
    monkeypatch.setattr(module, "MAX_PAIRED_EVENTS", 40)
    halved_distances({"a": normal(90)}, normal(70, seed=1), seed=0)
    assert [halves.shape[1] for halves in drawn] == [40, 40]
    assert {int(half.sum()) for halves in drawn for half in halves} == {20}


@pytest.mark.parametrize("score", ["emd", "energy"])
def test_the_error_is_that_of_drawing_the_events_anew(score: str) -> None:
    """The standard deviation over 60 draws of both populations, within the scatter of such an estimate."""
    found = [
        halved_distances({"a": normal(300, seed=2 * seed)}, normal(300, mean=0.7, seed=2 * seed + 1), seed)["a"]
        for seed in range(60)
    ]
    scatter = np.std([each.scores[score].mean() for each in found], ddof=1)
    assert np.median([each.errors[score] for each in found]) == pytest.approx(scatter, rel=0.35)


def test_a_seed_gives_the_same_and_another_not() -> None:
    events, truth = normal(80), normal(80, seed=1)
    first, again, other = (halved_distances({"a": events}, truth, seed)["a"].emd for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
