"""The right to write an output folder: one driver has it at a time, the next only when that one is gone.

A driver shows that it has the right by a file of its own in the folder, its lease, which it writes anew every few
seconds. Another driver removes the lease of one that is gone, and with it everything that was staged. The one that is
gone may come back, a machine that slept or had no network, and so may its workers. So whoever writes in the name of a
lease (``Lease.move``) stages its file, then looks for the lease, then moves the file:

- A file that was staged before the lease was removed was removed after it: it can no longer be moved.
- A file that was staged later is not moved: its lease is not there any more.

On local and network file systems, whose moves are atomic, this holds without a gap: once another driver begins, no file
of the one before reaches its name. On object stores a move is a copy, and one that the storage has begun is not stopped
by removing its source: where something was staged, the next driver waits for ``COPY_SECONDS``. Only a copy that takes
longer could still land.
"""

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

from pyarrow import fs
from pydantic import ValidationError

from neuronedit.adapters.cluster.command import end_job
from neuronedit.adapters.files.storage import OBJECT_STORES, Location, move, storage_errors
from neuronedit.adapters.files.walk import own_entries
from neuronedit.adapters.transform.process import Process
from neuronedit.errors import OutputError, StorageError

log = logging.getLogger(__name__)

LEASE = "_lease-"
"""Prefix of the files that show a driver at work; readers of Parquet skip such names."""

SECONDS_BETWEEN_SIGNS = 15.0
SECONDS_BETWEEN_LOOKS = 5.0
SILENT_SECONDS = 120.0
"""A driver without a sign of life for so long counts as gone; one on this machine is looked up by its process."""

COPY_SECONDS = 30.0
"""How long an object store may take to copy a part of the output, about a gigabyte."""

STAGED = re.compile(r"\..+\.[0-9a-f]{8,32}\.part")
"""Names that ``Location.staged`` gives."""


@dataclass(frozen=True)
class Lease:
    """The right to write a folder; it can be handed on to workers.

    Attributes:
        place: The lease's own file; another driver removes it when it takes this one for gone.
    """

    place: Location

    def check(self) -> None:
        """Check that the folder is still ours.

        Raises:
            OutputError: Another driver took it over.
        """
        with storage_errors(self.place.path):
            try:
                # Opened, not asked for: a network file system may answer from memory, but opens what is there.
                self.place.filesystem.open_input_stream(self.place.path).close()
            except FileNotFoundError:
                raise OutputError(
                    f"{self.place.path.rpartition('/')[0]}: another job took the output over, since this one "
                    f"gave no sign of life for {SILENT_SECONDS:.0f} s. Nothing is lost: leave it to that one."
                ) from None

    def move(self, staged: Location, target: Location) -> None:
        """Give a staged file its name if the folder is still ours; let the file system's own errors through.

        Raises:
            OutputError: Another driver took it over.
        """
        self.check()
        try:
            move(staged, target)
        except OSError:
            with suppress(StorageError):
                self.check()  # the other driver removed the file
            raise

    def write(self, target: Location, content: bytes) -> None:
        """Write a file, complete or not at all, if the folder is still ours.

        Raises:
            OutputError: Another driver took it over.
            StorageError: The storage fails, or is full.
        """
        staged = target.staged()
        try:
            with storage_errors(target.path):
                with target.filesystem.open_output_stream(staged.path) as stream:
                    stream.write(content)
                self.move(staged, target)
        except BaseException:
            with suppress(StorageError):
                staged.delete()
            raise

    def write_json(self, target: Location, content: Mapping[str, Any]) -> None:
        """Write a JSON file as ``write`` does."""
        self.write(target, (json.dumps(content, indent=2) + "\n").encode())

    def delete(self, target: Location) -> None:
        """Remove a file, if it is there, if the folder is still ours.

        Raises:
            OutputError: Another driver took it over.
            StorageError: The storage fails.
        """
        self.check()
        target.delete()


@contextmanager
def lease(folder: Location) -> Iterator[Lease]:
    """Hold the right to write a folder while the block runs; wait for a driver that may be gone until that is sure.

    Ages are by the storage's own clock. Two drivers that start at the same moment may each see the other: then both are
    refused; never do both go on. A driver that loses the folder ends its job.

    Raises:
        OutputError: Another driver is at work there, or took the folder over.
    """
    own = Lease(folder / f"{LEASE}{os.urandom(16).hex()}.json")
    stop = Event()
    signs = Thread(target=_give_signs, args=(own, stop), daemon=True)
    own.place.write_bytes(_sign_of_life())
    try:
        _outlast_others(folder, own)
        _remove_staged(folder)
        signs.start()
        yield own
    except StorageError:
        own.check()  # what is missing, the other driver removed
        raise
    finally:
        stop.set()
        if signs.is_alive():
            signs.join()
        own.place.delete()


def _outlast_others(folder: Location, own: Lease) -> None:
    first_seen: dict[str, _Sign] = {}
    while True:
        with storage_errors(folder.path):
            found = folder.filesystem.get_file_info(fs.FileSelector(folder.path))
        leases = {info.path: info for info in found if info.base_name.startswith(LEASE)}
        now, undecided = leases.pop(own.place.path, None), False
        for info in leases.values():
            sign = _Sign.read(Location(folder.filesystem, info.path), info)
            if sign is None:
                continue  # given back since
            first = first_seen.setdefault(info.path, sign)
            silent = max(sign.age(now), sign.seen - first.seen)
            if sign.changed(first) or (sign.runs_here and silent < SILENT_SECONDS):
                raise OutputError(
                    f"{folder.path}: another job is writing it ({sign.told(silent)}). Wait for it, or stop it "
                    "and run again with resume = true."
                )
            if sign.runs_here is False or silent >= SILENT_SECONDS:
                log.warning("%s left the output unfinished: its work is taken over", sign.told(silent))
                sign.remove()
            else:
                undecided = True
        if not undecided:
            return
        log.warning("%s: waiting for a sign of life of another job's driver, or its absence", folder.path)
        sleep(SECONDS_BETWEEN_LOOKS)
        own.write(own.place, _sign_of_life())


def _remove_staged(folder: Location) -> None:
    staged = [entry for entry in own_entries(folder) if STAGED.fullmatch(entry.name.rpartition("/")[2])]
    for entry in staged:
        if entry.kind == "file":
            Location(folder.filesystem, entry.path).delete()
    if staged and folder.filesystem.type_name in OBJECT_STORES:
        log.warning("%s: waiting %.0f s for what an earlier job may still be moving", folder.path, COPY_SECONDS)
        sleep(COPY_SECONDS)


@dataclass(frozen=True)
class _Sign:
    """Another driver's lease as it was found.

    Attributes:
        place: The lease.
        info: The storage's facts on it.
        content: Its bytes; empty where they cannot be read.
        process: The driver; None where the content does not tell.
        runs_here: Whether the driver is a living process of this machine; None where that cannot be known.
        seen: When it was found, by this process's clock.
    """

    place: Location
    info: fs.FileInfo
    content: bytes
    process: Process | None
    runs_here: bool | None
    seen: float

    @classmethod
    def read(cls, place: Location, info: fs.FileInfo) -> "_Sign | None":
        """Read a lease; None where it is not there any more."""
        content, process, runs_here = b"", None, None
        if not place.exists:
            return None
        if info.type == fs.FileType.File:
            with suppress(StorageError):  # it may not be read
                content = place.read_bytes()
        with suppress(ValidationError):  # cut, or not written by a driver
            process = Process.model_validate_json(content)
            runs_here = process.runs_here()
        return cls(place, info, content, process, runs_here, monotonic())

    def age(self, now: fs.FileInfo | None) -> float:
        """Seconds since it was written, by the storage's clock; 0 where that does not tell."""
        if now is None or now.mtime is None or self.info.mtime is None:
            return 0.0
        return max((now.mtime - self.info.mtime).total_seconds(), 0.0)

    def changed(self, first: "_Sign") -> bool:
        """Whether it was written since it was first found."""
        return (self.info.mtime, self.content) != (first.info.mtime, first.content)

    def remove(self) -> None:
        """Remove the lease; a folder of such a name is not a driver's, and stays."""
        if self.info.type == fs.FileType.File:
            self.place.delete()

    def told(self, silent: float) -> str:
        """The driver and its silence in seconds, for a person."""
        who = f"process {self.process.pid} on {self.process.host}" if self.process else f"by {self.info.base_name}"
        return f"{who}, last sign of life {silent:.0f} s ago"


def _sign_of_life() -> bytes:
    return (Process.own().model_dump_json(indent=2) + "\n").encode()


def _give_signs(own: Lease, stop: Event) -> None:
    while not stop.wait(SECONDS_BETWEEN_SIGNS):
        try:
            own.write(own.place, _sign_of_life())
        except OutputError as error:
            end_job(str(error), remedy="")
            return
        except StorageError as error:  # a sign missed; the next may reach
            log.warning("%s: no sign of life could be written (%s)", own.place.path, error)
