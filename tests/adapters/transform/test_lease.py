import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neuronedit.adapters.files.storage import Location, locate
from neuronedit.adapters.transform import lease as module
from neuronedit.adapters.transform import process as identity
from neuronedit.adapters.transform.lease import LEASE, lease
from neuronedit.adapters.transform.process import Process
from neuronedit.errors import OutputError, StorageError
from tests.disasters import wait_for

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]

TAKEN_OVER = (
    r"another job took the output over, since this one gave no sign of life for \d+ s\. "
    r"Nothing is lost: leave it to that one\.$"
)

ELSEWHERE = {"host": "elsewhere", "pid": 1, "machine": "another boot pid:[1]", "started": 0.0}

PART = "0123456789abcdef0123456789abcdef.part"


@pytest.fixture
def folder(tmp_path: Path) -> Location:
    return locate(str(tmp_path))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_SIGNS", 0.05)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 0.05)


def leave_lease(folder: Location, content: object, silent: float = 0.0) -> Path:
    path = Path(folder.path) / f"{LEASE}other.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    os.utime(path, (time.time() - silent, time.time() - silent))
    return path


def facts_of(pid: int) -> dict[str, object]:
    """The content of the lease of a living process of this machine."""
    found = identity._state_and_start(pid)
    assert found
    return {"host": socket.gethostname(), "pid": pid, "machine": identity.machine_name(), "started": found[1]}


def leases(folder: Location) -> list[Path]:
    return list(Path(folder.path).glob(f"{LEASE}*"))


@contextmanager
def other_process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(SLEEPS)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_lease_gives_signs_of_life_and_leaves_nothing(folder: Location) -> None:
    with lease(folder) as held:
        first = Path(held.place.path).stat().st_mtime_ns
        wait_for(lambda: Path(held.place.path).stat().st_mtime_ns != first)
        held.check()
    assert list(Path(folder.path).iterdir()) == []


def test_it_is_given_back_when_the_work_fails(folder: Location) -> None:
    with pytest.raises(KeyError), lease(folder):
        raise KeyError
    assert leases(folder) == []


def test_a_second_driver_is_refused_and_the_first_goes_on(folder: Location) -> None:
    expected = rf"another job is writing it \(process {os.getpid()} on .*, last sign of life \d+ s ago\)\. Wait"
    with lease(folder) as held:
        with pytest.raises(OutputError, match=expected), lease(folder):
            pass
        held.check()
        assert leases(folder) == [Path(held.place.path)]


def test_a_driver_on_another_machine_that_gives_signs_is_waited_for_and_refuses_us(folder: Location) -> None:
    path = leave_lease(folder, ELSEWHERE)
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
    with other_process() as other:
        leave_lease(folder, facts_of(other.pid))
        with pytest.raises(OutputError, match=f"process {other.pid} on "), lease(folder):
            pass
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 600)
    with lease(folder) as held:
        assert leases(folder) == [Path(held.place.path)]


def test_a_driver_that_nobody_has_reaped_yet_is_followed_at_once(
    folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 600)
    with other_process() as other:
        leave_lease(folder, facts_of(other.pid))
        other.kill()
        wait_for(lambda: (identity._state_and_start(other.pid) or "?")[0] == "Z")
        with lease(folder) as held:
            assert leases(folder) == [Path(held.place.path)]


def test_another_process_with_its_number_is_not_taken_for_it(folder: Location) -> None:
    leave_lease(folder, facts_of(os.getpid()) | {"started": 1.0})
    with lease(folder) as held:
        assert leases(folder) == [Path(held.place.path)]


def test_a_living_driver_is_known_after_the_clock_was_set(folder: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    with other_process() as other:
        leave_lease(folder, facts_of(other.pid))
        monkeypatch.setattr("psutil.boot_time", lambda: 1.0)
        monkeypatch.setattr("psutil.Process.create_time", lambda self: 2.0)
        with pytest.raises(OutputError, match=f"process {other.pid} on "), lease(folder):
            pass


@pytest.mark.parametrize(
    "unknown",
    [
        {"machine": "this boot pid:[another container]"},
        {"machine": ""},
        {"host": "another name of this machine", "machine": "another boot pid:[1]"},
    ],
    ids=["another container", "a system that does not tell", "another machine"],
)
def test_a_driver_whose_process_cannot_be_looked_up_is_followed_only_after_a_long_silence(
    folder: Location, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, unknown: dict[str, object]
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 1.0)
    facts = facts_of(os.getpid()) | {"pid": 2**22 + 7} | unknown
    leave_lease(folder, facts, silent=0.5)
    began = time.monotonic()
    with lease(folder) as held:
        assert time.monotonic() - began > 0.3
        assert leases(folder) == [Path(held.place.path)]
    assert "waiting for a sign of life of another job's driver" in caplog.text
    expected = rf"process {facts['pid']} on {facts['host']}, last sign of life \d s ago left the output unfinished"
    assert re.search(expected, caplog.text)


def test_a_driver_that_hangs_is_followed_after_a_long_silence_also_on_this_machine(
    folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    with other_process() as other:
        leave_lease(folder, facts_of(other.pid), silent=module.SILENT_SECONDS - 60)
        with pytest.raises(OutputError, match=f"process {other.pid} on .*, last sign of life 60 s ago"), lease(folder):
            pass
        leave_lease(folder, facts_of(other.pid), silent=module.SILENT_SECONDS + 1)
        with lease(folder) as held:
            assert leases(folder) == [Path(held.place.path)]


DAMAGED = {
    "empty": "",
    "cut": '{"host": "else',
    "no keys": "{}",
    "a list": "[1]",
    "not JSON": "PAR1\0\1",
    "of other types": json.dumps(ELSEWHERE | {"pid": "one"}),
    "no process's number": json.dumps(ELSEWHERE | {"pid": -1}),
    "of an earlier version": json.dumps({"host": "elsewhere", "pid": 1, "started": 1.0}),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_lease_counts_by_its_age(
    folder: Location, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.5)
    leave_lease(folder, content, silent=0.3)
    with lease(folder) as held:
        assert leases(folder) == [Path(held.place.path)]
    assert "waiting for a sign of life of another job's driver" in caplog.text
    assert re.search(r"by _lease-other\.json, last sign of life \d s ago left the output unfinished", caplog.text)


def test_a_damaged_lease_that_changes_is_a_living_drivers(folder: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_lease(folder, "{}")
    monkeypatch.setattr(module, "sleep", lambda seconds: leave_lease(folder, "{ }"))
    expected = r"another job is writing it \(by _lease-other\.json, last sign of life \d s ago\)\. Wait"
    with pytest.raises(OutputError, match=expected), lease(folder):
        pass


def test_a_lease_from_the_future_is_waited_for_no_longer_than_others(
    folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.5)
    leave_lease(folder, ELSEWHERE, silent=-86_400)
    with lease(folder) as held:
        assert leases(folder) == [Path(held.place.path)]


def make_folder(path: Path) -> None:
    path.mkdir()
    (path / "precious.txt").touch()


NO_FILES: dict[str, Callable[[Path], None]] = {
    "a folder": make_folder,
    "a pipe": os.mkfifo,
    "a link to a file": lambda path: path.symlink_to(path.parent / "note.txt"),
    "a link to a folder": lambda path: path.symlink_to(path.parent / "sub"),
    "a link to nothing": lambda path: path.symlink_to(path.parent / "gone"),
}


@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES)
def test_what_no_driver_wrote_blocks_nobody_and_nothing_behind_it_is_touched(
    folder: Location, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.3)
    root = Path(folder.path)
    (root / "note.txt").touch()
    (root / "sub").mkdir()
    (root / "sub" / "precious.txt").touch()
    make(root / f"{LEASE}other.json")
    with lease(folder) as held:
        held.check()
    assert (root / "note.txt").exists()
    assert (root / "sub" / "precious.txt").exists()
    if make is make_folder:
        assert (root / f"{LEASE}other.json" / "precious.txt").exists()


def test_a_driver_that_was_taken_for_gone_finds_out(folder: Location) -> None:
    with lease(folder) as held:
        Path(held.place.path).unlink()
        with pytest.raises(OutputError, match=TAKEN_OVER):
            held.check()
        time.sleep(0.2)
        assert leases(folder) == [], "its signs do not take the folder back"


def test_a_driver_that_was_taken_for_gone_ends_its_job(folder: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str | None]] = []
    monkeypatch.setattr(module, "end_job", lambda message, remedy=None: told.append((message, remedy)))
    with lease(folder) as held:
        Path(held.place.path).unlink()
        wait_for(lambda: told)
    (message, remedy), *others = told
    assert re.search(TAKEN_OVER, message)
    assert (remedy, others) == ("", [])


def test_a_storage_that_misses_what_the_other_driver_removed_is_told_as_lost(folder: Location) -> None:
    def work(of_another: bool) -> None:
        with lease(folder) as held:
            if of_another:
                Path(held.place.path).unlink()
            (folder / "gone.parquet").read_bytes()

    with pytest.raises(OutputError, match=TAKEN_OVER):
        work(of_another=True)
    with pytest.raises(StorageError, match=r"gone\.parquet: not there"):
        work(of_another=False)


def test_a_storage_that_does_not_take_the_lease_is_told_as_such(
    folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(location: Location, content: bytes) -> None:
        raise StorageError(f"{location.path}: no room is left")

    monkeypatch.setattr(Location, "write_bytes", fail)
    with pytest.raises(StorageError, match="no room is left"), lease(folder):
        pass


def test_a_file_is_not_moved_once_the_lease_is_lost(folder: Location) -> None:
    root = Path(folder.path)
    with lease(folder) as held:
        held.write(folder / "sub/a.json", b"1")
        assert (root / "sub/a.json").read_bytes() == b"1"
        Path(held.place.path).unlink()
        with pytest.raises(OutputError, match=TAKEN_OVER):
            held.write(folder / "sub/a.json", b"2")
    assert [path.name for path in (root / "sub").iterdir()] == ["a.json"]
    assert (root / "sub/a.json").read_bytes() == b"1"


@pytest.mark.parametrize("amid", ["before the move", "before the look at the lease"])
def test_a_driver_that_comes_back_amid_a_move_does_not_move_over_the_next_ones(
    folder: Location, monkeypatch: pytest.MonkeyPatch, amid: str
) -> None:
    """The first driver pauses between two operations of the storage; the second begins, writes and ends meanwhile."""
    monkeypatch.setattr(module, "SECONDS_BETWEEN_SIGNS", 600)
    root, target = Path(folder.path), folder / "a.parquet"
    move, check = module.move, module.Lease.check

    def second_driver() -> None:
        monkeypatch.setattr(module, "move", move)
        monkeypatch.setattr(module.Lease, "check", check)
        os.utime(held.place.path, (0, 0))
        with lease(folder) as second:
            second.write(target, b"second")

    def paused_move(source: Location, goal: Location) -> None:
        second_driver()
        move(source, goal)

    def paused_check(self: module.Lease) -> None:
        second_driver()
        check(self)

    with lease(folder) as held:
        if amid == "before the move":
            monkeypatch.setattr(module, "move", paused_move)
        else:
            monkeypatch.setattr(module.Lease, "check", paused_check)
        with pytest.raises(OutputError, match=TAKEN_OVER):
            held.write(target, b"first")
    assert [path.name for path in root.iterdir()] == ["a.parquet"]
    assert (root / "a.parquet").read_bytes() == b"second"


def test_signs_of_life_that_come_late_do_not_take_the_folder_back(
    folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_SIGNS", 600)
    move = module.move

    def paused_move(source: Location, goal: Location) -> None:
        monkeypatch.setattr(module, "move", move)
        os.utime(held.place.path, (0, 0))
        with lease(folder):
            pass
        move(source, goal)

    with lease(folder) as held:
        monkeypatch.setattr(module, "move", paused_move)
        with pytest.raises(OutputError, match=TAKEN_OVER):
            held.write(held.place, b"I live")
        assert leases(folder) == []


def test_what_an_earlier_driver_staged_is_removed_and_nothing_else(folder: Location) -> None:
    root = Path(folder.path)
    for name in (f".a.parquet.{PART}", f"sub/.b.parquet.{PART}", "mine.part", ".mine.part", f"a.{PART}"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    with lease(folder):
        left = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert {name for name in left if not name.startswith(LEASE)} == {"mine.part", ".mine.part", f"a.{PART}"}


def test_this_process_is_known_as_living_and_as_its_own() -> None:
    own = Process.own()
    assert (own.pid, own.host) == (os.getpid(), socket.gethostname())
    assert own.runs_here() is True
    assert own.model_copy(update={"pid": 2**40}).runs_here() is False
    assert own.model_copy(update={"machine": "elsewhere"}).runs_here() is None
