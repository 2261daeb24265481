"""Workers, nodes and drivers that are killed, a disk that is full: the output is that of an undisturbed run."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from neuronedit.adapters import ray_data
from neuronedit.adapters.file_transformer import MAX_ATTEMPTS
from neuronedit.adapters.verify import verify_output
from neuronedit.errors import ClusterError, StorageError
from neuronedit.model import EditModel
from neuronedit.model_files import save_model
from tests.adapters.killers import DiesAlways, DiesOnce, Slow
from tests.adapters.transforming import here, leftovers, outputs, run
from tests.disasters import enlarge, small_disk, start_driver, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow]

DRIVER = """
import sys
from pathlib import Path
from neuronedit.adapters import ray_data, ray_session
from neuronedit.job_configs import RayConfig
from neuronedit.model_files import load_model
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
from neuronedit.adapters import ray_data
from neuronedit.model_files import load_model
from tests.adapters import killers, transforming
from tests.adapters.test_faults import wait_for_outputs, in_background
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


@pytest.fixture(autouse=True, scope="module")
def _ray(ray_cluster: None) -> None:
    pass


@pytest.fixture(scope="module")
def undisturbed(cells_once: Path, controls_model: EditModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("undisturbed") / "edited"
    run(cells_once, target, controls_model, transform=here)
    return target


@pytest.fixture
def target(tmp_path: Path, controls_model: EditModel) -> Path:
    save_model(controls_model, tmp_path / "edited-model")
    return tmp_path / "edited"


def check(target: Path, undisturbed: Path) -> None:
    assert outputs(target).keys() == outputs(undisturbed).keys()
    for path in undisturbed.glob("[!_]*.parquet"):
        assert pq.read_table(target / path.name).equals(pq.read_table(path)), path.name
    assert verify_output(str(target)).problems == ()
    assert leftovers(target) == []
    assert not list(target.glob("_lease-*"))


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
    wait_for(lambda: not processes("ray::_Ledger"))  # what the killed worker held of it keeps it no longer


def test_every_worker_killed_once_costs_and_doubles_no_row(
    cells_once: Path, target: Path, undisturbed: Path, controls_model: EditModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: set[int] = set()

    def kill_each() -> None:
        wait_for_outputs(target, 1)
        for pid in processes("MapBatches(Slow)"):
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)

    monkeypatch.setattr(ray_data, "FileTransformer", Slow)
    with in_background(kill_each):
        run(cells_once, target, controls_model)
    assert len(killed) == 2
    check(target, undisturbed)


def test_a_killed_ledger_costs_and_doubles_no_row(
    cells_once: Path, target: Path, undisturbed: Path, controls_model: EditModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: set[int] = set()

    def kill() -> None:
        wait_for_outputs(target, 1)
        killed.update(processes("ray::_Ledger"))
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

    monkeypatch.setattr(ray_data, "FileTransformer", Slow)
    with in_background(kill):
        run(cells_once, target, controls_model)
    assert len(killed) == 1
    check(target, undisturbed)


def test_a_file_that_costs_every_worker_its_life_ends_the_job(
    cells_once: Path, target: Path, controls_model: EditModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_data, "FileTransformer", DiesAlways)
    message = rf"B-control\.parquet: {MAX_ATTEMPTS} workers were lost over it\. Look for their reason in Ray's logs"
    with pytest.raises(ClusterError, match=message):
        run(cells_once, target, controls_model)
    assert len((target.parent / "died.txt").read_text().split()) == MAX_ATTEMPTS
    assert not (target / "_manifest.json").exists()


def test_a_lost_node_costs_and_doubles_no_row(cells_once: Path, target: Path, undisturbed: Path) -> None:
    driver = start_driver(TWO_NODES, cells_once, target)
    out, err = driver.communicate(timeout=150)
    assert driver.returncode == 0, err.decode()
    assert "lost a node" in out.decode()
    check(target, undisturbed)


def test_a_killed_driver_and_a_resume_write_the_same_bytes(
    cells_once: Path, target: Path, undisturbed: Path, controls_model: EditModel
) -> None:
    driver = start_driver(DRIVER, cells_once, target)
    try:
        wait_for_outputs(target, 2, driver)
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
    assert outputs(target) == outputs(undisturbed)
    check(target, undisturbed)


def test_a_second_driver_is_refused_while_the_first_is_at_work(
    cells_once: Path, target: Path, undisturbed: Path
) -> None:
    first = start_driver(DRIVER, cells_once, target)
    wait_for_outputs(target, 1, first)
    first.send_signal(signal.SIGSTOP)  # amid its work, however long the others take to start
    second = start_driver(DRIVER, cells_once, target)
    resuming = start_driver(DRIVER.replace('-model"))', '-model"), resume=True)'), cells_once, target)
    refused = [driver.communicate(timeout=120)[1].decode() for driver in (second, resuming)]
    assert "the output exists and is not empty" in refused[0]
    first.send_signal(signal.SIGCONT)
    assert f"another transform is writing it (process {first.pid} on " in refused[1]
    assert first.wait(timeout=120) == 0, first.stderr and first.stderr.read().decode()
    check(target, undisturbed)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Less than the edited cells take."""
    with small_disk(tmp_path / "disk", kilobytes=96) as folder:
        yield folder


def test_a_full_disk_is_told_and_a_resume_with_room_completes(
    cells_once: Path, disk: Path, undisturbed: Path, tmp_path: Path, controls_model: EditModel
) -> None:
    target = disk / "edited"
    save_model(controls_model, tmp_path / "model")
    (disk / "edited-model").symlink_to(tmp_path / "model")
    with pytest.raises(StorageError, match=r": no room is left \(.*No space left on device"):
        run(cells_once, target, controls_model)
    finished = outputs(target)
    assert 0 < len(finished) < 6
    assert all(outputs(undisturbed)[name] == content for name, content in finished.items()), "no file is cut short"
    enlarge(disk)
    run(cells_once, target, controls_model, resume=True)
    check(target, undisturbed)


def test_a_corrupt_file_among_good_ones_ends_the_job_and_the_good_ones_stand(
    cells: Path, target: Path, undisturbed: Path, controls_model: EditModel
) -> None:
    path = cells / "C-validation.parquet"
    good = path.read_bytes()
    path.write_bytes(good[:4] + b"\xff" * 3000 + good[3004:])
    with pytest.raises(Exception, match=r"C-validation\.parquet: row group 0 is damaged"):
        run(cells, target, controls_model)
    assert not (target / "_manifest.json").exists()
    path.write_bytes(good)
    run(cells, target, controls_model, resume=True)
    check(target, undisturbed)
    assert json.loads((target / "_manifest.json").read_text())["left_out"] == []
