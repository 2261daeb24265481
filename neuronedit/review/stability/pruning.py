"""Pruning: the neurons of a layer that the reconstruction needs, and the width that would suffice.

A closed neuron is held at its mean, so that one that never moves is closed without any change.

Pruning on the page: the ablation curve, the gates, and how wide the layer would have to be.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from neuronedit.arrays import Float32s, Float64s, Int64s
from neuronedit.network.autoencoder import Autoencoder, tensor
from neuronedit.review.charts import BLACK, BLUE, GREY, SMALL
from neuronedit.review.part import Drawing, Part
from neuronedit.review.stability.health import spans
from neuronedit.review.subject import EditSubject
from neuronedit.review.wording import settled, short

PRICE: Final = 0.05
"""The cost of all open gates together, as a share of the markers' variance: a gate that saves less is closed."""

TOLERANCE: Final = 0.05
"""A narrower layer is as good where its error is larger by no more than this share."""

SPARED: Final = 0.1
"""The least share of the neurons that the layer does without, for a figure to have something to show."""

TEMPERATURE, LOWEST, HIGHEST = 2 / 3, -0.1, 1.1
"""β, γ, ζ of the hard-concrete distribution, as Louizos et al. have them."""

STEPS, MINIBATCH, RATE = 250, 512, 0.1
MAX_PRUNING_EVENTS: Final = 1_000
"""Events on which every neuron is closed once; errors of means over so many events are small beside ``TOLERANCE``."""


@dataclass(frozen=True)
class Pruning:
    """The neurons of a layer that the reconstruction needs.

    Attributes:
        gates: (n_neurons,) float64 in [0, 1]: 0 is closed.
        rises: (n_neurons,) float64, the rise of the mean squared error when one neuron is closed.
        errors: (n_neurons + 1,) float64, mean squared error with the 0, 1, … neurons open whose rises are largest.
    """

    gates: Float64s
    rises: Float64s
    errors: Float64s

    @property
    def closed(self) -> Int64s:
        """Numbers of the neurons whose gates are closed."""
        return np.flatnonzero(self.gates == 0)

    @property
    def suggested_width(self) -> int:
        """The fewest neurons with which the error is larger by no more than ``TOLERANCE`` of it."""
        return int(np.argmax(self.errors <= (1 + TOLERANCE) * self.errors[-1]))

    def table(self) -> pd.DataFrame:
        """A row for each neuron: neuron, gate, closed, rise (of the mean squared error when it alone is closed)."""
        numbers = np.arange(len(self.gates))
        return pd.DataFrame(
            {"neuron": numbers, "gate": self.gates, "closed": self.gates == 0, "rise": self.rises}
        ).sort_values("rise", ascending=False, kind="stable", ignore_index=True)

    def curve(self) -> pd.DataFrame:
        """A row for each number of open neurons: open, mse (of standardised markers)."""
        return pd.DataFrame({"open": np.arange(len(self.errors)), "mse": self.errors})


def prune(subject: EditSubject, seed: int) -> Pruning:
    """Close the layer's neurons, by gates and one after another, on the source's and the target's events.

    Args:
        subject: Their layer is pruned; the network stays as it is.
        seed: Draws minibatches, gates, and the events of the curve.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> found = prune(example_subject(), seed=0)
        >>> found.errors.round(2).tolist(), found.suggested_width
        ([1.0, 0.67, 0.33, 0.0], 3)
    """
    parts = (subject.source, subject.target)
    markers, activations = (np.concatenate([getattr(part, of) for part in parts]) for of in ("markers", "activations"))
    layer = _Layer(subject.autoencoder, subject.layer, activations)
    gates = layer.gates(markers, activations, seed)
    drawn = np.random.default_rng(seed).permutation(len(markers))[:MAX_PRUNING_EVENTS]
    rises = layer.rises(markers[drawn], activations[drawn])
    return Pruning(
        gates, settled(rises), layer.curve(markers[drawn], activations[drawn], np.argsort(-rises, kind="stable"))
    )


class _Layer:
    """A layer some of whose neurons are held at their means."""

    def __init__(self, autoencoder: Autoencoder, name: str, activations: Float32s) -> None:
        self._autoencoder, self._name = autoencoder, name
        self._means = torch.from_numpy(activations.mean(axis=0, dtype=np.float64).astype(np.float32))

    def gates(self, markers: Float32s, activations: Float32s, seed: int) -> Float64s:
        """Train a gate for each neuron, and give the gates as they then stand: (n_neurons,), 0 is closed.

        The loss is the mean squared error and ``PRICE`` of the markers' variance, shared among the neurons, for each
        gate that is expected to be open.

        Source: Louizos, Welling, Kingma 2018 (arXiv 1712.01312), equations 10–12.
        """
        generator = torch.Generator().manual_seed(seed)
        events, layer = tensor(markers), tensor(activations)
        n_neurons = layer.shape[1]
        price = PRICE * float(events.var(dim=0).mean()) / n_neurons
        openness = torch.full((n_neurons,), 2.0, requires_grad=True)  # log α: nearly all open
        optimiser = torch.optim.Adam([openness], lr=RATE)
        for _ in range(STEPS):
            rows = torch.randint(len(events), (MINIBATCH,), generator=generator)
            chance = torch.rand((MINIBATCH, n_neurons), generator=generator).clamp(1e-6, 1 - 1e-6)
            gates = _stretched(torch.sigmoid((chance.logit() + openness) / TEMPERATURE))
            error = (self._decoded(layer[rows], gates) - events[rows]).square().mean()
            optimiser.zero_grad()
            (error + price * _chance_of_being_open(openness).sum()).backward()
            optimiser.step()
        return _stretched(torch.sigmoid(openness.detach())).double().numpy()

    @torch.inference_mode()
    def rises(self, markers: Float32s, activations: Float32s) -> Float64s:
        """The rise of the error when one neuron is closed: (n_neurons,) float64."""
        kept = 1 - torch.eye(activations.shape[1])
        errors = [self._error(markers, activations, of) for of in kept]
        return np.array(errors) - self._error(markers, activations, torch.ones(len(kept)))

    @torch.inference_mode()
    def curve(self, markers: Float32s, activations: Float32s, order: Int64s) -> Float64s:
        """The error with the first 0, 1, … neurons of an order open: (n_neurons + 1,)."""
        kept = torch.zeros(len(order))
        errors = [self._error(markers, activations, kept)]
        for neuron in order:
            kept[neuron] = 1
            errors.append(self._error(markers, activations, kept))
        return np.array(errors)

    def _error(self, markers: Float32s, activations: Float32s, kept: Tensor) -> float:
        return float((self._decoded(tensor(activations), kept) - tensor(markers)).square().mean())

    def _decoded(self, activations: Tensor, gates: Tensor) -> Tensor:
        return self._autoencoder.decode(self._means + gates * (activations - self._means), self._name)


def _stretched(shares: Tensor) -> Tensor:
    return (shares * (HIGHEST - LOWEST) + LOWEST).clamp(0, 1)


def _chance_of_being_open(openness: Tensor) -> Tensor:
    return torch.sigmoid(openness - TEMPERATURE * float(np.log(-LOWEST / HIGHEST)))


FROZEN = (
    "The network stays as it is: neurons that share one task, duplicates among them, are each needed as long as the "
    "others are not trained to take over. A network trained anew may do with fewer."
)


def pruning_part(subject: EditSubject, seed: int = 0) -> Part:
    """Row 16: the neurons that the reconstruction does without, and the error with the best 0, 1, … of them.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> pruning_part(example_subject()).reading
        'Nothing to prune: trained gates close none of 3 neurons, and 3 are needed.'
    """
    found = prune(subject, seed)
    curve, width = found.curve(), found.suggested_width
    spared = bool(len(found.closed)) or width <= (1 - SPARED) * len(found.gates)
    drawing = Drawing(
        "ablation",
        lambda: ablation_figure(curve, width),
        "Reconstruction error with the most important neurons open, by their number",
        _read_curve(found),
    )
    return Part(
        "pruning",
        "Pruning",
        "health",
        _read_pruning(found),
        {"pruning": subject.called(found.table()), "ablation": curve},
        (drawing,) if spared else (),
        {"closed_neurons": float(len(found.closed)), "suggested_width": float(width)},
        FROZEN if spared else "",
    )


def _read_pruning(found: Pruning) -> str:
    """Say which gates close, and how many neurons suffice."""
    n_closed, n_neurons = len(found.closed), len(found.gates)
    if not n_closed and found.suggested_width > (1 - SPARED) * n_neurons:
        needed = found.suggested_width
        return f"Nothing to prune: trained gates close none of {n_neurons} neurons, and {needed} are needed."
    closed = f"gates close {n_closed} of {n_neurons} neurons ({spans(found.closed)})"
    return (
        f"Trained {closed if n_closed else f'gates close none of {n_neurons} neurons'}; {found.suggested_width} "
        f"suffice for a reconstruction error within {TOLERANCE:.0%} of the whole layer's "
        f"({short(found.errors[-1], '.3f')})."
    )


def _read_curve(found: Pruning) -> str:
    """Say the error with no neuron, with half of them, and with all."""
    half = len(found.gates) // 2
    return (
        f"The error falls from {found.errors[0]:.3f} with every neuron held at its mean to {found.errors[half]:.3f} "
        f"with the {half} most important ones and {found.errors[-1]:.3f} with all {len(found.gates)}."
    )


def ablation_figure(curve: pd.DataFrame, width: int) -> Figure:
    """Draw the error by the number of open neurons, from ``Pruning.curve``, with the suggested width.

    Example:
        >>> figure = ablation_figure(pd.DataFrame({"open": [0, 1, 2], "mse": [1.0, 0.4, 0.1]}), width=2)
        >>> figure.axes[0].lines[0].get_ydata().tolist()
        [1.0, 0.4, 0.1]
    """
    figure = Figure(figsize=(7.2, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve["open"], curve["mse"], color=BLUE, marker=".", ms=5, lw=1.2)
    whole = float(curve["mse"].iloc[-1])
    axes.axhline((1 + TOLERANCE) * whole, color=BLACK, ls="--", lw=0.8, label=f"whole layer's + {TOLERANCE:.0%}")
    axes.axvline(width, color=GREY, ls=":", lw=1.8, label=f"suggested width: {width}")
    if whole > 0:
        axes.set_yscale("log")
    axes.set_xlabel("neurons open, the most important first; all others held at their means", fontsize=9)
    axes.set_ylabel("mean squared error\n(standardised markers)", fontsize=9)
    axes.legend(fontsize=SMALL, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL)
    return figure
