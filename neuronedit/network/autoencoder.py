"""The autoencoder whose neurons are edited."""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from neuronedit.config import Config
from neuronedit.errors import ConfigError, listing, nearest_name

VISIBLE = "visible"
CODE = "code"
ENCODER, DECODER = "encoder", "decoder"
LEAKY_SLOPE = 0.2


def tensor(array: npt.NDArray[Any]) -> Tensor:
    """Give an array as a tensor on the same memory; a read-only array, as Ray hands out, is copied first.

    Example:
        >>> tensor(np.array([1.0, 2.0], np.float32))
        tensor([1., 2.])
    """
    return torch.from_numpy(np.require(array, requirements="W"))


class Tensors:
    """Arrays as tensors on whatever device events are on, taken there when they are first needed and kept.

    On the processor they share the arrays' memory.
    """

    def __init__(self, *arrays: npt.NDArray[Any]) -> None:
        self._arrays = arrays
        self._made: dict[torch.device, tuple[Tensor, ...]] = {}

    def beside(self, events: Tensor) -> tuple[Tensor, ...]:
        """The arrays, in their order, on the events' device."""
        if events.device not in self._made:
            self._made[events.device] = tuple(tensor(array).to(events.device) for array in self._arrays)
        return self._made[events.device]


class Architecture(Config):
    """The widths of the autoencoder's layers; the decoder mirrors the encoder.

    Example:
        >>> from neuronedit import Architecture
        >>> Architecture(hidden=(200, 100), code=50).layer_names
        ('visible', 'encoder.1', 'encoder.2', 'code', 'decoder.1', 'decoder.2')
    """

    hidden: tuple[PositiveInt, ...] = Field((200, 100), description="neurons of each hidden layer of the encoder")
    code: PositiveInt = Field(50, description="neurons of the code; 10 is too narrow for a panel of 30")

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers that can be edited, from the markers on."""
        numbers = range(1, len(self.hidden) + 1)
        return (VISIBLE, *(f"encoder.{i}" for i in numbers), CODE, *(f"decoder.{i}" for i in numbers))

    def layer_named(self, layer: str) -> str:
        """Give a layer's own name: ``encoder`` and ``decoder`` stand for the last hidden layer of each.

        Raises:
            ConfigError: There is no such layer.

        Example:
            >>> from neuronedit import Architecture
            >>> Architecture().layer_named("encoder"), Architecture(hidden=(), code=3).layer_named("encoder")
            ('encoder.2', 'code')
        """
        if layer in (ENCODER, DECODER):
            return f"{layer}.{len(self.hidden)}" if self.hidden else CODE
        self.check_layer(layer)
        return layer

    def check_layer(self, layer: str) -> None:
        """Check that there is a layer of that name.

        Raises:
            ConfigError: There is no such layer.
        """
        if layer not in self.layer_names:
            raise ConfigError(
                f"The autoencoder has no layer {layer!r} (layers: {listing(self.layer_names, 20)}"
                f"{nearest_name(layer, self.layer_names)}). Correct the layer of the edit's step."
            )


class Autoencoder(nn.Module):
    """Dense layers with leaky ReLU 0.2 between them, a linear code and a linear output.

    Layers are named ``visible`` (the standardised markers), ``encoder.1``, ``encoder.2``, …, ``code``,
    ``decoder.1``, …: each name stands for the activations after that layer.

    Args:
        n_markers: Width of input and output.
        architecture: Widths of the layers between.
        seed: Draws the initial weights.

    Source: Amodio et al. 2018 (arXiv 1805.12198), section 3; widths 200-100-50 from MLSP 2020.

    Example:
        >>> network = Autoencoder(3, Architecture(hidden=(8,), code=2))
        >>> markers = torch.zeros(5, 3)
        >>> network.encode(markers, CODE).shape, network(markers).shape
        (torch.Size([5, 2]), torch.Size([5, 3]))
    """

    def __init__(self, n_markers: int, architecture: Architecture, seed: int = 0) -> None:
        super().__init__()
        self.architecture = architecture
        encoder = [*architecture.hidden, architecture.code]
        widths = [n_markers, *encoder, *architecture.hidden[::-1], n_markers]
        self.layers = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in pairwise(widths))
        n_hidden = len(architecture.hidden)
        self.layer_names = architecture.layer_names
        self._linear = {n_hidden, len(self.layers) - 1}  # the code and the output have no activation function
        self._initialise(torch.Generator().manual_seed(seed))

    def forward(self, markers: Tensor) -> Tensor:
        """Reconstruct standardised markers: (n_events, n_markers) → (n_events, n_markers)."""
        return self.decode(self.encode(markers, CODE), CODE)

    def encode(self, markers: Tensor, layer: str) -> Tensor:
        """Compute a layer's activations: (n_events, n_markers) float32, standardised → (n_events, n_neurons)."""
        return self._run(markers, 0, self.depth(layer))

    def decode(self, activations: Tensor, layer: str) -> Tensor:
        """Compute standardised markers from a layer's activations: (n_events, n_neurons) → (n_events, n_markers).

        Example:
            >>> network = Autoencoder(3, Architecture(hidden=(8,), code=2))
            >>> markers = torch.ones(5, 3)
            >>> torch.equal(network.decode(network.encode(markers, CODE), CODE), network(markers))
            True
        """
        depth = self.depth(layer)
        # The visible layer *is* the markers: decoding it through the network would only blur it.
        return activations if depth == 0 else self._run(activations, depth, len(self.layers))

    def last_hidden(self, activations: Tensor, layer: str) -> Tensor:
        """Compute the last hidden layer's activations from a layer's: (n_events, n_neurons) → (n_events, n_last)."""
        return self._run(activations, self.depth(layer), len(self.layers) - 1)

    def output_change(self, change: Tensor) -> Tensor:
        """Compute the markers' change from the last hidden layer's: (n_events, n_last) → (n_events, n_markers).

        The output is linear: one product in place of the difference of two, and no change is exactly none.
        """
        output = self.layers[-1]
        assert isinstance(output, nn.Linear)
        return change @ output.weight.T

    def dense_after(self, layer: str) -> list[tuple[nn.Linear, bool]]:
        """List the dense layers after a layer, each with whether a leaky ReLU follows; empty for ``visible``."""
        depth = self.depth(layer)
        numbers = range(depth, len(self.layers)) if depth else ()
        found = [(self.layers[index], index not in self._linear) for index in numbers]
        return [(linear, leaky) for linear, leaky in found if isinstance(linear, nn.Linear)]

    def depth(self, layer: str) -> int:
        """Count the weight matrices before a layer.

        Raises:
            ConfigError: There is no layer of that name.
        """
        if layer not in self.layer_names:
            self.architecture.check_layer(layer)
        return self.layer_names.index(layer)

    def _run(self, activations: Tensor, start: int, stop: int) -> Tensor:
        for index in range(start, stop):
            activations = self.layers[index](activations)
            if index not in self._linear:
                activations = nn.functional.leaky_relu(activations, LEAKY_SLOPE, inplace=True)
        return activations

    def _initialise(self, generator: torch.Generator) -> None:
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.kaiming_uniform_(layer.weight, a=LEAKY_SLOPE, generator=generator)
            nn.init.zeros_(layer.bias)
