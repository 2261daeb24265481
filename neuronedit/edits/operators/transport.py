"""A shift that depends on all neurons of a layer at once: a small network that moves the source onto the target."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from neuronedit.arrays import Arrays, Float32s, Floats, pickled_fields
from neuronedit.edits.operators.descent import Minibatches, apart, descend, one_thread
from neuronedit.network.autoencoder import Tensors, tensor

WIDTH = 64
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-4

EFFORT = 0.01
"""The price of moving an event, per squared standard deviation: it favours maps onto the target that move little."""

REACH = (0.5, 99.5)
"""Percentiles of the source between which the network is evaluated; events beyond are clipped to them."""

LAYERS = ("1", "2", "3")


@dataclass(frozen=True)
class TransportShift:
    """A shift that is the difference of the means plus the output of a small network.

    A percentile shift takes the whole spread of the target from a neuron's own rank: if a treatment widens a marker
    whose rank was noise before, a slight difference between populations becomes a large one. Here the spread may come
    from any neuron, by a smooth function that moves source to target. Events are clipped to the source's range before
    the network is evaluated, so that it never extrapolates.

    Attributes:
        drift: (n_neurons,) float32, the mean of the target less the mean of the source.
        lowest: (n_neurons,) float32, the lower end of the range to which events are clipped.
        highest: (n_neurons,) float32, its upper end.
        weights: The network's weights and biases, by name.

    Source: Shaham et al. 2017, Bioinformatics 33(16) (MMD-ResNet), for the residual network; the loss is the energy
    distance (Székely & Rizzo 2013, equation 5), which has no width to choose.
    """

    drift: Float32s
    lowest: Float32s
    highest: Float32s
    weights: Arrays

    @classmethod
    def fit(cls, source: Float32s, target: Float32s, seed: int, target_weights: Floats | None = None) -> Self:
        """Train the network.

        Args:
            source: (n_events, n_neurons) activations of the source.
            target: (n_events, n_neurons) activations of the target.
            seed: Draws initial weights and minibatches.
            target_weights: (n_target,) weights by which target events are drawn; equal by default.

        Raises:
            ModelError: Training diverged.

        Example:
            >>> source = np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32)
            >>> TransportShift.fit(source, source + np.float32([1, -2]), seed=0).drift.round(3).tolist()
            [1.0, -2.0]
        """
        drift = target.mean(axis=0) if target_weights is None else np.average(target, axis=0, weights=target_weights)
        drift = (drift - source.mean(axis=0)).astype(np.float32)
        lowest, highest = np.percentile(source, REACH, axis=0).astype(np.float32)
        asked = tensor(np.clip(source, lowest, highest))
        with one_thread():
            weights = _train(asked, tensor(source + drift), tensor(target), target_weights, seed)
        return cls(drift, lowest, highest, weights)

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Restore a shift from its ``arrays``."""
        weights = {name: array for name, array in arrays.items() if name.startswith("network.")}
        return cls(arrays["drift"], arrays["lowest"], arrays["highest"], weights)

    def arrays(self) -> Arrays:
        """Give drift, range and network by their names in a model's file."""
        return {"drift": self.drift, "lowest": self.lowest, "highest": self.highest, **self.weights}

    def shift_at(self, activations: Tensor) -> Tensor:
        """The shift of each event: (n_events, n_neurons) → (n_events, n_neurons) float32."""
        drift, lowest, highest, *weights = self._tensors.beside(activations)
        return drift + network_output(dict(zip(self.weights, weights, strict=True)), activations.clamp(lowest, highest))

    @cached_property
    def _tensors(self) -> Tensors:
        return Tensors(self.drift, self.lowest, self.highest, *self.weights.values())

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what is on a device does not travel."""
        return pickled_fields(self)


def _train(
    asked: Tensor, start: Tensor, target: Tensor, target_weights: Floats | None, seed: int
) -> dict[str, Float32s]:
    minibatches = Minibatches(len(asked), target, target_weights, seed)
    weights = _initial_weights(asked.shape[1], minibatches.generator)

    def loss() -> Tensor:
        rows, others = minibatches.draw()
        added = network_output(weights, asked[rows])
        return apart(start[rows] + added, others) + EFFORT * (added**2).sum(dim=1).mean()

    descend(list(weights.values()), loss, LEARNING_RATE, "transport", WEIGHT_DECAY)
    return {name: weight.detach().numpy() for name, weight in weights.items()}


def _initial_weights(n_neurons: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Make small random layers and a last layer of zeros, so that the network's output is 0 at the start."""
    weights = {}
    for name, n_in, n_out in zip(LAYERS, (n_neurons, WIDTH, WIDTH), (WIDTH, WIDTH, n_neurons), strict=True):
        matrix = torch.zeros(n_out, n_in)
        if name != LAYERS[-1]:
            nn.init.kaiming_uniform_(matrix, a=0.2, generator=generator)
        weights[f"network.{name}.weight"] = matrix.requires_grad_(True)
        weights[f"network.{name}.bias"] = torch.zeros(n_out, requires_grad=True)
    return weights


def network_output(weights: Mapping[str, Tensor], activations: Tensor) -> Tensor:
    """Evaluate the network: (n_events, n_neurons) → (n_events, n_neurons) float32, an addition to the mean shift.

    Example:
        >>> weights = _initial_weights(2, torch.Generator().manual_seed(0))
        >>> bool(network_output(weights, torch.ones(3, 2)).any())
        False
    """
    for name in LAYERS:
        activations = nn.functional.linear(
            activations, weights[f"network.{name}.weight"], weights[f"network.{name}.bias"]
        )
        if name != LAYERS[-1]:
            activations = nn.functional.silu(activations)
    return activations
