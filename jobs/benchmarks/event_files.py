"""Parquet files of synthetic cells, as many as are asked for, written as a stream."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

FloatArray = npt.NDArray[np.float32]

N_MARKERS = 40
MARKERS = tuple(f"marker{index}" for index in range(N_MARKERS))
COFACTOR = 5.0

SAMPLE, EVENT = "sample_id", "event"
"""Further columns: the same text for all events, and a number for each."""

MILLION = 1_000_000
"""Events of a row group, as pyarrow writes them by default; those of a larger one repeat themselves after as many."""


@dataclass(frozen=True)
class FileSet:
    """Files of a folder.

    Attributes:
        n_events: Of all files together, which share them evenly.
        n_files: How many there are.
        compression: Of the columns.
        row_group_events: Events of each row group.
    """

    n_events: int
    n_files: int = 10
    compression: str = "snappy"
    row_group_events: int = MILLION

    def write(self, folder: Path, seed: int = 0) -> None:
        """Write the files into a new folder; at most a million events are held in memory."""
        folder.mkdir(parents=True)
        generator = np.random.default_rng(seed)
        for number in range(self.n_files):
            self._write_file(folder / f"{number:05}.parquet", self.n_events // self.n_files, generator)

    def _write_file(self, path: Path, n_events: int, generator: np.random.Generator) -> None:
        # No dictionaries on numbers, as the output has none: they cost five times the writing and gain nothing.
        with pq.ParquetWriter(path, SCHEMA, compression=self.compression, use_dictionary=[SAMPLE]) as writer:
            for first in range(0, n_events, self.row_group_events):
                n_rows = min(self.row_group_events, n_events - first)
                events = event_table(min(n_rows, MILLION), generator)
                repeated = pa.concat_tables([events] * ceil(n_rows / MILLION)).slice(0, n_rows)
                writer.write_table(repeated, row_group_size=n_rows)


SCHEMA = pa.schema(
    [
        (SAMPLE, pa.dictionary(pa.int32(), pa.string())),
        (EVENT, pa.int64()),
        *((marker, pa.float32()) for marker in MARKERS),
    ]
)


def event_table(n_events: int, generator: np.random.Generator) -> pa.Table:
    """Events as a file has them."""
    sample = pa.DictionaryArray.from_arrays(np.zeros(n_events, np.int32), pa.array(["sample"]))
    columns = [sample, np.arange(n_events), *intensities(n_events, generator).T]
    return pa.Table.from_arrays([pa.array(column) for column in columns], schema=SCHEMA)


def intensities(n_events: int, generator: np.random.Generator, shifts: tuple[float, float] = (0.0, 0.0)) -> FloatArray:
    """Raw intensities like mass cytometry's, of two kinds of cell and with many zeros: (n_events, n_markers).

    Args:
        n_events: How many.
        generator: Draws them.
        shifts: What is added to all markers of either kind, arcsinh units.
    """
    kind = generator.integers(0, 2, (n_events, 1))
    signal = generator.standard_normal((n_events, N_MARKERS), dtype=np.float32) * 1.2 + 1 + kind
    moved = signal + np.array(shifts, np.float32)[kind]
    return np.clip(np.sinh(moved) * COFACTOR, 0, None).astype(np.float32)
