"""Ingests FCS files: the events of each are streamed to a hidden Parquet file, which is moved into place."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import fs

from neuronedit.adapters.cluster.session import RayConfig, ray_session
from neuronedit.adapters.cluster.tasks import parse_items
from neuronedit.adapters.fcs.columns import PanelFile, channel_columns
from neuronedit.adapters.fcs.data import Offsets
from neuronedit.adapters.fcs.file import read_fcs
from neuronedit.adapters.fcs.looks import Findings, look_at_spillover
from neuronedit.adapters.fcs.parquet_file import Sample, event_schema, event_tables
from neuronedit.adapters.files.blocks import FilePart
from neuronedit.adapters.files.dataset import EventFile
from neuronedit.adapters.transform.committed import Committed, Layout, LeftOut, Receipt, commit_parquet
from neuronedit.adapters.transform.file_transformer import check_attempts, receipt_rows
from neuronedit.adapters.transform.input_pin import check_as_listed, check_same_input, pin
from neuronedit.adapters.transform.output_folder import OutputFolder
from neuronedit.adapters.transform.pool import worked
from neuronedit.cells.compensation import Spillover, match_channels, read_spillover
from neuronedit.errors import DataError, PanelError, StorageError

LOCAL = fs.LocalFileSystem()
"""FCS files lie in folders."""

LAYOUT = Layout("zstd")

FEW_BYTES = 256 * 1024**2
"""FCS files of so many bytes together are ingested sooner than Ray starts."""


@dataclass(frozen=True)
class IngestRules:
    """Rules of an ingest: how events are read, and the columns that they get.

    Attributes:
        panel: The panel; None to give each channel its own marker name.
        columns: The columns of intensities; one that a file lacks is empty.
        compensates: Whether spillover is undone.
        spillover: The matrix for all files; None for each file's own.
        offsets: Where DATA lies, if HEADER and TEXT differ.
        data_set: Which data set of files that have several.
        quarantine: Leave out files that cannot be used; otherwise one is an error.
        layer: The layer of an h5ad file that is read; None for X.
    """

    panel: PanelFile | None
    columns: tuple[str, ...]
    compensates: bool = False
    spillover: Spillover | None = None
    offsets: Offsets = "auto"
    data_set: int | None = None
    quarantine: bool = False
    layer: str | None = None

    def settings(self) -> dict[str, Any]:
        """What decides the output's bits, as JSON has it."""
        matrix = self.spillover
        return {
            "markers": self.panel and list(self.panel.panel.markers),
            "channels": self.panel and dict(self.panel.channels),
            "columns": list(self.columns),
            "compensates": self.compensates,
            "spillover": matrix and [list(matrix.channels), matrix.matrix.tolist()],
            "offsets": self.offsets,
            "data_set": self.data_set,
        } | ({"layer": self.layer} if self.layer else {})


@dataclass(frozen=True)
class IngestItem:
    """One FCS file to ingest.

    Attributes:
        output: The name of its Parquet file.
        file: The FCS file, by its name in the sheet.
        labels: Its text in every column of the sheet.
        version: The version of the standard that it is of.
    """

    output: str
    file: EventFile
    labels: Mapping[str, str]
    version: str

    @property
    def part(self) -> FilePart:
        """The file as a part of the input that becomes the output."""
        return FilePart(self.file, self.output, 0, None, self.file.n_events, 0, self.file.n_bytes)


def ingest_files(
    items: Sequence[IngestItem], output: OutputFolder, rules: IngestRules, n_workers: int | None, config: RayConfig
) -> list[Receipt]:
    """Ingest files, each by one of a pool of Ray actors; a few small ones in this process. Gives receipts in order.

    Args:
        items: The files.
        output: The folder to fill.
        rules: How to ingest them.
        n_workers: Largest number of actors; by default one per core that is free now. Where it is given, Ray is used.
        config: Where Ray runs.

    Raises:
        DataError: A file cannot be used.
        PanelError: A file lacks a channel of the panel.
        OutputError: Another job took the output over.
        StorageError: A storage fails, or is full; or a file was written again.
        ClusterError: The cluster has no room for a worker, or loses its workers.
    """
    arguments: dict[str, Any] = {"output": output, "rules": rules}
    if n_workers is None and sum(item.file.n_bytes for item in items) <= FEW_BYTES:
        return [*map(FcsIngester(**arguments).ingest, items)]
    with ray_session(config):
        n_events = sum(item.file.n_events for item in items)
        receipts = {done.output: done for done in worked(FcsIngester, arguments, items, n_events, n_workers)}
    return [receipts[item.output] for item in items if item.output in receipts]


class FcsIngester:
    """A Ray actor, or a plain process, that turns FCS files into Parquet files and receipts."""

    def __init__(self, output: OutputFolder, rules: IngestRules, ledger: Any = None) -> None:
        """Take up work.

        Args:
            output: The folder to fill.
            rules: How to ingest files.
            ledger: The Ray actor that counts attempts and events; none in a plain process.
        """
        pa.set_cpu_count(1)
        self.output = output
        self.rules = rules
        self.ledger = ledger

    def __call__(self, items: pa.Table) -> pa.Table:
        """Ingest the files that the work items name; a user's error comes back as a row."""
        return receipt_rows(parse_items(items, IngestItem), self.ingest)

    def ingest(self, item: IngestItem) -> Receipt:
        """Write one file, complete or not at all; one that stands already is left as it is.

        Raises:
            DataError: The file is damaged, an intensity is not finite, or it cannot be compensated.
            PanelError: It lacks a channel of the panel.
            OutputError: Another job took the output over.
            StorageError: The storage fails, or is full; or the file was written again.
            ClusterError: Too many workers were lost over it.
        """
        try:
            receipt = self._standing(item) or self._write(item)
        except StorageError:
            self.output.lease.check()  # what is missing, the other job removed
            raise
        self._advance(item, item.file.n_events, finished=True)
        return receipt

    def _standing(self, item: IngestItem) -> Receipt | None:
        receipt = self.output.receipt(item.part)
        if receipt is None or not (receipt.written or self.rules.quarantine):
            return None
        check_same_input(LOCAL, item.part, receipt.content)
        return receipt

    def _write(self, item: IngestItem) -> Receipt:
        content = pin(LOCAL, item.part)
        if self.ledger is not None:
            check_attempts(self.ledger, item.output, None, [item.file.path])
        try:
            return self._commit(item, content)
        except (DataError, PanelError) as error:
            if not self.rules.quarantine:
                raise
            left_out = LeftOut(item.file.name, None, 0, item.file.n_events, str(error))
            return self.output.accept(self._receipt(item, content, Committed(0, 0, ""), left_out=(left_out,)))

    def _commit(self, item: IngestItem, content: str) -> Receipt:
        told = Findings()
        sample = self._sample(item)
        matrix = self._matrix(sample, told) if self.rules.compensates else None
        names = self.rules.columns
        schema = event_schema(sample, names, content.removeprefix("sha256:"), matrix)
        asked = self.rules.panel.panel.markers if self.rules.panel else names

        return commit_parquet(
            self.output.location / item.output,
            schema,
            self._still_as_listed(event_tables(sample, schema, asked, matrix, told), item),
            LAYOUT,
            lambda done: self.output.accept(self._receipt(item, content, done, notes=told.texts)),
            self.output.lease.move,
        )

    def _sample(self, item: IngestItem) -> Sample:
        fcs = read_fcs(item.file.path, data_set=self.rules.data_set, offsets=self.rules.offsets)
        return Sample(item.labels, fcs, channel_columns(fcs, self.rules.panel, item.file.path))

    def _matrix(self, sample: Sample, told: Findings) -> Spillover:
        """The matrix that a file is compensated with: the one given, or its own."""
        where, labels = str(sample.fcs.path), [channel.label for channel in sample.fcs.described]
        found = self.rules.spillover or read_spillover(sample.fcs.keywords, where)
        look_at_spillover(sample.file, sample.fcs, found, told)
        return match_channels(found, sample.fcs.channels, labels, where)

    def _still_as_listed(self, tables: Iterator[pa.Table], item: IngestItem) -> Iterator[pa.Table]:
        n_events = 0
        for table in tables:
            yield table
            n_events += table.num_rows
            self._advance(item, n_events)
        check_as_listed(LOCAL, item.part)  # while the output is not in its place yet

    def _receipt(
        self,
        item: IngestItem,
        content: str,
        written: Committed,
        left_out: tuple[LeftOut, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> Receipt:
        return Receipt(
            claim=self.output.claim,
            input=item.file.name,
            content=content,
            output=item.output,
            events=written.events,
            n_bytes=written.n_bytes,
            sha256=written.sha256,
            counts={},
            left_out=left_out,
            notes=notes,
        )

    def _advance(self, item: IngestItem, n_events: int, *, finished: bool = False) -> None:
        if self.ledger is not None:
            self.ledger.advance.remote(item.output, n_events, finished)


def rows_digest(items: Sequence[IngestItem]) -> str:
    """SHA-256 of what the sheet says of the files, and of their outputs' names."""
    rows = [(item.output, [*item.labels.items()]) for item in items]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
