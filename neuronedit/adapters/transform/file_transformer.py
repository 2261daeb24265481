"""Edits one file after another, each streamed from storage to a hidden file that is moved into place."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import ray
import torch
from pyarrow import fs

from neuronedit.adapters.cluster.tasks import FAILURE_FIELDS, failure_row, parse_items
from neuronedit.adapters.files.blocks import Block, FilePart, FileReader, RowGroup
from neuronedit.adapters.files.damage import probe
from neuronedit.adapters.files.parquet import finite_events
from neuronedit.adapters.transform.committed import Committed, Layout, LeftOut, Receipt, commit_parquet
from neuronedit.adapters.transform.event_editor import OUTCOMES, Edited, EventEditor, TransformRules
from neuronedit.adapters.transform.input_pin import check_as_listed, check_same_input, pin
from neuronedit.adapters.transform.output_folder import OutputFolder
from neuronedit.cells.events import one_ahead
from neuronedit.errors import ClusterError, DataError, EditedError, NeuroneditError, PanelError, StorageError
from neuronedit.model.quality.sample import QualityObserver, SupportSample
from neuronedit.model.quality.tally import Tally

Item = TypeVar("Item")

LEFT_OUT = "left out"
"""The group in the tally of events whose intensities are not finite."""

MAX_ATTEMPTS = 4
"""Workers that may be lost over one file before the job ends. Ray would go on for ever."""


_RECEIPT_SCHEMA = pa.schema([("receipt", pa.string()), *FAILURE_FIELDS])


@dataclass(frozen=True)
class FileRules:
    """Rules of output files: their layout, and the treatment of bad input.

    Attributes:
        layout: The layout of the output files.
        quarantine: Leave out what cannot be read or is not finite, and go on; otherwise it is an error.
    """

    layout: Layout
    quarantine: bool = False


def receipt_rows(items: Iterable[Item], work: Callable[[Item], Receipt]) -> pa.Table:
    """Make a table with the receipt of each item; a user's error is its last row.

    Args:
        items: The items.
        work: Writes the output of one.
    """
    rows: list[dict[str, Any]] = []
    for item in items:
        try:
            rows.append({"receipt": work(item).to_json()})
        except NeuroneditError as error:
            rows.append(failure_row(error))
            break  # it ends the job
    return pa.Table.from_pylist(rows, schema=_RECEIPT_SCHEMA)


def check_attempts(ledger: Any, output: str, filesystem: fs.FileSystem | None, paths: Sequence[str]) -> None:
    """Note that a worker takes up an output, and check that not too many were lost over it, nor one over its input.

    Args:
        ledger: The Ray actor that counts attempts.
        output: The output's name.
        filesystem: The file system of the input; None where it is not Parquet, which alone can end a process.
        paths: The files that it is made of.

    Raises:
        DataError: Reading one of them ends the process.
        ClusterError: Too many workers were lost.
    """
    # Where the ledger is lost, it is started again, and waited for; it forgets its counts.
    attempts: int = ray.get(ledger.begin.options(max_task_retries=-1).remote(output))
    if attempts == 2 and filesystem:  # a worker was lost over it: is it a file?
        for path in paths:
            probe(filesystem, path)
    if attempts > MAX_ATTEMPTS:
        raise ClusterError(
            f"{paths[0]}: {MAX_ATTEMPTS} workers were lost over it. Look for their reason in Ray's logs "
            "(mostly memory: kernel or Ray's own out-of-memory kill), then run again with resume = true."
        )


class FileTransformer:
    """A Ray actor, or a plain process, that turns parts of the input into output files and receipts."""

    def __init__(
        self,
        filesystem: fs.FileSystem,
        output: OutputFolder,
        rules: TransformRules,
        files: FileRules,
        ledger: Any = None,
        device: str | None = None,
    ) -> None:
        """Load the model from the output folder.

        Args:
            filesystem: The file system of the input.
            output: The folder to fill.
            rules: The events to edit, and their edits.
            files: The layout of the output, and the treatment of bad input.
            ledger: The Ray actor that counts attempts and events; none in a plain process.
            device: The device to compute on (see ``EditModel.to``).
        """
        torch.set_num_threads(1)  # one core per actor: more threads collapse beside a busy neighbour
        pa.set_cpu_count(1)
        self.editor = EventEditor(output.model(), rules, device)
        self.filesystem = filesystem
        self.output = output
        self.files = files
        self.ledger = ledger

    def __call__(self, items: pa.Table) -> pa.Table:
        """Edit the parts that the work items name; a user's error comes back as a row."""
        return receipt_rows(parse_items(items, FilePart), self.transform)

    def transform(self, part: FilePart) -> Receipt:
        """Write one part's output, complete or not at all; an output that stands already is left as it is.

        Raises:
            PanelError: A marker is missing.
            DataError: The file is damaged, or an intensity is not a finite number.
            ModelError: A batch is unknown.
            OutputError: Another job took the output over.
            StorageError: The storage fails, or is full.
            ClusterError: Too many workers were lost over it.
        """
        try:
            receipt = self._standing(part) or self._write(part)
        except StorageError:
            self.output.lease.check()  # what is missing, the other transform removed
            raise
        self._advance(part, part.n_events, finished=True)
        return receipt

    def _standing(self, part: FilePart) -> Receipt | None:
        receipt = self.output.receipt(part)
        if receipt:
            check_same_input(self.filesystem, part, receipt.content)
        return receipt

    def _write(self, part: FilePart) -> Receipt:
        content = pin(self.filesystem, part)
        stream = _PartStream(self.editor, part, self.files.quarantine, self._advance)
        try:
            self._check_attempts(part)
            return self._commit(stream, part, content)
        except (DataError, PanelError) as error:
            if not self.files.quarantine:
                raise
            # Nothing of the file can be used: its footer is damaged, or its columns are not the panel's.
            nothing = _PartStream(self.editor, part, self.files.quarantine, self._advance)
            nothing.left_out.append(LeftOut(part.file.name, None, 0, part.n_events, str(error)))
            return self.output.accept(self._receipt(part, content, Committed(0, 0, ""), nothing))

    def _receipt(self, part: FilePart, content: str, written: Committed, stream: "_PartStream") -> Receipt:
        return Receipt(
            claim=self.output.claim,
            input=part.file.name,
            content=content,
            output=part.output,
            events=written.events,
            n_bytes=written.n_bytes,
            sha256=written.sha256,
            counts={outcome: stream.counts[outcome] for outcome in OUTCOMES},
            # Reading is a block ahead of editing: what each leaves out comes in no fixed order.
            left_out=tuple(sorted(stream.left_out, key=lambda left_out: left_out.first_row)),
            quality=stream.tally.to_text(),
        )

    def _commit(self, stream: "_PartStream", part: FilePart, content: str) -> Receipt:
        with FileReader(self.filesystem, part.file) as reader:
            schema = reader.parquet.schema_arrow
            self.editor.check(schema, part.file)
            return commit_parquet(
                self.output.location / part.output,
                self.editor.schema(schema),
                self._still_as_listed(stream.edited(reader), part),
                self.files.layout.like(reader.parquet.metadata),
                lambda written: self.output.accept(self._receipt(part, content, written, stream)),
                self.output.lease.move,
            )

    def _still_as_listed(self, tables: Iterator[pa.Table], part: FilePart) -> Iterator[pa.Table]:
        yield from tables
        check_as_listed(self.filesystem, part)  # while the output is not in its place yet

    def _check_attempts(self, part: FilePart) -> None:
        if self.ledger is not None:
            check_attempts(self.ledger, part.output, self.filesystem, [part.file.path])

    def _advance(self, part: FilePart, n_events: int, *, finished: bool = False) -> None:
        if self.ledger is not None:
            self.ledger.advance.remote(part.output, n_events, finished)


class _PartStream:
    """The edited tables of one part, and what is counted on the way."""

    def __init__(
        self, editor: EventEditor, part: FilePart, quarantine: bool, advance: Callable[[FilePart, int], None]
    ) -> None:
        self.editor = editor
        self.part = part
        self.quarantine = quarantine
        self.advance = advance
        self.counts: Counter[str] = Counter()
        self.left_out: list[LeftOut] = []
        self.tally = Tally(editor.model.scaling.zeros)
        self.sample = SupportSample()

    def edited(self, reader: FileReader) -> Iterator[pa.Table]:
        groups = reader.row_groups[self.part.first_group : self.part.stop_group]
        n_events = 0
        for block in one_ahead(self._blocks(reader, groups)):
            edited = self._edit(block)
            self.counts.update(edited.counts)
            n_events += block.table.num_rows
            self.advance(self.part, n_events)
            yield edited.table
        self.sample.score(self.tally, self.editor.model, self.editor.rules.route)

    def _blocks(self, reader: FileReader, groups: list[RowGroup]) -> Iterator[Block]:
        for group in groups:
            n_read = 0
            try:
                for block in reader.blocks(group):
                    n_read += block.table.num_rows
                    yield block
            except DataError as error:
                if not self.quarantine:
                    raise
                self._leave_out(group.number, group.first_row + n_read, group.n_events - n_read, error)

    def _edit(self, block: Block) -> Edited:
        rows = np.arange(block.first_row, block.first_row + block.table.num_rows)
        while True:
            try:
                return self._edit_all(block)
            except DataError as error:
                panel = self.editor.model.panel
                usable = error.finite if isinstance(error, EditedError) else finite_events(block.table, panel)
                if usable.all():
                    raise
                if not self.quarantine:
                    raise DataError(f"{error} The row group is number {block.row_group}.") from error
                self._leave_out(block.row_group, int(rows[~usable][0]), int((~usable).sum()), error)
                bad = self.editor.standardised(block.table.filter(pa.array(~usable)))
                self.tally.observe(LEFT_OUT, bad, bad)
                rows, block = rows[usable], block._replace(table=block.table.filter(pa.array(usable)))

    def _edit_all(self, block: Block) -> Edited:
        # A tally and a sample of its own: were one group counted before another fails, it would count twice.
        tally, sample = Tally(self.tally.zeros), self.sample.following()
        observe = QualityObserver(tally, sample, self.editor.model, self.editor.rules.route)
        edited = self.editor.edit(block.table, self.part.file, block.first_row, observe)
        self.tally.add(tally)
        self.sample.add(sample)
        return edited

    def _leave_out(self, row_group: int, first_row: int, n_events: int, error: DataError) -> None:
        self.left_out.append(LeftOut(self.part.file.name, row_group, first_row, n_events, str(error)))
