"""Receptive fields: which markers move a neuron, and whether it is one of them or many."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from neuronedit.autoencoder import tensor
from neuronedit.review.neurons import Neurons
from neuronedit.review.part import Part

MAX_EVENTS = 500
"""Events whose gradients are taken."""

LOCAL = 0.5
"""A neuron is local from this ratio on: at most two markers move it."""

Floats = npt.NDArray[np.float64]


def receptive_fields(subject: Neurons, seed: int) -> Floats:
    """How far each marker moves each neuron: (n_neurons, n_markers), activation by a standard deviation of the source.

    The root mean square, over events of the source, of the neuron's derivative with respect to the marker.

    Args:
        subject: Gives the source.
        seed: Draws ``MAX_EVENTS`` of it.
    """
    markers = subject.sample(MAX_EVENTS, seed).source.markers
    events = tensor(markers).clone().requires_grad_()
    activations = subject.autoencoder.encode(events, subject.layer)
    fields = []
    for neuron in range(activations.shape[1]):
        (gradients,) = torch.autograd.grad(activations[:, neuron].sum(), events, retain_graph=True)
        fields.append(gradients.square().mean(dim=0).sqrt().double().numpy())
    return np.asarray(np.stack(fields) * markers.std(axis=0, dtype=np.float64))


def participation(fields: Floats) -> Floats:
    """Inverse participation ratio: (n_neurons, n_markers) → (n_neurons,), 1 for one marker, 1/n for n alike.

    NaN for a neuron that no marker moves.

    Source: Ingrosso & Goldt 2022, PNAS 119(40), equation 5.
    """
    squares = fields**2
    total = squares.sum(axis=1)
    return np.asarray(np.divide((squares**2).sum(axis=1), total**2, out=np.full(len(total), np.nan), where=total > 0))


def leading_markers(fields: Floats, names: tuple[str, ...]) -> tuple[str, ...]:
    """The marker that moves each neuron most: (n_neurons, n_markers) → (n_neurons,); empty where none does."""
    return tuple(names[int(field.argmax())] if field.any() else "" for field in fields)


def localisation_part(subject: Neurons, seed: int = 0) -> Part:
    """Row 21: how many markers move each neuron, and which moves it most."""
    fields = receptive_fields(subject, seed)
    ratios = participation(fields)
    table = pd.DataFrame(
        {
            "neuron": np.arange(subject.n_neurons),
            "participation_ratio": ratios,
            "markers": 1 / ratios,
            "leading_marker": leading_markers(fields, subject.marker_names),
        }
    )
    live = table[table["participation_ratio"].notna()]
    reading = (
        f"{int((live['participation_ratio'] >= LOCAL).sum())} of {len(live)} live neurons are moved by one or two "
        f"markers; in the median {live['markers'].median():.1f} markers move a neuron."
        if len(live)
        else "No marker moves any neuron."
    )
    return Part("localisation", "Receptive fields", "neurons", reading, {"localisation": table})
