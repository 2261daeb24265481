"""The identity of a process, by which others can tell whether it still lives: its number alone is used again.

A process may be of another machine, or of another container of this one, whose processes cannot be seen from here.
"""

import os
import socket
import sys
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, PositiveInt

START_TOLERANCE = 2.0
"""How far two looks at a process's start may differ: clock ticks on Linux, seconds elsewhere."""

ENDED = ("Z", "X", psutil.STATUS_ZOMBIE)


class Process(BaseModel):
    """A process, as others can look for it.

    Attributes:
        host: The name of its machine, for a person.
        pid: Its number there.
        machine: Whose process numbers these are; empty where that is not known.
        started: The start of the process (see ``START_TOLERANCE``).
    """

    model_config = ConfigDict(strict=True, frozen=True)

    host: str
    pid: PositiveInt
    machine: str
    started: float

    @classmethod
    def own(cls) -> "Process":
        """The process that asks."""
        found = _state_and_start(os.getpid())
        machine, started = (machine_name(), found[1]) if found else ("", 0.0)
        return cls(host=socket.gethostname(), pid=os.getpid(), machine=machine, started=started)

    def runs_here(self) -> bool | None:
        """Whether it is a living process of this machine; None where that cannot be known."""
        if not self.machine or self.machine != machine_name():
            return None
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:  # somebody else's, but there
            pass
        found = _state_and_start(self.pid)
        if found is None:
            return None
        state, started = found
        # A process that has its number now, but began at another time, is not it; a zombie only has not been reaped.
        return state not in ENDED and abs(started - self.started) < START_TOLERANCE


def machine_name() -> str:
    """Name this machine since its start, and the space of process numbers: a container has its own.

    Empty where that cannot be known.
    """
    if sys.platform != "linux":
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"
    try:
        if Path("/proc/self").readlink().name != str(os.getpid()):  # the processes of another container
            return ""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _state_and_start(pid: int) -> tuple[str, float] | None:
    """The state and the start of a process; None where they cannot be read."""
    try:
        if sys.platform != "linux":
            process = psutil.Process(pid)
            return process.status(), process.create_time()
        # Ticks since boot: psutil adds the time of the boot, which moves with the clock.
        facts = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return facts[0], float(facts[19])
    except (OSError, psutil.Error):
        return None
