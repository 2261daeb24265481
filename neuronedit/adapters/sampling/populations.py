"""One streaming pass of Ray Data over a dataset that draws a seeded sample of every population."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import fs

from neuronedit.adapters.cluster.tasks import FAILURE_FIELDS, failure_row, map_items, parse_items, raise_failure
from neuronedit.adapters.files.blocks import FilePart, FileReader, split_into_parts
from neuronedit.adapters.files.columns import UNLABELLED, Chooser, assigned, counted_values, text_column
from neuronedit.adapters.files.dataset import EventDataset, EventFile
from neuronedit.adapters.files.parquet import check_markers, finite_events, marker_matrix
from neuronedit.arrays import Texts
from neuronedit.cells.design import ControlsDesign
from neuronedit.cells.draw import (
    Drawing,
    DrawnEvents,
    DrawnPopulations,
    SampleConfig,
    candidates,
    sample_column_of,
)
from neuronedit.cells.events import row_priorities
from neuronedit.cells.panel import Panel
from neuronedit.cells.selection import check_design_columns
from neuronedit.errors import NeuroneditError

log = logging.getLogger(__name__)

PART_BYTES = 256 * 1024**2
"""Larger files are read by several workers."""


def draw_populations(
    dataset: EventDataset,
    panel: Panel,
    design: Chooser,
    sample: SampleConfig,
    label_columns: Sequence[str] = (),
) -> DrawnPopulations:
    """Draw up to ``sample.events_per_population`` events of each population.

    Events and their order do not depend on the number of workers, the order of the files or their row groups.
    Each worker and the driver hold at most three times the sample, and one block.

    Args:
        dataset: The events.
        panel: The markers to read.
        design: Assigns events to populations, and may name the column that names an event's sample.
        sample: Number of events and seed.
        label_columns: Further columns with labels of an event, such as its cell type.

    Raises:
        PanelError: A marker is missing in a file.
        DataError: A file is damaged, a column is missing, or any event's intensity is not a finite number.
    """
    sampler = _Sampler(dataset.filesystem, panel, design, sample, tuple(label_columns))
    parts = split_into_parts(dataset.files, dataset.filesystem, PART_BYTES)
    drawings = _merged(map_items(sampler, parts), panel.n_markers, len(label_columns), sample.events_per_population)
    drawn = {name: drawings[name].drawn() for name in sorted(drawings) if not drawings[name].is_empty}
    batches = {name: drawing.n_seen for name, drawing in sorted(drawings.items()) if drawing.is_empty}
    found = DrawnPopulations(
        {name: events.intensities for name, events in drawn.items()},
        {name: drawings[name].n_seen for name in drawn},
        {name: dict(zip(label_columns, events.labels.T, strict=True)) for name, events in drawn.items()},
        {name: events.samples for name, events in drawn.items()},
        {name: events.priorities for name, events in drawn.items()},
        {name.removeprefix(_COUNTED): n_events for name, n_events in batches.items()},
    )
    for name, error in found.rank_errors.items():
        log.info("%s: %d of %d events drawn, rank error %.4f", name, len(drawn[name]), found.counts[name], error)
    return found


@dataclass(frozen=True)
class _Sampler:
    """Draws one sample of each population from all parts that a task is given."""

    filesystem: fs.FileSystem
    panel: Panel
    design: Chooser
    sample: SampleConfig
    label_columns: tuple[str, ...] = ()

    def __call__(self, items: pa.Table) -> pa.Table:
        drawings: dict[str, Drawing] = {}
        try:
            for part in parse_items(items, FilePart):
                self._draw(part, drawings)
        except NeuroneditError as error:
            return pa.Table.from_pylist([failure_row(error)], schema=_DRAWING_SCHEMA)
        return _as_table(drawings)

    def _draw(self, part: FilePart, drawings: dict[str, Drawing]) -> None:
        file = part.file
        if not file.n_events:  # its columns may have no type: pandas knows none of an empty table
            return
        with FileReader(self.filesystem, file) as reader:
            schema = reader.parquet.schema_arrow
            check_markers(schema, self.panel, file.path)
            sample_column = sample_column_of(self.design.sample_column, [*schema.names, *file.partition])
            others = [*([sample_column] if sample_column else []), *self.label_columns]
            check_design_columns([*schema.names, *file.partition], [*self.design.columns, *others], file.path)
            stored = [name for name in dict.fromkeys([*self.design.columns, *others]) if name in schema.names]
            for group in reader.row_groups[part.first_group : part.stop_group]:
                for _, first_row, table in reader.blocks(group, [*self.panel.markers, *stored]):
                    self._draw_block(table, first_row, file, sample_column, drawings)

    def _draw_block(
        self, table: pa.Table, first_row: int, file: EventFile, sample_column: str | None, drawings: dict[str, Drawing]
    ) -> None:
        if not finite_events(table, self.panel).all():
            marker_matrix(table, self.panel, file.path, first_row)  # raises, and tells which event it is
        if isinstance(self.design, ControlsDesign):
            for batch, n_events in counted_values(table, file, self.design.batch_column):
                drawings.setdefault(f"{_COUNTED}{batch}", Drawing(0)).n_seen += n_events
        priorities = row_priorities(file.name, first_row, table.num_rows, self.sample.seed)
        for population, chosen in assigned(self.design, table, file):
            drawing = drawings.setdefault(population, Drawing(self.sample.events_per_population))
            rows = candidates(priorities, chosen, drawing)
            taken = table.take(rows)
            events = DrawnEvents(
                priorities[rows],
                marker_matrix(taken, self.panel, file.path).astype(np.float32, copy=False),
                text_column(taken, file, sample_column, file.name),
                self._labels(taken, file),
            )
            drawing.add(events, int(chosen.sum()))

    def _labels(self, table: pa.Table, file: EventFile) -> Texts:
        labels = np.empty((table.num_rows, len(self.label_columns)), dtype=object)
        for number, column in enumerate(self.label_columns):
            labels[:, number] = text_column(table, file, column, UNLABELLED)
        return labels


_COUNTED = "all of "
"""The beginning of the name of what is counted beside the populations, and not drawn: a batch."""

_DRAWING_SCHEMA = pa.schema(
    [
        ("population", pa.string()),
        ("n_seen", pa.int64()),
        ("priorities", pa.large_list(pa.uint64())),
        ("intensities", pa.large_list(pa.float32())),
        ("samples", pa.large_list(pa.string())),
        ("labels", pa.large_list(pa.string())),
        *FAILURE_FIELDS,
    ]
)


def _as_table(drawings: Mapping[str, Drawing]) -> pa.Table:
    """One row for each population; its events as whole buffers, because a million Python numbers take seconds."""
    return pa.Table.from_batches([_as_row(name, drawing) for name, drawing in drawings.items()], schema=_DRAWING_SCHEMA)


def _as_row(population: str, drawing: Drawing) -> pa.RecordBatch:
    nothing = np.empty(0, dtype=object)
    events = DrawnEvents(np.empty(0, np.uint64), np.empty(0, np.float32), nothing, nothing)
    events = events if drawing.is_empty else drawing.drawn()
    columns = {
        "population": pa.array([population]),
        "n_seen": pa.array([drawing.n_seen]),
        "priorities": _list_of(pa.array(events.priorities)),
        "intensities": _list_of(pa.array(events.intensities.ravel())),
        "samples": _list_of(pa.array(events.samples, pa.string())),
        "labels": _list_of(pa.array(events.labels.ravel(), pa.string())),
        **{name: pa.nulls(1, kind) for name, kind in FAILURE_FIELDS},
    }
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=_DRAWING_SCHEMA)


def _list_of(values: pa.Array) -> pa.LargeListArray:
    return pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), values)


def _merged(tables: Iterable[pa.Table], n_markers: int, n_columns: int, n_wanted: int) -> dict[str, Drawing]:
    drawings: dict[str, Drawing] = {}
    for table in tables:
        for population, n_seen, events in _read(table, n_markers, n_columns):
            drawings.setdefault(population, Drawing(n_wanted)).add(events, n_seen)
    return drawings


def _read(table: pa.Table, n_markers: int, n_columns: int) -> Iterator[tuple[str, int, DrawnEvents]]:
    for row in range(table.num_rows):
        raise_failure({name: table.column(name)[row].as_py() for name, _ in FAILURE_FIELDS})
        lists = {name: table.column(name)[row].values for name in ("priorities", "intensities", "samples", "labels")}
        events = DrawnEvents(
            lists["priorities"].to_numpy(),
            lists["intensities"].to_numpy().reshape(-1, n_markers),
            _shared_texts(lists["samples"]),
            _shared_texts(lists["labels"]).reshape(len(lists["priorities"]), n_columns),
        )
        yield table.column("population")[row].as_py(), table.column("n_seen")[row].as_py(), events


def _shared_texts(values: pa.Array) -> Texts:
    """Read texts, equal ones as one object: few are different."""
    encoded = values.dictionary_encode()
    texts: Texts = encoded.dictionary.to_numpy(zero_copy_only=False)
    return texts[encoded.indices.to_numpy()]
