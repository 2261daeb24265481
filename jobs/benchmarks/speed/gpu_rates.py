"""Rates of a GPU: editing in its memory, to and from the processor's, and from file to file; and training."""

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from neuronedit.adapters.cluster.session import GpuShare, RayConfig, ray_session
from neuronedit.adapters.training.trainer import TrainedAutoencoder, train_autoencoder
from neuronedit.arrays import Float32s
from neuronedit.cells.design import PAIR_EDIT
from neuronedit.cells.split import Split
from neuronedit.model.edit_model import EditModel
from neuronedit.model.pipeline.device import MINIBATCH
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.learner import Learner
from neuronedit.network.minibatches import InMemory, Minibatch, epoch_generator
from neuronedit.network.plan import TrainingPlan, WorkersConfig
from neuronedit.network.training import train

from ..measure import Cost
from .event_files import N_MARKERS, SHIFTS, FileSet, intensities
from .gpu_limits import finished, median_seconds
from .train import Trained
from .ways import Work, ray_cost

EVENTS_AT_ONCE = 131_072
"""Events that a transform reads at once."""


def kernel_rate(model: EditModel, device: torch.device, n_minibatches: int) -> float:
    """Events per second from the device's memory to the device's memory, standardised as they come and go."""
    autoencoders = [autoencoder.to(device) for autoencoder in model.autoencoders]
    edit = model.edits[PAIR_EDIT]
    markers = torch.randn(n_minibatches * MINIBATCH, len(model.panel.markers), device=device)

    @torch.inference_mode()
    def edited() -> None:
        for minibatch in markers.split(MINIBATCH):
            edit.change(autoencoders, minibatch)

    return len(markers) / median_seconds(edited, device)


def memory_rate(model: EditModel, device: torch.device, n_reads: int) -> float:
    """Events per second from the processor's memory to the processor's memory, raw intensities, one process."""
    on_device = model.to(str(device))
    raw = intensities(EVENTS_AT_ONCE, np.random.default_rng(0))

    def edited() -> None:
        for _ in range(n_reads):
            on_device.transform(raw, None)

    return n_reads * EVENTS_AT_ONCE / median_seconds(edited, device)


def write_files(folder: Path, n_events: int, n_files: int) -> None:
    """Files of as many events each, all the same one under as many names."""
    FileSet(n_events, 1).write(folder)
    first = next(folder.iterdir())
    for number in range(1, n_files):
        os.link(first, folder / f"{number:05}.parquet")


def job_cost(work: Work, short: Path, gpu: GpuShare | None) -> Cost:
    """Measure the cost of the whole input to Ray's actors beyond a shorter one's: all actors are at work in both.

    Args:
        work: The whole work.
        short: The shorter input.
        gpu: Each actor's share of a GPU; None for as many actors as there are cores, without.
    """
    with ray_session(RayConfig()):
        shorter = ray_cost(replace(work, cells=short), gpu=gpu)
        return ray_cost(work, gpu=gpu).less(shorter)


N_STEPS = 200
"""Number of steps that a rate is the mean of."""


def drawn(n_events: int, device: torch.device) -> dict[str, Tensor]:
    """Standardised markers like ``event_files.intensities``' of a source and its target, half of the events each."""
    generator = torch.Generator(device).manual_seed(0)
    populations = {
        "source": _arcsinh(n_events // 2, (0.0, 0.0), generator),
        "target": _arcsinh(n_events // 2, SHIFTS, generator),
    }
    firsts = torch.cat([events[: 2**20] for events in populations.values()])
    for events in populations.values():
        events.sub_(firsts.mean(dim=0)).div_(firsts.std(dim=0))
    return populations


def _arcsinh(n_events: int, shifts: tuple[float, float], generator: torch.Generator) -> Tensor:
    device = generator.device
    kind = torch.randint(0, 2, (n_events, 1), generator=generator, device=device)
    signal = torch.randn((n_events, N_MARKERS), generator=generator, device=device)
    return signal.mul_(1.2).add_(1 + kind + torch.tensor(shifts, device=device)[kind]).clamp_(min=0)


def held(populations: dict[str, Tensor], plan: TrainingPlan) -> InMemory:
    """Events on their device, each population's last ones held out."""
    kept = {name: round(len(events) * (1 - plan.validation_fraction)) for name, events in populations.items()}
    return InMemory(
        torch.cat([events[: kept[name]] for name, events in populations.items()]),
        kept,
        {name: events[kept[name] :] for name, events in populations.items()},
        Split({}, {}),
        plan,
        {},
    )


def step_rate(minibatches: InMemory, plan: TrainingPlan) -> float:
    """Events per second of single steps; what comes before an epoch is not in it."""
    device = minibatches.events.device
    learner = Learner.from_network(Autoencoder(N_MARKERS, Architecture(), plan.seed).to(device), plan)
    noise = epoch_generator(plan.seed, 1, device, 1)
    steps = _endless(minibatches)

    def some_steps() -> None:
        for minibatch in islice(steps, N_STEPS):
            learner.step(minibatch, noise)

    return N_STEPS * plan.minibatch / median_seconds(some_steps, device)


def _endless(minibatches: InMemory) -> Iterator[Minibatch]:
    while True:
        yield from minibatches.epoch(1)


def whole_training(minibatches: InMemory, plan: TrainingPlan) -> Trained:
    """All epochs, as a worker trains them, without Ray; what it came to is measured after each, as ever."""
    device = minibatches.events.device
    network = Autoencoder(N_MARKERS, Architecture(), plan.seed).to(device)
    started = finished(device)
    history = train(network, minibatches, plan)
    seconds = finished(device) - started
    return Trained(seconds, seconds, history[-1].validation_loss)


def ray_training(populations: dict[str, Float32s], plan: TrainingPlan, use_gpu: bool) -> TrainedAutoencoder:
    """Train as the job does: by Ray Train, with one worker."""
    with TemporaryDirectory(prefix="neuronedit-benchmark-") as folder, ray_session(RayConfig()):
        workers = WorkersConfig(use_gpu=use_gpu, storage=str(Path(folder)))
        return train_autoencoder(populations, Architecture(), plan, workers)
