"""Continued training on new events, and what keeps an autoencoder from forgetting the old ones.

*Replay* shows the old events again. The alternatives need none: a *penalty* on weights that leave where they were,
either all alike or by how much depends on each. They are here to be measured beside replay; updates replay.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from neuronedit.autoencoder import Autoencoder, tensor
from neuronedit.loss_history import EpochLosses
from neuronedit.minibatches import InMemory
from neuronedit.percentiles import FloatArray
from neuronedit.steps import activations
from neuronedit.training import train
from neuronedit.training_plan import TrainingPlan
from neuronedit.validation_split import Texts


@dataclass(frozen=True)
class Penalty:
    """strength · Σ importance · (weight − its start)², added to the loss.

    Attributes:
        strength: Of the whole.
        importance: For each of the autoencoder's parameters, in their order, a tensor that broadcasts to its shape;
            its mean over neurons is 1.
    """

    strength: float
    importance: tuple[Tensor, ...]


def uniform_penalty(autoencoder: Autoencoder, strength: float) -> Penalty:
    """All weights alike."""
    return Penalty(strength, tuple(torch.ones(1) for _ in autoencoder.parameters()))


def importance_penalty(autoencoder: Autoencoder, populations: Mapping[str, FloatArray], strength: float) -> Penalty:
    """Weights by how important the neuron is that they lead to: by how much its activations vary over the old events.

    Args:
        autoencoder: As it was trained on the old events.
        populations: The old events, standardised, (n_events, n_markers) float32 each; they weigh the same.
        strength: Of the whole.

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


def replayed(old: Mapping[str, FloatArray], new: Mapping[str, FloatArray], n_events: int) -> dict[str, FloatArray]:
    """New populations beside at most ``n_events`` of each old one, whose events come in random order."""
    return {**{name: events[:n_events] for name, events in old.items()}, **new}


def continue_training(
    autoencoder: Autoencoder,
    populations: Mapping[str, FloatArray],
    plan: TrainingPlan,
    penalty: Penalty | None = None,
    samples: Mapping[str, Texts] | None = None,
) -> tuple[Autoencoder, tuple[EpochLosses, ...]]:
    """Train a copy of an autoencoder further.

    Args:
        autoencoder: Where to start; it stays as it is.
        populations: Standardised, (n_events, n_markers) float32 each, with equal weight.
        plan: Epochs, minibatch, learning rate, seed.
        penalty: What holds the weights, if anything.
        samples: By population, (n_events,) the sample of each event, where they are known.

    Returns:
        The copy, frozen, and the losses of its epochs.

    Raises:
        ModelError: The loss is not finite.
    """
    network = copy.deepcopy(autoencoder).train().requires_grad_(True)
    held = _hold(network, penalty) if penalty else []
    losses = train(network, InMemory.of(populations, plan, samples=samples), plan)
    for handle in held:
        handle.remove()
    return network.eval().requires_grad_(False), losses


def _hold(network: nn.Module, penalty: Penalty) -> list[torch.utils.hooks.RemovableHandle]:
    """Add the penalty's gradient to the loss's as it comes: the training loop need not know of it."""

    def hold(parameter: nn.Parameter, importance: Tensor) -> torch.utils.hooks.RemovableHandle:
        start, weight = parameter.detach().clone(), 2 * penalty.strength * importance
        return parameter.register_hook(lambda gradient: gradient + weight * (parameter.detach() - start))

    return [hold(*pair) for pair in zip(network.parameters(), penalty.importance, strict=True)]


def _spreads(autoencoder: Autoencoder, markers: FloatArray) -> list[FloatArray]:
    """For each layer that weights lead to, the output last, the standard deviation of each of its neurons."""
    hidden = [activations(autoencoder, markers, layer) for layer in autoencoder.layer_names[1:]]
    with torch.inference_mode():
        output = autoencoder(tensor(markers)).numpy()
    return [layer.std(axis=0) for layer in (*hidden, output)]
