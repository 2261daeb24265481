"""Loops that train an autoencoder with nothing around them: what no training on the same cells can beat."""

from dataclasses import dataclass
from multiprocessing import get_context
from tempfile import TemporaryDirectory
from time import monotonic, process_time

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from neuronedit.autoencoder import Architecture, Autoencoder
from neuronedit.training_plan import TrainingPlan

VALIDATION_ROWS = 4_096
"""Events that are reconstructed at a time."""


@dataclass(frozen=True)
class Trained:
    """What a loop took, and what it came to.

    Attributes:
        wall_s: Seconds on the clock; imports, and what comes before the first epoch, are not in it.
        cpu_s: Of all processes, one thread each.
        loss: Mean squared error of the validation events at the end.
    """

    wall_s: float
    cpu_s: float
    loss: float


@dataclass(frozen=True)
class Events:
    """Standardised markers, (n_events, n_markers) float32 each."""

    training: npt.NDArray[np.float32]
    validation: npt.NDArray[np.float32]


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
