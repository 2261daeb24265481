"""What each of Ray Train's workers does: takes the events into its memory, trains, and writes checkpoints."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from time import monotonic, process_time, time
from typing import TYPE_CHECKING, Any

import ray
import ray.train
import ray.train.collective
import ray.train.torch
import torch

from neuronedit.adapters.checkpoints import Checkpoints
from neuronedit.adapters.training_events import gathered
from neuronedit.autoencoder import Architecture, Autoencoder
from neuronedit.errors import NeuroneditError
from neuronedit.loss_history import EpochLosses, finished
from neuronedit.minibatches import InMemory
from neuronedit.percentiles import FloatArray
from neuronedit.streamed import Streamed
from neuronedit.training import Epoch, train
from neuronedit.training_plan import TrainingPlan
from neuronedit.training_state import Tensors, TrainingState
from neuronedit.validation_split import Texts
from neuronedit.workers_config import WorkersConfig

if TYPE_CHECKING:  # pyarrow and the jobs' settings would cost every worker their import
    from neuronedit.adapters.event_stream import EventStream

DATASET = "events"


@dataclass(frozen=True)
class Task:
    """What a group of workers is to do.

    Attributes:
        populations: Their names, in the order of the events.
        markers: Their names, for messages; none where they are not known.
        architecture: The network's.
        plan: How it learns.
        workers: When checkpoints are written.
        checkpoints: Where.
        stream: Reads the events, where they do not fit in memory.
        ledger: The actor that is told how training gets on.
    """

    populations: Sequence[str]
    markers: Sequence[str]
    architecture: Architecture
    plan: TrainingPlan
    workers: WorkersConfig
    checkpoints: Checkpoints
    ledger: Any
    stream: "EventStream | None" = None


@dataclass(frozen=True)
class Trained:
    """What the first worker hands back.

    Attributes:
        weights: The network's, on the CPU.
        history: The losses of all epochs, those before a resume included.
        began: When this worker began with its first epoch, by its node's clock, seconds since 1970.
        loop_seconds: In the epochs that this worker trained, checkpoints between them included.
        loop_cpu_seconds: What its process computed in that time.
    """

    weights: Tensors
    history: tuple[EpochLosses, ...]
    began: float | None = None
    loop_seconds: float = 0.0
    loop_cpu_seconds: float = 0.0


def train_worker(config: Mapping[str, Task]) -> Trained | NeuroneditError:
    """Train as one of Ray Train's workers.

    An error of the user's is handed back: what is raised, Ray would try again.

    Args:
        config: The task, named ``task``.
    """
    try:
        return _train(config["task"])
    except NeuroneditError as error:
        return error


def _train(task: Task) -> Trained:
    # One core per worker, whatever the environment says: more threads collapse beside a busy neighbour.
    torch.set_num_threads(1)
    shard = ray.train.get_dataset_shard(DATASET)
    # Once into memory: iterated every epoch, the dataset would be executed again every epoch.
    blocks = shard.iter_batches(batch_size=None, batch_format="pyarrow")
    populations, samples = gathered(blocks, task.populations)
    n_markers = next(iter(populations.values())).shape[1]
    autoencoder = Autoencoder(n_markers, task.architecture, task.plan.seed)
    network = ray.train.torch.prepare_model(autoencoder)
    minibatches = _minibatches(task, populations, samples)
    state = _agreed_start(task)
    import_module("torch._dynamo")  # the first optimiser would, for a second: it is of the start, not of the loop
    began, started, cpu_started = time(), monotonic(), process_time()
    history = train(network, minibatches, task.plan, resume=state, on_epoch=_reporting(task, state))
    seconds, cpu_seconds = monotonic() - started, process_time() - cpu_started
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in autoencoder.state_dict().items()}
    return Trained(weights, history, began, seconds, cpu_seconds)


def _minibatches(
    task: Task, populations: Mapping[str, FloatArray], samples: Mapping[str, Texts]
) -> InMemory | Streamed:
    context, device = ray.train.get_context(), ray.train.torch.get_device()
    rank, n_workers = context.get_world_rank(), context.get_world_size()
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


def _agreed_start(task: Task) -> TrainingState | None:
    """The state from which all workers go on: the first one looks which checkpoint is the newest sound one."""

    def look() -> int:
        found = task.checkpoints.newest()
        history = found.state.history if found.state else ()
        task.ledger.begin.remote(history, ray.train.get_context().get_world_size(), found.problems)
        return len(history)

    epoch = _by_the_first(look)
    return task.checkpoints.read(epoch) if epoch else None


def _by_the_first(act: Callable[[], int]) -> int:
    """What the first worker's act gives, on all; where it fails, all end with its error, and none waits for it."""
    outcome: int | NeuroneditError = 0
    if ray.train.get_context().get_world_rank() == 0:
        try:
            outcome = act()
        except NeuroneditError as error:
            outcome = error
    if ray.train.get_context().get_world_size() > 1:
        outcome = ray.train.collective.broadcast_from_rank_zero(outcome)
    if isinstance(outcome, NeuroneditError):
        raise outcome
    return outcome


def _reporting(task: Task, state: TrainingState | None) -> Callable[[Epoch], None]:
    """What is done after each epoch: the first worker tells its losses; checkpoints are written as often as asked."""
    context = ray.train.get_context()
    history = list(state.history) if state else []
    saved_at = monotonic()

    def after(epoch: Epoch) -> None:
        nonlocal saved_at
        history.append(epoch.losses)
        if context.get_world_rank() == 0:
            task.ledger.add.remote(epoch.losses)
        last = finished(history, task.plan.epochs, task.plan.patience)
        if last or _due(epoch.losses.epoch, monotonic() - saved_at, task.workers):
            # Of a finished run the end is all that anyone will look for.
            keep = 1 if last else task.workers.checkpoints_kept
            _by_the_first(lambda: task.checkpoints.write(epoch.state(), keep))
            saved_at = monotonic()

    return after


def _due(epoch: int, seconds: float, workers: WorkersConfig) -> bool:
    """Whether a checkpoint is due after an epoch; the same answer on all workers."""
    if workers.checkpoint_epochs and epoch % workers.checkpoint_epochs == 0:
        return True
    overdue = torch.tensor(float(seconds >= workers.checkpoint_seconds), device=ray.train.torch.get_device())
    if ray.train.get_context().get_world_size() > 1:
        # By the first one's clock. Ray Train's own broadcast takes as long as a short epoch.
        torch.distributed.broadcast(overdue, src=0)
    return bool(overdue)
