"""Workers that die, dawdle or note what they do, to stand in for ``train_worker``; a small problem for them."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import ray.train
import torch

from neuronedit.adapters import ray_train, train_worker
from neuronedit.adapters.train_worker import Task
from neuronedit.autoencoder import Autoencoder
from neuronedit.loss_history import EpochLosses
from neuronedit.minibatches import InMemory
from neuronedit.training import Epoch, train
from neuronedit.training_plan import TrainingPlan
from neuronedit.workers_config import WorkersConfig
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
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker: more threads add up in another order
    autoencoder = Autoencoder(6, ARCHITECTURE, plan.seed)
    history = train(autoencoder, InMemory.from_populations(populations(), plan), plan)
    torch.set_num_threads(threads)
    return weights_of(autoencoder.requires_grad_(False)), history


def run(
    storage: Path | str, on_losses: Callable[[Any], None] = lambda losses: None, **workers: Any
) -> tuple[Weights, tuple[EpochLosses, ...]]:
    """Train by Ray, with a checkpoint every two epochs."""
    config = WorkersConfig(storage=str(storage), checkpoint_epochs=2, **workers)
    trained = ray_train.train_autoencoder(populations(), ARCHITECTURE, PLAN, config, on_losses=on_losses)
    return weights_of(trained.autoencoder), trained.history


def epochs_trained(storage: Path) -> list[int]:
    """The epochs that workers of ``noting`` and its like trained, in the order of their ends."""
    return [epoch for epoch, _ in _noted(storage)]


def workers_counted(storage: Path) -> list[int]:
    """By how many workers each of these epochs was trained."""
    return [n_workers for _, n_workers in _noted(storage)]


def _noted(storage: Path) -> list[list[int]]:
    lines = (storage.parent / "epochs.txt").read_text().splitlines()
    return [[int(number) for number in line.split()] for line in lines]


def noting(config: Mapping[str, Task]) -> Any:
    """Notes each epoch."""
    return _train_and(config, _note)


def slow(config: Mapping[str, Task]) -> Any:
    """Notes each epoch, and takes its time over it."""
    return _train_and(config, _note, lambda task, epoch: time.sleep(1))


def dies_once(config: Mapping[str, Task]) -> Any:
    """Kills its own process after epoch 5, the first time."""
    return _train_and(config, _note, _die_after_epoch_5)


def damages_and_dies_once(config: Mapping[str, Task]) -> Any:
    """Flips a byte of the newest checkpoint, then kills its own process after epoch 5, the first time."""
    return _train_and(config, _note, _damage_after_epoch_5, _die_after_epoch_5)


def counts_starts(config: Mapping[str, Task]) -> Any:
    """Notes that it was started."""
    with _beside(config["task"], "starts.txt").open("a") as stream:
        stream.write("1\n")
    return train_worker.train_worker(config)


def dies(config: Mapping[str, Task]) -> Any:
    """Notes each epoch, and kills its own process after the first, whenever it is started."""
    return _train_and(config, _note, lambda task, epoch: os.kill(os.getpid(), signal.SIGKILL))


def _train_and(config: Mapping[str, Task], *then: Callable[[Task, Epoch], None]) -> Any:
    reporting = train_worker._reporting

    def disturbed(task: Task, state: Any) -> Callable[[Epoch], None]:
        after = reporting(task, state)

        def after_this(epoch: Epoch) -> None:
            after(epoch)
            for act in then:
                act(task, epoch)

        return after_this

    with mock.patch.object(train_worker, "_reporting", disturbed):
        return train_worker.train_worker(config)


def _note(task: Task, epoch: Epoch) -> None:
    if _is_first():
        n_workers = ray.train.get_context().get_world_size()
        with _beside(task, "epochs.txt").open("a") as stream:
            stream.write(f"{epoch.losses.epoch} {n_workers}\n")


def _die_after_epoch_5(task: Task, epoch: Epoch) -> None:
    note = _beside(task, "died.txt")
    if epoch.losses.epoch == 5 and not note.exists() and _is_first():
        note.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)


def _damage_after_epoch_5(task: Task, epoch: Epoch) -> None:
    if epoch.losses.epoch == 5 and not _beside(task, "died.txt").exists():
        flip_byte(Path(task.checkpoints.folder.path) / "epoch-000004" / "state.safetensors")


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def _is_first() -> bool:
    return ray.train.get_context().get_world_rank() == 0


def _beside(task: Task, name: str) -> Path:
    """A file beside the storage."""
    return Path(task.checkpoints.folder.path).parents[1] / name
