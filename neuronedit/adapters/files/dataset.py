"""Parquet datasets: each file once, whatever links lead to it, with its rows and a stamp that changes when written."""

import hashlib
import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pyarrow import fs
from pydantic import Field

from neuronedit.adapters.files.parquet import open_parquet
from neuronedit.adapters.files.storage import Location, locate
from neuronedit.adapters.files.walk import Entry, Readable, entry_of, printable, readable_entries
from neuronedit.cells.selection import Where
from neuronedit.config import Config
from neuronedit.errors import DataError, OutputError, StorageError, listing, masked

log = logging.getLogger(__name__)

FOOTER_READERS = 16

PARQUET_NAMES = (".parquet", ".pq")
"""The ends of Parquet files' names, in small letters or capitals."""

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


class DataConfig(Config):
    """The events."""

    path: str = Field(description="a Parquet file, a folder of them, or a URI (s3://…, gs://…)")


class EventsConfig(Config):
    """Events to compare: a dataset, and which of its events."""

    path: str = Field(description="a Parquet file, a folder of them, or a URI (s3://…, gs://…)")
    where: Where = Field(
        {}, description='only events with these column values, e.g. {batch_id = "day2"}; by default all'
    )


@dataclass(frozen=True)
class EventFile:
    """One Parquet file of a dataset.

    Attributes:
        path: Its path on its file system.
        name: Relative to the dataset's folder.
        n_events: Rows, from the file's footer.
        n_bytes: Size on storage.
        partition: Columns that stand in the folders' names (``batch_id=B7/``).
        stamp: Changes whenever the file is written again (see ``Entry``); empty where that is not asked.
    """

    path: str
    name: str
    n_events: int
    n_bytes: int
    partition: Mapping[str, str | None] = field(default_factory=dict)
    stamp: str = ""


@dataclass(frozen=True)
class EventDataset:
    """A Parquet dataset: its files, in the order of their names.

    Attributes:
        uri: As the user gave it, with credentials masked.
        root: The folder or file.
        files: Those that can be read.
        unreadable: By name, why a file cannot be; only where such files were to be passed over.
    """

    uri: str
    root: Location
    files: tuple[EventFile, ...]
    unreadable: Mapping[str, str] = field(default_factory=dict)

    @property
    def filesystem(self) -> fs.FileSystem:
        """The file system of the files."""
        return self.root.filesystem

    @property
    def n_events(self) -> int:
        """All rows of all files."""
        return sum(file.n_events for file in self.files)

    def facts(self) -> dict[str, Any]:
        """Describe the dataset, as JSON has it, for a model's facts."""
        return {"uri": self.uri, "files": len(self.files), "events": self.n_events, "sha256": self.digest()}

    def digest(self) -> str:
        """SHA-256 over the files' names, rows and sizes (not their content)."""
        listing = [(file.name, file.n_events, file.n_bytes) for file in self.files]
        return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def list_dataset(uri: str, setting: str = "data.path", *, pass_over: bool = False) -> EventDataset:
    """List a Parquet file, or all Parquet files below a folder; names that start with ``_`` or ``.`` are skipped.

    A file is listed once, whatever links lead to it.

    Args:
        uri: The path or URI of the dataset.
        setting: The key that a user gave it by, for messages.
        pass_over: List a file that cannot be read as ``unreadable``, in the place of an error.

    Raises:
        StorageError: The storage does not answer.
        DataError: Nothing is there, a file is not Parquet or damaged, or there are no events at all.
    """
    root, uri = locate(uri), masked(uri)
    if root.kind == fs.FileType.NotFound:
        raise DataError(f"{uri}: not found. Expected a Parquet file or a folder of Parquet files; check {setting}.")
    found = readable_entries(root) if root.kind == fs.FileType.Directory else Readable((entry_of(root),))
    _check_said_once(found.again, uri)
    with ThreadPoolExecutor(FOOTER_READERS) as pool:
        described = pool.map(lambda entry: _described(root.filesystem, entry, pass_over=pass_over), found.entries)
        listed = dict(zip((entry.name for entry in found.entries), described, strict=True))
    files = tuple(file for file in listed.values() if isinstance(file, EventFile))
    unreadable = {printable(name): file for name, file in listed.items() if isinstance(file, str)}
    dataset = EventDataset(uri, root, files, unreadable)
    if not dataset.n_events:
        raise DataError(f"{uri}: no events in {len(files)} Parquet files. Check {setting}.")
    return dataset


def check_unchanged(dataset: EventDataset) -> None:
    """Check that no file of a dataset was written again since it was listed; files that are gone are not missed.

    Raises:
        StorageError: One was, or the storage does not answer.
    """
    root = dataset.root
    now = readable_entries(root).entries if root.kind == fs.FileType.Directory else (entry_of(root),)
    stamps = {entry.name: entry.stamp for entry in now}
    changed = [file.name for file in dataset.files if stamps.get(file.name, file.stamp) != file.stamp]
    if changed:
        raise StorageError(
            f"{dataset.uri}: written again since it was listed: {listing(changed)}. Let nothing write to the input "
            "while it is read; restore it and run again."
        )


def check_apart(dataset: EventDataset, output: Location) -> None:
    """Check that an output's folder lies apart from a dataset's.

    Raises:
        OutputError: One lies in the other.
    """
    source = dataset.root
    if source.filesystem != output.filesystem:
        return
    folder, other = _real_path(output), _real_path(source)
    within = (_real_path(Location(source.filesystem, file.path)).startswith(folder) for file in dataset.files)
    if folder.startswith(other) or other.startswith(folder) or any(within):
        raise OutputError(
            f"{output.path}: the output lies in the input {source.path}, or the input in it. Choose a folder apart."
        )


def _real_path(location: Location) -> str:
    local = isinstance(location.filesystem, fs.LocalFileSystem)  # only there can links and ".." hide a place
    path = str(Path(location.path).resolve()) if local else location.path
    return f"{path.rstrip('/')}/"


def _check_said_once(again: Mapping[str, str], uri: str) -> None:
    """Tell which names are passed over since links lead to one file by several; they must not say different things."""
    for name, known in again.items():
        if _partition(f"{name}/") != _partition(f"{known}/"):
            raise DataError(
                f"{uri}: {name} and {known} are one and the same by a link, but their folders' names give them "
                "different columns. Remove one, or copy what it leads to."
            )
    if again:
        listed = sorted({name or "." for name in again.values()})
        log.warning("%s: %s passed over: the same files as %s", uri, listing(again), listing(listed))


def _described(filesystem: fs.FileSystem, entry: Entry, *, pass_over: bool) -> EventFile | str:
    try:
        return _describe(filesystem, entry)
    except DataError as error:
        if not pass_over:
            raise
        return str(error)


def _describe(filesystem: fs.FileSystem, entry: Entry) -> EventFile:
    where = printable(entry.path)
    if where != entry.path:
        raise DataError(f"{where}: the name is not UTF-8, so that no output can have it. Rename the file.")
    if entry.kind != "file":
        raise DataError(f"{where}: {entry.stamp}; expected a Parquet file. Remove it, or restore what it leads to.")
    if not entry.name.lower().endswith(PARQUET_NAMES):
        raise DataError(
            f"{where}: not a Parquet file by its name; expected only .parquet files in the folder. "
            "Move it away, or give its name a leading underscore."
        )
    with open_parquet(filesystem, entry.path) as parquet:
        n_events = parquet.metadata.num_rows
    return EventFile(entry.path, entry.name, n_events, entry.n_bytes, _partition(entry.name), entry.stamp)


def _partition(name: str) -> dict[str, str | None]:
    """The columns in the folders' names; Arrow, Spark and Hive percent-encode what a folder's name cannot hold."""
    pairs = [part.split("=", 1) for part in name.split("/")[:-1] if "=" in part]
    return {unquote(column): None if value == HIVE_NULL else unquote(value) for column, value in pairs}
