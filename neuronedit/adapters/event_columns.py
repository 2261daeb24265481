"""What the columns beside the markers say of an event: its population, its sample, its cell type."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from neuronedit.adapters.parquet import EventFile, choice_columns
from neuronedit.arms import ArmChoice
from neuronedit.design import Choice, Design
from neuronedit.draw import Texts
from neuronedit.errors import DataError

Chooser = Design | Choice | ArmChoice
"""What gives each event its population."""

UNLABELLED = "unlabelled"
"""The cell type of events whose column has no value: a kind of its own."""


def assigned(design: Chooser, table: pa.Table, file: EventFile) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Each population that has events in a table of a file's events, and which these are: (n_events,) bool.

    The design is asked once for each combination of column values: they are few, and texts are slow to compare.

    Raises:
        DataError: An event cannot be assigned.
    """
    stored = [name for name in design.columns if name in table.column_names]
    first_rows, combination = combinations([table.column(name) for name in stored], table.num_rows)
    try:
        populations = design.assign(choice_columns(table.take(first_rows), file, design.columns), file.path)
    except DataError:
        design.assign(choice_columns(table, file, design.columns), file.path)  # the same, with the number of events
        raise
    for population in sorted(set(populations) - {""}):
        yield population, (populations == population)[combination]


def combinations(
    columns: Sequence[pa.ChunkedArray], n_rows: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
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


def texts(table: pa.Table, file: EventFile, column: str | None, missing: str) -> Texts:
    """A column's values as texts, (n_events,).

    Args:
        table: The events.
        file: Where they are from.
        column: In the table or in the file's folders' names; None where there is no such column.
        missing: The text of events without a value.
    """
    if column is None:
        return np.full(table.num_rows, missing, dtype=object)
    stored = [table.column(column)] if column in table.column_names else []
    first_rows, combination = combinations(stored, table.num_rows)
    values = choice_columns(table.take(first_rows), file, [column])[column]
    found: Texts = np.where(values.notna(), values.astype(str), missing).astype(object)
    return found[combination]
