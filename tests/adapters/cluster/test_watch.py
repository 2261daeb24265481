"""A job on Ray that is stopped, or loses Ray, ends with one message; nothing of Ray's is left behind."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from neuronedit.adapters.cluster import watch
from tests.disasters import start_driver, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.faults]

JOB = """
import sys
import time
from pathlib import Path
import ray
from neuronedit.adapters.cluster import watch
from neuronedit.adapters.cluster.session import RayConfig, ray_session
from neuronedit.adapters.cluster.command import JobCommand
from neuronedit.config import Config

watch.SECONDS_BETWEEN_CALLS, watch.SECONDS_WITHOUT_ANSWER = 0.5, 3.0
address, note = sys.argv[1:]

class Nothing(Config):
    "No settings."

@ray.remote
def work():
    Path(note).touch()
    time.sleep(600)

def job(config):
    with ray_session(RayConfig(num_cpus=1, address=None if address == "here" else address)):
        ray.get(work.remote())

raise SystemExit(JobCommand("wait", Nothing, job)([]))
"""

CLUSTER = """
import sys
import time
from pathlib import Path
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
Path(sys.argv[1]).write_text(cluster.address)
time.sleep(600)
"""

STOPPED = "neuronedit wait: Stopped. Run it again.\n"
LOST = r"neuronedit wait: Ray was lost \({}\)\. Run it again\.\n"


def ended(driver: subprocess.Popen[bytes], seconds: float) -> tuple[int, str]:
    """The exit status and all that the job said, but for Ray's line on its own log level."""
    out, err = driver.communicate(timeout=seconds)
    said = [line for line in (out + err).decode().splitlines(keepends=True) if "RAY_BACKEND_LOG_LEVEL" not in line]
    return driver.returncode, "".join(said)


def start(tmp_path: Path, address: str = "here") -> subprocess.Popen[bytes]:
    """Start the job, and wait until it is amid its work."""
    driver = start_driver(JOB, Path(address), tmp_path / "at-work")
    wait_for((tmp_path / "at-work").exists, driver)
    return driver


def below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def name_of(process: psutil.Process) -> str:
    """The name of a process; none of one that has ended."""
    with suppress(psutil.NoSuchProcess):
        return process.name()
    return ""


def kill(processes: list[psutil.Process], *names: str) -> list[psutil.Process]:
    """Kill those of these names, by default all, and give them; some may end by themselves meanwhile."""
    found = [process for process in processes if not names or name_of(process) in names]
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return found


def command(process: psutil.Process) -> list[str]:
    """The command line of a process; none of one that has ended."""
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


def check_ended(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=60)  # Ray's agents look only now and then for their raylet
    assert not alive


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_job_that_is_stopped_ends_soon_and_ray_with_it(tmp_path: Path, number: int, status: int) -> None:
    driver = start(tmp_path)
    of_ray = below(driver.pid)
    os.killpg(driver.pid, number)  # as a terminal does
    assert ended(driver, 20) == (status, STOPPED)
    check_ended(of_ray)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0, 1.5])
def test_a_job_that_is_stopped_while_ray_starts_ends_soon(tmp_path: Path, number: int, seconds: float) -> None:
    driver = start_driver(JOB, Path("here"), tmp_path / "at-work")
    wait_for(lambda: any(name_of(process) == "gcs_server" for process in below(driver.pid)), driver)
    time.sleep(seconds)
    of_ray = below(driver.pid)
    os.killpg(driver.pid, number)  # SIGTERM ends what Ray has started, too
    assert ended(driver, 60) == (128 + number, STOPPED)
    check_ended(
        [process for process in of_ray if "agent" not in " ".join(command(process)).lower()]
    )  # see docs/limits.md


@pytest.mark.parametrize(
    ("killed", "told"),
    [
        (["raylet"], "its process raylet ended"),
        (["gcs_server"], "its process gcs_server ended"),
        ([], "its process (raylet|gcs_server) ended(, its process (raylet|gcs_server) ended)?"),  # whichever was seen
    ],
    ids=["raylet", "gcs_server", "all"],
)
def test_a_job_that_loses_ray_says_so_and_ends(tmp_path: Path, killed: list[str], told: str) -> None:
    driver = start(tmp_path)
    of_ray = below(driver.pid)
    kill(of_ray, *killed)
    status, said = ended(driver, 30)
    assert status == 2, said
    assert re.fullmatch(LOST.format(told), said), said
    check_ended(of_ray)


def test_whatever_came_of_it_that_ray_was_lost_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    ended = psutil.Popen(["true"])
    ended.wait()
    monkeypatch.setattr(watch, "SECONDS_BETWEEN_LOOKS", 600)
    monkeypatch.setattr(watch, "_processes_here", lambda: {"raylet": ended})
    monkeypatch.setattr(watch, "end_job", told.append)
    with pytest.raises(RuntimeError, match="The actor died"), watch.watched():
        raise RuntimeError("The actor died.")
    assert told == ["Ray was lost (its process raylet ended)."]


@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_a_job_that_loses_ray_while_it_starts_says_so_and_ends(tmp_path: Path, name: str) -> None:
    driver = start_driver(JOB, Path("here"), tmp_path / "at-work")
    wait_for(lambda: kill(below(driver.pid), name), driver)
    status, said = ended(driver, 120)
    assert status == 2, said
    assert "Traceback" not in said
    *_, told = said.splitlines()  # Ray's C++ core may have told of its own tries before
    assert re.match(r"neuronedit wait: Ray (did not start on this machine|was lost) \(", told)


@pytest.mark.parametrize("seconds", [0, 0.5, 1])
def test_a_job_whose_head_ends_after_its_node_began_does_not_wait_for_it(tmp_path: Path, seconds: float) -> None:
    driver = start_driver(JOB, Path("here"), tmp_path / "at-work")
    wait_for(lambda: any(name_of(process) == "raylet" for process in below(driver.pid)), driver)
    time.sleep(seconds)
    kill(below(driver.pid), "gcs_server")
    status, said = ended(driver, 30)
    assert status == 2, said
    assert re.match(r"neuronedit wait: Ray (did not start on this machine|was lost) \(", said.splitlines()[-1])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A cluster that others started: its address, and the process above its own."""
    note = tmp_path / "address"
    keeper = start_driver(CLUSTER, note)
    wait_for(lambda: note.exists() and note.read_text(), keeper)
    of_ray = below(keeper.pid)
    yield note.read_text(), keeper.pid
    kill([*below(keeper.pid), *of_ray])
    keeper.kill()
    keeper.communicate()


@pytest.mark.parametrize(
    ("killed", "told"),
    [("raylet", r"its process raylet ended"), ("gcs_server", r"its head has not answered for \d s")],
    ids=["raylet", "gcs_server"],
)
def test_a_job_on_a_cluster_that_is_lost_says_so_and_ends(
    tmp_path: Path, cluster: tuple[str, int], killed: str, told: str
) -> None:
    address, keeper = cluster
    driver = start(tmp_path, address)
    kill(below(keeper), killed)
    status, said = ended(driver, 30)
    assert status == 2, said
    assert re.fullmatch(LOST.format(told), said), said
