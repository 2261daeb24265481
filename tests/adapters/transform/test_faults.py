"""Workers, nodes, ledgers and drivers of Ray's that are killed: the output is that of an undisturbed run."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from neuronedit.adapters.transform import pool as ray_data
from neuronedit.adapters.transform.event_editor import TransformRules
from neuronedit.adapters.transform.manifest import verify_output
from neuronedit.errors import ClusterError, OutputError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.route import Route
from neuronedit.model.saved.files import save_model
from tests.adapters.killers import LOST_AT_MOST, DiesAlways, DiesOnce, Slow
from tests.adapters.transform.kill_matrix import VICTIMS, run_trials
from tests.adapters.transform.test_lease import TAKEN_OVER
from tests.adapters.transforming import check, here, outputs, run
from tests.disasters import start_driver, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.faults]

LEDGER = f"ray::{ray_data._TransformLedger.__name__}"
"""The name of its process."""

DRIVER = """
import sys
from pathlib import Path
from neuronedit.adapters.transform import pool as ray_data
from neuronedit.adapters.cluster import session as ray_session
from neuronedit.adapters.cluster.session import RayConfig
from neuronedit.model.saved.files import load_model
from tests.adapters import killers, transforming
cells, target = Path(sys.argv[1]), Path(sys.argv[2])
ray_data.FileTransformer = killers.Slow
with ray_session.ray_session(RayConfig(num_cpus=1)):
    transforming.run(cells, target, load_model(f"{target}-model"))
"""

TWO_NODES = """
import sys
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from neuronedit.adapters.transform import pool as ray_data
from neuronedit.model.saved.files import load_model
from tests.adapters import killers, transforming
from tests.adapters.transform.test_faults import wait_for_outputs, in_background
cells, target = Path(sys.argv[1]), Path(sys.argv[2])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
ray_data.FileTransformer = killers.Slow

def lose_node():
    wait_for_outputs(target, 1)
    at_work = [node for node in nodes if target.with_name(f"node-{node.node_id}").exists()]
    cluster.remove_node(at_work[0], allow_graceful=False)
    print("lost a node")

with in_background(lose_node):
    transforming.run(cells, target, load_model(f"{target}-model"))
ray.shutdown()
cluster.shutdown()
"""

WRITER = """
import sys
from neuronedit_jobs import transform
from neuronedit.adapters.transform import lease, pool
from tests.adapters import killers
lease.SILENT_SECONDS, lease.SECONDS_BETWEEN_SIGNS, lease.SECONDS_BETWEEN_LOOKS = 5.0, 0.5, 0.5
pool.FileTransformer = getattr(killers, sys.argv[1])
raise SystemExit(transform.main(sys.argv[2:]))
"""
"""The command, with the worker of that name, whose driver counts as gone when it was silent for five seconds."""


@pytest.fixture(autouse=True, scope="module")
def _ray(ray_cluster: None) -> None:
    pass


@pytest.fixture
def target(tmp_path: Path, controls_model: EditModel) -> Path:
    save_model(controls_model, tmp_path / "edited-model")
    return tmp_path / "edited"


def wait_for_outputs(target: Path, n_files: int, driver: subprocess.Popen[bytes] | None = None) -> None:
    wait_for(lambda: len(outputs(target)) >= n_files, driver)


@contextmanager
def in_background(work: Callable[[], None]) -> Iterator[None]:
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(work)
        yield
        done.result()


def processes(actor: str) -> set[int]:
    """The processes of this session's actors of that name."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        try:
            if any(actor in part for part in process.cmdline()):
                found.add(process.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def test_a_worker_killed_amid_a_file_costs_and_doubles_no_row(
    cells_once: Path, target: Path, undisturbed: Path, controls_model: EditModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_data, "FileTransformer", DiesOnce)
    run(cells_once, target, controls_model)
    assert int((target.parent / "died.txt").read_text()) != os.getpid()
    check(target, undisturbed)
    wait_for(lambda: not processes(LEDGER))  # what the killed worker held of it keeps it no longer


def test_every_worker_and_the_ledger_killed_once_cost_and_double_no_row(
    cells_once: Path, target: Path, undisturbed: Path, controls_model: EditModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: dict[str, set[int]] = {}

    def kill(actor: str, n_outputs: int) -> None:
        wait_for_outputs(target, n_outputs)
        killed[actor] = processes(actor)
        for pid in killed[actor]:
            os.kill(pid, signal.SIGKILL)

    def kill_each() -> None:
        kill("MapBatches(Slow)", 1)
        kill(LEDGER, 3)

    monkeypatch.setattr(ray_data, "FileTransformer", Slow)
    with in_background(kill_each):
        run(cells_once, target, controls_model)
    assert {actor: len(pids) for actor, pids in killed.items()} == {"MapBatches(Slow)": 2, LEDGER: 1}
    check(target, undisturbed)


def test_a_file_that_costs_every_worker_its_life_ends_the_job(
    cells_once: Path, target: Path, controls_model: EditModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_data, "FileTransformer", DiesAlways)
    message = rf"B-control\.parquet: {LOST_AT_MOST} workers were lost over it\. Look for their reason in Ray's logs"
    with pytest.raises(ClusterError, match=message):
        run(cells_once, target, controls_model)
    assert len((target.parent / "died.txt").read_text().split()) == LOST_AT_MOST
    assert not (target / "_manifest.json").exists()


def test_a_lost_node_costs_and_doubles_no_row(cells_once: Path, target: Path, undisturbed: Path) -> None:
    driver = start_driver(TWO_NODES, cells_once, target)
    out, err = driver.communicate(timeout=150)
    assert driver.returncode == 0, err.decode()
    assert "lost a node" in out.decode()
    check(target, undisturbed)


def test_a_driver_at_work_refuses_others_and_once_killed_a_resume_writes_the_same_bytes(
    cells_once: Path, target: Path, undisturbed: Path, controls_model: EditModel
) -> None:
    driver = start_driver(DRIVER, cells_once, target)
    try:
        wait_for_outputs(target, 1, driver)
        driver.send_signal(signal.SIGSTOP)  # amid its work, however long the others take
        n_before = len(outputs(target))
        with pytest.raises(OutputError, match=r"the output exists and is not empty"):
            run(cells_once, target, controls_model, transform=here)
        with pytest.raises(OutputError, match=rf"another job is writing it \(process {driver.pid} on "):
            run(cells_once, target, controls_model, transform=here, resume=True)
        driver.send_signal(signal.SIGCONT)
        wait_for_outputs(target, n_before + 1, driver)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    time.sleep(2)  # its actors notice that it is gone, or finish the file that they are at
    done = {path: path.stat().st_mtime_ns for path in target.glob("[!_]*.parquet")}
    assert 2 <= len(done) < 6
    assert not (target / "_manifest.json").exists()
    run(cells_once, target, controls_model, resume=True)
    kept = [path for path, written in done.items() if path.stat().st_mtime_ns == written]
    assert len(kept) >= 2, "finished files are not written again"
    check(target, undisturbed)


def test_a_driver_that_slept_and_its_workers_write_nothing_over_the_next_ones_output(
    cells_once: Path, target: Path, controls_model: EditModel, migrated_store: Path, tmp_path: Path
) -> None:
    shutil.copy(migrated_store, tmp_path / "mlflow.db")
    arguments = [
        *("--model", f"{target}-model", "--output", str(target), "--set", f"data.path={cells_once}"),
        *("--set", f"tracking.uri=sqlite:///{tmp_path}/mlflow.db", "--set", "ray.num_cpus=1"),
    ]
    sleeper = start_driver(WRITER, "Held", *arguments)
    try:
        wait_for((tmp_path / "held").exists, sleeper)  # a worker is amid its second file
        of_ray = psutil.Process(sleeper.pid).children(recursive=True)
        sleeper.send_signal(signal.SIGSTOP)
        time.sleep(6)  # it counts as gone now
        second = start_driver(WRITER, "FileTransformer", *arguments, "--overwrite", "--strength", "0.5")
        out, err = second.communicate(timeout=300)
        assert second.returncode == 0, err.decode()
        assert "left the output unfinished: its work is taken over" in err.decode()
        written = outputs(target)
        (tmp_path / "go-on").touch()
        wait_for((tmp_path / "went-on").exists)  # its driver sleeps still
        assert outputs(target) == written
        sleeper.send_signal(signal.SIGCONT)
        out, err = sleeper.communicate(timeout=30)
    finally:
        sleeper.kill()
    said = [line for line in (out + err).decode().splitlines() if "RAY_BACKEND_LOG_LEVEL" not in line]
    assert sleeper.returncode == 2
    (told,) = [line for line in said if "neuronedit transform: " in line]
    assert re.search(TAKEN_OVER, told)
    assert said[-1] == told
    assert not psutil.wait_procs(of_ray, timeout=20)[1]
    assert verify_output(str(target)).problems == ()
    assert outputs(target) == written
    half = TransformRules(route=Route(strength=0.5))
    run(cells_once, tmp_path / "alone", controls_model, half, transform=here)
    assert written == outputs(tmp_path / "alone")


def test_random_kills_of_the_command_lose_and_double_no_row(tmp_path: Path) -> None:
    for trial in run_trials(len(VICTIMS), seed=7, root=tmp_path):
        assert (trial.lost, trial.doubled, trial.faults) == (0, 0, ""), trial
        assert trial.status is not None, "stuck"
