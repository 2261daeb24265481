"""Applies a model to Arrow tables of events."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from neuronedit.adapters.files.columns import choice_columns
from neuronedit.adapters.files.dataset import EventFile
from neuronedit.adapters.files.parquet import check_markers, edited_schema, marker_matrix, replace_markers
from neuronedit.arrays import Float32s, Floats, Masks, Texts
from neuronedit.cells.events import edited_error
from neuronedit.cells.selection import Where, check_design_columns, select
from neuronedit.edits.students.student import Server
from neuronedit.errors import DataError, EditedError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.route import (
    BATCHES_OWN,
    EDITED,
    NO_EFFECT,
    NOT_CHOSEN,
    REFERENCE,
    UNKNOWN,
    Observer,
    Route,
    same_outcome,
)
from neuronedit.model.saved.files import load_model

FLAG_COLUMN = "neuronedit"
"""The output column with each event's outcome; written where some events may not be chosen, or of unknown batches."""

_FLAG_FIELD = pa.field(FLAG_COLUMN, pa.dictionary(pa.int32(), pa.string()))

SUPPORT_COLUMN = "neuronedit_support"
"""The output column with each event's distance from the events that its edit was learned on; null without an edit."""
_SUPPORT_FIELD = pa.field(SUPPORT_COLUMN, pa.float32())

OUTCOMES = (EDITED, REFERENCE, UNKNOWN, NOT_CHOSEN, NO_EFFECT)

NO_FILE = EventFile("events", "events", 0, 0)
"""The file named in messages on tables that come from no file."""


@dataclass(frozen=True)
class TransformRules:
    """Rules of an edit: the events to edit, and the edits that they get.

    Attributes:
        where: Column values of the events to edit; empty for all.
        route: The edits of the chosen events.
        serve: Who makes the edits' changes: ``student`` where the model has one, or ``teacher``.
    """

    where: Where = field(default_factory=dict)
    route: Route = BATCHES_OWN
    serve: Server = "student"

    @property
    def flags(self) -> bool:
        """Whether the output has the column with each event's outcome."""
        return bool(self.where) or self.route.unknown_batch == "pass"


def count_outcomes(outcomes: Texts) -> Counter[str]:
    """Count events by outcome, (n_events,), the likeliest first: most often all have it, and nothing more is counted.

    Example:
        >>> count_outcomes(np.array([EDITED, NOT_CHOSEN, EDITED], dtype=object))
        Counter({'edited': 2, 'not chosen': 1})
    """
    counts: Counter[str] = Counter()
    for outcome in OUTCOMES:
        if counts.total() < len(outcomes) and (n_events := int((outcomes == outcome).sum())):
            counts[outcome] = n_events
    return counts


class Edited(NamedTuple):
    """A table with edited markers, and the number of events by outcome: edited, or passed for a reason."""

    table: pa.Table
    counts: Counter[str]


class EventEditor:
    """Edits Arrow tables by a model, also in Ray Data: ``map_batches(EventEditor, batch_format="pyarrow", …)``.

    Example:
        The treatment of ``example_model`` adds 1 to pSTAT1, arcsinh units; other columns are handed on:

        >>> from neuronedit.model.example import MARKERS, example_cells, example_model
        >>> cells = example_cells(seed=2)
        >>> table = pa.table(dict(zip(MARKERS, cells.T, strict=True)) | {"cell": range(400)})
        >>> edited = EventEditor(example_model())(table)
        >>> rise = np.arcsinh(edited["pSTAT1"].to_numpy() / 5) - np.arcsinh(cells[:, 2] / 5)
        >>> round(float(rise.mean()), 1), edited["cell"] == table["cell"]
        (1.0, True)

        Where the model has students of its edits, ``TransformRules(serve="teacher")`` does without them:

        >>> EventEditor(example_model(), TransformRules(serve="teacher"))(table) == edited
        True
    """

    def __init__(
        self, model: EditModel | str | Path, rules: TransformRules | None = None, device: str | None = None
    ) -> None:
        """Load the model.

        Args:
            model: The model, or the folder that it is in.
            rules: The events to edit, and their edits.
            device: The device to compute on, such as ``cuda`` (see ``EditModel.to``); by default the model's own.

        Raises:
            ModelError: There is no model in the folder, or no such device.
        """
        loaded = model if isinstance(model, EditModel) else load_model(model)
        self.rules = rules or TransformRules()
        self.model = (loaded.to(device) if device else loaded).served_by(self.rules.serve)
        unmoved = [set(self.model.unmoved.get(name, ())) for name in self.model.edits]
        self._unmoved = set.intersection(*unmoved) if unmoved else set()

    def __call__(self, table: pa.Table) -> pa.Table:
        """Edit a table's markers; every other column is handed on as it is.

        Raises:
            PanelError: A marker is missing, or a column name stands twice.
            DataError: A column that chooses events is missing, or an intensity is not a finite number.
            ModelError: A batch is unknown.
        """
        self.check(table.schema, NO_FILE)
        return self.edit(table, NO_FILE, 0).table

    @property
    def choice_names(self) -> list[str]:
        """The columns that choose an event's edit."""
        batch = [self.model.batch_column] if self.model.batch_column and not self.rules.route.edits else []
        return list(dict.fromkeys([*batch, *self.rules.where]))

    def check(self, schema: pa.Schema, file: EventFile) -> None:
        """Check a file's columns before anything is written.

        Raises:
            PanelError: A marker is missing, or a column name stands twice.
            DataError: A marker is not a number, or a column that chooses events is missing.
        """
        check_markers(schema, self.model.panel, file.path, empty=not file.n_events and file is not NO_FILE)
        check_design_columns([*schema.names, *file.partition], self.choice_names, file.path)
        for added in self._added_fields:
            if added.name in schema.names:
                raise DataError(
                    f"{file.path}: has a column {added.name!r} already, which this transform is to write. Rename it."
                )

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """The output's schema for an input's."""
        edited = edited_schema(schema, self.model.panel, self._unmoved)
        for added in self._added_fields:
            edited = edited.append(added)
        return edited

    def edit(self, table: pa.Table, file: EventFile, first_row: int, observe: Observer | None = None) -> Edited:
        """Edit a table that was checked.

        Args:
            table: Consecutive events.
            file: The file of these events.
            first_row: The first one's number in the file, for messages.
            observe: Called with the events before and after (see ``EditModel.transform``).

        Raises:
            DataError: An intensity is not a finite number, before the edit or (``EditedError``) after it.
            ModelError: A batch is unknown.
        """
        intensities = marker_matrix(table, self.model.panel, file.path, first_row)
        choices = choice_columns(table, file, self.choice_names)
        chosen = select(choices, self.rules.where)
        try:
            edited, done, support = self._edit(intensities, choices, chosen, file.path, observe)
        except EditedError as error:
            finite = np.ones(len(intensities), dtype=bool)
            finite[chosen] = error.finite
            row = first_row + int(finite.argmin())
            raise edited_error(file.path, error.marker, error.value, row, finite) from error
        result = replace_markers(table, self.model.panel, edited, self._unmoved)
        if self.rules.flags:
            result = result.append_column(_FLAG_FIELD, pa.array(done, pa.string()).dictionary_encode())
        if support is not None:
            result = result.append_column(_SUPPORT_FIELD, pa.array(support, from_pandas=True))
        return Edited(result, count_outcomes(done))

    def standardised(self, table: pa.Table) -> Float32s:
        """Standardise a table's markers, (n_events, n_markers), also those that are not finite; null becomes NaN."""
        columns = [table.column(marker).to_numpy() for marker in self.model.panel.markers]
        return self.model.standardised(np.column_stack(columns))

    @property
    def _added_fields(self) -> list[pa.Field]:
        return [*([_FLAG_FIELD] if self.rules.flags else []), *([_SUPPORT_FIELD] if self.rules.route.support else [])]

    def _edit(
        self, intensities: Floats, choices: pd.DataFrame, chosen: Masks, where: str, observe: Observer | None
    ) -> tuple[Floats, Texts, Float32s | None]:
        """Edit intensities, (n_events, n_markers), in their place."""
        column = self.model.batch_column
        batch_ids = choices[column].to_numpy(dtype=object) if column in choices else None
        if chosen.all():
            return self.model.transform(intensities, batch_ids, self.rules.route, where, observe, overwrite=True)
        done = same_outcome(len(intensities), NOT_CHOSEN)
        of_chosen = None if batch_ids is None else batch_ids[chosen]
        found = self.model.transform(intensities[chosen], of_chosen, self.rules.route, where, observe, overwrite=True)
        intensities[chosen], done[chosen] = found.intensities, found.outcomes
        if found.support is None:
            return intensities, done, None
        support = np.full(len(intensities), np.nan, dtype=np.float32)
        support[chosen] = found.support
        return intensities, done, support
