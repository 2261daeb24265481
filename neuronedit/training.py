"""Training the autoencoder: every population weighs the same, whatever its size."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import nn

from neuronedit.autoencoder import tensor
from neuronedit.config import Config
from neuronedit.errors import ConfigError, ModelError
from neuronedit.percentiles import FloatArray


class TrainingPlan(Config):
    """How long and how fast the autoencoder learns."""

    epochs: int = Field(60, ge=1, description="each draws as many events as all populations have, equally many of each")
    minibatch: int = Field(1024, ge=1, description="events per step, over all workers; every population has its share")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate (the paper: 0.001)")
    validation_fraction: float = Field(0.1, gt=0, lt=0.5, description="share of each population kept for validation")
    seed: int = Field(0, ge=0, description="initial weights and minibatches")


@dataclass(frozen=True)
class EpochLosses:
    """Mean squared reconstruction errors of standardised markers, after one epoch."""

    epoch: int
    train_loss: float
    validation_loss: float


def train(
    network: nn.Module,
    populations: Mapping[str, FloatArray],
    plan: TrainingPlan,
    *,
    rank: int = 0,
    n_workers: int = 1,
    on_epoch: Callable[[EpochLosses], None] = lambda losses: None,
) -> None:
    """Train in place, minimising the mean squared reconstruction error.

    All workers hold all events and draw the same minibatches; each computes its slice of every one. So the
    result does not depend on their number, but for the order in which floating-point sums are made.

    Args:
        network: The autoencoder, or its distributed wrapper.
        populations: Standardised markers, (n_events, n_markers) float32 each.
        plan: Epochs, minibatch, learning rate, seed.
        rank: This worker's number.
        n_workers: How many workers share a minibatch.
        on_epoch: Called after each epoch.

    Raises:
        ConfigError: A minibatch has fewer events than there are workers.
        ModelError: The loss is not finite.
    """
    if plan.minibatch < n_workers * len(populations):
        raise ConfigError(
            f"training.minibatch is {plan.minibatch}; expected at least {n_workers * len(populations)}: one event of "
            f"each of {len(populations)} populations for each of {n_workers} workers. Raise it, or lower workers.count."
        )
    training, validation = _split(populations, plan.validation_fraction)
    device = next(network.parameters()).device
    events = torch.from_numpy(np.concatenate(list(training.values()))).to(device)
    sizes = [len(population) for population in training.values()]
    held_out = [tensor(population).to(device) for population in validation.values()]
    optimiser = torch.optim.Adam(network.parameters(), lr=plan.learning_rate)
    generator = np.random.default_rng(plan.seed)
    for epoch in range(1, plan.epochs + 1):
        shares = [
            _train_step(
                network,
                optimiser,
                events[torch.from_numpy(indices[rank::n_workers]).to(device)],
                len(indices),
                n_workers,
            )
            for indices in balanced_minibatches(sizes, plan.minibatch, generator)
        ]
        result = EpochLosses(epoch, _mean_over_workers(shares), _validation_loss(network, held_out))
        if not np.isfinite([result.train_loss, result.validation_loss]).all():
            raise ModelError(
                f"Training diverged in epoch {epoch}: the loss is {result.train_loss} "
                f"(populations: {', '.join(populations)}). "
                "Lower training.learning_rate, or look for extreme intensities."
            )
        on_epoch(result)


def balanced_minibatches(
    sizes: Sequence[int], minibatch: int, generator: np.random.Generator
) -> Iterator[npt.NDArray[np.int64]]:
    """Indices of one epoch's minibatches, with equally many events of each population in every one.

    Populations lie one after another; smaller ones are shuffled and gone through again as often as needed.

    Args:
        sizes: Events of each population.
        minibatch: Events per minibatch, rounded to a multiple of the number of populations.
        generator: Shuffles.
    """
    share = max(1, round(minibatch / len(sizes)))
    n_steps = max(1, -(-sum(sizes) // (share * len(sizes))))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    order = np.stack(
        [start + _endless_shuffle(size, n_steps * share, generator) for start, size in zip(starts, sizes, strict=True)]
    )
    for step in range(n_steps):
        yield order[:, step * share : (step + 1) * share].ravel()


def _endless_shuffle(size: int, length: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    rounds = [generator.permutation(size) for _ in range(-(-length // size))]
    return np.concatenate(rounds)[:length]


def _train_step(
    network: nn.Module, optimiser: torch.optim.Optimizer, events: torch.Tensor, minibatch: int, n_workers: int
) -> torch.Tensor:
    optimiser.zero_grad(set_to_none=True)
    # This worker's share of the minibatch's loss; slices that differ by one event must weigh by their size.
    share = nn.functional.mse_loss(network(events), events) * (len(events) / minibatch)
    (share * n_workers).backward()  # workers average their gradients
    optimiser.step()
    return share.detach()


def _mean_over_workers(shares: Sequence[torch.Tensor]) -> float:
    losses = torch.stack(list(shares))
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(losses)  # the workers' shares add up to the minibatch's loss
    return float(losses.mean())


@torch.inference_mode()
def _validation_loss(network: nn.Module, populations: Sequence[torch.Tensor]) -> float:
    plain = network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network
    return float(np.mean([float(nn.functional.mse_loss(plain(events), events)) for events in populations]))


def _split(
    populations: Mapping[str, FloatArray], fraction: float
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    # Samples come in random order, so the last rows are as good a choice as any.
    cut = {name: max(1, round(len(events) * (1 - fraction))) for name, events in populations.items()}
    training = {name: events[: cut[name]] for name, events in populations.items()}
    validation = {name: events[cut[name] :] for name, events in populations.items() if len(events) > cut[name]}
    return training, validation or training
