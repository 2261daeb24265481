from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
import torch

from neuronedit.errors import DataError
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.streamed import EventBlock, Streamed

PLAN = TrainingPlan(minibatch=20, seed=5)


class Numbered:
    """Populations of which each event is its own number, in blocks of ten, from a first number on."""

    def __init__(self, sizes: Mapping[str, int], rank: int = 0, n_workers: int = 1) -> None:
        self.sizes, self.rank, self.n_workers = sizes, rank, n_workers
        self.n_read = 0

    def __call__(self, population: str, epoch: int) -> Iterator[EventBlock]:
        first = 10_000 * list(self.sizes).index(population)
        starts = np.arange(0, self.sizes[population], 10)
        generator = np.random.default_rng(epoch)
        turn = 0
        while True:
            for start in generator.permutation(starts):
                if turn % self.n_workers == self.rank:
                    numbers = first + np.arange(start, min(start + 10, self.sizes[population]))
                    self.n_read += len(numbers)
                    yield EventBlock(numbers[:, None].astype(np.float32), numbers.astype(str).astype(object))
                turn += 1


def streamed(sizes: Mapping[str, int], window: int = 40, rank: int = 0, n_workers: int = 1) -> Streamed:
    validation = {name: torch.arange(5.0)[:, None] for name in sizes}
    blocks = Numbered(sizes, rank, n_workers)
    return Streamed(sizes, blocks, window, validation, PLAN, rank=rank, n_workers=n_workers)


def numbers(minibatches: Streamed, epoch: int) -> list[list[int]]:
    return [minibatch.events[:, 0].int().tolist() for minibatch in minibatches.epoch(epoch)]


def test_populations_of_100_to_1_have_equal_shares_of_every_minibatch() -> None:
    drawn = numbers(streamed({"large": 3_000, "small": 30}), 1)
    assert len(drawn) == 152  # 3,030 events in minibatches of 20
    assert {sum(number < 10_000 for number in minibatch) for minibatch in drawn} == {10}
    assert {len(minibatch) for minibatch in drawn} == {20}
    # The small one is gone through again and again, and each of its events is met about equally often.
    times = Counter(number for minibatch in drawn for number in minibatch if number >= 10_000)
    assert len(times) == 30
    assert max(times.values()) - min(times.values()) <= 1


def test_every_event_is_visited_once_an_epoch_where_populations_are_of_equal_size() -> None:
    drawn = np.concatenate(numbers(streamed({"a": 200, "b": 200}), 1))
    assert sorted(drawn) == [*range(200), *range(10_000, 10_200)]


def test_a_window_is_shuffled_across_its_blocks() -> None:
    first = numbers(streamed({"a": 400, "b": 400}, window=200), 1)[0]
    # Ten events of 200 in twenty blocks: that all come from three blocks has a chance below 1e-9.
    assert len({number // 10 for number in first[:10]}) > 3
    assert first[:10] != sorted(first[:10])


def test_an_epoch_depends_on_its_number_and_the_seed_alone() -> None:
    minibatches = streamed({"a": 200, "b": 60})
    first, second = numbers(minibatches, 1), numbers(minibatches, 2)
    assert first != second
    assert numbers(streamed({"a": 200, "b": 60}), 2) == second
    other = Streamed(**{**vars(minibatches), "plan": PLAN.model_copy(update={"seed": 6})})
    assert numbers(other, 1) != first


def test_workers_read_different_events_which_make_up_the_minibatch() -> None:
    sizes = {"a": 240, "b": 240}
    slices = [list(streamed(sizes, rank=rank, n_workers=3).epoch(1)) for rank in range(3)]
    assert {minibatch.size for minibatches in slices for minibatch in minibatches} == {20}
    for step in zip(*slices, strict=True):
        assert [len(minibatch.events) for minibatch in step] == [8, 6, 6]  # 4 + 3 + 3 of each population
    seen = [{int(number) for minibatch in minibatches for number in minibatch.events[:, 0]} for minibatches in slices]
    # Blocks are dealt out in turns; who needs more than its third comes to blocks that others have had.
    assert len(set.union(*seen)) > 0.9 * 480
    assert len(seen[0] & seen[1]) < 0.2 * 480


@pytest.mark.parametrize("step", [0, 5, 12])
def test_a_minibatch_that_is_looked_for_again_is_found_with_its_samples(step: int) -> None:
    minibatches = streamed({"a": 200, "b": 60}, window=50)
    drawn = numbers(minibatches, 3)
    origin = minibatches.origin(3, step)
    assert len(drawn) == 13
    found = [*origin.events["a"][:, 0].int().tolist(), *origin.events["b"][:, 0].int().tolist()]
    assert found == drawn[step]
    assert [*origin.samples["a"], *origin.samples["b"]] == [str(number) for number in drawn[step]]


def test_no_more_than_the_next_window_is_read_ahead() -> None:
    minibatches = streamed({"a": 2_000, "b": 2_000}, window=100)
    blocks = minibatches.blocks
    assert isinstance(blocks, Numbered)
    for step, _ in enumerate(minibatches.epoch(1)):
        windows_begun = step // 10 + 1
        # Of each population this window, the next, and the rest of a block.
        assert blocks.n_read <= 2 * (windows_begun + 1) * 100 + 20


def test_a_window_smaller_than_a_minibatch_holds_one() -> None:
    assert {len(minibatch) for minibatch in numbers(streamed({"a": 200, "b": 200}, window=0), 1)} == {20}


def test_what_fails_while_reading_reaches_the_training_loop_after_what_was_read() -> None:
    def blocks(population: str, epoch: int) -> Iterator[EventBlock]:
        yield from [next(Numbered({"a": 10})("a", 1))] * 8
        raise DataError("b7.parquet: row group 3 is damaged")

    minibatches = Streamed({"a": 400}, blocks, 40, {}, PLAN)
    seen: list[object] = []
    with pytest.raises(DataError, match=r"^b7\.parquet: row group 3 is damaged$"):
        seen.extend(minibatches.epoch(1))
    assert len(seen) == 4


def test_validation_events_are_shared_by_the_workers() -> None:
    parts = [streamed({"a": 20}, rank=rank, n_workers=2).held_out()["a"] for rank in range(2)]
    assert [part[:, 0].tolist() for part in parts] == [[0, 2, 4], [1, 3]]
