"""Real commands that are stopped amid their work end soon, with one line that says what stands."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from neuronedit.model.edit_model import EditModel
from neuronedit.model.saved.files import save_model
from tests.disasters import wait_for
from tests.jobs.conftest import ROOT
from tests.jobs.story import Workplace

pytestmark = [pytest.mark.ray, pytest.mark.faults]


def stop(job: subprocess.Popen[bytes], number: int) -> tuple[int, str, float]:
    """Stop a job as a terminal or a scheduler does; its exit status, its last line, and the seconds that it took."""
    of_ray, began = psutil.Process(job.pid).children(recursive=True), time.monotonic()
    os.kill(-job.pid if number == signal.SIGINT else job.pid, number)
    out, err = job.communicate(timeout=60)
    seconds = time.monotonic() - began
    assert out == b""
    assert "Traceback" not in err.decode()
    assert not psutil.wait_procs(of_ray, timeout=20)[1]
    return job.returncode, err.decode().splitlines()[-1], seconds


def start(*arguments: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen(
        [sys.executable, "jobs/cli.py", *arguments],
        cwd=ROOT,
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_training_that_is_stopped_amid_ray_trains_work_says_that_its_checkpoints_stand(
    workplace: Workplace, number: int, status: int
) -> None:
    job = start("train", workplace.train, "--set", "training.epochs=100000")
    wait_for(lambda: list(workplace.folder.glob("checkpoints/**/epoch-*/state.json")), job)
    expected = "neuronedit train: Stopped. Its checkpoints stand: run the same command again."
    ended, told, seconds = stop(job, number)
    assert (ended, told) == (status, expected)
    assert seconds < 15  # five, where the machine is not busy


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_transform_that_is_stopped_says_how_to_go_on(
    workplace: Workplace, pair_model: EditModel, number: int, status: int
) -> None:
    save_model(pair_model, workplace.folder / "model")
    job = start("transform", workplace.transform, "--model", f"{workplace.folder}/model")
    wait_for((workplace.output / "_started.json").exists, job)
    wait_for(lambda: psutil.Process(job.pid).children(), job)
    expected = "neuronedit transform: Stopped. Finished files stand: run again with resume = true."
    ended, told, seconds = stop(job, number)
    assert (ended, told) == (status, expected)
    assert seconds < 15
    assert not list(Path(workplace.output).glob("_lease-*"))
