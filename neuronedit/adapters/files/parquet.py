"""Events in Parquet: opening files, reading markers with every check, putting edited markers back."""

from collections.abc import Collection, Iterable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from neuronedit.adapters.files.damage import check_footer
from neuronedit.adapters.files.storage import Location, first_line, storage_errors
from neuronedit.arrays import Floats, Masks
from neuronedit.cells.events import MAX_INTENSITY, check_finite
from neuronedit.cells.panel import Panel
from neuronedit.errors import DataError

FOOTER_BYTES = 65_536
"""At the end of a file; most footers are shorter."""


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


def check_markers(schema: pa.Schema, panel: Panel, where: str, *, empty: bool = False) -> None:
    """Check that every marker is there, once, as a number; in a file without rows columns may be without a type.

    Raises:
        PanelError: A marker is missing, or a column name stands twice.
        DataError: A marker is not a number.
    """
    panel.check_columns(schema.names, where)
    for marker in panel.markers:
        found = schema.field(marker).type
        untyped = empty and (pa.types.is_null(found) or pa.types.is_string(found) or pa.types.is_large_string(found))
        if not (pa.types.is_floating(found) or pa.types.is_integer(found) or untyped):
            raise DataError(
                f"{where}: marker {marker!r} has type {found}; expected numbers (float or integer). "
                "Convert the column, or exclude the marker."
            )


def marker_matrix(table: pa.Table, panel: Panel, where: str, first_row: int = 0) -> Floats:
    """The markers in the panel's order: (n_events, n_markers), float32, or float64 where a column needs it.

    A marker's values lie beside each other, as in the table: a matrix of rows costs more to fill than its edit.

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
    matrix: Floats = np.empty((table.num_rows, panel.n_markers), np.float64 if wide else np.float32, order="F")
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


def edited_schema(schema: pa.Schema, panel: Panel, unmoved: Collection[str] = ()) -> pa.Schema:
    """The schema of the output: as the input's, its metadata too, with markers as floating-point numbers.

    Args:
        schema: The input's.
        panel: The markers.
        unmoved: Markers that no edit moves: they keep their type.
    """
    for marker in (marker for marker in panel.markers if marker not in unmoved):
        index = schema.get_field_index(marker)
        schema = schema.set(index, schema.field(index).with_type(edited_type(schema.field(index).type)))
    return schema


def replace_markers(table: pa.Table, panel: Panel, intensities: Floats, unmoved: Collection[str] = ()) -> pa.Table:
    """The table with its markers' values replaced, but for those not moved; other columns are handed on as they are."""
    schema = edited_schema(table.schema, panel, unmoved)
    edited = zip(panel.markers, intensities.T, strict=True)
    columns = {marker: values for marker, values in edited if marker not in unmoved}
    arrays = [
        pa.array(columns[field.name], type=field.type) if field.name in columns else table.column(field.name)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
