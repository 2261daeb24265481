"""The autoencoder whose neurons are edited."""

from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from neuronedit.competition import Block, winners
from neuronedit.config import Config
from neuronedit.errors import ConfigError, listing, nearest_name

VISIBLE = "visible"
CODE = "code"
LEAKY_SLOPE = 0.2


def tensor(array: npt.NDArray[Any]) -> Tensor:
    """An array as a tensor on the same memory; a read-only array, as Ray hands out, is copied first."""
    return torch.from_numpy(np.require(array, requirements="W"))


class Architecture(Config):
    """The widths of the autoencoder's layers; the decoder mirrors the encoder.

    Example:
        >>> from neuronedit import Architecture
        >>> Architecture(hidden=(200, 100), code=50).layer_names
        ('visible', 'encoder.1', 'encoder.2', 'code', 'decoder.1', 'decoder.2')
    """

    hidden: tuple[PositiveInt, ...] = Field((200, 100), description="neurons of each hidden layer of the encoder")
    code: PositiveInt = Field(50, description="neurons of the code; 10 is too narrow for a panel of 30")
    competitive: Block = Field(
        1,
        description="neurons of the code in a block, of which only the largest speaks; 1: all; 2, 4 need a wider code",
    )

    @model_validator(mode="after")
    def _whole_blocks(self) -> Self:
        if self.code % self.competitive:
            raise ValueError(
                f"code is {self.code}, expected a multiple of competitive ({self.competitive}): a whole number of "
                f"blocks, e.g. {self.code + -self.code % self.competitive}"
            )
        return self

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The names of the layers that can be edited, from the markers on."""
        numbers = range(1, len(self.hidden) + 1)
        return (VISIBLE, *(f"encoder.{i}" for i in numbers), CODE, *(f"decoder.{i}" for i in numbers))

    def check_layer(self, layer: str) -> None:
        """Check that there is a layer of that name.

        Raises:
            ConfigError: There is not.
        """
        if layer not in self.layer_names:
            raise ConfigError(
                f"The autoencoder has no layer {layer!r} (layers: {listing(self.layer_names, 20)}"
                f"{nearest_name(layer, self.layer_names)}). Correct the layer of the edit's step."
            )


class Autoencoder(nn.Module):
    """Dense layers with leaky ReLU 0.2 between them, a linear code and a linear output.

    With ``competitive`` the code is what its winners say, see ``neuronedit.competition``. Decoding knows of no
    competition: a code that was edited is taken as it is.

    Layers are named ``visible`` (the standardised markers), ``encoder.1``, ``encoder.2``, …, ``code``,
    ``decoder.1``, …: each name stands for the activations after that layer.

    Source: Amodio et al. 2018 (arXiv 1805.12198), section 3; widths 200-100-50 from MLSP 2020.
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
        """Activations of a layer: (n_events, n_markers) → (n_events, n_neurons)."""
        return self._run(markers, 0, self.depth(layer))

    def decode(self, activations: Tensor, layer: str) -> Tensor:
        """Standardised markers from a layer's activations: (n_events, n_neurons) → (n_events, n_markers)."""
        depth = self.depth(layer)
        # The visible layer *is* the markers: decoding it through the network would only blur it.
        return activations if depth == 0 else self._run(activations, depth, len(self.layers))

    def last_hidden(self, activations: Tensor, layer: str) -> Tensor:
        """Activations of the layer before the output from a layer's: (n_events, n_neurons) → (n_events, n_last)."""
        return self._run(activations, self.depth(layer), len(self.layers) - 1)

    def output_change(self, change: Tensor) -> Tensor:
        """What a change of the last hidden layer does to the markers: (n_events, n_last) → (n_events, n_markers).

        The output is linear: one product in place of the difference of two, and no change is exactly none.
        """
        output = self.layers[-1]
        assert isinstance(output, nn.Linear)
        return change @ output.weight.T

    def dense_after(self, layer: str) -> list[tuple[nn.Linear, bool]]:
        """The dense layers from a layer to the markers, each with whether a leaky ReLU follows; of ``visible`` none."""
        depth = self.depth(layer)
        numbers = range(depth, len(self.layers)) if depth else ()
        found = [(self.layers[index], index not in self._linear) for index in numbers]
        return [(linear, leaky) for linear, leaky in found if isinstance(linear, nn.Linear)]

    def depth(self, layer: str) -> int:
        """How many weight matrices lie before a layer.

        Raises:
            ConfigError: There is no layer of that name.
        """
        self.architecture.check_layer(layer)
        return self.layer_names.index(layer)

    def _run(self, activations: Tensor, start: int, stop: int) -> Tensor:
        for index in range(start, stop):
            activations = self.layers[index](activations)
            if index not in self._linear:
                activations = nn.functional.leaky_relu(activations, LEAKY_SLOPE, inplace=True)
            elif index == len(self.architecture.hidden):
                activations = winners(activations, self.architecture.competitive)
        return activations

    def _initialise(self, generator: torch.Generator) -> None:
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.kaiming_uniform_(layer.weight, a=LEAKY_SLOPE, generator=generator)
            nn.init.zeros_(layer.bias)
