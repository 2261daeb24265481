"""An h5ad file made of Parquet: X in blocks of events, other columns as obs; memory does not grow with the events.

Written with h5py, so that anndata, which asks for other versions of pandas, need not be installed beside the jobs.

Source: anndata's specification, https://anndata.readthedocs.io/en/stable/fileformat-prose.html.
"""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import chain, count
from pathlib import Path
from shutil import copyfileobj
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from neuronedit.adapters.fcs.writing import Events, Sink
from neuronedit.cells.names import no_markers
from neuronedit.errors import DataError

H5AD = ".h5ad"

OBS_NAMES = "obs_names"
"""The column of Parquet with the names of events, which becomes the index."""

READ_BYTES = 16 * 1024**2

INDEX = "_index"
"""The name of the index of a data frame, as of the attribute that says so."""

ROWS_PER_CHUNK = 16_384
"""Events in each of the blocks in which HDF5 stores a column or the matrix."""

FEW = 100
"""Of so many events on, a text column of which more than half are different is no category."""


@dataclass(frozen=True)
class Variables:
    """What becomes of the columns of a dataset.

    Attributes:
        names: The columns that X has, in order.
        others: Those that obs has.
        channels: The detector of each variable that has one, by variable.
        wide: Whether X is float64, as one of its columns is.
        uns: What stands beside the events.
    """

    names: tuple[str, ...]
    others: tuple[str, ...]
    channels: Mapping[str, str]
    wide: bool
    uns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def h5py_module(what: str) -> Any:
    """Import h5py, which the extra ``anndata`` installs.

    Args:
        what: What it is needed for.

    Raises:
        DataError: It is not installed.
    """
    try:
        return import_module("h5py")
    except ModuleNotFoundError as error:
        raise DataError(
            f"{what} needs h5py; it is not installed. Install it: pip install 'neuronedit[anndata]'."
        ) from error


def write_h5ad(sink: Sink, variables: Variables, n_events: int, events: Iterable[Events]) -> None:
    """Write an h5ad file: to a file of this machine first, since HDF5 goes back to what it wrote.

    Args:
        sink: The file, empty.
        variables: Its columns.
        n_events: The number of all events, at least one.
        events: The events, with all columns that their file has.

    Raises:
        DataError: There are more or fewer events.
    """
    h5py = h5py_module("An h5ad file")
    with tempfile.TemporaryDirectory(prefix="neuronedit-") as folder:
        path = Path(folder) / "events.h5ad"
        with h5py.File(path, "w") as file:
            _encoded(file, "anndata", "0.1.0")
            for name in ("layers", "obsm", "obsp", "varm", "varp", "uns"):
                _encoded(file.create_group(name), "dict", "0.1.0")
            _write_events(file, variables, n_events, events)
            _write_variables(file, variables)
            for name, texts in variables.uns.items():
                group = _encoded(file["uns"].create_group(name), "dict", "0.1.0")
                for key, text in texts.items():
                    _encoded(group.create_dataset(key, data=_text(text), dtype=h5py.string_dtype()), "string", "0.2.0")
        with path.open("rb") as written:
            copyfileobj(written, sink, READ_BYTES)


def _write_events(file: Any, variables: Variables, n_events: int, events: Iterable[Events]) -> None:
    """Write X and obs."""
    shape, kind = (n_events, len(variables.names)), np.float64 if variables.wide else np.float32
    matrix = file.create_dataset("X", shape, kind, chunks=(min(n_events, ROWS_PER_CHUNK), shape[1]))
    _encoded(matrix, "array", "0.2.0")
    obs = _encoded(file.create_group("obs"), "dataframe", "0.2.0")
    index = _Column(obs, INDEX, INDEX, n_events)
    columns: list[_Column] = []
    for name in variables.others:
        if name != OBS_NAMES:
            taken = [INDEX, *(column.name for column in columns)]
            columns.append(_Column(obs, name, _stored_name(name, taken), n_events))
    first, last = 0, "no file"
    for part in events:
        table, rows = part.table, slice(first, first + part.table.num_rows)
        if rows.stop > n_events:
            break
        if part.table.num_rows:
            matrix[rows] = np.column_stack([table.column(name).to_numpy().astype(kind) for name in variables.names])
            for column in columns:
                column.write(rows, _values(table, column.source))
            numbers = pd.Series(np.arange(rows.start, rows.stop).astype(str))
            index.write(rows, _values(table, OBS_NAMES) if OBS_NAMES in table.column_names else numbers)
        first, last = rows.stop, part.file
    if first != n_events:
        raise DataError(
            f"{last}: expected {n_events} events, as counted before; found others. Let nothing write to the input "
            "while it is read, and run again."
        )
    for column in (*columns, index):
        column.finish()
    obs.attrs[INDEX] = INDEX
    obs.attrs.create("column-order", [column.name for column in columns], dtype=h5py_module("obs").string_dtype())


def _write_variables(file: Any, variables: Variables) -> None:
    var, names = _encoded(file.create_group("var"), "dataframe", "0.2.0"), list(variables.names)
    texts = {INDEX: names, "marker": names, "channel": [variables.channels.get(name, name) for name in names]}
    string = h5py_module("var").string_dtype()
    for key, values in texts.items():
        _encoded(var.create_dataset(key, data=values, dtype=string), "string-array", "0.2.0")
    markers = [not no_markers([name]) for name in names]
    _encoded(var.create_dataset("is_marker", data=np.array(markers)), "array", "0.2.0")
    var.attrs[INDEX] = INDEX
    var.attrs.create("column-order", ["channel", "marker", "is_marker"], dtype=string)


def _stored_name(name: str, taken: Sequence[str]) -> str:
    """A column's name in HDF5, to which a slash is a folder, other than those that are taken."""
    plain = name.replace("/", "_").replace("\0", "_").strip(".") or "column"
    numbered = (f"{plain}_{number}" for number in count(2))
    return next(found for found in chain([plain], numbered) if found not in taken)


def _encoded(element: Any, kind: str, version: str) -> Any:
    element.attrs["encoding-type"], element.attrs["encoding-version"] = kind, version
    return element


def _values(table: pa.Table, name: str) -> pd.Series:
    """A column's values: numbers, or texts; of a column that a file lacks none."""
    if name not in table.column_names:
        return pd.Series(np.full(table.num_rows, None), dtype=object)
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_boolean(column.type) and column.null_count:
        column = column.cast(pa.int8())
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return column.to_pandas()
    try:
        return column.cast(pa.string()).to_pandas().astype(object)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # bytes that are no text, and the like
        return pd.Series([None if value is None else str(value) for value in column.to_pylist()], dtype=object)


def _text(value: object) -> str:
    """A text as HDF5 can hold it: without the character that ends one."""
    return (
        ""
        if value is None or value is pd.NA or value != value
        else str(value).replace("\0", "\N{REPLACEMENT CHARACTER}")
    )


class _Column:
    """A column of obs: numbers as they are, null as NaN; texts as categories, or one by one where most differ."""

    def __init__(self, obs: Any, source: str, name: str, n_events: int) -> None:
        self.obs = obs
        self.source = source
        self.name = name
        self.n_events = n_events
        self._codes: dict[str, int] | None = None
        self._data: Any = None

    def write(self, rows: slice, values: pd.Series) -> None:
        """Write the values of some rows."""
        if self._data is None:
            self._begin(values)
        if self._codes is not None:
            found, texts = pd.factorize(values)
            numbers = [self._codes.setdefault(_text(text), len(self._codes)) for text in texts]
            codes = np.array([*numbers, -1], np.int32)
            self._data[rows] = codes[found]  # what has no value is -1
        elif values.dtype == object:
            self._data[rows] = [*map(_text, values)]
        else:
            if values.dtype.kind == "f" and self._data.dtype.kind in "iub":
                self._widen(values.dtype)
            self._data[rows] = values.to_numpy()

    def finish(self) -> None:
        """Write what all rows tell together."""
        if self._codes is not None:
            texts = h5py_module("obs").string_dtype()
            categories = self._data.parent.create_dataset("categories", data=list(self._codes), dtype=texts)
            _encoded(categories, "string-array", "0.2.0")

    def _begin(self, values: pd.Series) -> None:
        if values.dtype != object:
            self._data = _encoded(self._dataset(self.obs, self.name, values.dtype), "array", "0.2.0")
        elif self.name == INDEX or (len(values) >= FEW and values.nunique() > len(values) / 2):
            texts = h5py_module("obs").string_dtype()
            self._data = _encoded(self._dataset(self.obs, self.name, texts), "string-array", "0.2.0")
        else:
            group = _encoded(self.obs.create_group(self.name), "categorical", "0.2.0")
            group.attrs["ordered"] = False
            self._codes, self._data = {}, _encoded(self._dataset(group, "codes", np.int32), "array", "0.2.0")

    def _widen(self, kind: Any) -> None:
        """Make room for what whole numbers cannot be: NaN, where a value is missing."""
        before, self._data = (
            self._data,
            _encoded(self._dataset(self.obs, f"{INDEX} {self.name}", kind), "array", "0.2.0"),
        )
        for first in range(0, self.n_events, ROWS_PER_CHUNK):
            self._data[first : first + ROWS_PER_CHUNK] = before[first : first + ROWS_PER_CHUNK]
        del self.obs[self.name]
        self.obs.move(f"{INDEX} {self.name}", self.name)

    def _dataset(self, group: Any, name: str, kind: Any) -> Any:
        return group.create_dataset(name, (self.n_events,), kind, chunks=(min(self.n_events, ROWS_PER_CHUNK),))
