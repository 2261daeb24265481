import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from neuronedit.adapters.files.storage import Location, locate
from neuronedit.adapters.transform import lease as module
from neuronedit.adapters.transform.lease import LEASE, lease
from neuronedit.errors import OutputError

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def folder(tmp_path: Path) -> Location:
    return locate(str(tmp_path))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_SIGNS", 0.05)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 0.05)


def leave_lease(folder: Location, host: str, pid: int, started: float, silent: float = 0.0) -> Path:
    path = Path(folder.path) / f"{LEASE}other.json"
    path.write_text(json.dumps({"host": host, "pid": pid, "started": started}))
    os.utime(path, (time.time() - silent, time.time() - silent))
    return path


def leases(folder: Location) -> list[Path]:
    return list(Path(folder.path).glob(f"{LEASE}*"))


def test_a_lease_gives_signs_of_life_and_leaves_nothing(folder: Location) -> None:
    with lease(folder) as held:
        first = Path(held.place.path).stat().st_mtime_ns
        deadline = time.monotonic() + 5
        while Path(held.place.path).stat().st_mtime_ns == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        held.check()
    assert leases(folder) == []


def test_it_is_given_back_when_the_work_fails(folder: Location) -> None:
    with pytest.raises(KeyError), lease(folder):
        raise KeyError
    assert leases(folder) == []


def test_a_second_driver_is_refused_and_the_first_goes_on(folder: Location) -> None:
    expected = rf"another transform is writing it \(process {os.getpid()} on .*, last sign of life \d+ s ago\)\. Wait"
    with lease(folder) as held:
        with pytest.raises(OutputError, match=expected), lease(folder):
            pass
        held.check()
        assert leases(folder) == [Path(held.place.path)]


def test_a_driver_on_another_machine_that_gives_signs_is_waited_for_and_refuses_us(folder: Location) -> None:
    path = leave_lease(folder, "elsewhere", 1, 0.0)
    script = "import os, sys, time\nfor _ in range(400): os.utime(sys.argv[1]); time.sleep(0.05)"
    signs = subprocess.Popen([sys.executable, "-c", script, str(path)])
    try:
        with pytest.raises(OutputError, match="process 1 on elsewhere"), lease(folder):
            pass
    finally:
        signs.kill()
        signs.wait()
    assert leases(folder) == [path]


def test_a_driver_of_this_machine_that_was_killed_is_followed_at_once(
    folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = subprocess.Popen(SLEEPS)
    started = psutil.Process(other.pid).create_time()
    leave_lease(folder, socket.gethostname(), other.pid, started)
    with pytest.raises(OutputError, match=f"process {other.pid} on "), lease(folder):
        pass
    other.kill()
    other.wait()
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 600)
    with lease(folder) as held:
        assert leases(folder) == [Path(held.place.path)]


def test_another_process_with_its_number_is_not_taken_for_it(folder: Location) -> None:
    leave_lease(folder, socket.gethostname(), os.getpid(), started=1.0)
    with lease(folder) as held:
        assert leases(folder) == [Path(held.place.path)]


def test_a_driver_elsewhere_is_followed_only_after_a_long_silence(
    folder: Location, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 1.0)
    leave_lease(folder, "elsewhere", 1, 0.0, silent=0.5)
    began = time.monotonic()
    with lease(folder) as held:
        assert time.monotonic() - began > 0.3
        assert leases(folder) == [Path(held.place.path)]
    assert "waiting for a sign of life of another transform's driver" in caplog.text
    assert re.search(r"process 1 on elsewhere, last sign of life \d s ago left the output unfinished", caplog.text)


def test_a_driver_that_was_taken_for_gone_finds_out(folder: Location) -> None:
    with lease(folder) as held:
        Path(held.place.path).unlink()
        with pytest.raises(OutputError, match=r"another transform took the output over, since this one gave no sign"):
            held.check()
        time.sleep(0.2)
        assert leases(folder) == [], "its signs do not take the folder back"
