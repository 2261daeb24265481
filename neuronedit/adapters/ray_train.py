"""Ray Train runs the training loop of ``neuronedit.training`` on one or more workers."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
import ray
import ray.train
import ray.train.torch
import safetensors.torch

from neuronedit.adapters.ray_session import check_workers
from neuronedit.autoencoder import Architecture, Autoencoder
from neuronedit.errors import ClusterError, NeuroneditError
from neuronedit.job_configs import WorkersConfig
from neuronedit.loss_history import EpochLosses, kept_epoch
from neuronedit.minibatches import InMemory
from neuronedit.percentiles import FloatArray
from neuronedit.training import train
from neuronedit.training_plan import TrainingPlan

WEIGHTS, LOSSES = "autoencoder.safetensors", "losses.json"
ROWS_PER_FETCH = 65_536


def train_autoencoder(
    populations: Mapping[str, FloatArray], architecture: Architecture, plan: TrainingPlan, workers: WorkersConfig
) -> tuple[Autoencoder, list[EpochLosses]]:
    """Train an autoencoder on standardised populations, (n_events, n_markers) float32 each, with Ray Train.

    Raises:
        ClusterError: The workers do not fit into the cluster, die, or cannot share their checkpoints.
        ConfigError: A minibatch has fewer events than there are workers.
        ModelError: Training diverged.
    """
    check_workers(workers.count, workers.use_gpu)
    if workers.storage is None and len([node for node in ray.nodes() if node["Alive"]]) > 1:
        raise ClusterError(
            "workers.storage is not set and the cluster has several nodes; checkpoints need a folder or URI that "
            "all nodes reach. Set workers.storage."
        )
    with tempfile.TemporaryDirectory(prefix="neuronedit-train-") as temporary:
        trainer = ray.train.torch.TorchTrainer(
            _train_worker,
            train_loop_config={
                "populations": list(populations),
                "architecture": architecture.model_dump(),
                "plan": plan.model_dump(),
            },
            scaling_config=ray.train.ScalingConfig(
                num_workers=workers.count, use_gpu=workers.use_gpu, resources_per_worker={"CPU": 1}
            ),
            run_config=ray.train.RunConfig(name=f"neuronedit-{uuid4().hex}", storage_path=workers.storage or temporary),
            datasets={"events": ray.data.from_arrow(_as_table(populations))},
            # Every worker holds the whole sample; they share each minibatch instead.
            dataset_config=ray.train.DataConfig(datasets_to_split=[]),
        )
        try:
            checkpoint = trainer.fit().checkpoint
        except ray.train.TrainingFailedError as error:
            raise _cause(error) from error
        with checkpoint.as_directory() as folder:
            return _read_checkpoint(Path(folder), next(iter(populations.values())).shape[1], architecture)


def _train_worker(config: dict[str, Any]) -> None:
    context = ray.train.get_context()
    rank, n_workers = context.get_world_rank(), context.get_world_size()
    populations = _collect(ray.train.get_dataset_shard("events"), config["populations"])
    plan = TrainingPlan.model_validate(config["plan"])
    n_markers = next(iter(populations.values())).shape[1]
    autoencoder = Autoencoder(n_markers, Architecture.model_validate(config["architecture"]), plan.seed)
    network = ray.train.torch.prepare_model(autoencoder)
    device = next(network.parameters()).device
    minibatches = InMemory.of(populations, plan, rank=rank, n_workers=n_workers, device=device)
    losses = train(network, minibatches, plan)
    final = asdict(kept_epoch(losses, plan.patience))
    if rank != 0:
        ray.train.report(final)
        return
    with tempfile.TemporaryDirectory(prefix="neuronedit-checkpoint-") as folder:
        weights = {name: tensor.cpu().contiguous() for name, tensor in autoencoder.state_dict().items()}
        safetensors.torch.save_file(weights, Path(folder) / WEIGHTS)
        (Path(folder) / LOSSES).write_text(json.dumps([asdict(loss) for loss in losses]), encoding="utf-8")
        ray.train.report(final, checkpoint=ray.train.Checkpoint.from_directory(folder))


def _as_table(populations: Mapping[str, FloatArray]) -> pa.Table:
    events = np.concatenate(list(populations.values()))
    population = np.repeat(np.arange(len(populations)), [len(events) for events in populations.values()])
    columns = {str(marker): events[:, marker] for marker in range(events.shape[1])}
    return pa.table({"row": np.arange(len(events)), "population": population, **columns})


def _collect(shard: ray.data.DataIterator, names: list[str]) -> dict[str, FloatArray]:
    # Ray Data promises no order; the rows' numbers restore it, so that a seed means the same events.
    fetched = [batch.to_pandas() for batch in shard.iter_batches(batch_size=ROWS_PER_FETCH, batch_format="pyarrow")]
    table = pd.concat(fetched).sort_values("row")
    events = table.drop(columns=["row", "population"]).to_numpy(dtype=np.float32)
    population = table["population"].to_numpy()
    return {name: events[population == index] for index, name in enumerate(names)}


def _read_checkpoint(folder: Path, n_markers: int, architecture: Architecture) -> tuple[Autoencoder, list[EpochLosses]]:
    autoencoder = Autoencoder(n_markers, architecture)
    autoencoder.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
    losses = json.loads((folder / LOSSES).read_text(encoding="utf-8"))
    return autoencoder.eval().requires_grad_(False), [EpochLosses(**loss) for loss in losses]


def _cause(error: ray.train.TrainingFailedError) -> NeuroneditError:
    """The user's own error among the workers' failures, else what is known of their death."""
    failures = list(getattr(error, "worker_failures", {}).values())
    for failure in failures:
        for cause in (failure, getattr(failure, "_base_exc", None), failure.__cause__):
            if isinstance(cause, NeuroneditError):
                return cause
    known = "; ".join(str(failure).strip().splitlines()[-1] for failure in failures if str(failure))
    known = known or " ".join(str(error).split("\n")[:2])  # what failed, and why; the rest is Ray's state
    return ClusterError(f"Ray Train's workers failed: {known}. No model was registered; see the workers' logs.")
