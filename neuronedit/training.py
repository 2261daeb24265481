"""Training of the autoencoder, epoch by epoch: every population weighs the same, whatever its size."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from neuronedit.divergence import check_losses
from neuronedit.learner import Learner, copied
from neuronedit.loss_history import EpochLosses, best_epoch, finished
from neuronedit.minibatches import Minibatches, epoch_generator
from neuronedit.training_plan import TrainingPlan
from neuronedit.training_state import Tensors, TrainingState

NOISE_STREAM = 1
"""The stream of random numbers that draws noise, apart from the order of the events."""

VALIDATION_ROWS = {"cpu": 4_096, "cuda": 262_144}
"""Events that are reconstructed at a time, by kind of device: activations stay in the cache, or fill the GPU."""


@dataclass(frozen=True)
class Epoch:
    """The argument of ``train``'s callback, after an epoch.

    Attributes:
        losses: The epoch's losses.
        state: Copy the training state. Call only inside the callback (later, training has moved on); not calling it
            costs nothing.
    """

    losses: EpochLosses
    state: Callable[[], TrainingState]


def train(
    network: nn.Module,
    minibatches: Minibatches,
    plan: TrainingPlan,
    *,
    resume: TrainingState | None = None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> tuple[EpochLosses, ...]:
    """Train in place, minimising the mean squared reconstruction error.

    One worker gets the same bits in every run, resumed or not; several workers get the same losses but for the order
    in which floating-point sums are made.

    Args:
        network: The autoencoder, or its distributed wrapper.
        minibatches: The events, as this worker sees them.
        plan: Epochs, learning rate, noise, patience and seed.
        resume: The state to go on from, after its epoch; it replaces the network's weights.
        on_epoch: Called after each epoch that is trained.

    Returns:
        The losses of all epochs, including those before ``resume``. With ``plan.patience`` the network has the weights
        of the best of them (``kept_epoch``).

    Raises:
        CheckpointError: ``resume`` is of another plan or network.
        ModelError: The loss is not finite.

    Example:
        >>> from neuronedit.autoencoder import Architecture, Autoencoder
        >>> from neuronedit.minibatches import InMemory
        >>> plan = TrainingPlan(epochs=2, minibatch=32)
        >>> events = InMemory.from_populations({"cells": np.ones((100, 3), np.float32)}, plan)
        >>> first, last = train(Autoencoder(3, Architecture(hidden=(8,), code=2)), events, plan)
        >>> last.validation_loss < first.validation_loss
        True
    """
    learner = Learner.from_network(network, plan, minibatches.rank, minibatches.n_workers)
    history: list[EpochLosses] = []
    best: Tensors = {}
    if resume:
        learner.restore(resume)
        history, best = list(resume.history), copied(resume.best)
    while not finished(history, plan.epochs, plan.patience):
        losses = _train_epoch(learner, minibatches, len(history) + 1)
        history.append(losses)
        if plan.patience and best_epoch(history) == losses:
            best = learner.weights()
        on_epoch(Epoch(losses, partial(learner.state, tuple(history), best)))
    if best:
        learner.model.load_state_dict(best)
    return tuple(history)


def _train_epoch(learner: Learner, minibatches: Minibatches, epoch: int) -> EpochLosses:
    generator = epoch_generator(learner.plan.seed, epoch, learner.device, NOISE_STREAM)
    shares = [learner.step(minibatch, generator) for minibatch in minibatches.epoch(epoch)]
    losses = _sum_over_workers(torch.stack(shares))  # the workers' shares add up to the minibatch's loss
    validation = _validation_losses(learner.model, minibatches.held_out())
    check_losses(epoch, losses, validation, minibatches)
    return EpochLosses(epoch, float(losses.double().mean()), float(np.mean([*validation.values()])))


@torch.inference_mode()
def _validation_losses(model: nn.Module, held_out: Mapping[str, Tensor]) -> dict[str, float]:
    """Mean squared error over all workers' parts of the validation events, by population."""
    sums = [_squared_error(model, events) for events in held_out.values()]
    counts = [torch.tensor(events.numel(), dtype=torch.float64, device=events.device) for events in held_out.values()]
    errors, n_values = _sum_over_workers(torch.stack([torch.stack(sums), torch.stack(counts)]))
    return dict(zip(held_out, (errors / n_values).tolist(), strict=True))


def _squared_error(model: nn.Module, events: Tensor) -> Tensor:
    total = torch.zeros((), dtype=torch.float64, device=events.device)
    for rows in events.split(VALIDATION_ROWS[events.device.type]):
        total += nn.functional.mse_loss(model(rows), rows, reduction="sum")
    return total


def _sum_over_workers(values: Tensor) -> Tensor:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(values)
    return values
