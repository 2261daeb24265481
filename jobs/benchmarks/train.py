"""How fast ``train`` trains its autoencoder, against loops with nothing around them.

Synthetic cells of two kinds, 40 markers, in two populations of the same size; the default network. All processes
compute on one core each. The loops (``train_loops``) have the same events held out and go through the same number of
events; their minibatches are others, so that losses agree within noise. Ray Train's rows are what the job calls, in a
Ray session that is open: the time of its loop, checkpoints included, and apart from it what starting takes (processes,
imports, gathering the events) and stopping.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from neuronedit.adapters.ray_session import ray_session
from neuronedit.adapters.ray_train import train_autoencoder
from neuronedit.autoencoder import Architecture
from neuronedit.job_configs import RayConfig
from neuronedit.minibatches import InMemory
from neuronedit.percentiles import FloatArray
from neuronedit.scaling import fit_scaling
from neuronedit.training_plan import TrainingPlan
from neuronedit.workers_config import WorkersConfig

from .event_files import COFACTOR, N_MARKERS, intensities
from .measure import in_new_process
from .result import Result
from .train_loops import Events, Trained, bare_ddp, plain_loop
from .trial_models import SHIFTS

PLAIN, TWO_BARE = "plain loop", "bare DDP, 2 processes"
ONE_WORKER, TWO_WORKERS = "Ray Train, 1 worker", "Ray Train, 2 workers"

AS_ACCURATE = 1.02
"""A loss of up to so many times the plain loop's counts as the same."""


@dataclass(frozen=True)
class Size:
    """Events of both populations together, and how long is trained on them."""

    n_events: int
    plan: TrainingPlan


FULL = Size(1_000_000, TrainingPlan(epochs=5, minibatch=4_096))
QUICK = Size(40_000, TrainingPlan(epochs=2, minibatch=1_024))


@dataclass(frozen=True)
class Row:
    """One way to train.

    Attributes:
        trained: What its loop took and came to.
        start_s: What came before the loop; 0 for the bare ones.
        stop_s: What came after it.
    """

    trained: Trained
    start_s: float = 0.0
    stop_s: float = 0.0


def run(quick: bool) -> Result:
    """Measure every row."""
    size = QUICK if quick else FULL
    rows = measure(size)
    return Result(_table(rows, size), figures(rows))


def measure(size: Size) -> dict[str, Row]:
    """All ways to train, by name."""
    populations, architecture = draw(size.n_events), Architecture()
    minibatches = InMemory.of(populations, size.plan)
    validation = np.concatenate([events.numpy() for events in minibatches.validation.values()])
    events = Events(minibatches.events.numpy(), validation)
    rows = {
        PLAIN: Row(in_new_process(plain_loop, events, size.plan, architecture)),
        TWO_BARE: Row(bare_ddp(events, size.plan, architecture)),
    }
    return rows | in_new_process(_ray_rows, populations, size.plan, architecture)


def draw(n_events: int) -> dict[str, FloatArray]:
    """A source and its target, standardised."""
    generator = np.random.default_rng(0)
    raw = {
        "source": intensities(n_events // 2, generator),
        "target": intensities(n_events // 2, generator, SHIFTS),
    }
    scaling = fit_scaling(raw.values(), (COFACTOR,) * N_MARKERS)
    return {name: scaling.standardise(scaling.arcsinh(events)) for name, events in raw.items()}


def _ray_rows(populations: Mapping[str, FloatArray], plan: TrainingPlan, architecture: Architecture) -> dict[str, Row]:
    rows = {}
    with TemporaryDirectory(prefix="neuronedit-benchmark-") as folder, ray_session(RayConfig(num_cpus=2)):
        for name, count in ((ONE_WORKER, 1), (TWO_WORKERS, 2)):
            # A storage of its own: what another run has trained is not trained again.
            workers = WorkersConfig(count=count, storage=str(Path(folder) / str(count)))
            found = train_autoencoder(populations, architecture, plan, workers)
            trained = Trained(found.loop_seconds, count * found.loop_cpu_seconds, found.history[-1].validation_loss)
            stop_s = found.seconds - found.start_seconds - found.loop_seconds
            rows[name] = Row(trained, found.start_seconds, stop_s)
    return rows


def _table(rows: Mapping[str, Row], size: Size) -> pd.DataFrame:
    n_drawn = size.n_events * (1 - size.plan.validation_fraction) * size.plan.epochs
    values = [
        (
            row.trained.wall_s,
            row.trained.cpu_s,
            round(n_drawn / row.trained.wall_s),
            round(n_drawn / row.trained.cpu_s),
            row.start_s,
            row.stop_s,
            row.trained.loss,
        )
        for row in rows.values()
    ]
    columns = ("wall_s", "cpu_s", "events_per_s", "events_per_cpu_s", "start_s", "stop_s", "validation_loss")
    return pd.DataFrame(values, pd.Index(rows, name="row"), columns)


def figures(rows: Mapping[str, Row]) -> dict[str, float]:
    """Ratios named ``A_over_B`` are of speed, more than 1 where A is faster.

    ``time_to_as_accurate`` is one worker's time in its loop over the plain loop's; it is left out where its loss is
    more than 2 % above.
    """
    loop = {name: row.trained for name, row in rows.items()}
    found = {
        "ray_over_plain": loop[PLAIN].cpu_s / loop[ONE_WORKER].cpu_s,
        "two_workers_over_bare_ddp": loop[TWO_BARE].wall_s / loop[TWO_WORKERS].wall_s,
        "startup_s": rows[ONE_WORKER].start_s,
        "loss_over_plain": loop[ONE_WORKER].loss / loop[PLAIN].loss,
    }
    if found["loss_over_plain"] <= AS_ACCURATE:
        found["time_to_as_accurate"] = loop[ONE_WORKER].wall_s / loop[PLAIN].wall_s
    return found
