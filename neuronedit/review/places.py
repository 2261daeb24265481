"""The places that an edit edits: layers of its autoencoders, and the events as each sees them before and after."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

import numpy as np
import torch
from torch import nn

from neuronedit.arrays import Float32s
from neuronedit.edits.edit import Edit
from neuronedit.edits.operators.percentiles import Shift
from neuronedit.edits.steps import FittedStep, apply_steps
from neuronedit.network.autoencoder import CODE, Autoencoder, tensor
from neuronedit.network.chunks import CHUNK, activations


@dataclass(frozen=True)
class Place:
    """A layer of one of a model's autoencoders, whose neurons an edit shifts.

    Attributes:
        network: The number of the autoencoder among the model's, from 0.
        layer: The layer's name.
        autoencoder: Frozen.
        weight: The part of the edit's change that a change here counts for: the member's weight, shared among the
            layers of its step.
        shift: The edit's shift of the layer; None where the edit shifts no neuron, and is seen by encoding again.
        earlier: The member's steps before, whose changes the layer sees.
        name: Comes before its neurons' numbers, such as ``encoder.2`` or ``2/encoder.2``; empty for an only place.
    """

    network: int
    layer: str
    autoencoder: Autoencoder = field(repr=False)
    weight: float = 1.0
    shift: Shift | None = field(default=None, repr=False)
    earlier: tuple[FittedStep, ...] = field(default=(), repr=False)
    name: str = ""

    @property
    def n_neurons(self) -> int:
        """The number of neurons of the layer."""
        following = self.autoencoder.layers[self.autoencoder.depth(self.layer)]
        assert isinstance(following, nn.Linear)
        return following.in_features

    @property
    def neuron_names(self) -> tuple[str, ...]:
        """(n_neurons,) names such as ``encoder.2/17``."""
        return tuple(f"{self.name}/{number}" for number in range(self.n_neurons))

    def encode(self, markers: Float32s) -> Float32s:
        """Encode events: (n_events, n_markers) standardised → (n_events, n_neurons), both float32."""
        return activations(self.autoencoder, markers, self.layer)

    def decode(self, neurons: Float32s) -> Float32s:
        """Decode activations: (n_events, n_neurons) → (n_events, n_markers) standardised, both float32."""
        with torch.inference_mode():
            chunks = [self.autoencoder.decode(chunk, self.layer) for chunk in tensor(neurons).split(CHUNK)]
            return np.asarray(torch.cat(chunks).numpy())

    def see(self, markers: Float32s) -> Float32s:
        """Encode events as the steps before leave them: (n_events, n_markers) → (n_events, n_neurons), both float32."""
        return self.encode(apply_steps(self.earlier, self.autoencoder, markers) if self.earlier else markers)

    def move(self, before: Float32s) -> Float32s:
        """Shift activations as the edit does: (n_events, n_neurons) → (n_events, n_neurons), both float32."""
        assert self.shift is not None
        return before + self.shift.shift_at(tensor(before)).numpy()


def edited_places(edit: Edit, autoencoders: Sequence[Autoencoder]) -> tuple[Place, ...]:
    """List every layer of every autoencoder whose neurons an edit shifts; the first one's code if it shifts none.

    A layer that is edited more than once, by several steps or by several plans of an older model, is a place each time.

    Args:
        edit: The edit.
        autoencoders: The model's.

    Example:
        >>> from neuronedit.edits.edit import fit_edit
        >>> from neuronedit.edits.operators.table import EditStep
        >>> from neuronedit.network.autoencoder import Architecture
        >>> networks = tuple(Autoencoder(1, Architecture(), seed) for seed in (0, 1))
        >>> cells, plan = np.linspace(0, 1, 200, dtype=np.float32)[:, None], (EditStep(layer=("encoder", "decoder")),)
        >>> edit = fit_edit("pair", networks, plan, cells, cells + 1, zeros=np.full(1, -9, np.float32))
        >>> [(place.name, place.n_neurons, place.weight) for place in edited_places(edit, networks)[:3]]
        [('1/encoder.2', 100, 0.25), ('1/decoder.2', 200, 0.25), ('2/encoder.2', 100, 0.25)]
    """
    found = sorted(_shifted(edit, autoencoders), key=lambda place: place.network)
    return _named(found, len(autoencoders)) if found else (Place(0, CODE, autoencoders[0]),)


def place_at(edit: Edit, autoencoders: Sequence[Autoencoder], layer: str) -> Place:
    """Give a layer of the first autoencoder as an only place, with the heaviest member's shift, if it has one.

    Args:
        edit: The edit.
        autoencoders: The model's.
        layer: The layer's name.

    Raises:
        ConfigError: The autoencoder has no such layer.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> model = example_model()
        >>> place = place_at(model.get_edit("pair"), model.autoencoders, "code")
        >>> place.n_neurons, place.shift is None
        (3, False)
    """
    autoencoders[0].depth(layer)
    own = [place for place in _shifted(edit, autoencoders) if (place.network, place.layer) == (0, layer)]
    heaviest = max(own, key=lambda place: place.weight, default=Place(0, layer, autoencoders[0]))
    return replace(heaviest, weight=1.0)


def _shifted(edit: Edit, autoencoders: Sequence[Autoencoder]) -> Iterator[Place]:
    for member in edit.members:
        for number, step in enumerate(member.steps):
            if not step.plan.latent:
                continue
            weight, earlier = member.weight / len(step.shifts), member.steps[:number]
            for layer, shift in step.shifts.items():
                yield Place(member.autoencoder, layer, autoencoders[member.autoencoder], weight, shift, earlier)


def _named(places: Sequence[Place], n_networks: int) -> tuple[Place, ...]:
    """Name places, unless there is only one: the network only where there are several, the time from the second on."""
    if len(places) == 1:
        return tuple(places)
    named: dict[str, Place] = {}
    for place in places:
        name = f"{place.network + 1}/{place.layer}" if n_networks > 1 else place.layer
        time = 1 + sum(other.network == place.network and other.layer == place.layer for other in named.values())
        name = name if time == 1 else f"{name}({time})"
        named[name] = replace(place, name=name)
    return tuple(named.values())


def spans_of(places: Sequence[Place]) -> list[slice]:
    """Give each place's columns among the neurons of all.

    Example:
        >>> from neuronedit.network.autoencoder import Architecture
        >>> network = Autoencoder(1, Architecture())
        >>> spans_of([Place(0, "encoder.2", network), Place(0, "decoder.2", network)])
        [slice(0, 100, None), slice(100, 300, None)]
    """
    ends = list(accumulate(place.n_neurons for place in places))
    return [slice(end - place.n_neurons, end) for end, place in zip(ends, places, strict=True)]
