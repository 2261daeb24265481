"""Jobs submitted to a Ray cluster as a user submits them: ``ray job submit --working-dir . -- python jobs/train.py``.

The cluster is real: ``ray start`` of a head and a worker with token authentication, on private ports and in a private
folder.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from ray.exceptions import AuthenticationError
from ray.job_submission import JobStatus, JobSubmissionClient

pytestmark = [pytest.mark.ray, pytest.mark.faults]

PROJECT = Path(__file__).resolve().parents[2]
START_SECONDS, STOP_SECONDS, JOB_SECONDS = 60, 5, 120
PRIVATE_PORTS = (
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
    "node-manager-port",
    "object-manager-port",
)
MARKERS = ["CD3", "CD4", "CD8"]
N_EVENTS = 600
FINISHED = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED}


@dataclass(frozen=True)
class RayHead:
    """A running head node: where it listens, and how to be let in."""

    address: str
    token: str = field(repr=False)
    environment: dict[str, str] = field(repr=False)

    def client(self) -> JobSubmissionClient:
        # The header, not the environment: Ray reads $RAY_AUTH_MODE once per process, and other tests share this one.
        return JobSubmissionClient(self.address, headers={"Authorization": f"Bearer {self.token}"})

    def submit(self, folder: Path, *entrypoint: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_script("ray"), "job", "submit", "--working-dir", ".", "--", *entrypoint],
            cwd=folder,
            env={**self.environment, "RAY_API_SERVER_ADDRESS": self.address, **environment},
            capture_output=True,
            text=True,
            timeout=JOB_SECONDS,
            check=False,
        )


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    folder = Path(tempfile.mkdtemp(prefix="ne-ray-", dir="/tmp"))  # short: a socket's path has at most 107 letters
    token = secrets.token_hex(32)
    (folder / "token").touch(mode=0o600)
    (folder / "token").write_text(token, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHON"))}
    environment |= {
        # A job's `python` is the first on the head's PATH.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    port, dashboard = _free_ports(2)
    ray_head = RayHead(f"http://127.0.0.1:{dashboard}", token, environment)
    nodes = []
    try:
        # As on Kubernetes: the head runs the jobs' own processes, the worker everything else.
        first = ["--head", f"--port={port}", "--include-dashboard=true", f"--dashboard-port={dashboard}"]
        nodes.append(_start_node(folder / "head", environment, *first, "--num-cpus=0"))
        nodes.append(_start_node(folder / "worker", environment, f"--address=127.0.0.1:{port}", "--num-cpus=2"))
        _wait_for_jobs(ray_head)
        yield ray_head
    finally:
        left = _stop(nodes, folder)
        shutil.rmtree(folder, ignore_errors=True)
    assert not left, f"processes of the test's cluster that outlived it: {left}"


def test_train_then_transform_run_on_a_cluster_from_a_small_upload(head: RayHead, tmp_path: Path) -> None:
    _write_cells(tmp_path / "cells")
    upload = _upload_folder(tmp_path)
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"

    client = head.client()
    job = client.submit_job(
        entrypoint=f"python jobs/train.py train.toml --set tracking.uri={store}",
        runtime_env={"working_dir": str(upload)},
    )
    assert _finish(client, job) == JobStatus.SUCCEEDED, client.get_job_logs(job)
    (version,) = MlflowClient(store, store).search_model_versions("name='submitted'")
    assert f"models:/submitted/{version.version}" in client.get_job_logs(job)

    submitted = head.submit(
        upload,
        "python",
        "jobs/transform.py",
        "transform.toml",
        "--set",
        f"tracking.uri={store}",
        "--set",
        "resume=true",
    )
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    manifest = json.loads((tmp_path / "edited" / "_manifest.json").read_text(encoding="utf-8"))
    assert manifest["model"]["uri"] == f"models:/submitted/{version.version}"
    assert manifest["events"] == 2 * N_EVENTS
    outputs = sorted(path.name for path in (tmp_path / "edited").glob("*.parquet"))
    assert outputs == ["B1.parquet", "B2.parquet"]
    assert [pq.read_metadata(tmp_path / "edited" / name).num_rows for name in outputs] == [N_EVENTS, N_EVENTS]


def test_a_job_imports_the_package_that_was_uploaded(head: RayHead, tmp_path: Path) -> None:
    upload = _upload_folder(tmp_path)
    (upload / "where.py").write_text("import neuronedit; print('found', neuronedit.__file__)\n", encoding="utf-8")
    client = head.client()
    job = client.submit_job(entrypoint="python where.py", runtime_env={"working_dir": str(upload)})
    assert _finish(client, job) == JobStatus.SUCCEEDED
    assert re.search(
        r"found \S+/runtime_resources/working_dir_files/\S+/neuronedit/__init__.py", client.get_job_logs(job)
    )


def test_a_failing_job_fails_the_command_and_tells_why(head: RayHead, tmp_path: Path) -> None:
    upload = _upload_folder(tmp_path)
    submitted = head.submit(upload, "python", "jobs/train.py", "train.toml", "--set", "data.pth=cells")
    assert submitted.returncode == 1
    assert "train.toml: unknown key 'data.pth'" in submitted.stdout + submitted.stderr


def test_the_server_refuses_a_submission_without_the_token(head: RayHead, tmp_path: Path) -> None:
    with pytest.raises(AuthenticationError, match="Unauthorized: Missing authentication token"):
        JobSubmissionClient(head.address)
    refused = head.submit(tmp_path, "true", RAY_AUTH_MODE="disabled")
    assert refused.returncode == 1
    assert "Unauthorized: Missing authentication token" in refused.stderr


def test_the_server_refuses_a_submission_with_a_wrong_token(head: RayHead, tmp_path: Path) -> None:
    refused = head.submit(tmp_path, "true", RAY_AUTH_TOKEN="wrong" * 8, RAY_AUTH_TOKEN_PATH="")
    assert refused.returncode == 1
    assert "Forbidden: Invalid authentication token" in refused.stderr


def test_the_command_line_asks_for_a_token_where_there_is_none(head: RayHead, tmp_path: Path) -> None:
    refused = head.submit(tmp_path, "true", RAY_AUTH_TOKEN_PATH="", HOME=str(tmp_path))
    assert refused.returncode == 1
    assert "couldn't find an authentication token" in refused.stderr


def _write_cells(folder: Path) -> None:
    """Two batches, one file each, half of it the batch's control; batch B2 is brighter."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for batch, gain in {"B1": 1.0, "B2": 2.0}.items():
        events = gain * generator.gamma(2.0, 20.0, size=(N_EVENTS, len(MARKERS))).astype(np.float32)
        columns = dict(zip(MARKERS, events.T, strict=True))
        roles = ["control", "sample"] * (N_EVENTS // 2)
        pq.write_table(
            pa.table({**columns, "batch_id": [batch] * N_EVENTS, "role": roles}), folder / f"{batch}.parquet"
        )


def _upload_folder(folder: Path) -> Path:
    """What ``--working-dir`` uploads: the package, the jobs and the test's settings, with absolute paths."""
    upload = folder / "upload"
    for package in ("neuronedit", "jobs"):
        shutil.copytree(PROJECT / package, upload / package, ignore=shutil.ignore_patterns("__pycache__"))
    (upload / "train.toml").write_text(
        f"""
data.path = "{folder / "cells"}"
panel.markers = {json.dumps(MARKERS)}
design = {{ kind = "controls", control = {{ role = "control" }}, reference = "B1" }}
autoencoder = {{ hidden = [16], code = 8 }}
training = {{ epochs = 2, minibatch = 128 }}
edit.preset = "neurons-then-markers"
workers.storage = "{folder / "checkpoints"}"
model.name = "submitted"
tracking.artifacts = "{folder / "artifacts"}"
""",
        encoding="utf-8",
    )
    (upload / "transform.toml").write_text(
        f"""
data.path = "{folder / "cells"}"
model = "models:/submitted/1"
output = "{folder / "edited"}"
""",
        encoding="utf-8",
    )
    return upload


def _finish(client: JobSubmissionClient, job: str) -> JobStatus:
    deadline = time.monotonic() + JOB_SECONDS
    while (status := client.get_job_status(job)) not in FINISHED:
        assert time.monotonic() < deadline, f"{job} is {status} after {JOB_SECONDS} s:\n{client.get_job_logs(job)}"
        time.sleep(0.3)
    return status


def _start_node(folder: Path, environment: dict[str, str], *arguments: str) -> psutil.Popen:
    """Start a Ray node on ports and in a folder of its own; return when it runs."""
    folder.mkdir()  # two nodes in one folder would delete each other's copy of a working directory
    ports = zip(PRIVATE_PORTS, _free_ports(len(PRIVATE_PORTS)), strict=True)
    command = [_script("ray"), "start", "--block", *arguments, f"--object-store-memory={200 * 1024**2}"]
    command += [f"--temp-dir={folder}", "--min-worker-port=0", "--max-worker-port=0"]
    command += [f"--{name}={port}" for name, port in ports]
    log = folder / "node.log"
    with log.open("wb") as stream:
        process = psutil.Popen(
            command, env=environment, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
    deadline = time.monotonic() + START_SECONDS
    while "Ray runtime started" not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"{' '.join(command)} did not come up in {START_SECONDS} s:\n{log.read_text(errors='replace')}")
        time.sleep(0.2)
    return process


def _wait_for_jobs(head: RayHead) -> None:
    """Return when the cluster answers its job API."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(ConnectionError, RuntimeError):
            head.client()
            return
        time.sleep(0.3)
    pytest.fail(f"the job API at {head.address} did not answer in {START_SECONDS} s")


def _stop(nodes: list[psutil.Popen], folder: Path) -> list[str]:
    """Stop the nodes and all that they started, by process id and nothing else; return what would not die."""
    family = _family(nodes, folder)
    for node in nodes:
        with suppress(psutil.NoSuchProcess):
            node.terminate()  # ray start --block ends its own processes on this
    _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
    alive = list({*alive, *_family(nodes, folder)})
    for survivor in alive:
        with suppress(psutil.NoSuchProcess):
            survivor.kill()
    _, alive = psutil.wait_procs(alive, timeout=STOP_SECONDS)
    return [str(survivor) for survivor in alive]


def _family(nodes: list[psutil.Popen], folder: Path) -> list[psutil.Process]:
    """The nodes, their descendants, and processes that name their private folder (which have lost their parent)."""
    family: set[psutil.Process] = set()
    for node in nodes:
        with suppress(psutil.NoSuchProcess):
            family |= {psutil.Process(node.pid), *node.children(recursive=True)}
    for other in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            named = [*other.cmdline(), other.environ().get("RAY_AUTH_TOKEN_PATH", "")]
            if any(str(folder) in word for word in named) and other.pid != os.getpid():
                family.add(other)
    return list(family)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
