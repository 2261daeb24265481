"""One worker of a group that trains: it takes the events into its memory, trains, and writes checkpoints.

Ray Train runs the group; the loop itself knows only ``Group``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from time import monotonic, process_time, time
from typing import TYPE_CHECKING, Any, Protocol

import ray.train.torch
import torch
from torch import nn

from neuronedit.adapters.training.checkpoints import Checkpoints
from neuronedit.adapters.training.event_blocks import gathered
from neuronedit.arrays import Float32s, Texts
from neuronedit.errors import NeuroneditError
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.minibatches import InMemory
from neuronedit.network.plan import TrainingPlan, WorkersConfig
from neuronedit.network.state import EpochLosses, Tensors, TrainingState, finished
from neuronedit.network.streamed import Streamed
from neuronedit.network.training import Epoch, train

if TYPE_CHECKING:
    import pyarrow as pa

    from neuronedit.adapters.training.event_stream import EventStream

DATASET = "events"


class Group(Protocol):
    """The workers that train together, as one of them sees them.

    Several are joined by torch's default process group: training sums over it, and they agree by it.
    """

    @property
    def rank(self) -> int:
        """This worker's number, from 0."""

    @property
    def n_workers(self) -> int:
        """The number of workers."""

    @property
    def device(self) -> torch.device:
        """The device that this worker computes on."""

    def blocks(self) -> "Iterable[pa.Table]":
        """All events, as ``event_blocks`` made them, in any order."""

    def joined(self, network: nn.Module) -> nn.Module:
        """The network on this worker's device; with several workers, wrapped so that they share their gradients."""

    def begin(self, history: tuple[EpochLosses, ...], problems: tuple[str, ...]) -> None:
        """Tell that training starts after these epochs, and what was wrong with newer checkpoints; the first does."""

    def add(self, losses: EpochLosses) -> None:
        """Tell that an epoch ended; the first worker does."""


@dataclass(frozen=True)
class RayGroup:
    """A group that Ray Train runs.

    Attributes:
        ledger: The actor that the group's progress is reported to.
    """

    ledger: Any

    @property
    def rank(self) -> int:
        """This worker's number, from 0."""
        return ray.train.get_context().get_world_rank()

    @property
    def n_workers(self) -> int:
        """The number of workers."""
        return ray.train.get_context().get_world_size()

    @property
    def device(self) -> torch.device:
        """The device that this worker computes on."""
        return ray.train.torch.get_device()

    def blocks(self) -> "Iterable[pa.Table]":
        """All events, from Ray Data."""
        return ray.train.get_dataset_shard(DATASET).iter_batches(batch_size=None, batch_format="pyarrow")

    def joined(self, network: nn.Module) -> nn.Module:
        """The network, prepared by Ray Train."""
        return ray.train.torch.prepare_model(network)

    def begin(self, history: tuple[EpochLosses, ...], problems: tuple[str, ...]) -> None:
        """Tell the ledger, and wait for nothing."""
        self.ledger.begin.remote(history, self.n_workers, problems)

    def add(self, losses: EpochLosses) -> None:
        """Tell the ledger, and wait for nothing."""
        self.ledger.add.remote(losses)


@dataclass(frozen=True)
class Task:
    """The task of a group of workers.

    Attributes:
        populations: Names of the populations, in the order of the events.
        markers: Names of the markers, for messages; empty if they are not known.
        architecture: The network's.
        plan: The training plan.
        workers: The interval and number of checkpoints.
        checkpoints: The run's checkpoints.
        stream: Reads the events if they do not fit in memory.
    """

    populations: Sequence[str]
    markers: Sequence[str]
    architecture: Architecture
    plan: TrainingPlan
    workers: WorkersConfig
    checkpoints: Checkpoints
    stream: "EventStream | None" = None


@dataclass(frozen=True)
class Trained:
    """The result of the first worker.

    Attributes:
        weights: The network's, on the CPU.
        history: The losses of all epochs, those before a resume included.
        began: Time at which this worker began with its first epoch, by its node's clock, seconds since 1970.
        loop_seconds: Time in the epochs that this worker trained, checkpoints between them included.
        loop_cpu_seconds: Processor time of its process in these epochs.
    """

    weights: Tensors
    history: tuple[EpochLosses, ...]
    began: float | None = None
    loop_seconds: float = 0.0
    loop_cpu_seconds: float = 0.0


def train_worker(config: Mapping[str, Any]) -> Trained | NeuroneditError:
    """Train as one of Ray Train's workers.

    Args:
        config: The task, named ``task``, and the actor that workers report to, named ``ledger``.
    """
    return train_loop(config["task"], RayGroup(config["ledger"]))


def train_loop(task: Task, group: Group) -> Trained | NeuroneditError:
    """Train as one worker of a group, from the newest sound checkpoint on.

    A user's error is returned, not raised: Ray Train would start the group again after a raised one.

    Args:
        task: The task, the same for all workers.
        group: The workers, as this one sees them.
    """
    try:
        return _train(task, group)
    except NeuroneditError as error:
        return error


def _train(task: Task, group: Group) -> Trained:
    # One core per worker, whatever the environment says: more threads collapse beside a busy neighbour.
    torch.set_num_threads(1)
    # Once into memory: iterated every epoch, a dataset would be executed again every epoch.
    populations, samples = gathered(group.blocks(), task.populations)
    n_markers = next(iter(populations.values())).shape[1]
    autoencoder = Autoencoder(n_markers, task.architecture, task.plan.seed)
    network = group.joined(autoencoder)
    minibatches = _minibatches(task, group, populations, samples)
    state = _agreed_start(task, group)
    import_module("torch._dynamo")  # the first optimiser would, for a second: it is of the start, not of the loop
    began, started, cpu_started = time(), monotonic(), process_time()
    history = train(network, minibatches, task.plan, resume=state, on_epoch=_reporting(task, group, state))
    seconds, cpu_seconds = monotonic() - started, process_time() - cpu_started
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in autoencoder.state_dict().items()}
    return Trained(weights, history, began, seconds, cpu_seconds)


def _minibatches(
    task: Task, group: Group, populations: Mapping[str, Float32s], samples: Mapping[str, Texts]
) -> InMemory | Streamed:
    rank, n_workers, device = group.rank, group.n_workers, group.device
    if task.stream:
        return task.stream.minibatches(
            populations, task.plan, samples=samples, rank=rank, n_workers=n_workers, device=device
        )
    return InMemory.from_populations(
        populations,
        task.plan,
        samples=samples,
        markers=task.markers,
        rank=rank,
        n_workers=n_workers,
        device=device,
    )


def _agreed_start(task: Task, group: Group) -> TrainingState | None:
    """Find the state from which all workers go on; the first one looks for the newest sound checkpoint."""

    def look() -> int:
        found = task.checkpoints.newest()
        history = found.state.history if found.state else ()
        group.begin(history, found.problems)
        return len(history)

    epoch = _by_the_first(group, look)
    return task.checkpoints.read(epoch) if epoch else None


def _by_the_first(group: Group, act: Callable[[], int]) -> int:
    """Share the result of the first worker's act with all; if it fails, all raise its error, and none waits for it."""
    outcome: list[int | NeuroneditError] = [0]
    if group.rank == 0:
        try:
            outcome = [act()]
        except NeuroneditError as error:
            outcome = [error]
    if group.n_workers > 1:
        torch.distributed.broadcast_object_list(outcome, src=0, device=group.device)
    if isinstance(outcome[0], NeuroneditError):
        raise outcome[0]
    return outcome[0]


def _reporting(task: Task, group: Group, state: TrainingState | None) -> Callable[[Epoch], None]:
    """Make the callback after each epoch: the first worker reports losses, and writes checkpoints as often as asked."""
    history = list(state.history) if state else []
    saved_at = monotonic()

    def due(epoch: int) -> bool:
        if task.workers.checkpoint_epochs and epoch % task.workers.checkpoint_epochs == 0:
            return True
        # By the first one's clock, so that all answer the same.
        return bool(_by_the_first(group, lambda: monotonic() - saved_at >= task.workers.checkpoint_seconds))

    def after(epoch: Epoch) -> None:
        nonlocal saved_at
        history.append(epoch.losses)
        if group.rank == 0:
            group.add(epoch.losses)
        last = finished(history, task.plan.epochs, task.plan.patience)
        if last or due(epoch.losses.epoch):
            # Of a finished run the end is all that anyone will look for.
            keep = 1 if last else task.workers.checkpoints_kept
            _by_the_first(group, lambda: task.checkpoints.write(epoch.state(), keep))
            saved_at = monotonic()

    return after
