"""Other tools, each in an environment of its own: installed when they are measured, never a dependency.

A peer gets what a method of ours gets: source, target and the events to be edited, on the arcsinh scale. Some cannot
be applied to events that they were not fitted with: they see the events, as one batch with the source, and
their names say so.
"""

import logging
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from neuronedit.arrays import Float32s
from neuronedit.errors import NeuroneditError

from .tasks import Populations

logger = logging.getLogger(__name__)

SCRIPT = Path(__file__).with_name("run_peer.py")

TIMEOUT_S = 3_600
"""For all tasks of one peer; it needs some minutes."""

STAMP = "installed.txt"

ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}

SEES_EVENTS = " (sees the events)"


class PeerError(NeuroneditError):
    """A peer cannot be installed."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment: its name, and the exact versions of what computes the results."""

    name: str
    pins: tuple[str, ...]


@dataclass(frozen=True)
class Peer:
    """Another tool.

    Attributes:
        name: In the tables.
        call: The function of ``run_peer.py`` that calls it.
        environment: The environment that it is installed in.
    """

    name: str
    call: str
    environment: Environment


@dataclass(frozen=True)
class PeerTask:
    """A peer's input: (n, n_markers) float32, arcsinh units each, and a seed; the name is for people."""

    name: str
    populations: Populations
    seed: int


CYTONORMPY = Environment("cytonormpy", ("cytonormpy==1.0.2", "flowsom==0.2.2"))
CYCOMBINEPY = Environment("cycombinepy", ("cycombinepy==0.1.1", "flowsom==0.2.2", "inmoose==0.9.1"))
HARMONYPY = Environment("harmonypy", ("harmonypy==2.1.0",))

PEERS = (
    Peer("CytoNormPy 1.0.2", "cytonormpy", CYTONORMPY),
    Peer("CytoNormPy 1.0.2, no clusters", "cytonormpy_unclustered", CYTONORMPY),
    Peer(f"cycombinepy 0.1.1{SEES_EVENTS}", "cycombine", CYCOMBINEPY),
    Peer(f"harmonypy 2.1.0{SEES_EVENTS}", "harmony", HARMONYPY),
    Peer(f"ComBat, inmoose 0.9.1{SEES_EVENTS}", "combat", CYCOMBINEPY),
)

PEERS_OF_MANY_EVENTS = (
    *PEERS,
    Peer("CytoNormPy 1.0.2, 10 clusters", "cytonormpy_10", CYTONORMPY),
    Peer("CytoNormPy 1.0.2, 20 clusters", "cytonormpy_20", CYTONORMPY),
)
"""Measured on simulated tasks, whose events fill more clusters."""


def measure_peers(
    peers: Sequence[Peer], tasks: Sequence[PeerTask], folder: Path, script: Path = SCRIPT
) -> list[dict[str, Float32s]]:
    """Edit the events of every task by every peer: for each task, by the peer's name.

    A peer that fails on a task gives NaN, and the reason is logged.

    Args:
        peers: Installed first, where they are not yet.
        tasks: The peers' inputs.
        folder: For the environments; those that are there are used again.
        script: Runs in a peer's environment.

    Raises:
        PeerError: A peer cannot be installed.
    """
    pythons = {environment: install(environment, folder) for environment in {peer.environment for peer in peers}}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        by_peer = list(pool.map(lambda peer: run_peer(peer, pythons[peer.environment], tasks, script), peers))
    return [dict(zip([peer.name for peer in peers], edited, strict=True)) for edited in zip(*by_peer, strict=True)]


def install(environment: Environment, folder: Path) -> Path:
    """The Python of an environment, which is made unless one of the same pins is there.

    Raises:
        PeerError: pip fails.
    """
    home = folder / environment.name
    python = home / "bin" / "python"
    wanted = "\n".join([f"python=={platform.python_version()}", *environment.pins])
    stamp = home / STAMP
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    logger.info("installing %s in %s", ", ".join(environment.pins), home)
    _command([sys.executable, "-m", "venv", "--clear", str(home)], environment)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    _command([*pip, "install", "--quiet", *environment.pins], environment)
    (home / "packages.txt").write_text(_command([*pip, "freeze"], environment), encoding="utf-8")
    stamp.write_text(wanted, encoding="utf-8")  # last: an environment without it is made anew
    return python


def _command(arguments: Sequence[str], environment: Environment) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerError(
            f"The environment {environment.name!r} could not be made; expected exit status 0 of the command\n"
            f"    {' '.join(arguments)}\nfound {done.returncode}: {_last_line(done.stderr)}\n"
            "Run the command to see all that it says, or leave out --peers."
        )
    return done.stdout


def run_peer(peer: Peer, python: Path, tasks: Sequence[PeerTask], script: Path = SCRIPT) -> list[Float32s]:
    """Edit the events of each task by a peer: (n_events, n_markers) float32; NaN if it failed."""
    with TemporaryDirectory(prefix="neuronedit-peer-") as temporary:
        folder = Path(temporary)
        for number, task in enumerate(tasks):
            np.savez(folder / f"{number:04}.in.npz", seed=task.seed, **vars(task.populations))
        # Isolated (-I): neither this folder's modules nor PYTHONPATH stand before the peer's own packages.
        command = [str(python), "-I", str(script.resolve()), peer.call, str(folder)]
        ended = _run(command)
        return [_edited(peer, task, folder / f"{number:04}", ended) for number, task in enumerate(tasks)]


def _run(command: Sequence[str]) -> str:
    """Run it, and tell how it ended."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, env=os.environ | ONE_THREAD, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it was stopped after {TIMEOUT_S} s"
    return f"its process ended with {done.returncode}: {_last_line(done.stderr)}"


def _edited(peer: Peer, task: PeerTask, stem: Path, ended: str) -> Float32s:
    events = task.populations.events
    found, failed = Path(f"{stem}.out.npz"), Path(f"{stem}.failed.txt")
    if found.is_file():
        with np.load(found) as arrays:
            edited: Float32s = arrays["events"]
        if edited.shape == events.shape and np.isfinite(edited).all():
            return edited
        reason = f"events of the shape {edited.shape}, finite: {np.isfinite(edited).all()}; expected {events.shape}"
    else:
        reason = _last_line(failed.read_text(encoding="utf-8")) if failed.is_file() else ended
    logger.warning("%s gave nothing for %s, seed %d: %s", peer.name, task.name, task.seed, reason)
    return np.full_like(events, np.nan)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["(nothing was written)"])[-1]
