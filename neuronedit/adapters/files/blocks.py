"""Pieces of large Parquet files: parts that workers share, and blocks of events that are in memory at once.

The memory that reading takes depends neither on a file's size nor on that of its row groups.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from posixpath import splitext
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from neuronedit.adapters.files.damage import check_chunks
from neuronedit.adapters.files.dataset import FOOTER_READERS, EventFile
from neuronedit.adapters.files.parquet import check_storage, open_parquet
from neuronedit.adapters.files.storage import LONGEST_NAME, first_line
from neuronedit.errors import DataError

EVENTS_PER_BLOCK = 131_072
"""Events that are in memory at once: 20 MB of 40 markers."""

WHOLE_BYTES = 64 * 1024**2
"""Row groups up to this size are fetched whole, in few large requests; larger ones column by column through buffers."""

BUFFER_BYTES = 2 * 1024**2
"""The read buffer of each column of a large row group."""


class Block(NamedTuple):
    """Consecutive events of one row group.

    Attributes:
        row_group: Its number in the file.
        first_row: The number of the first event in the file.
        table: The columns that were asked for.
    """

    row_group: int
    first_row: int
    table: pa.Table


class RowGroup(NamedTuple):
    """A row group's place in its file.

    Attributes:
        number: Counted from 0.
        first_row: The number of its first event in the file.
        n_events: Number of events.
        first_byte: Where its columns begin.
        n_bytes: Size on storage.
    """

    number: int
    first_row: int
    n_events: int
    first_byte: int
    n_bytes: int


def row_groups(metadata: pq.FileMetaData) -> list[RowGroup]:
    """A file's row groups, from its footer."""
    found, first_row = [], 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = [group.column(column) for column in range(group.num_columns)]
        first_byte = min((_first_byte(column) for column in columns), default=0)
        n_bytes = sum(column.total_compressed_size for column in columns)
        found.append(RowGroup(number, first_row, group.num_rows, first_byte, n_bytes))
        first_row += group.num_rows
    return found


def _checked_groups(parquet: pq.ParquetFile, file: EventFile) -> list[RowGroup]:
    try:
        check_chunks(parquet)
    except Exception as error:
        raise DataError(
            f"{file.path}: the footer is damaged ({first_line(error)}). Write the file again, or move it away; with "
            "on_error = quarantine, transform does without it."
        ) from error
    return row_groups(parquet.metadata)


class FileReader:
    """Reads row groups of one file.

    Left to itself, Arrow keeps all that it has fetched of a file until the file is closed: 5 GB for a file of 5 GB.
    """

    def __init__(self, filesystem: fs.FileSystem, file: EventFile) -> None:
        self.filesystem = filesystem
        self.file = file
        self.parquet = open_parquet(filesystem, file.path)
        self.row_groups = _checked_groups(self.parquet, file)

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
            columns: The columns to read; None for all.
            n_events: Largest number of events in a block; None for ``EVENTS_PER_BLOCK``.

        Raises:
            DataError: The row group is damaged.
            StorageError: The storage does not hand out the row group's bytes.
        """
        first_row = group.first_row
        try:
            parquet = self.parquet if group.n_bytes <= WHOLE_BYTES else self._buffered()
            batches = parquet.iter_batches(
                n_events or EVENTS_PER_BLOCK, row_groups=[group.number], columns=columns, use_threads=False
            )
            for batch in batches:
                batch.validate(full=True)  # texts that are none, and indices beyond a dictionary
                yield Block(group.number, first_row, pa.Table.from_batches([batch]))
                first_row += batch.num_rows
        except Exception as error:  # of a damaged page: UnicodeDecodeError, SystemError, …
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
            start, n_bytes = _first_byte(column), column.total_compressed_size
            if 0 <= start <= self.file.n_bytes - n_bytes:
                yield start, n_bytes


def _first_byte(column: pq.ColumnChunkMetaData) -> int:
    return column.dictionary_page_offset or column.data_page_offset


def read_through(filesystem: fs.FileSystem, path: str) -> None:
    """Read all of a file, block by block, for the faults that this brings out.

    Raises:
        DataError: It is damaged.
        StorageError: The storage does not hand out its bytes.
    """
    with FileReader(filesystem, EventFile(path, path, 0, 0)) as reader:
        for group in reader.row_groups:
            for _ in reader.blocks(group):
                pass


@dataclass(frozen=True)
class FilePart:
    """Consecutive row groups of an input file that become one output file.

    Attributes:
        file: The input.
        output: The output's name, relative to the output folder: the input's own where it is not divided.
        first_group: The first row group.
        stop_group: The one after the last; None for all to the end of the file.
        n_events: Number of events in these row groups.
        first_byte: Where the part begins in the file; 0 for the first.
        stop_byte: Where the next part begins; the file's end for the last.
    """

    file: EventFile
    output: str
    first_group: int
    stop_group: int | None
    n_events: int
    first_byte: int
    stop_byte: int

    @classmethod
    def whole(cls, file: EventFile) -> "FilePart":
        """A file as a single part."""
        return cls(file, file.name, 0, None, file.n_events, 0, file.n_bytes)


def file_parts(files: Sequence[EventFile], filesystem: fs.FileSystem, max_bytes: int) -> list[FilePart]:
    """Split files into parts, in order; files of more than ``max_bytes`` are divided where row groups end.

    A part is as near ``max_bytes`` as its row groups allow, so that one huge file is work for many workers and no
    output is larger than what an object store copies in one go.

    Raises:
        DataError: Two parts would have the same output name, or a part's would be too long.
    """
    parts = split_into_parts(files, filesystem, max_bytes)
    for part in parts:
        n_bytes = len(os.fsencode(part.output.rpartition("/")[2]))
        if part.output != part.file.name and n_bytes > LONGEST_NAME:
            raise DataError(
                f"{part.file.path}: the name of a part of this large file would have {n_bytes} bytes; expected at most "
                f"{LONGEST_NAME}. Shorten the file's name."
            )
    names = [part.output for part in parts]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{twice}: a part of a large file would have the name of another file. Rename that one.")
    return parts


def split_into_parts(files: Sequence[EventFile], filesystem: fs.FileSystem, max_bytes: int) -> list[FilePart]:
    """Split files into parts for reading; that output names are unique is not checked."""
    with ThreadPoolExecutor(FOOTER_READERS) as pool:
        return [
            part for of_file in pool.map(lambda file: _parts(file, filesystem, max_bytes), files) for part in of_file
        ]


def _parts(file: EventFile, filesystem: fs.FileSystem, max_bytes: int) -> list[FilePart]:
    if file.n_bytes <= max_bytes:
        return [FilePart.whole(file)]
    try:
        with open_parquet(filesystem, file.path) as parquet:
            runs = list(_runs(_checked_groups(parquet, file), max_bytes))
    except DataError:  # told, or left out, by the worker that reads it
        return [FilePart.whole(file)]
    if len(runs) == 1:
        return [FilePart.whole(file)]
    stem, extension = splitext(file.name)
    bounds = [0, *(run[0].first_byte for run in runs[1:]), file.n_bytes]
    return [
        FilePart(
            file,
            f"{stem}-{number:05}-of-{len(runs):05}{extension}",
            run[0].number,
            run[-1].number + 1,
            sum(group.n_events for group in run),
            *span,
        )
        for number, (run, span) in enumerate(zip(runs, pairwise(bounds), strict=True), 1)
    ]


def _runs(groups: Sequence[RowGroup], max_bytes: int) -> Iterator[list[RowGroup]]:
    """Consecutive row groups of up to ``max_bytes`` together; a larger one stands alone."""
    run: list[RowGroup] = []
    for group in groups:
        if run and sum(member.n_bytes for member in run) + group.n_bytes > max_bytes:
            yield run
            run = []
        run.append(group)
    if run:
        yield run
