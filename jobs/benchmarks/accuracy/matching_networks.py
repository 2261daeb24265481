"""Networks that learn to turn the source into the target as a whole: what neuron editing is argued against.

They are trained until the moved source cannot be told from the target: by the distances between events (MMD-ResNet),
or by a second network that learns to tell them apart (GAN). Neither sees the events to be edited. Both start near
the identity. Arrays are (n_events, n_markers) float32, arcsinh units, as in ``neuronedit.edits.baselines``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from neuronedit.arrays import Float32s, Float64s
from neuronedit.cells.scaling import MIN_MARKER_SPREAD
from neuronedit.config import Config
from neuronedit.edits.baselines import Baseline
from neuronedit.errors import ModelError
from neuronedit.network.autoencoder import LEAKY_SLOPE

MMD_RESNET = "MMD-ResNet"
GAN = "GAN"

Loss = Callable[[Tensor, Tensor], Tensor]
"""Loss of a minibatch of the moved source and one of the target: (n, n_markers), (k, n_markers) → ()."""

N_NEIGHBOURS = 25
KERNEL_WIDTHS = (0.5, 1.0, 2.0)
"""Times the median over target events of the mean distance to their ``N_NEIGHBOURS`` nearest (Shaham et al.)."""

MAX_NEIGHBOUR_EVENTS = 1_000
"""Target events among which these neighbours are looked for."""

NEAR_ZERO = 1e-3
"""Standard deviation of the residual blocks' first weights, so that they start near the identity."""

WEIGHT_PENALTY = 0.01
"""On the sum of the squares of the residual blocks' weights (Shaham et al.)."""

GRADIENT_PENALTY = 5.0
"""γ / 2 with the γ = 10 of Mescheder et al."""


class MatchingPlan(Config):
    """How large a network is, and how long it is trained."""

    steps: int = Field(600, ge=1, description="minibatches that the network learns from")
    minibatch: int = Field(400, ge=2, description="events of the source in a step, and as many of the target")
    hidden: int = Field(100, ge=1, description="neurons of each hidden layer")
    blocks: int = Field(3, ge=1, description="residual blocks of the MMD-ResNet")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's at the start; it falls to zero in a straight line")
    seed: int = Field(0, ge=0, description="initial weights and minibatches")


MMD_PLAN = MatchingPlan()

GAN_PLAN = MatchingPlan(steps=2_500, minibatch=256)
"""Two networks that follow each other need more steps than one that goes downhill."""


def network_baselines(seed: int) -> dict[str, Baseline]:
    """Both, by name: some ten seconds each."""
    return {
        MMD_RESNET: partial(mmd_resnet, plan=MMD_PLAN.model_copy(update={"seed": seed})),
        GAN: partial(gan, plan=GAN_PLAN.model_copy(update={"seed": seed})),
    }


def mmd_resnet(source: Float32s, target: Float32s, events: Float32s, plan: MatchingPlan = MMD_PLAN) -> Float32s:
    """Move events by a residual network that brings the source as near to the target, in MMD, as it can.

    Raises:
        ModelError: The training, or what the network makes of the events, is not finite.

    Source: Shaham et al. 2017, Bioinformatics 33(16); blocks, kernels and penalty are theirs, Adam stands for RMSProp.
    """
    scale = _Scale.fit(source, target)
    before, after = scale.standardise(source), scale.standardise(target)
    generator = torch.Generator().manual_seed(plan.seed)
    network = nn.Sequential(*[_residual_block(source.shape[1], plan.hidden, generator) for _ in range(plan.blocks)])
    weights = [weight for weight in network.parameters() if weight.ndim == 2]
    widths = _kernel_widths(after, generator)

    def loss(moved: Tensor, real: Tensor) -> Tensor:
        squares = torch.stack([weight.square().sum() for weight in weights]).sum()
        return _mmd(moved, real, widths) + WEIGHT_PENALTY * squares

    _train("MMD-ResNet", _Descent.of(network, plan), before, after, plan, loss)
    return _move("MMD-ResNet", network, scale, events)


def gan(source: Float32s, target: Float32s, events: Float32s, plan: MatchingPlan = GAN_PLAN) -> Float32s:
    """Move events by a generator, trained until a discriminator cannot tell the moved source from the target.

    Raises:
        ModelError: The training, or what the generator makes of the events, is not finite.

    Source: Goodfellow et al. 2014 (the non-saturating loss); Mescheder et al. 2018, ICML (the penalty R₁).
    """
    scale = _Scale.fit(source, target)
    before, after = scale.standardise(source), scale.standardise(target)
    seeded = torch.Generator().manual_seed(plan.seed)
    n_markers, hidden = source.shape[1], plan.hidden
    generator = _Residual(_dense((n_markers, hidden, hidden, n_markers), seeded))
    *_, last_weight, _ = generator.parameters()
    nn.init.zeros_(last_weight)  # starts at the identity
    discriminator = _dense((n_markers, hidden, hidden, 1), seeded)
    # Without momentum: the two networks' steps answer each other.
    opponent = _Descent.of(discriminator, plan, momentum=0.0)

    def loss(moved: Tensor, real: Tensor) -> Tensor:
        opponent.step(_discriminator_loss(discriminator, moved.detach(), real))
        return nn.functional.softplus(-discriminator(moved)).mean()

    _train("GAN", _Descent.of(generator, plan, momentum=0.0), before, after, plan, loss)
    return _move("GAN", generator, scale, events)


@dataclass(frozen=True)
class _Scale:
    """Mean and standard deviation of each marker, (n_markers,) float64, source and target weighing the same."""

    means: Float64s
    spreads: Float64s

    @classmethod
    def fit(cls, source: Float32s, target: Float32s) -> Self:
        pair = [population.astype(np.float64) for population in (source, target)]
        means = np.mean([population.mean(axis=0) for population in pair], axis=0)
        spreads = np.sqrt(np.mean([((population - means) ** 2).mean(axis=0) for population in pair], axis=0))
        return cls(means, np.where(spreads < MIN_MARKER_SPREAD, 1, spreads))

    def standardise(self, events: Float32s) -> Tensor:
        return torch.from_numpy(((events - self.means) / self.spreads).astype(np.float32))


class _Residual(nn.Module):
    """x + f(x): (n_events, n_markers) → (n_events, n_markers)."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, markers: Tensor) -> Tensor:
        return markers + self.layers(markers)


@dataclass(frozen=True)
class _Descent:
    """Adam on one network, its rate falling in a straight line to zero."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler

    @classmethod
    def of(cls, network: nn.Module, plan: MatchingPlan, momentum: float = 0.9) -> Self:
        optimiser = torch.optim.Adam(network.parameters(), lr=plan.learning_rate, betas=(momentum, 0.99))
        falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / plan.steps)
        return cls(network, optimiser, falling)

    def step(self, loss: Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.schedule.step()


def _residual_block(n_markers: int, hidden: int, generator: torch.Generator) -> _Residual:
    """The layer x + W₂ relu(norm(W₁ relu(norm(x)))). Source: Shaham et al. 2017, figure 2."""
    first, second = nn.Linear(n_markers, hidden), nn.Linear(hidden, n_markers)
    for layer in (first, second):
        nn.init.normal_(layer.weight, std=NEAR_ZERO, generator=generator)
        nn.init.zeros_(layer.bias)
    norms = nn.BatchNorm1d(n_markers), nn.BatchNorm1d(hidden)
    return _Residual(nn.Sequential(norms[0], nn.ReLU(), first, norms[1], nn.ReLU(), second))


def _dense(widths: tuple[int, ...], generator: torch.Generator) -> nn.Sequential:
    """Dense layers with leaky ReLU between them, the output linear."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        dense = nn.Linear(n_in, n_out)
        nn.init.kaiming_uniform_(dense.weight, a=LEAKY_SLOPE, generator=generator)
        nn.init.zeros_(dense.bias)
        layers += [dense, nn.LeakyReLU(LEAKY_SLOPE)]
    return nn.Sequential(*layers[:-1])


def _train(name: str, descent: _Descent, source: Tensor, target: Tensor, plan: MatchingPlan, loss: Loss) -> None:
    draws = np.random.default_rng(plan.seed)
    for step in range(1, plan.steps + 1):
        before, after = (_minibatch(population, plan.minibatch, draws) for population in (source, target))
        value = loss(descent.network(before), after)
        if not torch.isfinite(value):
            raise ModelError(
                f"{name}: the loss is {value.item()} in step {step} of {plan.steps}; expected a finite number. "
                "Lower the plan's learning_rate, or look for events that are not finite."
            )
        descent.step(value)


def _minibatch(population: Tensor, size: int, draws: np.random.Generator) -> Tensor:
    return population[torch.from_numpy(draws.choice(len(population), min(size, len(population)), replace=False))]


def _move(name: str, network: nn.Module, scale: _Scale, events: Float32s) -> Float32s:
    """The events and what the network adds to them."""
    network.eval()
    with torch.inference_mode():
        standardised = scale.standardise(events)
        change = (network(standardised) - standardised).numpy()
    moved: Float32s = (events + change * scale.spreads).astype(np.float32)
    wrong = ~np.isfinite(moved).all(axis=1)
    if wrong.any():
        raise ModelError(
            f"{name}: {int(wrong.sum())} of {len(events)} events are not finite after the network; expected none. "
            "They lie too far from the source that it was trained on, or were not finite before."
        )
    return moved


def _mmd(moved: Tensor, real: Tensor, widths: Tensor) -> Tensor:
    """Squared maximum mean discrepancy, summed over the kernels: all pairs, an event with itself included."""
    within = _mean_kernel(moved, moved, widths) + _mean_kernel(real, real, widths)
    return within - 2 * _mean_kernel(moved, real, widths)


def _mean_kernel(a: Tensor, b: Tensor, widths: Tensor) -> Tensor:
    squares = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T  # (n, k) squared distances
    return torch.stack([torch.exp(-squares / width**2).mean() for width in widths]).sum()


def _kernel_widths(target: Tensor, generator: torch.Generator) -> Tensor:
    drawn = target[torch.randperm(len(target), generator=generator)[:MAX_NEIGHBOUR_EVENTS]]
    nearest = torch.cdist(drawn, drawn).topk(min(N_NEIGHBOURS + 1, len(drawn)), largest=False).values[:, 1:]
    typical = nearest.mean(dim=1).median().clamp_min(MIN_MARKER_SPREAD)  # a constant target has no distances
    return typical * torch.tensor(KERNEL_WIDTHS)


def _discriminator_loss(discriminator: nn.Module, moved: Tensor, real: Tensor) -> Tensor:
    """Logistic loss (target against moved source), and R₁: the squared slope at the target's events."""
    real = real.detach().requires_grad_()
    on_real = discriminator(real)
    (slopes,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
    penalty = GRADIENT_PENALTY * slopes.square().sum(dim=1).mean()
    loss = nn.functional.softplus(-on_real).mean() + nn.functional.softplus(discriminator(moved)).mean()
    return loss + penalty
