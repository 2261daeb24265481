"""Training on Ray, from the drawn sample, more events in memory, or all of them as a stream.

Where in a dataset the events of each population lie: in which row groups, how many of which sample.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import fs

from neuronedit.adapters.cluster.tasks import FAILURE_FIELDS, failed, items_of, map_items, raise_failure
from neuronedit.adapters.files.blocks import FilePart, FileReader, split_into_parts
from neuronedit.adapters.files.columns import Chooser, assigned, distinct_values, text_column
from neuronedit.adapters.files.parquet import EventDataset, EventFile
from neuronedit.adapters.sampling.populations import PART_BYTES, draw_populations
from neuronedit.adapters.training.event_stream import EventStream, Place
from neuronedit.adapters.training.trainer import train_autoencoder
from neuronedit.arrays import Floats, Texts
from neuronedit.cells.draw import SampleConfig
from neuronedit.cells.selection import check_design_columns
from neuronedit.errors import ConfigError, NeuroneditError
from neuronedit.fitting.prepare import Prepared
from neuronedit.fitting.train import Ensemble, Train, TrainedNetwork, gather_ensemble
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingDataConfig, TrainingPlan, WorkersConfig
from neuronedit.network.state import EpochLosses

log = logging.getLogger(__name__)


def find_places(dataset: EventDataset, design: Chooser, sample: SampleConfig) -> dict[str, tuple[Place, ...]]:
    """The places of each population, ordered by file and row group. Only columns that choose events are read.

    Args:
        dataset: The events.
        design: Which events are of which population.
        sample: Names the column that tells an event's sample.

    Raises:
        DataError: A file is damaged, or a column is missing.
    """
    parts = split_into_parts(dataset.files, dataset.filesystem, PART_BYTES)
    finder = _Finder(dataset.filesystem, design, sample)
    return _by_population(row for table in map_items(finder, parts) for row in table.to_pylist())


def _by_population(rows: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Place, ...]]:
    counts: dict[tuple[str, str, int], Counter[str]] = {}
    for row in rows:
        raise_failure(row)
        key = row["population"], row["file"], row["row_group"]
        counts.setdefault(key, Counter())[row["sample"]] += row["n_events"]
    places: dict[str, list[Place]] = {}
    for population, file, row_group in sorted(counts):
        places.setdefault(population, []).append(Place(file, row_group, counts[population, file, row_group]))
    return {population: tuple(found) for population, found in places.items()}


@dataclass(frozen=True)
class _Finder:
    filesystem: fs.FileSystem
    design: Chooser
    sample: SampleConfig

    def __call__(self, items: pa.Table) -> pa.Table:
        try:
            rows = [row for part in items_of(items, FilePart) for row in self._places(part)]
        except NeuroneditError as error:
            rows = [failed(error)]
        return pa.Table.from_pylist(rows, schema=_SCHEMA)

    def _places(self, part: FilePart) -> Iterator[dict[str, Any]]:
        file = part.file
        with FileReader(self.filesystem, file) as reader:
            names = reader.parquet.schema_arrow.names
            sample_column = self.sample.column_of([*names, *file.partition])
            wanted = [*self.design.columns, *([sample_column] if sample_column else [])]
            check_design_columns([*names, *file.partition], wanted, file.path)
            stored = [name for name in dict.fromkeys(wanted) if name in names]
            for group in reader.row_groups[part.first_group : part.stop_group]:
                # Some column must be read: without any, nobody would know how many events there are.
                for block in reader.blocks(group, stored or names[:1]):
                    for population, sample, n_events in self._counts(block.table, file, sample_column):
                        yield {
                            "population": population,
                            "file": file.name,
                            "row_group": group.number,
                            "sample": sample,
                            "n_events": n_events,
                        }

    def _counts(self, table: pa.Table, file: EventFile, sample_column: str | None) -> Iterator[tuple[str, str, int]]:
        first_rows, combination = distinct_values(table.columns, table.num_rows)
        n_events, few = np.bincount(combination), table.take(first_rows)
        samples = text_column(few, file, sample_column, file.name)
        for population, chosen in assigned(self.design, few, file):
            for row in np.flatnonzero(chosen):
                yield population, samples[row], int(n_events[row])


_SCHEMA = pa.schema(
    [
        ("population", pa.string()),
        ("file", pa.string()),
        ("row_group", pa.int32()),
        ("sample", pa.string()),
        ("n_events", pa.int64()),
        *FAILURE_FIELDS,
    ]
)

OnEpochs = Callable[[int, Sequence[EpochLosses]], None]
"""Is told of an autoencoder's epochs as they end, in another thread; autoencoders count from 1."""


@dataclass(frozen=True)
class TrainingSource:
    """Events to learn from.

    Attributes:
        populations: Standardised markers, (n_events, n_markers) float32 each.
        samples: By population, (n_events,) the sample of each.
        stream: Reads all events, where these do not fit in memory; those above then are for validation only.
        n_events: By population, how many there are to learn from, those held out for validation included.
    """

    populations: Mapping[str, Floats]
    samples: Mapping[str, Texts]
    stream: EventStream | None
    n_events: Mapping[str, int]


def ray_train(
    dataset: EventDataset,
    sample: SampleConfig,
    training_data: TrainingDataConfig,
    workers: WorkersConfig,
    on_epochs: OnEpochs = lambda number, losses: None,
) -> Train:
    """Train autoencoders by Ray Train (see ``neuronedit.fitting.train.Train``).

    Args:
        dataset: Where the populations are from.
        sample: How they were drawn.
        training_data: How many events are learned from.
        workers: Who computes, and where checkpoints are kept.
        on_epochs: Is told of epochs as they end.

    Returns:
        The training, which raises ConfigError if more events are wanted than their memory holds, ClusterError if
        the workers cannot run, ModelError if training diverged, and StorageError if the checkpoints' storage fails.
    """

    def train(prepared: Prepared, network: Architecture, plans: Sequence[TrainingPlan]) -> Ensemble:
        source = training_source(prepared, dataset, sample, training_data)
        trained = _train_each(source, prepared.panel.markers, network, plans, workers, on_epochs)
        return gather_ensemble(trained, plans, source.n_events, streamed=source.stream is not None)

    return train


def _train_each(
    source: TrainingSource,
    markers: tuple[str, ...],
    network: Architecture,
    plans: Sequence[TrainingPlan],
    workers: WorkersConfig,
    on_epochs: OnEpochs,
) -> Iterator[TrainedNetwork]:
    for number, plan in enumerate(plans, start=1):
        trained = train_autoencoder(
            source.populations,
            network,
            plan,
            workers,
            samples=source.samples,
            markers=markers,
            stream=source.stream,
            on_losses=partial(on_epochs, number),
        )
        yield trained.autoencoder, trained.history


def training_source(
    prepared: Prepared, dataset: EventDataset, sample: SampleConfig, training_data: TrainingDataConfig
) -> TrainingSource:
    """Events of each population as many as the configuration wants.

    Args:
        prepared: The drawn sample, and the scaling that was fitted on it.
        dataset: Where more are.
        sample: How they are drawn.
        training_data: How many, and in how much memory.

    Raises:
        ConfigError: So many do not fit into the memory that they may have.
        DataError: A file is damaged.
    """
    wanted, drawn, panel = training_data.events_per_population, prepared.drawn, prepared.panel
    known = TrainingSource(
        prepared.markers, drawn.samples, None, {name: len(events) for name, events in prepared.markers.items()}
    )
    if wanted is None or all(_limited(count, wanted) <= known.n_events[name] for name, count in drawn.counts.items()):
        return known
    n_events = {name: _limited(count, wanted) for name, count in drawn.counts.items()}
    memory_bytes = training_data.memory_mb * 2**20
    n_bytes = sum(n_events.values()) * panel.n_markers * 4
    if n_bytes <= memory_bytes:
        log.info("drawing %d events to train on", sum(n_events.values()))
        larger = sample.model_copy(update={"events_per_population": max(n_events.values())})
        more = draw_populations(dataset, panel, prepared.design, larger)
        scale = prepared.scaling
        populations = {name: scale.standardise(scale.transform(events)) for name, events in more.intensities.items()}
        return TrainingSource(
            populations, more.samples, None, {name: len(events) for name, events in populations.items()}
        )
    if wanted != "all":
        raise ConfigError(
            f"training_data.events_per_population is {wanted}: {sum(n_events.values())} events of {panel.n_markers} "
            f"markers take {-(-n_bytes // 2**20)} MB; expected at most training_data.memory_mb, "
            f"{training_data.memory_mb}. Raise it, take fewer events, or 'all', which are read as a stream."
        )
    log.info("%d MB of events to train on: they are read again in every epoch", -(-n_bytes // 2**20))
    stream = EventStream(
        dataset.filesystem,
        {file.name: file for file in dataset.files},
        panel,
        prepared.design,
        prepared.scaling,
        sample,
        find_places(dataset, prepared.design, sample),
        drawn.priorities,
        memory_bytes,
    )
    return TrainingSource(known.populations, known.samples, stream, n_events)


def _limited(count: int, wanted: int | str) -> int:
    return count if isinstance(wanted, str) else min(count, wanted)
