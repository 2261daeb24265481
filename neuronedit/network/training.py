"""Training of the autoencoder, epoch by epoch: every population weighs the same, whatever its size.

Training can continue on new events; *replay* of old events keeps the network from forgetting them. A loss that is not
finite ends training with an error that names the minibatch, its samples and its most extreme value.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from neuronedit.arrays import Float32s, Texts
from neuronedit.errors import ModelError, listing
from neuronedit.network.autoencoder import Autoencoder
from neuronedit.network.learner import Learner, copied
from neuronedit.network.minibatches import InMemory, Minibatches, MinibatchOrigin, epoch_generator
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.state import EpochLosses, Tensors, TrainingState, best_epoch, finished

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
        >>> from neuronedit.network.autoencoder import Architecture, Autoencoder
        >>> from neuronedit.network.minibatches import InMemory
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


def continue_training(
    autoencoder: Autoencoder,
    populations: Mapping[str, Float32s],
    plan: TrainingPlan,
    samples: Mapping[str, Texts] | None = None,
) -> tuple[Autoencoder, tuple[EpochLosses, ...]]:
    """Train a copy of an autoencoder further.

    Args:
        autoencoder: The start; it stays as it is.
        populations: (n_events, n_markers) float32 each, standardised, with equal weight, by name.
        plan: Epochs, minibatch, learning rate, seed.
        samples: (n_events,) name of each event's sample, by population, if they are known.

    Returns:
        The copy, frozen, and the losses of its epochs.

    Raises:
        ModelError: The loss is not finite.

    Example:
        >>> from neuronedit.network.autoencoder import Architecture
        >>> start = Autoencoder(3, Architecture(hidden=(8,), code=2))
        >>> cells = {"cells": np.ones((100, 3), np.float32)}
        >>> trained, (first, last) = continue_training(start, cells, TrainingPlan(epochs=2, minibatch=32))
        >>> trained is start, last.validation_loss < first.validation_loss
        (False, True)
    """
    network = copy.deepcopy(autoencoder).train().requires_grad_(True)
    losses = train(network, InMemory.from_populations(populations, plan, samples=samples), plan)
    return network.eval().requires_grad_(False), losses


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


def check_losses(epoch: int, losses: Tensor, validation: Mapping[str, float], minibatches: Minibatches) -> None:
    """Check that an epoch's losses are finite.

    Call it once an epoch, not at every step: a GPU would have to wait each time. The minibatch is found again by its
    step.

    Args:
        epoch: The epoch's number, from 1.
        losses: (n_steps,) loss of each minibatch, over all workers.
        validation: Validation loss, by population.
        minibatches: The source of the minibatches.

    Raises:
        ModelError: A loss is not finite; the message names epoch, step, populations, samples and the most extreme
            value.

    Example:
        >>> cells = {"cells": np.ones((40, 1), np.float32)}
        >>> minibatches = InMemory.from_populations(cells, TrainingPlan(minibatch=20))
        >>> check_losses(1, torch.tensor([0.5, torch.nan]), {"cells": 0.5}, minibatches)
        Traceback (most recent call last):
        neuronedit.errors.ModelError: Training diverged in epoch 1, step 2 of 2: the loss is nan. ...
    """
    wrong = torch.nonzero(~torch.isfinite(losses)).flatten().tolist()
    if wrong:
        origin = minibatches.origin(epoch, wrong[0])
        raise ModelError(
            f"Training diverged in epoch {epoch}, step {wrong[0] + 1} of {len(losses)}: the loss is "
            f"{float(losses[wrong[0]])}. Its minibatch has events of {_populations(origin)}; the most extreme is "
            f"{_most_extreme(origin, minibatches.markers)}. "
            "Lower training.learning_rate, or look for extreme intensities there."
        )
    diverged = [name for name, loss in validation.items() if not np.isfinite(loss)]
    if diverged:
        held_out = minibatches.held_out()
        origin = MinibatchOrigin({name: held_out[name] for name in diverged if len(held_out[name])}, {})
        extreme = f"; the most extreme is {_most_extreme(origin, minibatches.markers)}" if origin.events else ""
        raise ModelError(
            f"Training diverged in epoch {epoch}: the loss of the validation events of {listing(diverged)} is "
            f"{validation[diverged[0]]}{extreme}. "
            "Lower training.learning_rate, or look for extreme intensities there."
        )


def _populations(origin: MinibatchOrigin) -> str:
    return ", ".join(f"{name!r} ({_samples(origin, name)})" for name in origin.events)


def _samples(origin: MinibatchOrigin, population: str) -> str:
    if population not in origin.samples:
        return "samples unknown"
    return f"samples {listing(np.unique(origin.samples[population].astype(str)).tolist())}"


def _most_extreme(origin: MinibatchOrigin, markers: Sequence[str]) -> str:
    """Describe the value furthest from the mean, with marker, population and sample; NaN counts as the furthest."""
    sizes = {name: events.abs().nan_to_num(nan=torch.inf) for name, events in origin.events.items()}
    population = max(sizes, key=lambda name: float(sizes[name].max()))
    events = origin.events[population]
    row, marker = divmod(int(sizes[population].argmax()), events.shape[1])
    named = repr(markers[marker]) if markers else f"number {marker + 1}"
    known = f" of sample {origin.samples[population][row]!r}" if population in origin.samples else ""
    return f"{float(events[row, marker]):.3g} standard deviations of marker {named} in population {population!r}{known}"
