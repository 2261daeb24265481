"""Columns beside the markers: they tell an event's population, its sample, its cell type."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from neuronedit.adapters.files.dataset import EventFile
from neuronedit.arrays import Int64s, Masks, Texts
from neuronedit.cells.arms import ArmChoice
from neuronedit.cells.design import Design
from neuronedit.cells.selection import EventChoice
from neuronedit.errors import DataError

Chooser = Design | EventChoice | ArmChoice
"""A design or choice that gives each event its population."""

UNLABELLED = "unlabelled"
"""The cell type of events whose column has no value: a kind of its own."""


def choice_columns(table: pa.Table, file: EventFile, columns: Sequence[str]) -> pd.DataFrame:
    """The columns that choose events, taken from the file or from its folders' names."""
    return pd.DataFrame(
        {
            name: _choices(table.column(name)) if name in table.column_names else file.partition[name]
            for name in columns
        },
        index=range(table.num_rows),
    )


def assigned(design: Chooser, table: pa.Table, file: EventFile) -> Iterator[tuple[str, Masks]]:
    """Yield each population that has events in a table of a file's events, with their mask, (n_events,) bool.

    The design is asked once for each combination of column values: they are few, and texts are slow to compare.

    Raises:
        DataError: An event cannot be assigned.
    """
    stored = [name for name in design.columns if name in table.column_names]
    first_rows, combination = distinct_values([table.column(name) for name in stored], table.num_rows)
    try:
        populations = design.assign(choice_columns(table.take(first_rows), file, design.columns), file.path)
    except DataError:
        design.assign(choice_columns(table, file, design.columns), file.path)  # the same, with the number of events
        raise
    for population in sorted(set(populations) - {""}):
        yield population, (populations == population)[combination]


def distinct_values(columns: Sequence[pa.ChunkedArray], n_rows: int) -> tuple[Int64s, Int64s]:
    """The first row of each combination of values, and each row's combination: (n_combinations,) and (n_rows,)."""
    first_rows, combination = np.zeros(min(n_rows, 1), np.int64), np.zeros(n_rows, np.int64)
    for column in columns:
        encoded = column.combine_chunks().dictionary_encode()
        if len(encoded.dictionary) == 1 and not encoded.null_count:
            continue  # as in a file of one sample
        codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy().astype(np.int64)
        both = combination * (len(encoded.dictionary) + 1) + codes
        _, first_rows, combination = np.unique(both, return_index=True, return_inverse=True)
    return first_rows, combination


def counted_values(table: pa.Table, file: EventFile, column: str) -> Iterator[tuple[str, int]]:
    """Yield the values of a column, in the table or in the file's folders' names, with their numbers of events."""
    stored = [table.column(column)] if column in table.column_names else []
    first_rows, combination = distinct_values(stored, table.num_rows)
    values = choice_columns(table.take(first_rows), file, [column])[column]
    for value, n_events in zip(values, np.bincount(combination, minlength=len(values)).tolist(), strict=True):
        if pd.notna(value) and str(value):
            yield str(value), n_events


def text_column(table: pa.Table, file: EventFile, column: str | None, missing: str) -> Texts:
    """A column's values as texts, (n_events,).

    Args:
        table: The events.
        file: The file of these events.
        column: In the table or in the file's folders' names; None where there is no such column.
        missing: The text of events without a value.
    """
    if column is None:
        return np.full(table.num_rows, missing, dtype=object)
    stored = [table.column(column)] if column in table.column_names else []
    first_rows, combination = distinct_values(stored, table.num_rows)
    values = choice_columns(table.take(first_rows), file, [column])[column]
    found: Texts = np.where(values.notna(), values.astype(str), missing).astype(object)
    return found[combination]


def _choices(column: pa.ChunkedArray) -> pd.Series:
    # With nulls among them pandas would make 3 a 3.0, which is another batch than the 3 of the next file.
    encoded = column.type.value_type if pa.types.is_dictionary(column.type) else None
    if encoded is not None and (pa.types.is_integer(encoded) or pa.types.is_floating(encoded)):
        column = column.cast(encoded)
    values = column.to_pandas(integer_object_nulls=True)
    if not pd.api.types.is_float_dtype(values):
        return values
    # Where it was pandas that wrote the file, it has done so already: 3.0 is the 3 of the next file.
    whole = (values == np.floor(values)).to_numpy() & (values.abs() < 2**53).to_numpy()
    names = pd.Series(list(values.to_numpy()), dtype=object)  # keeps 0.1 of float32 a 0.1
    names[whole] = values[whole].astype(np.int64).astype(object).to_numpy()
    return names
