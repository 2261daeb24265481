import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.files.blocks import FilePart
from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.sampling.populations import _merged, _Sampler
from neuronedit.adapters.training.event_stream import EventStream
from neuronedit.adapters.training.places import _by_population, _Finder
from neuronedit.cells.design import PairDesign
from neuronedit.cells.draw import SampleConfig
from neuronedit.cells.panel import Panel
from neuronedit.cells.scaling import fit_scaling
from neuronedit.errors import DataError
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.streamed import Streamed
from tests.synthetic_cells import with_value

NUMBERED = Panel(("number",), (1.0,))
SAMPLE = SampleConfig(events_per_population=100, seed=3)
PLAN = TrainingPlan(minibatch=60, validation_fraction=0.2)
PAIR = PairDesign(source={"condition": "none"}, target={"condition": "drug"})
ALL_IN_MEMORY, NOTHING_IN_MEMORY = 10**9, 0


def write(folder: Path, name: str, numbers: np.ndarray, samples: list[str], conditions: list[str]) -> None:
    columns = {"number": numbers.astype(np.float32), "sample_id": samples, "condition": conditions}
    pq.write_table(pa.table(columns), folder / name, row_group_size=70)


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """Every event has its own number: sources 0 to 599 of six samples, targets 1000 to 1599 of one.

    They lie in three files, in one of which source and target events take turns.
    """
    folder = tmp_path / "numbered"
    folder.mkdir()
    samples = [f"s{number // 100}" for number in range(400)]
    write(folder, "source.parquet", np.arange(400), samples, ["none"] * 400)
    write(folder, "target.parquet", np.arange(1000, 1400), ["t"] * 400, ["drug"] * 400)
    both = np.stack([np.arange(400, 600), np.arange(1400, 1600)], axis=1).ravel()
    samples = ["t" if number >= 1000 else f"s{number // 100}" for number in both]
    write(folder, "both.parquet", both, samples, ["drug" if number >= 1000 else "none" for number in both])
    return folder


class Streaming:
    """A stream of a dataset's numbered events, and what it was made from."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        dataset = list_dataset(str(folder))
        # Without Ray, which would take a minute to do what these do in one task.
        items = pa.table({"item": [json.dumps(asdict(FilePart.whole(file))) for file in dataset.files]})
        places = _by_population(_Finder(dataset.filesystem, PAIR)(items).to_pylist())
        table = _Sampler(dataset.filesystem, NUMBERED, PAIR, SAMPLE)(items)
        self.drawn = {name: drawing.drawn() for name, drawing in _merged([table], 1, 0, 100).items()}
        self.scaling = fit_scaling([events.intensities for events in self.drawn.values()], NUMBERED.transforms)
        files = {file.name: file for file in dataset.files}
        priorities = {name: events.priorities for name, events in self.drawn.items()}
        self.stream = EventStream(
            dataset.filesystem, files, NUMBERED, PAIR, self.scaling, SAMPLE, places, priorities, memory_bytes
        )

    def minibatches(self, rank: int = 0, n_workers: int = 1) -> Streamed:
        drawn = {
            name: self.scaling.standardise(self.scaling.transform(events.intensities))
            for name, events in self.drawn.items()
        }
        samples = {name: events.samples for name, events in self.drawn.items()}
        return self.stream.minibatches(drawn, PLAN, samples=samples, rank=rank, n_workers=n_workers)

    def numbers(self, minibatches: Streamed, epoch: int) -> list[list[int]]:
        return [
            np.rint(np.sinh(self.scaling.unstandardise(minibatch.events.numpy()))[:, 0]).astype(int).tolist()
            for minibatch in minibatches.epoch(epoch)
        ]


@pytest.mark.parametrize("memory_bytes", [ALL_IN_MEMORY, NOTHING_IN_MEMORY], ids=["kept", "read again and again"])
def test_every_event_is_visited_but_those_held_out(numbered: Path, memory_bytes: int) -> None:
    streaming = Streaming(numbered, memory_bytes)
    minibatches = streaming.minibatches()
    held_out = {
        name: set(np.rint(np.sinh(streaming.scaling.unstandardise(events.numpy()))[:, 0]).astype(int).tolist())
        for name, events in minibatches.held_out().items()
    }
    # One whole sample of the sources; of the targets, all of one sample, a fifth of the events drawn.
    (sample,) = {number // 100 for number in held_out["source"]}
    assert len(held_out["target"]) == 20
    assert minibatches.sizes == {"source": 500, "target": 580}
    sources = set(range(600)) - set(range(100 * sample, 100 * sample + 100))
    targets = set(range(1000, 1600)) - held_out["target"]
    drawn = streaming.numbers(minibatches, 1)
    assert {sum(number < 1000 for number in minibatch) for minibatch in drawn} == {30}
    # An epoch has 18 steps, 540 events of each.
    assert len(drawn) == 18
    assert {number for minibatch in drawn for number in minibatch if number < 1000} == sources
    visited = {number for minibatch in drawn for number in minibatch if number >= 1000}
    assert visited <= targets
    assert len(visited) == 540


def test_two_workers_share_the_row_groups(numbered: Path) -> None:
    streaming = Streaming(numbered, NOTHING_IN_MEMORY)
    seen = [
        {number for minibatch in streaming.numbers(streaming.minibatches(rank, 2), 1) for number in minibatch}
        for rank in range(2)
    ]
    assert len(seen[0] | seen[1]) > 950
    assert len(seen[0] & seen[1]) < 150


def test_a_minibatch_is_found_again_with_its_samples(numbered: Path) -> None:
    streaming = Streaming(numbered, NOTHING_IN_MEMORY)
    minibatches = streaming.minibatches()
    drawn = streaming.numbers(minibatches, 2)[7]
    origin = minibatches.origin(2, 7)
    expected = ["t" if number >= 1000 else f"s{number // 100}" for number in drawn]
    assert [*origin.samples["source"], *origin.samples["target"]] == expected


def test_a_small_population_is_read_once(numbered: Path) -> None:
    streaming = Streaming(numbered, ALL_IN_MEMORY)
    minibatches = streaming.minibatches()
    first = streaming.numbers(minibatches, 1)
    for path in numbered.iterdir():
        path.unlink()
    assert streaming.numbers(minibatches, 1) == first


def test_what_fails_while_reading_is_told_as_it_would_be_without_threads(numbered: Path) -> None:
    streaming = Streaming(numbered, NOTHING_IN_MEMORY)
    good = pq.read_table(numbered / "both.parquet")
    pq.write_table(with_value(good, "number", 211, float("nan")), numbered / "both.parquet", row_group_size=70)
    with pytest.raises(DataError, match=r"both\.parquet: marker 'number' has NaN in row 211 \(1 such"):
        streaming.numbers(streaming.minibatches(), 1)
    (numbered / "both.parquet").unlink()
    with pytest.raises(DataError, match=r"both\.parquet: not there any more\."):
        streaming.numbers(streaming.minibatches(), 1)
