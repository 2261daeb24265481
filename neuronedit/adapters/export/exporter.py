"""Exports Parquet files to FCS, CSV and h5ad: each output is streamed to a hidden file and moved into place."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from pyarrow import fs

from neuronedit.adapters.cluster.tasks import parse_items
from neuronedit.adapters.export.columns import Sheet, Survey, read_facts, variables_of
from neuronedit.adapters.fcs.writing import VALUES_PER_BLOCK, Events, event_matrix, head, write_fcs
from neuronedit.adapters.files.blocks import EVENTS_PER_BLOCK, FilePart, FileReader
from neuronedit.adapters.files.columns import choice_columns
from neuronedit.adapters.files.dataset import EventFile
from neuronedit.adapters.h5ad.writing import H5AD, write_h5ad
from neuronedit.adapters.transform.committed import Hashed, Receipt, commit_file
from neuronedit.adapters.transform.file_transformer import check_attempts, receipt_rows
from neuronedit.adapters.transform.input_pin import check_as_listed, check_same_input, pin
from neuronedit.adapters.transform.output_folder import OutputFolder
from neuronedit.cells.selection import Where, check_design_columns, select
from neuronedit.errors import DataError, StorageError, listing

CSV = ".csv"


@dataclass(frozen=True)
class ExportRules:
    """Rules of an export: its events and columns.

    Attributes:
        where: Column values of the events to write; empty for all.
        leave_out: Columns that are not written.
    """

    where: Where = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExportItem:
    """One file to write.

    Attributes:
        output: Its name, relative to the output folder: ``.fcs``, ``.csv`` for the same numbers, or ``.h5ad``.
        sources: The Parquet files whose events it has, in order.
        keywords: Keywords that the transform's manifest gives it.
        sha256: By source, the SHA-256 that the transform's manifest vouches for.
    """

    output: str
    sources: tuple[EventFile, ...]
    keywords: Mapping[str, str] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_events(self) -> int:
        """Events of the sources."""
        return sum(source.n_events for source in self.sources)


class Exporter:
    """A Ray actor, or a plain process, that turns Parquet files into FCS, CSV or h5ad files and receipts."""

    def __init__(self, filesystem: fs.FileSystem, output: OutputFolder, rules: ExportRules, ledger: Any = None) -> None:
        """Take up work.

        Args:
            filesystem: The file system of the input.
            output: The folder to fill.
            rules: The events and columns to write.
            ledger: The Ray actor that counts attempts and events; none in a plain process.
        """
        pa.set_cpu_count(1)
        self.filesystem = filesystem
        self.output = output
        self.rules = rules
        self.ledger = ledger

    def __call__(self, items: pa.Table) -> pa.Table:
        """Export the files that the work items name; a user's error comes back as a row."""
        return receipt_rows(parse_items(items, ExportItem), self.export)

    def export(self, item: ExportItem) -> Receipt:
        """Write one file, complete or not at all; one that stands already is left as it is.

        Raises:
            DataError: A Parquet file is damaged; or a value is not finite; or the sources differ in their columns.
            StorageError: The storage fails, or is full; or a source was written again.
            ClusterError: Too many workers were lost over it.
        """
        receipt = self.output.receipt(_part(item))
        if receipt:
            for source, content in zip(item.sources, receipt.content.split("\n"), strict=True):
                check_same_input(self.filesystem, _part(item, source), content)
        else:
            receipt = self._write(item)
        self._advance(item, item.n_events, finished=True)
        return receipt

    def _write(self, item: ExportItem) -> Receipt:
        if self.ledger is not None:
            check_attempts(self.ledger, item.output, self.filesystem, [source.path for source in item.sources])
        pins = [self._pinned(item, source) for source in item.sources]
        reading = _Reading(self.filesystem, item, self.rules, lambda n_events: self._advance(item, n_events))
        surveys, facts = reading.surveys()
        n_events = sum(survey.n_events for survey in surveys)
        notes: list[str] = []

        def receipt(n_events: int, n_bytes: int, sha256: str) -> Receipt:
            return Receipt(
                claim=self.output.claim,
                input=item.sources[0].name,
                content="\n".join(pins),
                output=item.output,
                events=n_events,
                n_bytes=n_bytes,
                sha256=sha256,
                counts={},
                notes=tuple(notes),
            )

        if not n_events and self.rules.where:
            return self.output.accept(receipt(0, 0, ""))

        def write(sink: Hashed) -> int:
            if item.output.endswith(H5AD):
                variables = variables_of(surveys, facts, item.keywords)
                if nested := surveys[0].left_out:
                    notes.append(f"columns that hold lists or structures are left out: {listing(nested)}")
                write_h5ad(sink, variables, n_events, reading.events([*variables.names, *variables.others]))
            else:
                sheet = Sheet.of(surveys, facts)
                notes.extend(sheet.notes)
                events = reading.events(sheet.columns)
                if item.output.endswith(CSV):
                    rounded = _write_csv(sink, sheet, events)
                else:
                    rounded = write_fcs(sink, sheet.channels, _identified(item, sheet, pins), n_events, events)
                if rounded:
                    columns = ", ".join(f"{column!r} ({n_values:,})" for column, n_values in rounded.items())
                    notes.append(f"values that are no float32 were rounded to the nearest: {columns}")
            for source in item.sources:
                check_as_listed(self.filesystem, _part(item, source))  # while the output is not in its place yet
            return n_events

        return commit_file(
            self.output.location / item.output,
            write,
            vouch=lambda done: self.output.accept(receipt(done.events, done.n_bytes, done.sha256)),
            move=self.output.lease.move,
        )

    def _pinned(self, item: ExportItem, source: EventFile) -> str:
        found, expected = pin(self.filesystem, _part(item, source)), item.sha256.get(source.name)
        if expected and found.startswith("sha256:") and found != f"sha256:{expected}":
            raise StorageError(
                f"{source.path}: not what the transform wrote: expected sha256:{expected}, as its manifest says; found "
                f"{found}. Restore the file, or transform again."
            )
        return found

    def _advance(self, item: ExportItem, n_events: int, *, finished: bool = False) -> None:
        if self.ledger is not None:
            self.ledger.advance.remote(item.output, n_events, finished)


class _Reading:
    """Reads the sources of one output: once for what its keywords tell, then for its events."""

    def __init__(
        self, filesystem: fs.FileSystem, item: ExportItem, rules: ExportRules, advance: Callable[[int], None]
    ) -> None:
        self.filesystem = filesystem
        self.item = item
        self.rules = rules
        self.advance = advance

    def surveys(self) -> tuple[list[Survey], Mapping[str, Any]]:
        """Look at each source, and read what ingest noted: all that must be known before the first event is written."""
        surveys: list[Survey] = []
        facts: Mapping[str, Any] = {}
        for source in self.item.sources:
            with FileReader(self.filesystem, source) as reader:
                schema = reader.parquet.schema_arrow
                facts = facts or read_facts(schema)
                survey = Survey.of(schema, reader.parquet.metadata, source, self.rules.leave_out)
                check_design_columns([*schema.names, *source.partition], [*self.rules.where], source.path)
                if surveys and survey.names != surveys[0].names:
                    raise DataError(
                        f"{source.path}: expected the columns of {self.item.sources[0].name}, with which it makes up "
                        f"one file; found others. Rename one of the two, or transform again."
                    )
                for part in self._parts(reader, survey.unread):
                    survey.observe(part.table)
            surveys.append(survey)
        return surveys, facts

    def events(self, columns: Sequence[str]) -> Iterator[Events]:
        """Read these columns of the events, those that a file has, and show how far that is."""
        n_events = 0
        for source in self.item.sources:
            with FileReader(self.filesystem, source) as reader:
                stored = set(reader.parquet.schema_arrow.names)
                for part in self._parts(reader, [name for name in columns if name in stored]):
                    yield part._replace(table=_with_partition(part.table, source, columns))
                    self.advance(n_events + int(part.rows[-1]) + 1 if len(part.rows) else n_events)
            n_events += source.n_events

    def _parts(self, reader: FileReader, columns: list[str]) -> Iterator[Events]:
        """The chosen events of a file, only these columns of them."""
        source, where = reader.file, self.rules.where
        stored = [name for name in where if name in reader.parquet.schema_arrow.names]
        wanted = list(dict.fromkeys([*columns, *stored])) or reader.parquet.schema_arrow.names[:1]  # to count events
        size = min(EVENTS_PER_BLOCK, max(VALUES_PER_BLOCK // max(len(wanted), 1), 1))
        for group in reader.row_groups:
            for block in reader.blocks(group, wanted, size):
                rows = np.arange(block.first_row, block.first_row + block.table.num_rows)
                table = block.table
                if where:
                    chosen = select(choice_columns(table, source, [*where]), where)
                    table, rows = table.filter(pa.array(chosen)), rows[chosen]
                yield Events(table, source.path, rows)


def _with_partition(table: pa.Table, source: EventFile, columns: Sequence[str]) -> pa.Table:
    """Add those of the columns that stand in the names of the file's folders."""
    for name in columns:
        if name in source.partition and name not in table.column_names:
            table = table.append_column(name, pa.repeat(pa.scalar(source.partition[name], pa.string()), len(table)))
    return table


def _part(item: ExportItem, source: EventFile | None = None) -> FilePart:
    """A source as a part that becomes the output."""
    file = source or item.sources[0]
    return FilePart(file, item.output, 0, None, file.n_events, 0, file.n_bytes)


def _identified(item: ExportItem, sheet: Sheet, pins: list[str]) -> dict[str, str]:
    """The keywords, with a GUID that is the same for the same content."""
    pinned = ", ".join(pin.removeprefix("sha256:") for pin in pins)
    keywords = {
        **sheet.keywords,
        **item.keywords,
        "$FIL": item.output.rpartition("/")[2],
        "$ORIGINALITY": "DataModified",
        "NEURONEDIT_INPUT_SHA256" if pins[0].startswith("sha256:") else "NEURONEDIT_INPUT_ETAG": pinned,
    }
    content = hashlib.sha256(head(sheet.channels, keywords, sheet.n_events))
    return keywords | {"GUID": str(uuid5(NAMESPACE_URL, f"neuronedit:{content.hexdigest()}"))}


def _write_csv(sink: Hashed, sheet: Sheet, events: Iterator[Events]) -> dict[str, int]:
    """Write a table of the numbers that the FCS file has, under their columns' names."""
    schema = pa.schema([(channel.column, pa.float32()) for channel in sheet.channels])
    rounded: Counter[str] = Counter()
    with pa_csv.CSVWriter(pa.PythonFile(sink, mode="w"), schema) as writer:
        for part in events:
            matrix, inexact = event_matrix(part, sheet.channels)
            rounded.update(inexact)
            columns = [pa.array(np.ascontiguousarray(values)) for values in matrix.T]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    return dict(rounded)
