"""Training on events that lie in a GPU's memory."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from neuronedit.adapters.ray_session import RayConfig, ray_session
from neuronedit.adapters.ray_train import TrainedAutoencoder, train_autoencoder
from neuronedit.autoencoder import Architecture, Autoencoder
from neuronedit.learner import Learner
from neuronedit.minibatches import InMemory, Minibatch, epoch_generator
from neuronedit.percentiles import FloatArray
from neuronedit.training import train
from neuronedit.training_plan import TrainingPlan
from neuronedit.validation_split import Split
from neuronedit.workers_config import WorkersConfig

from .event_files import N_MARKERS
from .gpu_limits import finished, median_seconds
from .train_loops import Trained
from .trial_models import SHIFTS

N_STEPS = 200
"""Of which a rate is the mean."""


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


def ray_training(populations: dict[str, FloatArray], plan: TrainingPlan, use_gpu: bool) -> TrainedAutoencoder:
    """What the job calls: Ray Train, one worker."""
    with TemporaryDirectory(prefix="neuronedit-benchmark-") as folder, ray_session(RayConfig()):
        workers = WorkersConfig(use_gpu=use_gpu, storage=str(Path(folder)))
        return train_autoencoder(populations, Architecture(), plan, workers)
