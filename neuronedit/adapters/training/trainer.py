"""Ray Train runs the training loop on one or more workers, and starts those that die again from a checkpoint."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from time import monotonic, time
from typing import Any

import pyarrow as pa
import ray.train.torch

from neuronedit.adapters.cluster.session import check_workers
from neuronedit.adapters.files.storage import Location, locate, storage_errors
from neuronedit.adapters.training.checkpoints import Checkpoints, run_digest
from neuronedit.adapters.training.event_blocks import event_blocks
from neuronedit.adapters.training.event_stream import EventStream
from neuronedit.adapters.training.ledger import OnLosses, followed_training
from neuronedit.adapters.training.worker import DATASET, Task, Trained, train_worker
from neuronedit.arrays import Float32s, Texts
from neuronedit.cells.split import split
from neuronedit.errors import ClusterError, NeuroneditError, StorageError
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.plan import TrainingPlan, WorkersConfig
from neuronedit.network.state import EpochLosses, finished

log = logging.getLogger(__name__)

SECONDS_BETWEEN_POLLS = "0.5"
"""Interval at which Ray Train's controller looks at its workers; each start and end waits for it. Ray's own is 2 s."""


@dataclass(frozen=True)
class TrainedAutoencoder:
    """A trained autoencoder, its losses, and the time that training took.

    Attributes:
        autoencoder: Frozen, on the CPU.
        history: The losses of all epochs.
        seconds: The whole time.
        start_seconds: Time until the workers that ended the run began with their first epoch, by the clocks of
            the driver's and the first worker's node; all where nothing was left to train.
        loop_seconds: Time in the epochs of those workers, checkpoints between them included; the rest is stopping.
        loop_cpu_seconds: Processor time of the first worker's process in these epochs.
    """

    autoencoder: Autoencoder
    history: tuple[EpochLosses, ...]
    seconds: float
    start_seconds: float
    loop_seconds: float
    loop_cpu_seconds: float


def train_autoencoder(
    populations: Mapping[str, Float32s],
    architecture: Architecture,
    plan: TrainingPlan,
    workers: WorkersConfig,
    *,
    samples: Mapping[str, Texts] | None = None,
    markers: tuple[str, ...] = (),
    stream: EventStream | None = None,
    on_losses: OnLosses = lambda losses: None,
) -> TrainedAutoencoder:
    """Train an autoencoder with Ray Train, or go on where an earlier driver was stopped.

    The run's name is a digest of all that decides the result (``run_digest``), so the same call finds its checkpoints
    again. A finished run leaves its end there, and the same call takes its weights, bit for bit: so a job that failed
    later, or that is run with another ``edit`` section, trains nothing twice.

    Args:
        populations: Standardised markers, (n_events, n_markers) float32 each.
        architecture: The network's.
        plan: The training plan.
        workers: Number and devices of workers, and the storage of checkpoints.
        samples: By population, (n_events,) the sample of each event, where they are known.
        markers: Their names, for messages.
        stream: Reads all events while training goes on; validation events come from ``populations``.
        on_losses: Called with the losses of ended epochs, in another thread; first with an earlier driver's.

    Raises:
        ClusterError: The workers do not fit into the cluster, die too often, or cannot share their checkpoints.
        ConfigError: A minibatch has fewer events than there are workers.
        ModelError: Training diverged.
        StorageError: The checkpoints' storage fails, or is full.
    """
    called, started = time(), monotonic()
    check_workers(workers.count, workers.use_gpu)
    digest = run_digest(populations, samples, architecture, plan, stream.digest if stream else "")
    checkpoints = Checkpoints(_storage(workers) / f"neuronedit-{digest[:16]}")
    found = checkpoints.newest()
    for problem in found.problems:
        log.warning("%s", problem)
    if found.state and finished(found.state.history, plan.epochs, plan.patience):
        log.info(
            "%s: trained before, and the weights are taken from there as they are; remove the folder to train again",
            checkpoints.folder.path,
        )
        trained = Trained(found.state.best or found.state.weights, found.state.history)
        on_losses(trained.history)
    else:
        if found.state:
            log.info("%s: going on after epoch %d", checkpoints.folder.path, found.state.epoch)
        with followed_training(plan.epochs, _epoch_events(populations, samples, plan, stream), on_losses) as (
            ledger,
            catch_up,
        ):
            task = Task(tuple(populations), markers, architecture, plan, workers, checkpoints, stream)
            trained = _fit(task, event_blocks(populations, samples), ledger)
        catch_up(trained.history)
    autoencoder = Autoencoder(next(iter(populations.values())).shape[1], architecture)
    autoencoder.load_state_dict(trained.weights)
    autoencoder.eval().requires_grad_(False)
    seconds = monotonic() - started
    return TrainedAutoencoder(
        autoencoder,
        trained.history,
        seconds,
        seconds if trained.began is None else trained.began - called,
        trained.loop_seconds,
        trained.loop_cpu_seconds,
    )


def _epoch_events(
    populations: Mapping[str, Float32s],
    samples: Mapping[str, Texts] | None,
    plan: TrainingPlan,
    stream: EventStream | None,
) -> int:
    """Count the events that an epoch draws, and log which are held out."""
    sizes = {name: len(events) for name, events in populations.items()}
    found = split(sizes, plan.validation_fraction, plan.seed, samples)
    log.info("%s", found.sentence)
    if stream:
        return sum(stream.n_training(found).values())
    return sum(sizes.values()) - sum(int(held_out.sum()) for held_out in found.held_out.values())


def own_storage() -> Path:
    """The default folder of checkpoints: in the user's cache, for a rerun to find them."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neuronedit" / "training"


def _storage(workers: WorkersConfig) -> Location:
    if workers.storage is None and len([node for node in ray.nodes() if node["Alive"]]) > 1:
        raise ClusterError(
            "workers.storage is not set and the cluster has several nodes; checkpoints need a folder or URI that "
            "all nodes reach. Set workers.storage."
        )
    return locate(workers.storage or str(own_storage()))


class _Trainer(ray.train.torch.TorchTrainer):  # type: ignore[misc]  # Ray is untyped
    """Ray's, but it leaves Ctrl-C to the job."""

    def _register_sigint_handler(self, controller: Any) -> None:
        pass


def _fit(task: Task, blocks: Sequence[pa.Table], ledger: Any) -> Trained:
    _check_writable(task.checkpoints.folder)
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", SECONDS_BETWEEN_POLLS)
    workers, folder = task.workers, PurePosixPath(task.checkpoints.folder.path)
    trainer = _Trainer(
        train_worker,
        train_loop_config={"task": task, "ledger": ledger},
        torch_config=ray.train.torch.TorchConfig(backend="nccl" if workers.use_gpu else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers.count,
            use_gpu=workers.use_gpu,
            resources_per_worker={"CPU": 1, "GPU": 1} if workers.use_gpu else {"CPU": 1},
        ),
        run_config=ray.train.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            storage_filesystem=task.checkpoints.folder.filesystem,
            failure_config=ray.train.FailureConfig(max_failures=workers.max_failures),
        ),
        datasets={DATASET: ray.data.from_arrow(blocks)},
        # Every worker holds the whole sample; they share each minibatch instead.
        dataset_config=ray.train.DataConfig(datasets_to_split=[]),
    )
    try:
        returned = trainer.fit().return_value
    except ray.train.TrainingFailedError as error:
        raise _cause(error, str(folder)) from error
    if isinstance(returned, NeuroneditError):
        raise returned
    trained: Trained = returned
    return trained


def _check_writable(folder: Location) -> None:
    try:
        with storage_errors(folder.path):
            folder.filesystem.create_dir(folder.path)
    except StorageError as error:
        raise StorageError(
            f"{error} Checkpoints are kept there: name another place with workers.storage, or allow this one."
        ) from error


def _cause(error: ray.train.TrainingFailedError, folder: str) -> NeuroneditError:
    """Make an error of the workers' last words, or of Ray Train's own."""
    failures = list(getattr(error, "worker_failures", {}).values())
    known = "; ".join(str(failure).strip().splitlines()[-1] for failure in failures if str(failure))
    known = known or " ".join(str(error).split("\n")[:2])  # what failed, and why; the rest is Ray's state
    return ClusterError(
        f"Ray Train's workers failed: {known}. No model was registered; see the workers' logs. The same command goes "
        f"on from the last checkpoint in {folder}."
    )
