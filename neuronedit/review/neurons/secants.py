"""The decoder's slopes along a path of activations, in closed form: each neuron's part in a change of the markers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor, nn

from neuronedit.arrays import Float32s
from neuronedit.network.autoencoder import LEAKY_SLOPE, Autoencoder, tensor

N_SEGMENTS: Final = 8
"""Segments of a path. Errors of a trained decoder's conductances, up to 0.32, were at most 0.00002; with 1, 0.0008."""

BLOCK: Final = 128
"""Events whose slopes are held at once: 128 x 40 markers x 200 neurons are 4 MB."""


@dataclass(frozen=True)
class Decoder:
    """The dense layers from the neurons of a layer to the markers.

    The network is linear between the kinks of its leaky ReLUs. Over a segment of a path a unit's *secant* is what its
    output changes by, over what its input does: the mean of its slope where the input moves evenly. Chained through
    the layers, secants give each neuron its part of what the segment does to a marker, and the parts sum to the whole
    to the last digit, by however few segments; with many they are integrated gradients.

    Attributes:
        weights: (n_out, n_in) float32 each, in order; empty for the visible layer, whose neurons are the markers.
        biases: (n_out,) float32 each.
        leaky: Whether a leaky ReLU follows each.

    Source: Sundararajan et al. 2017 (arXiv 1703.01365), equation 1; Shrikumar et al. 2017 (arXiv 1704.02685), the
    rescale rule of section 3.5.1, here for every segment.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    leaky: tuple[bool, ...]

    @classmethod
    def at_layer(cls, autoencoder: Autoencoder, layer: str) -> Self:
        """Take the modules that decode a layer's neurons."""
        dense = autoencoder.dense_after(layer)
        return cls(
            tuple(linear.weight.detach() for linear, _ in dense),
            tuple(linear.bias.detach() for linear, _ in dense),
            tuple(leaky for _, leaky in dense),
        )

    def slopes(self, neurons: Float32s, readout: Float32s) -> Iterator[Float32s]:
        """Slopes of readouts at each event: (n_events, n_neurons) → blocks of (n_block, n_readouts, n_neurons)."""
        return self.path_slopes(neurons, neurons, readout, 1)

    def path_slopes(
        self, before: Float32s, after: Float32s, readout: Float32s, n_segments: int = N_SEGMENTS
    ) -> Iterator[Float32s]:
        """Mean slopes of readouts along the straight path of each event, block after block.

        Multiplied by ``after - before`` and summed over neurons they are the change of the readouts.

        Args:
            before: (n_events, n_neurons).
            after: (n_events, n_neurons).
            readout: (n_readouts, n_markers), weighted sums of markers: the identity for each marker by itself.
            n_segments: Into which a path is cut, equally long.

        Yields:
            (n_block, n_readouts, n_neurons) float32, in the order of the events.
        """
        weights = tensor(np.asarray(readout, dtype=np.float32))
        for start, end in zip(tensor(before).split(BLOCK), tensor(after).split(BLOCK), strict=True):
            with torch.inference_mode():
                yield self._mean_slopes(start, end, weights, n_segments).numpy()

    def _mean_slopes(self, before: Tensor, after: Tensor, readout: Tensor, n_segments: int) -> Tensor:
        here = self._inputs(before)
        total: Tensor | None = None
        for segment in range(1, n_segments + 1):
            there = self._inputs(torch.lerp(before, after, segment / n_segments))
            pulled = self._pull(readout, [_secants(*pair) for pair in zip(here, there, strict=True)])
            total, here = pulled if total is None else total + pulled, there
        assert total is not None
        return (total / n_segments).expand(len(before), -1, -1)

    def _inputs(self, neurons: Tensor) -> list[Tensor]:
        """The input of each leaky ReLU: (n_events, n_neurons) → (n_events, width) each."""
        found = []
        for weight, bias, leaky in zip(self.weights, self.biases, self.leaky, strict=True):
            neurons = torch.addmm(bias, neurons, weight.T)
            if leaky:
                found.append(neurons)
                neurons = nn.functional.leaky_relu(neurons, LEAKY_SLOPE)
        return found

    def _pull(self, readout: Tensor, secants: list[Tensor]) -> Tensor:
        """Readouts led back to the neurons: (n_readouts, n_markers) → (n_events or 1, n_readouts, n_neurons)."""
        pulled, left = readout[None], list(secants)
        for weight, leaky in zip(reversed(self.weights), reversed(self.leaky), strict=True):
            if leaky:
                pulled = pulled * left.pop()[:, None, :]
            pulled = pulled @ weight
        return pulled


def _secants(before: Tensor, after: Tensor) -> Tensor:
    """Change of a leaky ReLU's output over its input's: (n_events, width) twice → (n_events, width).

    The share of the way that is above zero has slope 1; where nothing moves it is the slope there.
    """
    tiny = torch.finfo(before.dtype).tiny
    above = (before.relu() + after.relu()) / (before.abs() + after.abs()).clamp_min_(tiny)
    return LEAKY_SLOPE + (1 - LEAKY_SLOPE) * above


def each_marker(n_markers: int) -> Float32s:
    """The readouts that are the markers themselves: (n_markers, n_markers).

    Example:
        >>> each_marker(2).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    return np.eye(n_markers, dtype=np.float32)
