"""Edits of tables in memory, of any library that speaks Arrow: pyarrow, pandas, polars, what DuckDB answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from neuronedit.adapters.transform.event_editor import FLAG_COLUMN, SUPPORT_COLUMN, EventEditor, TransformRules
from neuronedit.cells.selection import Where
from neuronedit.errors import DataError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.route import Route, UnknownBatch


def edit_table(
    table: Any,
    model: EditModel | str | Path,
    *,
    edits: str | Sequence[str] = (),
    strength: float = 1.0,
    where: Where | None = None,
    unknown_batch: UnknownBatch = "error",
    support: bool = False,
) -> Any:
    """Edit the markers of a table in memory; every other column is handed on as it is.

    What the job ``transform`` does to files, bit for bit.

    Args:
        table: A table of pyarrow, a data frame of pandas or polars, or any other with Arrow's stream interface
            (``__arrow_c_stream__``), such as what DuckDB answers. Columns are markers with raw intensities and, where
            the model's design has one, the batch column; further ones may stand beside.
        model: The model, or the folder that it is in.
        edits: Applied one after another to every event, in place of its batch's own.
        strength: The share of the change that is made.
        where: Column values of the events to edit; by default all are. A column ``neuronedit`` then says which were.
        unknown_batch: ``error``, or ``pass`` to leave events of batches without an edit as they are, and say so.
        support: Add the column ``neuronedit_support``: above 1, the source had nothing like the event.

    Returns:
        The same kind of table; a table of pyarrow for what is neither pandas nor polars.

    Raises:
        PanelError: A marker is missing, or a column name stands twice.
        DataError: It is no table, a column that chooses events is missing, one stands there already that is to be
            added, or an intensity is not a finite number.
        ModelError: A batch or an edit is unknown, or there is no model in the folder.

    Example:
        >>> from neuronedit import edit_table
        >>> from neuronedit.model.example import MARKERS, example_batches, example_cells
        >>> frame = pd.DataFrame(example_cells(), columns=MARKERS).assign(batch_id="day1", well="A01")
        >>> edited = edit_table(frame, example_batches())
        >>> list(edited.columns), bool((edited["pSTAT1"] != frame["pSTAT1"]).all())
        (['CD3', 'CD4', 'pSTAT1', 'batch_id', 'well'], True)
    """
    names = (edits,) if isinstance(edits, str) else tuple(edits)
    route = Route(names, unknown_batch, strength, support)
    editor = EventEditor(model, TransformRules(where=where or {}, route=route))
    if isinstance(table, pd.DataFrame):
        return _edit_frame(table, editor)
    if not hasattr(table, "__arrow_c_stream__"):
        raise DataError(
            f"The table is a {type(table).__name__}; expected a table of pyarrow, a data frame of pandas or polars, or "
            "another with Arrow's stream interface. Make one of it: pandas.DataFrame(...), or .collect() of a query."
        )
    edited = editor(pa.table(table))
    return type(table)(edited) if type(table).__module__.partition(".")[0] == "polars" else edited


def _edit_frame(frame: pd.DataFrame, editor: EventEditor) -> pd.DataFrame:
    """Edit a data frame by the columns that matter: index and types of all others are kept as they are."""
    markers = editor.model.panel.markers
    editor.model.panel.check_columns([name for name in frame.columns if isinstance(name, str)], "The data frame")
    others = (*editor.choice_names, FLAG_COLUMN, SUPPORT_COLUMN)  # a column of the editor's own names is refused by it
    needed = dict.fromkeys([*markers, *(name for name in others if name in frame.columns)])
    edited = editor(pa.Table.from_pandas(frame[list(needed)], preserve_index=False))
    changed = [name for name in edited.column_names if name in markers or name not in needed]
    columns = edited.select(changed).to_pandas().set_axis(frame.index, axis=0)
    return frame.assign(**{name: columns[name] for name in changed})
