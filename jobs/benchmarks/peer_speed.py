"""How long CytoNormPy takes to transform events like those that neuronedit is measured on."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from .event_files import intensities
from .measure import Cost
from .peers import CYTONORMPY, ONE_THREAD, PeerError, install
from .run_peer import CYTONORM_CLUSTERS
from .trial_models import SHIFTS

SCRIPT = Path(__file__).with_name("time_peer.py")

N_CONTROL_EVENTS = 5_000
"""Of source and target each; they are transformed, too, and counted."""

CLUSTERED, FROM_FILES = "CytoNormPy 1.0.2, in memory", "CytoNormPy 1.0.2, FCS to FCS"

VARIANTS = {
    CLUSTERED: ("in_memory", CYTONORM_CLUSTERS),
    "CytoNormPy 1.0.2, no clusters, in memory": ("in_memory", 0),
    FROM_FILES: ("from_fcs_to_fcs", CYTONORM_CLUSTERS),
}
"""By name: the form that events are in, and the number of clusters (see ``time_peer``)."""


def peer_costs(n_events: int, folder: Path, script: Path = SCRIPT) -> dict[str, Cost]:
    """What the transform of events takes CytoNormPy, on one thread, by variant.

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
