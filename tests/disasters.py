"""What befalls jobs: drivers of their own process, that can be killed, and disks that are full."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of its own in a new folder; the test is skipped where none can be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"a small file system can be mounted by root only: {mounted.stderr.strip()}")
    yield folder
    # Lazily: a worker of a job that failed may not have ended yet.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def enlarge(disk: Path) -> None:
    """Make room on a small disk."""
    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)


def start_driver(script: str, *arguments: Path | str) -> subprocess.Popen[bytes]:
    """A Python script in a process of its own, with a Ray cluster of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"},
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_for(there: Callable[[], object], driver: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until something is there; fails where the driver ends before, or after five minutes."""
    deadline = time.monotonic() + 300
    while not there():
        assert driver is None or driver.poll() is None, driver.stderr and driver.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.05)
