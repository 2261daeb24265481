"""Events in Parquet: listing a dataset, reading markers with every check, putting edited markers back."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs
from pydantic import Field

from neuronedit.adapters.files.damage import check_footer
from neuronedit.adapters.files.storage import Location, first_line, locate, storage_errors
from neuronedit.arrays import Floats, Masks
from neuronedit.cells.events import MAX_INTENSITY, check_finite
from neuronedit.cells.panel import Panel
from neuronedit.cells.selection import Where
from neuronedit.config import Config
from neuronedit.errors import DataError, masked

FOOTER_READERS = 16

FOOTER_BYTES = 65_536
"""At the end of a file; most footers are shorter."""

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


class DataConfig(Config):
    """The events."""

    path: str = Field(description="a Parquet file, a folder of them, or a URI (s3://…, gs://…)")


class EventsConfig(Config):
    """Events to compare: a dataset, and which of its events."""

    path: str = Field(description="a Parquet file, a folder of them, or a URI (s3://…, gs://…)")
    where: Where = Field(
        {}, description='only events with these column values, e.g. {batch_id = "day2"}; by default all'
    )


@dataclass(frozen=True)
class EventFile:
    """One Parquet file of a dataset.

    Attributes:
        path: Its path on its file system.
        name: Relative to the dataset's folder.
        n_events: Rows, from the file's footer.
        n_bytes: Size on storage.
        partition: Columns that stand in the folders' names (``batch_id=B7/``).
    """

    path: str
    name: str
    n_events: int
    n_bytes: int
    partition: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class EventDataset:
    """A Parquet dataset: its files, in the order of their names.

    Attributes:
        uri: As the user gave it, with credentials masked.
        root: The folder or file.
        files: Those that can be read.
        unreadable: By name, why a file cannot be; only where such files were to be passed over.
    """

    uri: str
    root: Location
    files: tuple[EventFile, ...]
    unreadable: Mapping[str, str] = field(default_factory=dict)

    @property
    def filesystem(self) -> fs.FileSystem:
        """The file system of the files."""
        return self.root.filesystem

    @property
    def n_events(self) -> int:
        """All rows of all files."""
        return sum(file.n_events for file in self.files)

    def facts(self) -> dict[str, Any]:
        """Describe the dataset, as JSON has it, for a model's facts."""
        return {"uri": self.uri, "files": len(self.files), "events": self.n_events, "sha256": self.digest()}

    def digest(self) -> str:
        """SHA-256 over the files' names, rows and sizes (not their content)."""
        listing = [(file.name, file.n_events, file.n_bytes) for file in self.files]
        return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def list_dataset(uri: str, setting: str = "data.path", *, pass_over: bool = False) -> EventDataset:
    """List a Parquet file, or all Parquet files below a folder; names that start with ``_`` or ``.`` are skipped.

    Args:
        uri: The path or URI of the dataset.
        setting: The key that a user gave it by, for messages.
        pass_over: List a file that cannot be read as ``unreadable``, in the place of an error.

    Raises:
        StorageError: The storage does not answer.
        DataError: Nothing is there, a file is not Parquet or damaged, or there are no events at all.
    """
    root, uri = locate(uri), masked(uri)
    if root.kind == fs.FileType.NotFound:
        raise DataError(f"{uri}: not found. Expected a Parquet file or a folder of Parquet files; check {setting}.")
    if root.kind == fs.FileType.File:
        infos, start = [root.filesystem.get_file_info(root.path)], root.path.rfind("/") + 1
    else:
        infos, start = root.files(), len(root.path.rstrip("/")) + 1
    named = [(info, info.path[start:]) for info in infos]
    visible = [(info, name) for info, name in named if not any(part[0] in "._" for part in name.split("/"))]
    with ThreadPoolExecutor(FOOTER_READERS) as pool:
        found = list(pool.map(lambda entry: _described(root.filesystem, *entry, pass_over=pass_over), visible))
    files = tuple(file for file in found if isinstance(file, EventFile))
    unreadable = {name: file for (_, name), file in zip(visible, found, strict=True) if isinstance(file, str)}
    dataset = EventDataset(uri, root, files, unreadable)
    if not dataset.n_events:
        raise DataError(f"{uri}: no events in {len(files)} Parquet files. Check {setting}.")
    return dataset


def open_parquet(filesystem: fs.FileSystem, path: str) -> pq.ParquetFile:
    """Open a Parquet file.

    Raises:
        DataError: The file is not there, empty, truncated or not Parquet.
        StorageError: The storage does not hand out its bytes.
    """
    size = _size(filesystem, path)
    if size == 0:
        raise DataError(f"{path}: the file is empty (0 bytes); expected Parquet. Remove it, or write it again.")
    try:
        parquet = pq.ParquetFile(path, filesystem=filesystem)
        check_footer(parquet)
        return parquet
    except Exception as error:  # of a damaged footer: UnicodeDecodeError, SystemError, …
        check_storage(filesystem, path, [(max(size - FOOTER_BYTES, 0), min(size, FOOTER_BYTES))])
        raise DataError(
            f"{path}: not a Parquet file, or truncated ({first_line(error)}). Write it again, or move it away."
        ) from error


def check_storage(filesystem: fs.FileSystem, path: str, ranges: Iterable[tuple[int, int]]) -> None:
    """Check that a storage hands out bytes: a failing storage and a damaged file raise the same errors in Arrow.

    Args:
        filesystem: The storage.
        path: The file.
        ranges: The start and the number of bytes of each range.

    Raises:
        StorageError: It does not.
    """
    with storage_errors(path), filesystem.open_input_file(path) as stream:
        for start, n_bytes in ranges:
            stream.read_at(n_bytes, start)


def _size(filesystem: fs.FileSystem, path: str) -> int:
    size = Location(filesystem, path).size
    if size is None:
        raise DataError(f"{path}: not there any more. Restore the file, or start anew without it.")
    return size


def check_markers(schema: pa.Schema, panel: Panel, where: str) -> None:
    """Check that every marker is there, once, as a number.

    Raises:
        PanelError: A marker is missing, or a column name stands twice.
        DataError: A marker is not a number.
    """
    panel.check_columns(schema.names, where)
    for marker in panel.markers:
        found = schema.field(marker).type
        if not (pa.types.is_floating(found) or pa.types.is_integer(found)):
            raise DataError(
                f"{where}: marker {marker!r} has type {found}; expected numbers (float or integer). "
                "Convert the column, or exclude the marker."
            )


def marker_matrix(table: pa.Table, panel: Panel, where: str, first_row: int = 0) -> Floats:
    """The markers in the panel's order: (n_events, n_markers), float32, or float64 where a column needs it.

    Raises:
        DataError: A marker has nulls, NaN or infinities.
    """
    for marker in panel.markers:
        if n_nulls := table.column(marker).null_count:
            row = first_row + int(np.argmax(table.column(marker).is_null().to_numpy()))
            raise DataError(
                f"{where}: marker {marker!r} has no value (null) in row {row} ({n_nulls} such events among "
                f"{table.num_rows}); expected an intensity. Drop these events, or exclude the marker."
            )
    wide = any(edited_type(table.schema.field(marker).type) == pa.float64() for marker in panel.markers)
    matrix: Floats = np.empty((table.num_rows, panel.n_markers), dtype=np.float64 if wide else np.float32)
    for index, marker in enumerate(panel.markers):
        matrix[:, index] = table.column(marker).to_numpy()
    check_finite(matrix, panel.markers, where, first_row)
    return matrix


def finite_events(table: pa.Table, panel: Panel) -> Masks:
    """Mask the events that have a finite float32 number for every marker: (n_events,) bool."""
    finite = np.ones(table.num_rows, dtype=bool)
    for marker in panel.markers:
        finite &= np.abs(table.column(marker).to_numpy()) <= MAX_INTENSITY  # False for NaN, which a null becomes, too
    return finite


def edited_type(found: pa.DataType) -> pa.DataType:
    """The type that a marker's column is written with: float64 stays, and takes in integers; all else is float32."""
    return pa.float64() if found == pa.float64() or pa.types.is_integer(found) else pa.float32()


def edited_schema(schema: pa.Schema, panel: Panel) -> pa.Schema:
    """The schema of the output: as the input's, its metadata too, with markers as floating-point numbers."""
    for marker in panel.markers:
        index = schema.get_field_index(marker)
        schema = schema.set(index, schema.field(index).with_type(edited_type(schema.field(index).type)))
    return schema


def replace_markers(table: pa.Table, panel: Panel, intensities: Floats) -> pa.Table:
    """The table with its markers' values replaced; every other column is handed on as it is."""
    schema = edited_schema(table.schema, panel)
    columns = dict(zip(panel.markers, intensities.T, strict=True))
    arrays = [
        pa.array(columns[field.name], type=field.type) if field.name in columns else table.column(field.name)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _described(filesystem: fs.FileSystem, info: fs.FileInfo, name: str, *, pass_over: bool) -> EventFile | str:
    try:
        return _describe(filesystem, info, name)
    except DataError as error:
        if not pass_over:
            raise
        return str(error)


def _describe(filesystem: fs.FileSystem, info: fs.FileInfo, name: str) -> EventFile:
    if not name.endswith((".parquet", ".pq")):
        raise DataError(
            f"{info.path}: not a Parquet file by its name; expected only .parquet files in the folder. "
            "Move it away, or give its name a leading underscore."
        )
    with open_parquet(filesystem, info.path) as parquet:
        n_events = parquet.metadata.num_rows
    # Arrow, Spark and Hive percent-encode what a folder's name cannot hold.
    pairs = [part.split("=", 1) for part in name.split("/")[:-1] if "=" in part]
    partition = {unquote(column): None if value == HIVE_NULL else unquote(value) for column, value in pairs}
    return EventFile(info.path, name, n_events, info.size, partition)
