"""Receptive fields: which markers move a neuron, and whether it is one of them or many.

Joint dependence: whether a neuron's extremes need markers that go together, or one marker alone makes them.
"""

import numpy as np
import pandas as pd
import torch

from neuronedit.arrays import Float32s, Float64s
from neuronedit.network.autoencoder import tensor
from neuronedit.review.part import Part
from neuronedit.review.subject import EditSubject

MAX_RECEPTIVE_EVENTS = 500
"""Events whose gradients are taken."""

LOCAL = 0.5
"""A neuron is local from this ratio on: at most two markers move it."""


def receptive_fields(subject: EditSubject, seed: int) -> Float64s:
    """How far each marker moves each neuron: (n_neurons, n_markers), activation by a standard deviation of the source.

    The root mean square, over events of the source, of the neuron's derivative with respect to the marker.

    Args:
        subject: Gives the source.
        seed: Draws ``MAX_RECEPTIVE_EVENTS`` of it.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> (receptive_fields(example_subject(), seed=0) > 0).tolist()
        [[True, False, False], [False, True, False], [False, False, True]]
    """
    markers = subject.sample(MAX_RECEPTIVE_EVENTS, seed).source.markers
    events = tensor(markers).clone().requires_grad_()
    fields = []
    for place in subject.places:
        activations = place.autoencoder.encode(events, place.layer)
        for neuron in range(activations.shape[1]):
            (gradients,) = torch.autograd.grad(activations[:, neuron].sum(), events, retain_graph=True)
            fields.append(gradients.square().mean(dim=0).sqrt().double().numpy())
    return np.asarray(np.stack(fields) * markers.std(axis=0, dtype=np.float64))


def participation(fields: Float64s) -> Float64s:
    """Inverse participation ratio: (n_neurons, n_markers) → (n_neurons,), 1 for one marker, 1/n for n alike.

    NaN for a neuron that no marker moves.

    Source: Ingrosso & Goldt 2022, PNAS 119(40), equation 5.

    Example:
        >>> participation(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])).tolist()
        [1.0, 0.5, nan]
    """
    squares = fields**2
    total = squares.sum(axis=1)
    return np.asarray(np.divide((squares**2).sum(axis=1), total**2, out=np.full(len(total), np.nan), where=total > 0))


def leading_markers(fields: Float64s, names: tuple[str, ...]) -> tuple[str, ...]:
    """The marker that moves each neuron most: (n_neurons, n_markers) → (n_neurons,); empty where none does.

    Example:
        >>> leading_markers(np.array([[0.1, 0.9], [0.0, 0.0]]), ("CD3", "CD4"))
        ('CD4', '')
    """
    return tuple(names[int(field.argmax())] if field.any() else "" for field in fields)


def localisation_part(subject: EditSubject, seed: int = 0) -> Part:
    """Row 21: how many markers move each neuron, and which moves it most.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> localisation_part(example_subject()).tables["localisation"]["leading_marker"].tolist()
        ['CD3', 'CD4', 'pSTAT1']
    """
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
    return Part("localisation", "Receptive fields", "neurons", reading, {"localisation": subject.called(table)})


TAILS = (2.5, 97.5)
"""Percentiles beyond which an activation is extreme."""

N_SCRAMBLED = 3
"""Number of times that events are scrambled."""

JOINT, SINGLE = 0.5, 0.1
"""Ratios up to the first: the neuron reads markers that go together; within the second of 1: as good as one marker."""


def exceedance_ratios(subject: EditSubject, seed: int) -> Float64s:
    """The share of scrambled events that are extreme, over the share of the source's: (n_neurons,) float64.

    Scrambled events have each marker's values in an order of its own. 1: the neuron is as extreme without
    joint dependence, as one that reads a single marker; near 0: it needs markers that rise together. Above 1: it reads
    a balance of markers that go together, which scrambling breaks. NaN: a dead neuron has no extremes.

    Args:
        subject: Gives the source, which is scrambled.
        seed: Scrambles.

    Source: the product of empirical margins, Shi & Horvath 2006, J. Comput. Graph. Stat. 15(1), section 2.

    Example:
        Each neuron reads one marker, so that scrambling the others changes nothing:

        >>> from neuronedit.review.subject import example_subject
        >>> exceedance_ratios(example_subject(), seed=0).round(2).tolist()
        [1.0, 1.0, 1.0]
    """
    generator = np.random.default_rng(seed)
    low, high = np.percentile(subject.source.activations, TAILS, axis=0)

    def extreme(activations: Float32s) -> Float64s:
        return np.asarray(((activations < low) | (activations > high)).mean(axis=0))

    own = extreme(subject.source.activations)
    scrambled = np.mean(
        [extreme(subject.see(generator.permuted(subject.source.markers, axis=0))) for _ in range(N_SCRAMBLED)],
        axis=0,
    )
    return np.divide(scrambled, own, out=np.full(len(own), np.nan), where=own > 0)


def dependence_part(subject: EditSubject, seed: int = 0) -> Part:
    """Row 20: the neurons that need markers to go together.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> dependence_part(example_subject()).reading
        '0 of 3 live neurons need markers that go together (scrambled events reach their extremes at most 0.5 times as
        often); 3 are as extreme without.'
    """
    ratios = exceedance_ratios(subject, seed)
    n_live = int(np.isfinite(ratios).sum())
    joint, single = int((ratios <= JOINT).sum()), int((np.abs(ratios - 1) <= SINGLE).sum())
    reading = (
        f"{joint} of {n_live} live neurons need markers that go together (scrambled events reach their extremes at "
        f"most {JOINT:g} times as often); {single} are as extreme without."
    )
    table = pd.DataFrame({"neuron": np.arange(subject.n_neurons), "exceedance_ratio": ratios})
    return Part("dependence", "Joint dependence", "neurons", reading, {"dependence": subject.called(table)})
