"""MLflow's own server, for the tests."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen


@contextmanager
def running_server(folder: Path, migrated_store: Path) -> Iterator[str]:
    """The address of a server that keeps records and artifacts in a folder."""
    with server_process(folder, migrated_store) as (address, _):
        yield address


@contextmanager
def server_process(
    folder: Path, migrated_store: Path | None = None, port: int = 0
) -> Iterator[tuple[str, subprocess.Popen]]:
    """The same with its process, to be killed; without a migrated store it goes on with the records in the folder.

    Records are in SQLite, or in the empty database that ``NEURONEDIT_TEST_DATABASE`` names as SQLAlchemy does
    (``postgresql://…``, with ``psycopg[binary]`` installed).
    """
    if migrated_store:
        shutil.copy(migrated_store, folder / "mlflow.db")
    database = os.environ.get("NEURONEDIT_TEST_DATABASE", f"sqlite:///{folder}/mlflow.db")
    if not port:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    store = ["--backend-store-uri", database, "--artifacts-destination", str(folder / "kept")]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *store, "--port", str(port), "--workers", "1"],
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _await_answer(address, process)
        yield address, process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


def kill_server(process: subprocess.Popen) -> None:
    """Kill a server and the process that answers for it."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def _await_answer(address: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(f"{address}/health", timeout=5):
                return
        except (URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    raise AssertionError("MLflow's server did not start")
