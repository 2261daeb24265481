"""One streaming pass of Ray Data over a dataset that draws a seeded sample of every population."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import fs

from neuronedit.adapters.parquet import (
    EventDataset,
    EventFile,
    check_markers,
    choice_columns,
    marker_matrix,
    open_parquet,
    read_blocks,
)
from neuronedit.adapters.work_items import FAILURE_FIELDS, failed, files_of, raise_failure, work_items
from neuronedit.arms import ArmChoice
from neuronedit.design import Choice, Design, check_design_columns
from neuronedit.errors import NeuroneditError
from neuronedit.events import Priorities, keep_lowest, row_priorities
from neuronedit.job_configs import SampleConfig
from neuronedit.panel import Panel
from neuronedit.scaling import FloatArray


@dataclass(frozen=True)
class DrawnPopulations:
    """A sample of each population, and how many events it was drawn from.

    Attributes:
        intensities: Raw, (n_drawn, n_markers) float32 each, in random order.
        counts: Events of each population in the whole dataset.
    """

    intensities: dict[str, FloatArray]
    counts: dict[str, int]


def draw_populations(
    dataset: EventDataset, panel: Panel, design: Design | Choice | ArmChoice, sample: SampleConfig
) -> DrawnPopulations:
    """Draw up to ``sample.events_per_population`` events of each population; the same whatever the files' order.

    Raises:
        PanelError: A marker is missing in a file.
        DataError: A file is damaged, a column is missing, or any event's intensity is not a finite number.
    """
    reader = _FileSampler(dataset.filesystem, panel, design, sample)
    drawn: dict[str, tuple[Priorities, FloatArray]] = {}
    counts: Counter[str] = Counter()
    results = work_items(dataset.files).map_batches(reader, batch_size=1, batch_format="pyarrow")
    for row in results.iter_rows():
        raise_failure(row)
        population = row["population"]
        counts[population] += row["n_events"]
        priorities = np.asarray(row["priorities"], dtype=np.uint64)
        intensities = np.asarray(row["intensities"], dtype=np.float32).reshape(len(priorities), panel.n_markers)
        if population in drawn:
            priorities = np.concatenate([drawn[population][0], priorities])
            intensities = np.concatenate([drawn[population][1], intensities])
        drawn[population] = keep_lowest(priorities, intensities, sample.events_per_population)
    return DrawnPopulations({name: drawn[name][1] for name in sorted(drawn)}, dict(sorted(counts.items())))


@dataclass(frozen=True)
class _FileSampler:
    filesystem: fs.FileSystem
    panel: Panel
    design: Design | Choice | ArmChoice
    sample: SampleConfig

    def __call__(self, items: pa.Table) -> pa.Table:
        try:
            rows = [row for file in files_of(items) for row in self._draw(file)]
        except NeuroneditError as error:
            rows = [failed(error)]
        return pa.Table.from_pylist(rows, schema=_SCHEMA)

    def _draw(self, file: EventFile) -> Iterator[dict[str, Any]]:
        with open_parquet(self.filesystem, file.path) as parquet:
            schema = parquet.schema_arrow
        check_markers(schema, self.panel, file.path)
        check_design_columns([*schema.names, *file.partition], self.design.columns, file.path)
        stored = [name for name in self.design.columns if name in schema.names]
        drawn: dict[str, tuple[Priorities, FloatArray]] = {}
        counts: Counter[str] = Counter()
        for first_row, table in read_blocks(self.filesystem, file, [*self.panel.markers, *stored]):
            assigned = self.design.assign(choice_columns(table, file, self.design.columns), file.path)
            priorities = row_priorities(file.name, first_row, table.num_rows, self.sample.seed)
            intensities = marker_matrix(table, self.panel, file.path, first_row)
            for population in sorted(set(assigned) - {""}):
                chosen = assigned == population
                counts[population] += int(chosen.sum())
                before = drawn.get(population, (np.empty(0, np.uint64), np.empty((0, self.panel.n_markers))))
                drawn[population] = keep_lowest(
                    np.concatenate([before[0], priorities[chosen]]),
                    np.concatenate([before[1], intensities[chosen]]),
                    self.sample.events_per_population,
                )
        for population, (priorities, intensities) in drawn.items():
            yield {
                "population": population,
                "n_events": counts[population],
                "priorities": priorities,
                "intensities": intensities.astype(np.float32).ravel(),
            }


_SCHEMA = pa.schema(
    [
        ("population", pa.string()),
        ("n_events", pa.int64()),
        ("priorities", pa.large_list(pa.uint64())),
        ("intensities", pa.large_list(pa.float32())),
        *FAILURE_FIELDS,
    ]
)
