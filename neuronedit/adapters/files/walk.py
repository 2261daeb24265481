"""What lies below a folder: every entry for a writer, each file once for a reader, whatever links lead to it."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from pyarrow import fs

from neuronedit.adapters.files.storage import Location, storage_errors

Kind = Literal["file", "link", "other"]


class Entry(NamedTuple):
    """An entry below a folder that is not a folder.

    Attributes:
        name: Relative to the folder, with ``/`` between its parts.
        path: On the file system.
        kind: ``other`` is what can neither be read nor listed: a pipe, a socket, a device, a link to nothing.
        n_bytes: Size on storage; 0 where it is not a file.
        stamp: Changes whenever the file is written again: its size and times, as the storage tells them. For the kind
            ``other``, what it is.
    """

    name: str
    path: str
    kind: Kind
    n_bytes: int
    stamp: str


def own_entries(folder: Location) -> list[Entry]:
    """List every entry below a folder, sorted by name; links are listed and never followed.

    The folder itself may be a link, or may be missing: then there are none.

    Raises:
        StorageError: The storage does not list it.
    """
    if not _is_local(folder):
        return [_stored(info, folder) for info in folder.files()]
    with storage_errors(folder.path):
        return sorted(_local(folder.path, ""))


@dataclass(frozen=True)
class Readable:
    """What a reader finds below a folder.

    Attributes:
        entries: Each file once, by its own name where it lies in the folder, otherwise by that of the first link to
            it; and entries of the kind ``other``. Sorted by name.
        again: Further names of these files and of folders, with the name that each is listed by.
    """

    entries: tuple[Entry, ...]
    again: dict[str, str] = field(default_factory=dict)


def readable_entries(folder: Location) -> Readable:
    """List the files below a folder that a reader finds, links followed; hidden names (``_``, ``.``) are skipped.

    Raises:
        StorageError: The storage does not list it.
    """
    if not _is_local(folder):
        return Readable(tuple(entry for entry in own_entries(folder) if not hidden(entry.name)))
    with storage_errors(folder.path):
        return _Walk().readable(folder.path)


def entry_of(file: Location) -> Entry:
    """Describe one file, by its own name; a link is followed.

    Raises:
        StorageError: The storage does not tell.
    """
    name = file.path.rpartition("/")[2]
    with storage_errors(file.path):
        if _is_local(file):
            return _described(name, file.path, Path(file.path).stat())
        return _stored(file.filesystem.get_file_info(file.path), file)._replace(name=name)


def hidden(name: str) -> bool:
    """Whether a part of a name starts with ``_`` or ``.``: readers of Parquet skip it.

    Example:
        >>> hidden("batch_id=B7/_receipts/a.parquet"), hidden("batch_id=B7/a.parquet")
        (True, False)
    """
    return any(part[0] in "._" for part in name.split("/"))


def printable(name: str) -> str:
    r"""Write a name out that may not be UTF-8, with ``\xff`` for a byte that is not.

    Example:
        >>> printable("day\udcff.parquet")
        'day\\xff.parquet'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class _Walk:
    """Finds each file once: real entries first, then what only links lead to."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, int], str] = {}
        self.entries: list[Entry] = []
        self.again: dict[str, str] = {}

    def readable(self, top: str) -> Readable:
        links = self._visit("", Path(top))
        while links:  # what a link leads to may hold links of its own
            links = [further for link in links for further in self._follow(link)]
        return Readable(tuple(sorted(self.entries)), self.again)

    def _visit(self, name: str, path: Path) -> list[Entry]:
        """Take in a file, or all that lies in a folder but for its links, which are given."""
        found = path.stat()
        if self.known.setdefault((found.st_dev, found.st_ino), name) != name:
            self.again[name] = self.known[found.st_dev, found.st_ino]
            return []
        if not stat.S_ISDIR(found.st_mode):
            self.entries.append(_described(name, str(path), found))
            return []
        links = []
        for inside in sorted(path.iterdir()):
            inner = f"{name}/{inside.name}".lstrip("/")
            if hidden(inside.name):
                continue
            if inside.is_symlink():
                links.append(Entry(inner, str(inside), "link", 0, ""))
            else:
                links += self._visit(inner, inside)
        return links

    def _follow(self, link: Entry) -> list[Entry]:
        path = Path(link.path)
        if path.exists():
            return self._visit(link.name, path)
        self.entries.append(link._replace(kind="other", stamp="a link that leads to nothing"))
        return []


def _local(folder: str, prefix: str) -> Iterator[Entry]:
    try:
        with os.scandir(folder) as listed:
            entries = list(listed)
    except FileNotFoundError:
        return
    for entry in entries:
        name = f"{prefix}{entry.name}"
        if entry.is_symlink():
            yield Entry(name, entry.path, "link", 0, "")
        elif entry.is_dir(follow_symlinks=False):
            yield from _local(entry.path, f"{name}/")
        else:
            try:
                yield _described(name, entry.path, entry.stat(follow_symlinks=False))
            except FileNotFoundError:  # gone since it was listed
                continue


def _described(name: str, path: str, found: os.stat_result) -> Entry:
    if not stat.S_ISREG(found.st_mode):
        return Entry(name, path, "other", 0, "neither a file nor a folder")
    # The time of change cannot be set by hand, as that of modification can.
    return Entry(name, path, "file", found.st_size, f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}")


def _stored(info: fs.FileInfo, folder: Location) -> Entry:
    name = info.path[len(folder.path.rstrip("/")) + 1 :]
    return Entry(name, info.path, "file", info.size or 0, f"{info.size} {info.mtime_ns}")


def _is_local(location: Location) -> bool:
    return isinstance(location.filesystem, fs.LocalFileSystem)
