"""How long other tools take to learn from cells like those that neuronedit is measured on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from .peer_speed import SCRIPT as CYTONORM_SCRIPT
from .peer_speed import seconds_of
from .peers import CYTONORMPY, Environment, install
from .run_peer import CYTONORM_CLUSTERS
from .time_peer_training import EPOCHS

SCRIPT = Path(__file__).with_name("time_peer_training.py")

SCVI_TOOLS = Environment("scvi-tools", ("scvi-tools==1.4.2", "torch==2.13.0"))
PERTPY = Environment("pertpy", ("pertpy[scgen]==1.0.3", "scvi-tools==1.4.2", "torch==2.13.0", "statsmodels==0.14.6"))

CYTONORM, CYTOVI, SHIFTED_CODE = "CytoNormPy 1.0.2, 5 clusters", "scvi-tools 1.4.2, CYTOVI", "scGen, pertpy 1.0.3"


@dataclass(frozen=True)
class Fit:
    """What a peer's fit took.

    Attributes:
        cpu_s: The processor's seconds on one thread.
        n_drawn: Events that it learned from, each counted once an epoch.
    """

    cpu_s: float
    n_drawn: int


def peer_fits(
    populations: Mapping[str, np.ndarray], folder: Path, script: Path = SCRIPT, cytonorm_script: Path = CYTONORM_SCRIPT
) -> dict[str, Fit]:
    """What each peer takes to learn from source and target.

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
