import numpy as np
import pytest
import torch

from neuronedit.errors import ConfigError
from neuronedit.network.minibatches import InMemory
from neuronedit.network.plan import TrainingPlan


def numbered(sizes, minibatch, **settings):
    """Populations whose events tell what they are: population, and number within it."""
    populations = {
        f"P{which}": np.column_stack([np.full(n, which), np.arange(n)]).astype(np.float32)
        for which, n in enumerate(sizes)
    }
    return InMemory.from_populations(
        populations, TrainingPlan(minibatch=minibatch, validation_fraction=0.001), **settings
    )


def epoch(minibatches, number=1):
    return [minibatch.events.numpy() for minibatch in minibatches.epoch(number)]


@pytest.mark.parametrize("sizes", [(1000, 10, 300), (7, 7), (1, 500), (40,)])
def test_every_minibatch_has_equally_many_events_of_each_population(sizes):
    for events in epoch(numbered(sizes, 90)):
        assert (np.bincount(events[:, 0].astype(int), minlength=len(sizes)) == round(90 / len(sizes))).all()


def test_no_event_comes_again_before_all_of_its_population_have_come():
    events = np.concatenate(epoch(numbered((60, 20), 20)))
    large, small = (np.bincount(events[events[:, 0] == which, 1].astype(int)) for which in (0, 1))
    assert set(large) <= {0, 1}
    assert set(small) == {2}  # 4 minibatches of 10 from 20 events


def test_an_epoch_draws_as_many_events_as_there_are():
    minibatches = numbered((130, 70), 20)
    assert sum(map(len, epoch(minibatches))) == 200
    assert len(epoch(minibatches)) == minibatches.n_steps == 10


def test_an_epoch_is_the_same_whatever_was_drawn_before_and_unlike_another():
    minibatches = numbered((60, 20), 20)
    first, second = epoch(minibatches, 1), epoch(minibatches, 2)
    assert all(map(np.array_equal, epoch(numbered((60, 20), 20), 2), second))
    assert not any(map(np.array_equal, first, second))


@pytest.mark.parametrize("n_workers", [2, 3])
def test_the_workers_slices_are_the_whole_minibatch(n_workers):
    slices = [epoch(numbered((60, 25), 22, rank=rank, n_workers=n_workers)) for rank in range(n_workers)]
    for whole, *parts in zip(epoch(numbered((60, 25), 22)), *slices, strict=True):
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        joined = np.empty_like(whole)
        for rank, part in enumerate(parts):
            joined[rank::n_workers] = part
        assert (joined == whole).all()


@pytest.mark.parametrize("n_workers", [1, 2])
def test_the_workers_share_the_held_out_events(n_workers):
    plan = TrainingPlan(minibatch=10, validation_fraction=0.25)
    populations = {"S": np.arange(40, dtype=np.float32)[:, None], "T": np.arange(3, dtype=np.float32)[:, None]}
    shares = [
        InMemory.from_populations(populations, plan, rank=rank, n_workers=n_workers).held_out()
        for rank in range(n_workers)
    ]
    assert sum(len(share["S"]) for share in shares) == 10
    assert [list(share) for share in shares] == [["S", "T"]] * n_workers  # T has one, so one worker has none


def test_events_held_out_are_never_trained_on():
    minibatches = InMemory.from_populations(
        {"S": np.arange(40, dtype=np.float32)[:, None]}, TrainingPlan(minibatch=8, validation_fraction=0.25)
    )
    seen = {float(event) for number in range(1, 6) for events in epoch(minibatches, number) for event in events[:, 0]}
    held_out = set(minibatches.held_out()["S"].flatten().tolist())
    assert not seen & held_out
    assert seen | held_out == set(range(40))


def test_populations_with_no_event_to_spare_are_validated_on_what_they_are_trained_on():
    minibatches = InMemory.from_populations({"S": np.ones((1, 2), np.float32)}, TrainingPlan())
    assert minibatches.held_out()["S"].tolist() == [[1, 1]]


def test_the_origin_of_a_minibatch_is_what_was_drawn():
    populations = {name: np.arange(n, dtype=np.float32)[:, None] for name, n in (("S", 50), ("T", 20))}
    samples = {"T": np.array([f"t{number}" for number in range(20)], object)}
    minibatches = InMemory.from_populations(populations, TrainingPlan(minibatch=8), samples=samples)
    drawn = list(minibatches.epoch(3))[4].events
    origin = minibatches.origin(3, 4)
    assert torch.equal(torch.cat(list(origin.events.values())), drawn)
    # Each of T's events is of the sample that has its number.
    assert origin.samples["T"].tolist() == [f"t{int(event)}" for event in origin.events["T"]]
    assert list(origin.samples) == ["T"]


def test_a_minibatch_smaller_than_the_workers_is_refused():
    with pytest.raises(ConfigError, match=r"minibatch is 30; expected at least 33: one event of each of 3 populations"):
        numbered((60, 60, 60), 30, n_workers=11)


@pytest.mark.filterwarnings("error")
def test_read_only_events_as_ray_hands_them_out_are_taken_without_a_warning_and_left_as_they_were():
    events = np.arange(40, dtype=np.float32)[:, None]
    events.setflags(write=False)
    assert len(epoch(InMemory.from_populations({"S": events}, TrainingPlan(minibatch=8)))) == 5
    assert (events[:, 0] == np.arange(40)).all()
