"""A Parquet file's events, block by block, in memory that depends neither on its size nor on its row groups'."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from neuronedit.adapters.parquet import EventFile, check_storage, open_parquet
from neuronedit.adapters.storage import first_line
from neuronedit.errors import DataError

EVENTS_PER_BLOCK = 131_072
"""Events that are in memory at once: 20 MB of 40 markers."""

WHOLE_BYTES = 64 * 1024**2
"""Row groups up to this size are fetched whole, in few large requests; larger ones column by column through buffers."""

BUFFER_BYTES = 2 * 1024**2
"""Of each column of a large row group."""


class Block(NamedTuple):
    """Consecutive events of one row group.

    Attributes:
        row_group: Its number in the file.
        first_row: The number of the first event in the file.
        table: All columns that were asked for.
    """

    row_group: int
    first_row: int
    table: pa.Table


class RowGroup(NamedTuple):
    """Where a row group lies: its number, its first event's number, how many events, bytes on storage."""

    number: int
    first_row: int
    n_events: int
    n_bytes: int


def row_groups(metadata: pq.FileMetaData) -> list[RowGroup]:
    """A file's row groups, from its footer."""
    found, first_row = [], 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        n_bytes = sum(group.column(column).total_compressed_size for column in range(group.num_columns))
        found.append(RowGroup(number, first_row, group.num_rows, n_bytes))
        first_row += group.num_rows
    return found


class FileReader:
    """Reads row groups of one file.

    Left to itself, Arrow keeps all that it has fetched of a file until the file is closed: 5 GB for a file of 5 GB.
    """

    def __init__(self, filesystem: fs.FileSystem, file: EventFile) -> None:
        self.filesystem = filesystem
        self.file = file
        self.parquet = open_parquet(filesystem, file.path)
        self.row_groups = row_groups(self.parquet.metadata)

    def __enter__(self) -> "FileReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.parquet.close()

    def blocks(
        self, group: RowGroup, columns: Sequence[str] | None = None, n_events: int | None = None
    ) -> Iterator[Block]:
        """A row group's events in order.

        Args:
            group: One of ``row_groups``.
            columns: Those to read; None for all.
            n_events: Of a block, at most; None for ``EVENTS_PER_BLOCK``.

        Raises:
            DataError: The row group is damaged.
            StorageError: The storage does not hand out the row group's bytes.
        """
        first_row = group.first_row
        parquet = self.parquet if group.n_bytes <= WHOLE_BYTES else self._buffered()
        try:
            batches = parquet.iter_batches(
                n_events or EVENTS_PER_BLOCK, row_groups=[group.number], columns=columns, use_threads=False
            )
            for batch in batches:
                yield Block(group.number, first_row, pa.Table.from_batches([batch]))
                first_row += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            check_storage(self.filesystem, self.file.path, self._column_ranges(group))
            raise DataError(
                f"{self.file.path}: row group {group.number} is damaged (from row {first_row} on, of rows "
                f"{group.first_row} to {group.first_row + group.n_events - 1}: {first_line(error)}). "
                "Write the file again, or move it away; with on_error = quarantine, transform does without these rows."
            ) from error

    def _buffered(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.file.path, filesystem=self.filesystem, pre_buffer=False, buffer_size=BUFFER_BYTES)

    def _column_ranges(self, group: RowGroup) -> Iterator[tuple[int, int]]:
        metadata = self.parquet.metadata.row_group(group.number)
        for index in range(metadata.num_columns):
            column = metadata.column(index)
            yield column.dictionary_page_offset or column.data_page_offset, column.total_compressed_size
