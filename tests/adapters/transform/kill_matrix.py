"""Real transforms through the command line, killed at random moments and resumed: rows lost, doubled, jobs stuck.

    python -m tests.adapters.transform.kill_matrix --trials 25 --seed 1

prints a table with a line for each trial. Each takes some ten seconds on an idle machine.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from neuronedit.adapters.registry.runs import TrackingConfig, connect
from neuronedit.adapters.transform.manifest import verify_output
from neuronedit.cells.panel import Panel
from neuronedit.model.saved.files import save_model
from tests.adapters.transforming import outputs
from tests.fixtures import CONTROLS, fit_small_model
from tests.synthetic_cells import BATCHES, MARKERS, sample_table, write_cells

ROOT = Path(__file__).parents[3]

VICTIMS = {
    "driver": "the process of the command",
    "worker": "every process of an actor that edits",
    "raylet": "Ray's process for the node",
    "head": "Ray's process for the cluster",
    "all of Ray": "all that the command started",
}
ENDS = {"driver": {-9}, "worker": {0}, "raylet": {0, 2}, "head": {0, 2}, "all of Ray": {0, 2}}
"""The exit statuses that a kill may lead to; a job may be done before its end is noticed."""

N_FILES, N_EVENTS = 16, 20_000
SECONDS_TO_END = 240.0
"""After which a job counts as stuck."""


@dataclass(frozen=True)
class Trial:
    """A transform that was killed once, and resumed until it was done.

    Attributes:
        number: The trial's.
        victim: What was killed.
        files: Files that stood then, of the first run's.
        status: The exit status of the killed run; None where it was stuck.
        seconds: From the kill to the end of that run.
        resumes: Runs after it.
        lost: Rows of the input that are not in the output.
        doubled: Rows that are in the output more than once, or not in the input.
        faults: All else that is not as it should be.
    """

    number: int
    victim: str
    files: int
    status: int | None
    seconds: float
    resumes: int
    lost: int
    doubled: int
    faults: str


@dataclass(frozen=True)
class Workplace:
    """A folder with a dataset, a model and a store of runs."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> "Workplace":
        model = fit_small_model(write_cells(root / "controls"), Panel(MARKERS, (5.0,) * len(MARKERS)), CONTROLS)
        save_model(model, root / "model")
        (root / "cells").mkdir()
        for number in range(N_FILES):
            table = sample_table(BATCHES[number % len(BATCHES)], "control", N_EVENTS, seed=number)
            pq.write_table(table, root / "cells" / f"f{number:03d}.parquet", row_group_size=5000)
        connect(TrackingConfig(uri=f"sqlite:///{root}/mlflow.db"))
        return cls(root)

    def start(self, output: Path) -> subprocess.Popen[bytes]:
        """Start the command as a scheduler would, again and again: it resumes what is there."""
        settings = [f"data.path={self.root}/cells", f"tracking.uri=sqlite:///{self.root}/mlflow.db", "ray.num_cpus=1"]
        overrides = [part for setting in settings for part in ("--set", setting)]
        arguments = ["transform", "--model", f"{self.root}/model", "--output", str(output), "--resume", *overrides]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
        environment.pop("RAY_ADDRESS", None)
        return subprocess.Popen(
            [sys.executable, "jobs/cli.py", *arguments],
            cwd=ROOT,
            env=environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=(output.parent / f"{output.name}.log").open("ab"),
        )


def try_kill(place: Workplace, number: int, victim: str, chance: random.Random) -> Trial:
    """Kill a transform at a random moment, resume it until it is done, and count."""
    output = place.root / f"output-{number:03d}"
    n_files, delay = chance.randrange(N_FILES), chance.uniform(0, 0.2)
    if chance.random() < 0.2:  # while it starts
        n_files, delay = 0, chance.uniform(0, 8)
    job = place.start(output)
    while job.poll() is None and len(outputs(output)) < n_files:
        time.sleep(0.01)
    time.sleep(delay)
    while job.poll() is None and not _kill(job.pid, victim):
        time.sleep(0.01)  # it has not started yet
    files, killed = len(outputs(output)), time.monotonic()
    statuses = [_end(job)]
    seconds, faults = time.monotonic() - killed, []
    if statuses[0] not in ENDS[victim] | {0}:  # 0: it was done before
        faults.append(f"status {statuses[0]}, expected one of {sorted(ENDS[victim])}")
    while statuses[-1] != 0 and len(statuses) < 4:
        statuses.append(_end(place.start(output)))
    if statuses[-1] != 0:
        faults.append(f"not done after statuses {statuses}")
    log = output.with_name(f"{output.name}.log").read_text(errors="replace")
    faults += [sign for sign in ("Traceback", "Fatal Python error", "*** SIG") if sign in log]
    lost, doubled = _rows(place.root / "cells", output)
    if statuses[-1] == 0:
        faults += verify_output(str(output)).problems
    return Trial(number, victim, files, statuses[0], seconds, len(statuses) - 1, lost, doubled, "; ".join(faults))


def _kill(pid: int, victim: str) -> bool:
    """Kill; False where it is not there yet."""
    if victim == "driver":
        os.kill(pid, signal.SIGKILL)
        return True
    found, names = [], set()
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                name, words = process.name(), " ".join(process.cmdline())
                wanted = {
                    "worker": "FileTransformer" in words,
                    "raylet": name == "raylet",
                    "head": name == "gcs_server",
                    "all of Ray": True,
                }
                if wanted[victim]:
                    found.append(process)
                    names.add(name)
    if victim == "all of Ray" and "raylet" not in names:
        return False
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return bool(found)


def _end(job: subprocess.Popen[bytes]) -> int | None:
    """The exit status; None where the job is stuck, and is killed."""
    try:
        return job.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        job.kill()
        job.wait()
        return None


def _rows(cells: Path, output: Path) -> tuple[int, int]:
    """The numbers of rows that are lost, and that are doubled or strange."""
    before, after = (_events(folder) for folder in (cells, output))
    return (before - after).total(), (after - before).total()


def _events(folder: Path) -> Counter[int]:
    events: Counter[int] = Counter()
    for path in folder.glob("[!_.]*.parquet"):
        events.update(pq.read_table(path, columns=["event_id"]).column("event_id").to_pylist())
    return events


def run_trials(n_trials: int, seed: int, root: Path) -> list[Trial]:
    """Run trials, the victims in turn, and print each as a line of a table."""
    chance, place = random.Random(seed), Workplace.make(root)
    _print_row([field.name for field in fields(Trial)])
    trials = []
    for number in range(n_trials):
        trials.append(try_kill(place, number, list(VICTIMS)[number % len(VICTIMS)], chance))
        _print_row(astuple(trials[-1]))
    return trials


def _print_row(cells: Sequence[object]) -> None:
    texts = [f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in cells]
    sys.stdout.write(" | ".join(f"{text:>10}" for text in texts) + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="neuronedit-kills-") as folder:
        trials = run_trials(options.trials, options.seed, Path(folder))
    lost, doubled = sum(trial.lost for trial in trials), sum(trial.doubled for trial in trials)
    stuck = sum(trial.status is None for trial in trials)
    sys.stdout.write(f"{len(trials)} kills: {lost} rows lost, {doubled} doubled, {stuck} stuck\n")
    return int(bool(lost or doubled or stuck or any(trial.faults for trial in trials)))


if __name__ == "__main__":
    raise SystemExit(main())
