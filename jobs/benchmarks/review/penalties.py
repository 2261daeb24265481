"""Penalties on weights that leave where they were, measured beside replay: either all alike, or by their importance."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from neuronedit.arrays import Float32s
from neuronedit.network.autoencoder import Autoencoder, tensor
from neuronedit.network.chunks import activations
from neuronedit.network.minibatches import InMemory
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.training import train


@dataclass(frozen=True)
class Penalty:
    """strength · Σ importance · (weight − its start)², added to the loss.

    Attributes:
        strength: Weight of the whole penalty.
        importance: For each of the autoencoder's parameters, in their order, a tensor that broadcasts to its shape;
            its mean over neurons is 1.
    """

    strength: float
    importance: tuple[Tensor, ...]


def uniform_penalty(autoencoder: Autoencoder, strength: float) -> Penalty:
    """All weights alike."""
    return Penalty(strength, tuple(torch.ones(1) for _ in autoencoder.parameters()))


def importance_penalty(autoencoder: Autoencoder, populations: Mapping[str, Float32s], strength: float) -> Penalty:
    """Weights by how important the neuron is that they lead to: by how much its activations vary over the old events.

    Args:
        autoencoder: As it was trained on the old events.
        populations: The old events, standardised, (n_events, n_markers) float32 each; they weigh the same.
        strength: Weight of the whole penalty.

    Source: Kim & Lee 2021 (arXiv 2107.12657): importance from the standard deviation of a neuron's activations,
    relative to its layer's mean; here diagonal, and with the squared distance to the weights at the start.
    """
    spreads = [_spreads(autoencoder, events) for events in populations.values()]
    importance: list[Tensor] = []
    for of_layer in zip(*spreads, strict=True):
        spread = np.mean(of_layer, axis=0)
        relative = torch.from_numpy(spread / max(spread.mean(), np.finfo(np.float32).tiny))
        importance += [relative[:, None], relative]  # weights are (n_out, n_in), biases (n_out,)
    return Penalty(strength, tuple(importance))


def train_held(
    autoencoder: Autoencoder, populations: Mapping[str, Float32s], plan: TrainingPlan, penalty: Penalty
) -> Autoencoder:
    """Train a copy of an autoencoder further, as ``continue_training`` does, while a penalty holds its weights.

    Args:
        autoencoder: The start; it stays as it is.
        populations: Standardised, (n_events, n_markers) float32 each, with equal weight.
        plan: Epochs, minibatch, learning rate, seed.
        penalty: Its gradient is added to the loss's as it comes.
    """
    network = copy.deepcopy(autoencoder).train().requires_grad_(True)
    for parameter, importance in zip(network.parameters(), penalty.importance, strict=True):
        _hold(parameter, 2 * penalty.strength * importance)
    train(network, InMemory.from_populations(populations, plan), plan)
    return network.eval().requires_grad_(False)


def _hold(parameter: nn.Parameter, weight: Tensor) -> None:
    start = parameter.detach().clone()
    parameter.register_hook(lambda gradient: gradient + weight * (parameter.detach() - start))


def _spreads(autoencoder: Autoencoder, markers: Float32s) -> list[Float32s]:
    """For each layer that weights lead to, the output last, the standard deviation of each of its neurons."""
    hidden = [activations(autoencoder, markers, layer) for layer in autoencoder.layer_names[1:]]
    with torch.inference_mode():
        output = autoencoder(tensor(markers)).numpy()
    return [layer.std(axis=0) for layer in (*hidden, output)]
