"""One streaming pass of Ray Data over a dataset that draws a seeded sample of every population."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pyarrow import fs

from neuronedit.adapters.file_blocks import read_blocks
from neuronedit.adapters.parquet import (
    EventDataset,
    EventFile,
    check_markers,
    choice_columns,
    marker_matrix,
    open_parquet,
)
from neuronedit.adapters.work_items import FAILURE_FIELDS, failed, items_of, raise_failure, work_items
from neuronedit.arms import ArmChoice
from neuronedit.design import Choice, Design, check_design_columns
from neuronedit.errors import NeuroneditError
from neuronedit.events import Priorities, lowest, row_priorities
from neuronedit.job_configs import SampleConfig
from neuronedit.panel import Panel
from neuronedit.scaling import FloatArray

UNLABELLED = "unlabelled"
"""The cell type of events whose column has no value: a kind of its own."""


@dataclass(frozen=True)
class DrawnPopulations:
    """A sample of each population, and how many events it was drawn from.

    Attributes:
        intensities: Raw, (n_drawn, n_markers) float32 each, in random order.
        counts: Events of each population in the whole dataset.
        labels: The cell type of each event drawn, (n_drawn,) texts each; empty where no column names them.
    """

    intensities: dict[str, FloatArray]
    counts: dict[str, int]
    labels: dict[str, npt.NDArray[np.object_]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Draw:
    """Events with the lowest priorities so far: (n,), (n, n_markers) and (n,) texts."""

    priorities: Priorities
    intensities: FloatArray
    labels: npt.NDArray[np.object_]

    def of(self, rows: npt.NDArray[Any]) -> "_Draw":
        return _Draw(self.priorities[rows], self.intensities[rows], self.labels[rows])

    def with_more(self, more: "_Draw | None", n_events: int) -> "_Draw":
        if more is None:
            return self.of(lowest(self.priorities, n_events))
        both = _Draw(
            np.concatenate([self.priorities, more.priorities]),
            np.concatenate([self.intensities, more.intensities]),
            np.concatenate([self.labels, more.labels]),
        )
        return both.of(lowest(both.priorities, n_events))


def draw_populations(
    dataset: EventDataset,
    panel: Panel,
    design: Design | Choice | ArmChoice,
    sample: SampleConfig,
    label_column: str | None = None,
) -> DrawnPopulations:
    """Draw up to ``sample.events_per_population`` events of each population; the same whatever the files' order.

    Args:
        dataset: The events.
        panel: The markers to read.
        design: Which events are of which population.
        sample: How many, by which seed.
        label_column: The column that names an event's cell type, if it is wanted.

    Raises:
        PanelError: A marker is missing in a file.
        DataError: A file is damaged, a column is missing, or any event's intensity is not a finite number.
    """
    reader = _FileSampler(dataset.filesystem, panel, design, sample, label_column)
    drawn: dict[str, _Draw] = {}
    counts: Counter[str] = Counter()
    results = work_items(dataset.files).map_batches(reader, batch_size=None, batch_format="pyarrow")
    for row in results.iter_rows():
        raise_failure(row)
        population = row["population"]
        counts[population] += row["n_events"]
        priorities = np.asarray(row["priorities"], dtype=np.uint64)
        intensities = np.asarray(row["intensities"], dtype=np.float32).reshape(len(priorities), panel.n_markers)
        found = _Draw(priorities, intensities, np.asarray(row["labels"], dtype=object))
        drawn[population] = found.with_more(drawn.get(population), sample.events_per_population)
    return DrawnPopulations(
        {name: drawn[name].intensities for name in sorted(drawn)},
        dict(sorted(counts.items())),
        {name: drawn[name].labels for name in sorted(drawn)} if label_column else {},
    )


@dataclass(frozen=True)
class _FileSampler:
    filesystem: fs.FileSystem
    panel: Panel
    design: Design | Choice | ArmChoice
    sample: SampleConfig
    label_column: str | None = None

    def __call__(self, items: pa.Table) -> pa.Table:
        try:
            rows = [row for file in items_of(items, EventFile) for row in self._draw(file)]
        except NeuroneditError as error:
            rows = [failed(error)]
        return pa.Table.from_pylist(rows, schema=_SCHEMA)

    def _draw(self, file: EventFile) -> Iterator[dict[str, Any]]:
        with open_parquet(self.filesystem, file.path) as parquet:
            schema = parquet.schema_arrow
        check_markers(schema, self.panel, file.path)
        columns = [*self.design.columns, *([self.label_column] if self.label_column else [])]
        check_design_columns([*schema.names, *file.partition], columns, file.path)
        stored = [name for name in dict.fromkeys(columns) if name in schema.names]
        drawn: dict[str, _Draw] = {}
        counts: Counter[str] = Counter()
        for _, first_row, table in read_blocks(self.filesystem, file, [*self.panel.markers, *stored]):
            choices = choice_columns(table, file, columns)
            assigned = self.design.assign(choices, file.path)
            labels = _labels(choices[self.label_column]) if self.label_column else np.full(table.num_rows, "", object)
            block = _Draw(
                row_priorities(file.name, first_row, table.num_rows, self.sample.seed),
                marker_matrix(table, self.panel, file.path, first_row),
                labels,
            )
            for population in sorted(set(assigned) - {""}):
                chosen = assigned == population
                counts[population] += int(chosen.sum())
                events = block.of(chosen)
                drawn[population] = events.with_more(drawn.get(population), self.sample.events_per_population)
        for population, events in drawn.items():
            yield {
                "population": population,
                "n_events": counts[population],
                "priorities": events.priorities,
                "intensities": events.intensities.astype(np.float32).ravel(),
                "labels": events.labels,
            }


def _labels(column: "pd.Series[Any]") -> npt.NDArray[np.object_]:
    return np.where(column.notna(), column.astype(str), UNLABELLED).astype(object)


_SCHEMA = pa.schema(
    [
        ("population", pa.string()),
        ("n_events", pa.int64()),
        ("priorities", pa.large_list(pa.uint64())),
        ("intensities", pa.large_list(pa.float32())),
        ("labels", pa.large_list(pa.string())),
        *FAILURE_FIELDS,
    ]
)
