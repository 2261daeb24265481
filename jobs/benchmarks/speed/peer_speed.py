"""Time of other tools on cells like those that neuronedit is measured on: CytoNormPy's transform, peers' training."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..accuracy.peers import CYTONORMPY, ONE_THREAD, Environment, PeerError, install
from ..accuracy.run_peer import CYTONORM_CLUSTERS
from ..measure import Cost
from .event_files import SHIFTS, intensities
from .time_peer_training import EPOCHS

SCRIPT = Path(__file__).with_name("time_peer.py")

N_CONTROL_EVENTS = 5_000
"""Number of events of source and target each; they are transformed, too, and counted."""

CLUSTERED, FROM_FILES = "CytoNormPy 1.0.2, in memory", "CytoNormPy 1.0.2, FCS to FCS"

VARIANTS = {
    CLUSTERED: ("in_memory", CYTONORM_CLUSTERS),
    "CytoNormPy 1.0.2, no clusters, in memory": ("in_memory", 0),
    FROM_FILES: ("from_fcs_to_fcs", CYTONORM_CLUSTERS),
}
"""By name: the form that events are in, and the number of clusters (see ``time_peer``)."""


def peer_costs(n_events: int, folder: Path, script: Path = SCRIPT) -> dict[str, Cost]:
    """Measure CytoNormPy's transform of events, on one thread, by variant.

    Args:
        n_events: Events, the controls among them.
        folder: For its environment; one that is there is used again.
        script: Runs in the environment.

    Raises:
        PeerError: It cannot be installed, or fails.
    """
    python = install(CYTONORMPY, folder)
    generator = np.random.default_rng(0)
    with TemporaryDirectory(prefix="neuronedit-peer-") as temporary:
        np.savez(
            Path(temporary) / "given.npz",
            source=intensities(N_CONTROL_EVENTS, generator),
            target=intensities(N_CONTROL_EVENTS, generator, SHIFTS),
            events=intensities(n_events - 2 * N_CONTROL_EVENTS, generator),
        )
        return {
            name: _cost(seconds_of([str(python), "-I", str(script.resolve()), form, str(n_clusters), temporary])[1])
            for name, (form, n_clusters) in VARIANTS.items()
        }


def seconds_of(command: Sequence[str]) -> list[float]:
    """The processor's seconds on one thread, which a command prints on its last line.

    Raises:
        PeerError: The command fails.
    """
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ONE_THREAD, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["(nothing was written)"])[-1]
        raise PeerError(f"{' '.join(command)}\nended with {done.returncode}: {last}. Leave out --peers to do without.")
    return [float(seconds) for seconds in done.stdout.splitlines()[-1].split()]


def _cost(seconds: float) -> Cost:
    return Cost(wall_s=seconds, cpu_s=seconds)


FIT_SCRIPT = Path(__file__).with_name("time_peer_training.py")

SCVI_TOOLS = Environment("scvi-tools", ("scvi-tools==1.4.2", "torch==2.13.0"))
PERTPY = Environment("pertpy", ("pertpy[scgen]==1.0.3", "scvi-tools==1.4.2", "torch==2.13.0", "statsmodels==0.14.6"))

CYTONORM, CYTOVI, SHIFTED_CODE = "CytoNormPy 1.0.2, 5 clusters", "scvi-tools 1.4.2, CYTOVI", "scGen, pertpy 1.0.3"


@dataclass(frozen=True)
class Fit:
    """The cost of a peer's fit.

    Attributes:
        cpu_s: The processor's seconds on one thread.
        n_drawn: Events that it learned from, each counted once an epoch.
    """

    cpu_s: float
    n_drawn: int


def peer_fits(
    populations: Mapping[str, np.ndarray], folder: Path, script: Path = FIT_SCRIPT, cytonorm_script: Path = SCRIPT
) -> dict[str, Fit]:
    """Measure each peer's fit to source and target.

    Args:
        populations: ``source`` and ``target``: (n_events, n_markers) float32 raw intensities.
        folder: For the environments; those that are there are used again.
        script: Runs in the environments of those that train a network.
        cytonorm_script: Runs in CytoNormPy's.

    Raises:
        PeerError: A peer cannot be installed, or fails.
    """
    n_events = sum(len(events) for events in populations.values())
    with TemporaryDirectory(prefix="neuronedit-peer-") as temporary:
        source, target = populations["source"], populations["target"]
        np.savez(Path(temporary) / "given.npz", source=source, target=target, events=source[:1])
        arguments = ["in_memory", str(CYTONORM_CLUSTERS), temporary]
        fits = {CYTONORM: Fit(_first(CYTONORMPY, folder, cytonorm_script, arguments), n_events)}
        for name, environment, call in ((CYTOVI, SCVI_TOOLS, "cytovi"), (SHIFTED_CODE, PERTPY, "scgen")):
            fits[name] = Fit(_first(environment, folder, script, [call, temporary]), EPOCHS * n_events)
    return fits


def _first(environment: Environment, folder: Path, script: Path, arguments: list[str]) -> float:
    return seconds_of([str(install(environment, folder)), "-I", str(script.resolve()), *arguments])[0]
