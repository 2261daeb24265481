"""Who may write an output folder: one driver at a time, and the next only when that one is gone."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import psutil
from pyarrow import fs

from neuronedit.adapters.storage import Location
from neuronedit.errors import OutputError

log = logging.getLogger(__name__)

LEASE = "_lease-"
"""Prefix of the files by which drivers say that they are at work; readers of Parquet skip the name."""

SECONDS_BETWEEN_SIGNS = 15.0
SILENT_SECONDS = 120.0
"""A driver that gave no sign of life for so long is taken as gone; one on this machine is looked for itself."""


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
    """Hold the right to write a folder while the block runs.

    Ages are told by the storage's own clock. Of two drivers that start at the same moment each may see the other, so
    that both are refused; never do both go on.

    Raises:
        OutputError: Another driver is at work there.
    """
    own = Lease(folder / f"{LEASE}{uuid4().hex}.json")
    stop = Event()
    own.place.write_json(_who())
    try:
        _refuse_beside_others(folder, own.place)
        signs = Thread(target=_give_signs, args=(own, stop), daemon=True)
        signs.start()
        yield own
        stop.set()
        signs.join()
    finally:
        stop.set()
        if own.place.exists:
            own.place.filesystem.delete_file(own.place.path)


def _refuse_beside_others(folder: Location, own: Location) -> None:
    found = folder.filesystem.get_file_info(fs.FileSelector(folder.path))
    leases = {info.path: info for info in found if info.base_name.startswith(LEASE)}
    now = leases[own.path].mtime
    for path, info in leases.items():
        if path == own.path:
            continue
        other = Location(folder.filesystem, path)
        who = other.read_json()
        silent = (now - info.mtime).total_seconds()
        if silent < SILENT_SECONDS and not _known_dead(who):
            raise OutputError(
                f"{folder.path}: another transform is writing it (process {who['pid']} on {who['host']}, last sign of "
                f"life {max(silent, 0):.0f} s ago). Wait for it, or stop it and run again with resume = true; if it is "
                f"gone already, this takes {SILENT_SECONDS:.0f} s to show."
            )
        log.warning("process %s on %s left the output unfinished: its work is taken over", who["pid"], who["host"])
        folder.filesystem.delete_file(path)


def _who() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def _known_dead(who: dict[str, Any]) -> bool:
    """Whether it ran on this machine, and does no longer; a number that another process has now is not it."""
    if who["host"] != socket.gethostname():
        return False
    try:
        return psutil.Process(who["pid"]).create_time() != who["started"]
    except psutil.NoSuchProcess:
        return True


def _give_signs(own: Lease, stop: Event) -> None:
    while not stop.wait(SECONDS_BETWEEN_SIGNS):
        try:
            if not own.place.exists:
                return  # lost: to write it again would take the folder back
            own.place.write_json(_who())
        except OSError as error:  # a sign missed; the next may reach
            log.warning("%s: no sign of life could be written (%s)", own.place.path, error)
