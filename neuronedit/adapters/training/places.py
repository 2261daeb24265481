"""Places of a dataset's populations: the row groups that hold their events, with the count of each sample's."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import fs

from neuronedit.adapters.cluster.tasks import FAILURE_FIELDS, failure_row, map_items, parse_items, raise_failure
from neuronedit.adapters.files.blocks import FilePart, FileReader, split_into_parts
from neuronedit.adapters.files.columns import Chooser, assigned, distinct_values, text_column
from neuronedit.adapters.files.dataset import EventDataset, EventFile
from neuronedit.adapters.sampling.populations import PART_BYTES
from neuronedit.cells.draw import sample_column_of
from neuronedit.cells.selection import check_design_columns
from neuronedit.errors import NeuroneditError


@dataclass(frozen=True)
class Place:
    """A row group that has events of a population.

    Attributes:
        file: The file's name, relative to its dataset.
        row_group: Its number in the file.
        n_events: Number of the population's events, by sample.
    """

    file: str
    row_group: int
    n_events: Mapping[str, int]


def find_places(dataset: EventDataset, design: Chooser) -> dict[str, tuple[Place, ...]]:
    """Find the places of each population, by file and row group; only columns that choose events are read.

    Args:
        dataset: The events.
        design: Assigns events to populations, and may name the column that names an event's sample.

    Raises:
        DataError: A file is damaged, or a column is missing.
    """
    parts = split_into_parts(dataset.files, dataset.filesystem, PART_BYTES)
    finder = _Finder(dataset.filesystem, design)
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

    def __call__(self, items: pa.Table) -> pa.Table:
        try:
            rows = [row for part in parse_items(items, FilePart) for row in self._places(part)]
        except NeuroneditError as error:
            rows = [failure_row(error)]
        return pa.Table.from_pylist(rows, schema=_PLACE_SCHEMA)

    def _places(self, part: FilePart) -> Iterator[dict[str, Any]]:
        file = part.file
        with FileReader(self.filesystem, file) as reader:
            names = reader.parquet.schema_arrow.names
            sample_column = sample_column_of(self.design.sample_column, [*names, *file.partition])
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


_PLACE_SCHEMA = pa.schema(
    [
        ("population", pa.string()),
        ("file", pa.string()),
        ("row_group", pa.int32()),
        ("sample", pa.string()),
        ("n_events", pa.int64()),
        *FAILURE_FIELDS,
    ]
)
