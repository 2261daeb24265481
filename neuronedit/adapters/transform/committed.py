"""Committed outputs: Parquet files that are there complete or not at all, and receipts that show they are done."""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from posixpath import join
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from neuronedit.adapters.files.storage import (
    LONGEST_NAME,
    Location,
    move,
    short_name,
    storage_error,
    storage_errors,
)
from neuronedit.errors import StorageError

KEEP = "keep"

READ_BYTES = 16 * 1024**2


Vouched = TypeVar("Vouched")

RECEIPTS = "_receipts"


@dataclass(frozen=True)
class Layout:
    """How a Parquet file is laid out.

    Attributes:
        compression: The columns' codec; ``keep`` stands for that of another file (see ``like``).
        row_group_events: Number of events in each row group; None to make each table a row group.
    """

    compression: str
    row_group_events: int | None = None

    def like(self, metadata: pq.FileMetaData) -> "Layout":
        """The layout with ``keep`` replaced by the codec in another file's footer."""
        if self.compression != KEEP:
            return self
        has_columns = metadata.num_row_groups and metadata.num_columns
        found = metadata.row_group(0).column(0).compression if has_columns else "ZSTD"
        return replace(self, compression="none" if found == "UNCOMPRESSED" else found.lower())


@dataclass(frozen=True)
class Committed:
    """A file that was written: its events, its size, and the SHA-256 of its bytes."""

    events: int
    n_bytes: int
    sha256: str


@dataclass(frozen=True)
class LeftOut:
    """Events of the input that are not in the output, and why.

    Attributes:
        file: The input file.
        row_group: None for the whole file.
        first_row: The first such event's number in the file.
        events: Number of these events; None for a file that cannot be opened.
        reason: The fault, for a person.
    """

    file: str
    row_group: int | None
    first_row: int
    events: int | None
    reason: str


@dataclass(frozen=True)
class Receipt:
    """The record of one part of the input: its output, counts and faults.

    Attributes:
        claim: The claim of the output folder under which it was written.
        input: The input file's name.
        content: What that part of the input held (see ``pin``).
        output: The output file's name.
        events: Rows of the output.
        n_bytes: Size of the output.
        sha256: SHA-256 of the output's bytes; empty if all of the input was left out, so that there is no output.
        counts: Number of events by outcome: edited, or passed for a reason.
        left_out: The input's events that are not in the output.
        quality: The tally of what the edit did, as ``Tally.to_text`` gives it.
        notes: What else a person should know of the output.
    """

    claim: str
    input: str
    content: str
    output: str
    events: int
    n_bytes: int
    sha256: str
    counts: Mapping[str, int]
    left_out: tuple[LeftOut, ...] = ()
    quality: str = ""
    notes: tuple[str, ...] = ()

    @property
    def written(self) -> bool:
        """Whether there is an output file."""
        return bool(self.sha256)

    def to_json(self) -> str:
        """Write the receipt as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Receipt":
        """Read a receipt from its text."""
        facts = json.loads(text)
        left_out = tuple(LeftOut(**part) for part in facts["left_out"])
        return cls(**{**facts, "left_out": left_out, "notes": tuple(facts.get("notes", ()))})


def commit_parquet(
    target: Location,
    schema: pa.Schema,
    tables: Iterable[pa.Table],
    layout: Layout,
    vouch: Callable[[Committed], Vouched],
    move: Callable[[Location, Location], None] = move,
) -> Vouched:
    """Stream tables to a hidden file and move it to its name when it is complete; on any failure remove it.

    Args:
        target: The file's name; a file that is there is replaced.
        schema: The schema of every table, with its metadata.
        tables: The events, in order.
        layout: The layout of the file.
        vouch: Called before the move, to write down what will stand there: what stands there is then known to be ours.
        move: Moves it to its name: ``Lease.move`` where others may want to write there.

    Returns:
        What ``vouch`` returned.

    Raises:
        OutputError: Another job took the output over.
        StorageError: The storage is full, or does not take the file.
    """
    return commit_file(target, lambda sink: _write(sink, schema, tables, layout), vouch, move)


def commit_file(
    target: Location,
    write: Callable[["Hashed"], int],
    vouch: Callable[[Committed], Vouched],
    move: Callable[[Location, Location], None] = move,
) -> Vouched:
    """Write a file of any kind as ``commit_parquet`` does.

    Args:
        target: The file's name; a file that is there is replaced.
        write: Writes the content and tells its number of events.
        vouch: Called before the move, to write down what will stand there.
        move: Moves it to its name, as in ``commit_parquet``.

    Returns:
        What ``vouch`` returned.

    Raises:
        OutputError: Another job took the output over.
        StorageError: The storage is full, or does not take the file.
    """
    staged = target.staged()
    try:
        try:
            with staged.filesystem.open_output_stream(staged.path) as stream:
                sink = Hashed(stream)
                events = write(sink)
            vouched = vouch(Committed(events, sink.n_bytes, sink.digest.hexdigest()))
            move(staged, target)
        except OSError as error:
            raise StorageError(
                f"{storage_error(target.path, error)} Nothing of it was left behind, and finished files stand: "
                "run again with resume = true."
            ) from error
    except BaseException:
        _remove(staged)
        raise
    return vouched


def sha256_of(location: Location) -> str:
    """The SHA-256 of a file's bytes.

    Raises:
        StorageError: The storage does not hand them out.
    """
    digest = hashlib.sha256()
    with storage_errors(location.path), location.filesystem.open_input_stream(location.path) as stream:
        while piece := stream.read(READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def standing_receipt(folder: Location, output: str, claim: str) -> Receipt | None:
    """Read the receipt of an output that stands complete as this claim wrote it, checked by SHA-256; None otherwise."""
    place, target = folder / receipt_name(output), folder / output
    if not place.exists:
        return None
    try:
        receipt = Receipt.from_json(place.read_bytes())
    except (ValueError, KeyError, TypeError):  # not whole, or of another version: the work is done again
        return None
    if receipt.claim != claim:
        return None
    if not receipt.written:
        return receipt
    return receipt if target.size == receipt.n_bytes and sha256_of(target) == receipt.sha256 else None


def receipt_name(output: str) -> str:
    """The path of an output's receipt, relative to the output folder."""
    folder, _, name = output.rpartition("/")
    return join(RECEIPTS, folder, f"{short_name(name, LONGEST_NAME - len('.json'))}.json")


def _write(sink: "Hashed", schema: pa.Schema, tables: Iterable[pa.Table], layout: Layout) -> int:
    events = 0
    with pq.ParquetWriter(
        pa.PythonFile(sink, mode="w"),
        schema,
        compression=layout.compression,
        # Dictionaries gain nothing on floating-point columns and cost five times the writing.
        use_dictionary=[field.name for field in schema if not pa.types.is_floating(field.type)],
    ) as writer:
        for table in _cut(tables, layout.row_group_events):
            writer.write_table(table)
            events += table.num_rows
    return events


def _cut(tables: Iterable[pa.Table], n_events: int | None) -> Iterator[pa.Table]:
    """Cut tables into tables of ``n_events``; hand them on as they are if that is None."""
    if n_events is None:
        yield from tables
        return
    waiting: list[pa.Table] = []
    n_waiting = 0
    for table in tables:
        waiting.append(table)
        n_waiting += table.num_rows
        while n_waiting >= n_events:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, n_events)
            waiting, n_waiting = [joined.slice(n_events)], n_waiting - n_events
    if n_waiting:
        yield pa.concat_tables(waiting)


class Hashed(io.RawIOBase):
    """Hands bytes on to a stream and takes their digest on the way."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self.stream = stream
        self.digest = hashlib.sha256()
        self.n_bytes = 0

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def write(self, piece: Any) -> int:
        """Hand bytes on."""
        self.stream.write(piece)
        self.digest.update(piece)
        n_bytes = len(memoryview(piece))
        self.n_bytes += n_bytes
        return n_bytes

    def tell(self) -> int:
        """Tell the number of bytes so far."""
        return self.n_bytes


def _remove(staged: Location) -> None:
    """Remove what was staged; where the storage fails, it is hidden, and the end of the job removes it."""
    with suppress(StorageError):
        staged.delete()
