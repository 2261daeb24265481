"""Training events read from Parquet while training goes on."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
import torch
from pyarrow import fs

from neuronedit.adapters.files.blocks import EVENTS_PER_BLOCK, Block, FileReader
from neuronedit.adapters.files.columns import Chooser, assigned, text_column
from neuronedit.adapters.files.dataset import EventFile
from neuronedit.adapters.files.parquet import marker_matrix
from neuronedit.adapters.training.places import Place
from neuronedit.arrays import Floats, Masks, Texts, UInt64s
from neuronedit.cells.draw import SampleConfig, sample_column_of
from neuronedit.cells.events import row_priorities
from neuronedit.cells.panel import Panel
from neuronedit.cells.scaling import Scaling
from neuronedit.cells.split import Split, split
from neuronedit.network.minibatches import check_minibatch
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.streamed import EventBlock, Streamed

ORDERS = 3
"""The stream of random numbers that orders row groups, apart from others of the same seed."""

WINDOWS = 5
"""Windows in memory: one to train on, one that is read, as much of small populations that are kept, and of each
population at most one block as it was read, and the rest of it as it is trained on."""

KNOWN_BYTES = 16
"""Memory beside each event's markers: a pointer to its sample's name, and its place in the shuffled order."""


@dataclass(frozen=True)
class EventStream:
    """All events of a dataset's populations, to be trained on as they are read, on any worker.

    Attributes:
        filesystem: The file system of the files.
        files: The dataset's files, by name.
        panel: The markers to read.
        design: Assigns events to populations, and may name the column that names an event's sample.
        scaling: The scaling that standardises the events.
        sample: The seed of the priorities.
        places: By population, the row groups that have its events.
        priorities: Priorities of the drawn events, (n_drawn,) in their order, by population.
        memory_bytes: Memory for windows, of each worker.
    """

    filesystem: fs.FileSystem
    files: Mapping[str, EventFile]
    panel: Panel
    design: Chooser
    scaling: Scaling
    sample: SampleConfig
    places: Mapping[str, tuple[Place, ...]]
    priorities: Mapping[str, UInt64s]
    memory_bytes: int

    def minibatches(
        self,
        drawn: Mapping[str, Floats],
        plan: TrainingPlan,
        *,
        samples: Mapping[str, Texts] | None = None,
        rank: int = 0,
        n_workers: int = 1,
        device: torch.device | str = "cpu",
    ) -> Streamed:
        """Minibatches of all events but those held out for validation: whole samples, or events among the drawn ones.

        Args:
            drawn: The drawn events, standardised, (n_drawn, n_markers) float32 each; those held out are some of them.
            plan: Minibatch, share of events held out, seed.
            samples: By population, (n_drawn,) the sample of each drawn event.
            rank: This worker's number, from 0.
            n_workers: How many workers share each minibatch.
            device: The network's.

        Raises:
            ConfigError: A minibatch has fewer events than there are workers.
        """
        check_minibatch(plan, len(drawn), n_workers)
        n_drawn = {name: len(events) for name, events in drawn.items()}
        found = split(n_drawn, plan.validation_fraction, plan.seed, samples)
        sizes = self.n_training(found)
        event_bytes = 4 * self.panel.n_markers + KNOWN_BYTES
        window = self.memory_bytes // (WINDOWS * len(drawn) * event_bytes)
        kept = frozenset(name for name, n_events in sizes.items() if n_events <= window)
        return Streamed(
            sizes,
            _Reader(
                self, self._held_out(found), kept, min(max(window, 1), EVENTS_PER_BLOCK), plan.seed, rank, n_workers
            ),
            window,
            {
                name: torch.from_numpy(drawn[name][mask]).to(device)
                for name, mask in found.held_out.items()
                if mask.any()
            },
            plan,
            self.panel.markers,
            rank,
            n_workers,
            device,
        )

    def n_training(self, found: Split) -> dict[str, int]:
        """Number of training events over all workers, by population, without those that are held out."""
        return {name: held_out.n_training(self.places[name]) for name, held_out in self._held_out(found).items()}

    @property
    def digest(self) -> str:
        """SHA-256 of what decides which events are met in which order, but for the number of workers."""
        files = [(file.name, file.n_events, file.n_bytes) for file in self.files.values()]
        settings = [self.panel.markers, repr(self.design), self.sample.model_dump(), self.memory_bytes]
        return hashlib.sha256(json.dumps([files, settings]).encode()).hexdigest()

    def _held_out(self, found: Split) -> dict[str, "_HeldOut"]:
        return {
            name: _HeldOut(
                frozenset(found.samples[name]),
                np.sort(self.priorities[name][chosen]) if name in found.by_event else np.empty(0, np.uint64),
            )
            for name, chosen in found.held_out.items()
        }


@dataclass(frozen=True)
class _HeldOut:
    """Events held out from training: whole samples, or single events by their priorities, in ascending order."""

    samples: frozenset[str]
    priorities: UInt64s

    def n_training(self, places: tuple[Place, ...]) -> int:
        counts = [n for place in places for sample, n in place.n_events.items() if sample not in self.samples]
        return sum(counts) - len(self.priorities)


@dataclass(frozen=True)
class _Reader:
    """Reads one worker's row groups."""

    stream: EventStream
    held_out: Mapping[str, _HeldOut]
    kept: frozenset[str]
    block_events: int
    seed: int
    rank: int
    n_workers: int
    memory: dict[tuple[str, str, int], list[EventBlock]] = field(default_factory=dict)

    def __call__(self, population: str, epoch: int) -> Iterator[EventBlock]:
        """Blocks without end: all workers shuffle the row groups alike, again and again, and take turns with them."""
        held_out = self.held_out[population].samples
        places = [place for place in self.stream.places[population] if not held_out.issuperset(place.n_events)]
        generator = np.random.default_rng([self.seed, epoch, ORDERS])
        turn = 0
        while True:
            for number in generator.permutation(len(places)):
                if turn % self.n_workers == self.rank:
                    yield from self._read(places[number], population)
                turn += 1

    def _read(self, place: Place, population: str) -> Iterator[EventBlock]:
        if population not in self.kept:
            return self._blocks(place, population)
        key = population, place.file, place.row_group
        if key not in self.memory:
            self.memory[key] = list(self._blocks(place, population))
        return iter(self.memory[key])

    def _blocks(self, place: Place, population: str) -> Iterator[EventBlock]:
        file = self.stream.files[place.file]
        with FileReader(self.stream.filesystem, file) as reader:
            names = reader.parquet.schema_arrow.names
            sample_column = sample_column_of(self.stream.design.sample_column, [*names, *file.partition])
            wanted = {*self.stream.panel.markers, *self.stream.design.columns, sample_column}
            columns = [name for name in names if name in wanted]
            blocks = reader.blocks(reader.row_groups[place.row_group], columns, self.block_events)
            # By map, which keeps nothing of a block while it waits for the next one to be asked for.
            yield from map(partial(self._training_events, file, sample_column, population), blocks)

    def _training_events(self, file: EventFile, sample_column: str | None, population: str, block: Block) -> EventBlock:
        scaling = self.stream.scaling
        samples = text_column(block.table, file, sample_column, file.name)
        chosen = self._chosen(block, samples, file, population)
        intensities = marker_matrix(block.table, self.stream.panel, file.path, block.first_row)
        if not chosen.all():
            intensities, samples = intensities[chosen], samples[chosen]
        return EventBlock(scaling.standardise(scaling.transform(intensities)), samples)

    def _chosen(self, block: Block, samples: Texts, file: EventFile, population: str) -> Masks:
        held_out = self.held_out[population]
        found = dict(assigned(self.stream.design, block.table, file))
        chosen = found.get(population, np.zeros(len(samples), bool))
        if held_out.samples:
            chosen &= ~pd.Series(samples).isin(held_out.samples).to_numpy()
        if len(held_out.priorities):
            priorities = row_priorities(file.name, block.first_row, len(samples), self.stream.sample.seed)
            near = np.flatnonzero(priorities <= held_out.priorities[-1])  # few: the lowest of all were drawn
            chosen[near[np.isin(priorities[near], held_out.priorities)]] = False
        return chosen
