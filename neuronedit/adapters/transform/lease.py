"""The right to write an output folder: one driver has it at a time, the next only when that one is gone."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import Event, Thread
from time import sleep
from typing import Any
from uuid import uuid4

import psutil
from pyarrow import fs

from neuronedit.adapters.files.storage import Location, storage_errors
from neuronedit.errors import OutputError, StorageError

log = logging.getLogger(__name__)

LEASE = "_lease-"
"""Prefix of the files that show a driver at work; readers of Parquet skip such names."""

SECONDS_BETWEEN_SIGNS = 15.0
SECONDS_BETWEEN_LOOKS = 5.0
SILENT_SECONDS = 120.0
"""A driver without a sign of life for so long counts as gone; one on this machine is looked up by its process."""


@dataclass(frozen=True)
class Lease:
    """The right to write a folder, kept by a sign of life every few seconds.

    Attributes:
        place: The lease's own file; another driver removes it when it takes this one for gone.
    """

    place: Location

    def check(self) -> None:
        """Check that the folder is still ours.

        Raises:
            OutputError: Another driver took it over.
        """
        if not self.place.exists:
            raise OutputError(
                f"{self.place.path.rpartition('/')[0]}: another transform took the output over, since this one gave no "
                f"sign of life for {SILENT_SECONDS:.0f} s. Nothing is lost: leave it to that one."
            )


@contextmanager
def lease(folder: Location) -> Iterator[Lease]:
    """Hold the right to write a folder while the block runs; wait for a driver that may be gone until that is sure.

    Ages are by the storage's own clock. Two drivers that start at the same moment may each see the other: then both are
    refused; never do both go on.

    Raises:
        OutputError: Another driver is at work there.
    """
    own = Lease(folder / f"{LEASE}{uuid4().hex}.json")
    stop = Event()
    own.place.write_json(_this_process())
    signs = Thread(target=_give_signs, args=(own, stop), daemon=True)
    try:
        _outlast_others(folder, own.place)
        signs.start()
        yield own
    finally:
        stop.set()
        if signs.is_alive():
            signs.join()
        own.place.delete()


def _outlast_others(folder: Location, own: Location) -> None:
    first_seen: dict[str, datetime] = {}
    while True:
        with storage_errors(folder.path):
            found = folder.filesystem.get_file_info(fs.FileSelector(folder.path))
        leases = {info.path: info for info in found if info.base_name.startswith(LEASE)}
        now, undecided = leases.pop(own.path).mtime, False
        for path, info in leases.items():
            place = Location(folder.filesystem, path)
            if not place.exists:
                continue  # given back since
            other = _Other.read(place, (now - info.mtime).total_seconds())
            if other.runs_here or info.mtime > first_seen.setdefault(path, info.mtime):
                raise OutputError(
                    f"{folder.path}: another transform is writing it ({other}). Wait for it, or stop it and run again "
                    "with resume = true."
                )
            if other.ran_here or other.silent >= SILENT_SECONDS:
                log.warning("%s left the output unfinished: its work is taken over", other)
                place.delete()
            else:
                undecided = True
        if not undecided:
            return
        log.warning("%s: waiting for a sign of life of another transform's driver, or its absence", folder.path)
        sleep(SECONDS_BETWEEN_LOOKS)
        own.write_json(_this_process())


@dataclass(frozen=True)
class _Other:
    """Another driver.

    Attributes:
        host: The name of its machine.
        pid: The number of its process there.
        runs_here: Whether it is a process of this machine.
        ran_here: Whether it was one, and is gone.
        silent: Seconds since its last sign of life.
    """

    host: str
    pid: int
    runs_here: bool
    ran_here: bool
    silent: float

    @classmethod
    def read(cls, place: Location, silent: float) -> "_Other":
        who = place.read_json()
        local = who["host"] == socket.gethostname()
        # A process that has its number now, but began at another time, is not it.
        runs = local and psutil.pid_exists(who["pid"]) and psutil.Process(who["pid"]).create_time() == who["started"]
        return cls(who["host"], who["pid"], runs, local and not runs, max(silent, 0.0))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, last sign of life {self.silent:.0f} s ago"


def _this_process() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def _give_signs(own: Lease, stop: Event) -> None:
    while not stop.wait(SECONDS_BETWEEN_SIGNS):
        try:
            if not own.place.exists:
                return  # lost: to write it again would take the folder back
            own.place.write_json(_this_process())
        except StorageError as error:  # a sign missed; the next may reach
            log.warning("%s: no sign of life could be written (%s)", own.place.path, error)
