"""Ray Data applies a model to a dataset: every input file is a work item, every output file is committed whole."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import ray
import torch
from pyarrow import fs

from neuronedit.adapters.committed_file import commit_parquet
from neuronedit.adapters.output_folder import FileReport, OutputFolder
from neuronedit.adapters.parquet import (
    EventFile,
    check_markers,
    choice_columns,
    edited_schema,
    marker_matrix,
    open_parquet,
    read_blocks,
    replace_markers,
)
from neuronedit.adapters.ray_session import free_slots
from neuronedit.adapters.work_items import FAILURE_FIELDS, failed, files_of, raise_failure, work_items
from neuronedit.design import Where, check_design_columns, select
from neuronedit.errors import ClusterError, DataError, NeuroneditError
from neuronedit.model import BATCHES_OWN, EDITED, REFERENCE, UNKNOWN, EditModel, Route, alike
from neuronedit.scaling import FloatArray

FLAG_COLUMN = "neuronedit"
"""The output column that says what was done to each event; written where events may pass for another reason
than being the reference."""

SUPPORT_COLUMN = "neuronedit_support"
"""The output column that says how far each event is from what its edit was learned on; null where none was applied."""

NOT_CHOSEN = "not chosen"
OUTCOMES = (EDITED, REFERENCE, UNKNOWN, NOT_CHOSEN)


@dataclass(frozen=True)
class TransformRules:
    """What is done with which events.

    Attributes:
        where: Only events with these column values are edited; all where it is empty.
        compression: Of the Parquet files written.
        route: Which edits the chosen events get.
    """

    where: Where
    compression: str
    route: Route = BATCHES_OWN

    @property
    def flags(self) -> bool:
        """Whether the output has the column that says what was done to each event."""
        return bool(self.where) or self.route.unknown_batch == "pass"


def transform_files(
    files: Sequence[EventFile],
    filesystem: fs.FileSystem,
    output: OutputFolder,
    rules: TransformRules,
    n_workers: int | None = None,
) -> list[FileReport]:
    """Edit files with an autoscaling pool of Ray actors, each file streamed and committed by one of them.

    Raises:
        PanelError: A marker is missing in a file.
        DataError: A file is damaged, or an intensity is not a finite number.
        ModelError: A batch is unknown.
        ClusterError: The cluster has no room for a worker, or loses its workers.
    """
    slots = free_slots()
    if not files:
        return []
    stream = work_items(files).map_batches(
        FileTransformer,
        fn_constructor_kwargs={
            "filesystem": filesystem,
            "output": output,
            "rules": rules,
        },
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(n_workers or slots, len(files))),
        num_cpus=1,
    )
    reports = []
    try:
        for row in stream.iter_rows():
            raise_failure(row)
            counts = {outcome: row[outcome] for outcome in OUTCOMES}
            reports.append(FileReport(row["file"], row["events"], row["bytes"], counts))
    except ray.exceptions.RayTaskError:
        raise  # a fault of ours: its traceback tells where
    except ray.exceptions.RayError as error:
        raise ClusterError(
            f"Ray lost the transform's workers ({str(error).strip().splitlines()[-1]}). "
            "Finished files stand: run again with resume = true."
        ) from error
    return reports


class FileTransformer:
    """A Ray actor that edits one file after another, each streamed to a hidden file and moved into place."""

    def __init__(
        self,
        filesystem: fs.FileSystem,
        output: OutputFolder,
        rules: TransformRules,
    ) -> None:
        torch.set_num_threads(1)  # one core per actor: more threads collapse beside a busy neighbour
        self.editor = TableEditor(output.model(), rules)
        self.filesystem = filesystem
        self.output = output

    def __call__(self, items: pa.Table) -> pa.Table:
        """Edit the files that the work items name; a user's error comes back as a row."""
        rows: list[dict[str, Any]] = []
        for file in files_of(items):
            try:
                report = self.transform(file)
                rows.append({"file": report.file, "events": report.events, "bytes": report.bytes, **report.counts})
            except NeuroneditError as error:
                rows.append(failed(error))
        return pa.Table.from_pylist(rows, schema=_RESULT)

    def transform(self, file: EventFile) -> FileReport:
        """Write one file's output, complete or not at all."""
        with open_parquet(self.filesystem, file.path) as parquet:
            schema = parquet.schema_arrow
        self.editor.check(schema, file)
        counts: Counter[str] = Counter()

        def edited_blocks() -> Iterator[pa.Table]:
            for first_row, table in read_blocks(self.filesystem, file):
                edited, done = self.editor.edit(table, file, first_row)
                counts.update(done)
                yield edited

        def stamp() -> Mapping[str, Any]:
            if counts.total() != file.n_events:
                raise DataError(f"{file.path}: the file changed while it was read. Run again with resume = true.")
            return {"plan": self.output.plan_digest, "counts": {outcome: counts[outcome] for outcome in OUTCOMES}}

        target = self.output.location / file.name
        commit_parquet(target, self.editor.schema(schema), edited_blocks(), stamp, self.editor.rules.compression)
        report = self.output.report(file)
        assert report is not None
        return report


@dataclass(frozen=True)
class TableEditor:
    """Applies a model to Arrow tables; in a Ray Data pipeline of your own, call ``edit`` in ``map_batches``."""

    model: EditModel
    rules: TransformRules

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
        check_markers(schema, self.model.panel, file.path)
        check_design_columns([*schema.names, *file.partition], self.choice_names, file.path)
        for field in self._added_fields:
            if field.name in schema.names:
                raise DataError(
                    f"{file.path}: has a column {field.name!r} already, which this transform is to write. Rename it."
                )

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """The output's schema for an input's."""
        edited = edited_schema(schema, self.model.panel)
        for field in self._added_fields:
            edited = edited.append(field)
        return edited

    @property
    def _added_fields(self) -> list[pa.Field]:
        return [*([_FLAG_FIELD] if self.rules.flags else []), *([_SUPPORT_FIELD] if self.rules.route.support else [])]

    def edit(self, table: pa.Table, file: EventFile, first_row: int) -> tuple[pa.Table, npt.NDArray[np.object_]]:
        """The table with edited markers, and (n_events,) what was done to each event."""
        intensities = marker_matrix(table, self.model.panel, file.path, first_row)
        edited, done, support = self._edit(intensities, choice_columns(table, file, self.choice_names), file.path)
        result = replace_markers(table, self.model.panel, edited)
        if self.rules.flags:
            result = result.append_column(_FLAG_FIELD, pa.array(done, pa.string()).dictionary_encode())
        if support is not None:
            result = result.append_column(_SUPPORT_FIELD, pa.array(support, from_pandas=True))
        return result, done

    def _edit(
        self, intensities: FloatArray, choices: pd.DataFrame, where: str
    ) -> tuple[FloatArray, npt.NDArray[np.object_], npt.NDArray[np.float32] | None]:
        chosen = select(choices, self.rules.where)
        column = self.model.batch_column
        batch_ids = choices[column].to_numpy(dtype=object)[chosen] if column in choices else None
        if chosen.all():
            return self.model.transform(intensities, batch_ids, self.rules.route, where)
        edited, done = intensities.copy(), alike(len(intensities), NOT_CHOSEN)
        found = self.model.transform(intensities[chosen], batch_ids, self.rules.route, where)
        edited[chosen], done[chosen] = found.intensities, found.outcomes
        if found.support is None:
            return edited, done, None
        support = np.full(len(intensities), np.nan, dtype=np.float32)
        support[chosen] = found.support
        return edited, done, support


_FLAG_FIELD = pa.field(FLAG_COLUMN, pa.dictionary(pa.int32(), pa.string()))
_SUPPORT_FIELD = pa.field(SUPPORT_COLUMN, pa.float32())
_RESULT = pa.schema(
    [
        ("file", pa.string()),
        ("events", pa.int64()),
        ("bytes", pa.int64()),
        *((outcome, pa.int64()) for outcome in OUTCOMES),
        *FAILURE_FIELDS,
    ]
)
