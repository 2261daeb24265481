"""Speed of ``train``, against loops with nothing around them, which no training on the same cells can beat.

Synthetic cells of two kinds, 40 markers, in two populations of the same size; the default network. All processes
compute on one core each. The loops (``plain_loop``, ``bare_ddp``) have the same events held out and go through the same
number of events, at the same rate; their minibatches are others, so that losses agree within noise. Ray Train's
rows are those of the function that the job calls, in a Ray session that is open: the time of its loop, checkpoints
included, and apart from it the time of starting (processes, imports, gathering the events) and stopping. Other tools'
rows are the time of their fits to fewer events of the same kind, with their own default settings (``peer_fits``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, process_time

import numpy as np
import pandas as pd
import torch
from torch import nn

from neuronedit.adapters.cluster.session import RayConfig, ray_session
from neuronedit.adapters.training.trainer import train_autoencoder
from neuronedit.arrays import Float32s
from neuronedit.cells.scaling import fit_scaling
from neuronedit.cells.transforms import Arcsinh
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.minibatches import InMemory
from neuronedit.network.plan import TrainingPlan, WorkersConfig

from ..measure import Result, in_new_process
from .event_files import COFACTOR, N_MARKERS, SHIFTS, intensities
from .peer_speed import CYTOVI, SHIFTED_CODE, peer_fits


@dataclass(frozen=True)
class Trained:
    """The cost of a loop, and its loss.

    Attributes:
        wall_s: Seconds on the clock; imports, and what comes before the first epoch, are not in it.
        cpu_s: Seconds of all processes, one thread each.
        loss: Mean squared error of the validation events at the end.
    """

    wall_s: float
    cpu_s: float
    loss: float


PLAIN, TWO_BARE = "plain loop", "bare DDP, 2 processes"
ONE_WORKER, TWO_WORKERS = "Ray Train, 1 worker", "Ray Train, 2 workers"

AS_ACCURATE = 1.02
"""A loss of up to so many times the plain loop's counts as the same."""


@dataclass(frozen=True)
class Size:
    """Events of both populations together, and how long is trained on them."""

    n_events: int
    plan: TrainingPlan

    @property
    def n_drawn(self) -> int:
        """Events that a network learns from, each counted once an epoch."""
        return round(self.n_events * (1 - self.plan.validation_fraction)) * self.plan.epochs


# At a constant rate the loss would swing by a tenth from one epoch to the next.
FULL = Size(1_000_000, TrainingPlan(epochs=5, minibatch=4_096))
QUICK = Size(40_000, TrainingPlan(epochs=2, minibatch=1_024))

N_PEER = 100_000
"""Events of both populations for other tools, some of which learn from thousands a second."""


@dataclass(frozen=True)
class Row:
    """One way to train.

    Attributes:
        n_drawn: Events that it learned from, each counted once an epoch.
        trained: The cost and the loss of its loop.
        start_s: Seconds before the loop; 0 for the bare ones.
        stop_s: Seconds after the loop.
    """

    n_drawn: int
    trained: Trained
    start_s: float = 0.0
    stop_s: float = 0.0

    @property
    def rate(self) -> float:
        """Events per CPU-second of its loop."""
        return self.n_drawn / self.trained.cpu_s


def run(quick: bool, peers: Path | None = None) -> Result:
    """Measure every row.

    Args:
        quick: Fewer events and epochs.
        peers: A folder for the environments of other tools, which are then measured, too.

    Raises:
        PeerError: A peer cannot be installed, or fails.
    """
    rows = measure(QUICK if quick else FULL)
    if peers:
        for name, fit in peer_fits(draw_raw(N_PEER), peers).items():
            rows[name] = Row(fit.n_drawn, Trained(fit.cpu_s, fit.cpu_s, nan))
    return Result(_table(rows), figures(rows))


def measure(size: Size) -> dict[str, Row]:
    """All ways to train, by name."""
    populations, architecture = draw(size.n_events), Architecture()
    minibatches = InMemory.from_populations(populations, size.plan)
    validation = np.concatenate([events.numpy() for events in minibatches.validation.values()])
    events = Events(minibatches.events.numpy(), validation)
    rows = {
        PLAIN: Row(size.n_drawn, in_new_process(plain_loop, events, size.plan, architecture)),
        TWO_BARE: Row(size.n_drawn, bare_ddp(events, size.plan, architecture)),
    }
    return rows | in_new_process(_ray_rows, populations, size, architecture)


def draw_raw(n_events: int) -> dict[str, Float32s]:
    """A source and its target: intensities, half of the events each."""
    generator = np.random.default_rng(0)
    return {
        "source": intensities(n_events // 2, generator),
        "target": intensities(n_events // 2, generator, SHIFTS),
    }


def draw(n_events: int) -> dict[str, Float32s]:
    """A source and its target, standardised."""
    raw = draw_raw(n_events)
    scaling = fit_scaling(raw.values(), [Arcsinh(COFACTOR)] * N_MARKERS)
    return {name: scaling.standardise(scaling.transform(events)) for name, events in raw.items()}


def _ray_rows(populations: Mapping[str, Float32s], size: Size, architecture: Architecture) -> dict[str, Row]:
    rows = {}
    with TemporaryDirectory(prefix="neuronedit-benchmark-") as folder, ray_session(RayConfig(num_cpus=2)):
        for name, count in ((ONE_WORKER, 1), (TWO_WORKERS, 2)):
            # A storage of its own: what another run has trained is not trained again.
            workers = WorkersConfig(count=count, storage=str(Path(folder) / str(count)))
            found = train_autoencoder(populations, architecture, size.plan, workers)
            trained = Trained(found.loop_seconds, count * found.loop_cpu_seconds, found.history[-1].validation_loss)
            stop_s = found.seconds - found.start_seconds - found.loop_seconds
            rows[name] = Row(size.n_drawn, trained, found.start_seconds, stop_s)
    return rows


def _table(rows: Mapping[str, Row]) -> pd.DataFrame:
    values = [
        (
            row.trained.wall_s,
            row.trained.cpu_s,
            round(row.n_drawn / row.trained.wall_s),
            round(row.rate),
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
    over = {"over_scvi_tools": CYTOVI, "over_scgen": SHIFTED_CODE}
    found = {
        "ray_over_plain": loop[PLAIN].cpu_s / loop[ONE_WORKER].cpu_s,
        "two_workers_over_bare_ddp": loop[TWO_BARE].wall_s / loop[TWO_WORKERS].wall_s,
        "startup_s": rows[ONE_WORKER].start_s,
        "loss_over_plain": loop[ONE_WORKER].loss / loop[PLAIN].loss,
    }
    if found["loss_over_plain"] <= AS_ACCURATE:
        found["time_to_as_accurate"] = loop[ONE_WORKER].wall_s / loop[PLAIN].wall_s
    return found | {name: rows[ONE_WORKER].rate / rows[peer].rate for name, peer in over.items() if peer in rows}


VALIDATION_ROWS = 4_096
"""Events that are reconstructed at a time."""


@dataclass(frozen=True)
class Events:
    """Standardised markers, (n_events, n_markers) float32 each."""

    training: Float32s
    validation: Float32s


def plain_loop(events: Events, plan: TrainingPlan, architecture: Architecture) -> Trained:
    """One process: tensors in memory, a permutation each epoch, Adam as PyTorch has it fastest."""
    torch.set_num_threads(1)
    return _loop(Autoencoder(events.training.shape[1], architecture, plan.seed), events, plan, slice(None))


def bare_ddp(events: Events, plan: TrainingPlan, architecture: Architecture) -> Trained:
    """Two processes that share each minibatch by PyTorch's DistributedDataParallel, with nothing around it."""
    with TemporaryDirectory(prefix="neuronedit-ddp-") as folder, get_context("spawn").Pool(2) as pool:
        meeting = f"file://{folder}/meeting"
        both = pool.starmap(_ddp_rank, [(meeting, rank, events, plan, architecture) for rank in range(2)], chunksize=1)
    return Trained(
        max(trained.wall_s for trained in both),
        sum(trained.cpu_s for trained in both),
        sum(trained.loss for trained in both) / 2,  # of halves of the validation events
    )


def _ddp_rank(meeting: str, rank: int, events: Events, plan: TrainingPlan, architecture: Architecture) -> Trained:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    network = nn.parallel.DistributedDataParallel(Autoencoder(events.training.shape[1], architecture, plan.seed))
    torch.distributed.barrier()
    trained = _loop(network, events, plan, slice(rank, None, 2))
    torch.distributed.destroy_process_group()
    return trained


def _loop(network: nn.Module, events: Events, plan: TrainingPlan, share: slice) -> Trained:
    training, validation = torch.from_numpy(events.training), torch.from_numpy(events.validation)
    optimiser = torch.optim.Adam(network.parameters(), lr=plan.learning_rate, fused=True)  # imports for a second
    started, cpu_started = monotonic(), process_time()
    generator = torch.Generator().manual_seed(plan.seed)
    loss = float("nan")
    for _ in range(plan.epochs):
        for rows in torch.randperm(len(training), generator=generator).split(plan.minibatch):
            minibatch = training.index_select(0, rows[share])
            optimiser.zero_grad()
            nn.functional.mse_loss(network(minibatch), minibatch).backward()
            optimiser.step()
        loss = _validation_loss(network, validation[share])
    return Trained(monotonic() - started, process_time() - cpu_started, loss)


@torch.inference_mode()
def _validation_loss(network: nn.Module, events: torch.Tensor) -> float:
    plain = network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network
    errors = [nn.functional.mse_loss(plain(rows), rows, reduction="sum") for rows in events.split(VALIDATION_ROWS)]
    return float(torch.stack(errors).sum()) / events.numel()
