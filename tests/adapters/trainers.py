"""A small problem to train on, and Ray Train's workers that die, dawdle or note what they do."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray

from neuronedit.adapters.training import trainer as ray_train
from neuronedit.adapters.training.worker import RayGroup, Task, train_loop
from neuronedit.network.autoencoder import Autoencoder
from neuronedit.network.minibatches import InMemory
from neuronedit.network.plan import TrainingPlan, WorkersConfig
from neuronedit.network.state import EpochLosses
from neuronedit.network.training import train
from tests.fixtures import ARCHITECTURE

PLAN = TrainingPlan(epochs=6, minibatch=64, seed=1)

Weights = dict[str, np.ndarray]


def populations() -> dict[str, np.ndarray]:
    """Unequal in size, so that minibatches do not divide evenly."""
    generator = np.random.default_rng(5)
    mixing = generator.normal(size=(2, 6))
    return {
        name: (generator.normal(size=(n_events, 2)) @ mixing).astype(np.float32)
        for name, n_events in (("A", 300), ("B", 175))
    }


def weights_of(autoencoder: Autoencoder) -> Weights:
    return {name: tensor.numpy() for name, tensor in autoencoder.state_dict().items()}


def undisturbed(plan: TrainingPlan = PLAN) -> tuple[Weights, tuple[EpochLosses, ...]]:
    """What the core's loop comes to, without Ray and without a stop."""
    autoencoder = Autoencoder(6, ARCHITECTURE, plan.seed)
    history = train(autoencoder, InMemory.from_populations(populations(), plan), plan)
    return weights_of(autoencoder.requires_grad_(False)), history


def run(
    storage: Path | str, on_losses: Callable[[Any], None] = lambda losses: None, **workers: Any
) -> tuple[Weights, tuple[EpochLosses, ...]]:
    """Train with a checkpoint every two epochs."""
    config = WorkersConfig(storage=str(storage), checkpoint_epochs=2, **workers)
    trained = ray_train.train_autoencoder(populations(), ARCHITECTURE, PLAN, config, on_losses=on_losses)
    return weights_of(trained.autoencoder), trained.history


def epochs_trained(storage: Path) -> list[int]:
    """The epochs that workers of ``noting`` and its like trained, in the order of their ends."""
    return [int(epoch) for epoch, _ in _noted(storage)]


def nodes_used(storage: Path) -> list[str]:
    """On which node the first worker trained each of these epochs."""
    return [node for _, node in _noted(storage)]


def _noted(storage: Path) -> list[list[str]]:
    return [line.split() for line in (storage.parent / "epochs.txt").read_text().splitlines()]


def noting(config: Mapping[str, Any]) -> Any:
    """Notes each epoch."""
    return _train_and(config)


def slow(config: Mapping[str, Any]) -> Any:
    """Notes each epoch, and takes its time over it."""
    return _train_and(config, lambda task, epoch: time.sleep(1))


def dies_once(config: Mapping[str, Any]) -> Any:
    """Kills its own process after epoch 5, the first time."""
    return _train_and(config, _die_after_epoch_5)


def _train_and(config: Mapping[str, Any], then: Callable[[Task, int], None] = lambda task, epoch: None) -> Any:
    return train_loop(config["task"], _Disturbed(config["ledger"], config["task"], then))


@dataclass(frozen=True)
class _Disturbed(RayGroup):
    """Notes each epoch; then something befalls the first worker."""

    task: Task
    then: Callable[[Task, int], None]

    def add(self, losses: EpochLosses) -> None:
        super().add(losses)
        with beside(self.task, "epochs.txt").open("a") as stream:
            stream.write(f"{losses.epoch} {ray.get_runtime_context().get_node_id()}\n")
        self.then(self.task, losses.epoch)


def _die_after_epoch_5(task: Task, epoch: int) -> None:
    note = beside(task, "died.txt")
    if epoch == 5 and not note.exists():
        note.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def beside(task: Task, name: str) -> Path:
    """A file beside the storage."""
    return Path(task.checkpoints.folder.path).parents[1] / name
