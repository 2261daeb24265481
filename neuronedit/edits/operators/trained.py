"""Shifts of neurons that are trained: the decoded, edited source meets the target in all markers jointly.

Percentiles of single neurons match the marginals of a layer, which says little of the markers: the decoder mixes
neurons. Here a neuron's shifts at some of the source's percentiles are free, and gradient descent sets them so that
edited events, decoded, are distributed as the target's. The network's weights stay as they are.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from neuronedit.arrays import Float32s, Float64s, Floats
from neuronedit.edits.operators.descent import Minibatches, apart, descend, one_thread
from neuronedit.edits.operators.percentiles import PercentileShift, percentiles
from neuronedit.network.autoencoder import Autoencoder, tensor

N_KNOTS = 11
"""Percentiles of the source, 0, 10, …, 100, at which a neuron's shift is free."""

LEARNING_RATE = 2e-2

EFFORT = 0.03
"""The price of what an event's change has beyond the mean change, per squared standard deviation: without one, noise of
the events is learned."""


def train_shifts(
    layers: Sequence[tuple[Autoencoder, str]],
    source: Float32s,
    target: Float32s,
    seed: int,
    *,
    target_weights: Floats | None = None,
    still: Sequence[int] = (),
) -> list[PercentileShift]:
    """Train the shifts of layers' neurons, from the difference of the means on, so that their mean change fits.

    The loss is the energy distance of edited source events to the target, and a small price on what an event's change
    has beyond the mean change, as squared standard deviations. All layers are trained at once: one distance for each
    minibatch, whatever their number.

    Args:
        layers: Trained autoencoders, whose weights stay, and the layer in each; not ``visible``.
        source: (n_source, n_markers) float32, standardised.
        target: (n_target, n_markers) float32, standardised.
        seed: Draws minibatches.
        target_weights: (n_target,) weights of the target events; equal by default.
        still: Columns of markers that the edit puts back as they were, whatever the neurons do.

    Returns:
        A shift for each of ``layers``.

    Raises:
        ModelError: Training diverged.

    Example:
        >>> from neuronedit.model.example import example_cells, example_model
        >>> model = example_model()
        >>> source, target = (model.standardised(example_cells(seed, treated=seed)) for seed in (0, 1))
        >>> (shift,) = train_shifts([(model.autoencoder, "code")], source, target, seed=0)
        >>> shift.shifts.shape
        (11, 3)
    """
    still, apart_by = list(still), source.mean(axis=0) - np.average(target, axis=0, weights=target_weights)
    target = target.copy()
    target[:, still] += apart_by[still]  # what is not moved tells kinds of cell apart, and not how far there is to go
    events, led_to = tensor(source), tensor(target)
    with one_thread():
        parts = [_Part.start(autoencoder, layer, events, led_to, target_weights) for autoencoder, layer in layers]
        moved = torch.ones(events.shape[1])
        moved[still] = 0
        minibatches = Minibatches(len(events), led_to, target_weights, seed)

        def loss() -> Tensor:
            rows, others = minibatches.draw()
            change = sum(part.change(rows) for part in parts) / len(parts) * moved
            beyond_mean = change - change.mean(dim=0)
            return apart(events[rows] + change, others) + EFFORT * (beyond_mean**2).sum(dim=1).mean()

        descend([part.shifts for part in parts], loss, LEARNING_RATE, "trained")
        return [part.trained() for part in parts]


class _Part(NamedTuple):
    """One layer in training, with what of the source's events does not change.

    Attributes:
        autoencoder: Its weights stay.
        layer: Its name.
        knots: (n_knots, n_neurons) float32, percentiles of the source.
        tied: (n_neurons, n_knots, n_knots), averages over equal knots.
        shifts: (n_neurons, n_knots), learned.
        before: (n_source, n_neurons), activations.
        hidden: (n_source, n_last), what they make of the last hidden layer.
        lower: (n_source, n_neurons) int64, each activation's lower knot among all neurons' knots.
        beyond: (n_source, n_neurons), how far it is on the way to the next, 0 … 1.
    """

    autoencoder: Autoencoder
    layer: str
    knots: Float32s
    tied: Tensor
    shifts: Tensor
    before: Tensor
    hidden: Tensor
    lower: Tensor
    beyond: Tensor

    @classmethod
    def start(
        cls, autoencoder: Autoencoder, layer: str, source: Tensor, target: Tensor, target_weights: Floats | None
    ) -> Self:
        with torch.no_grad():
            before, after = (autoencoder.encode(population, layer) for population in (source, target))
            hidden = autoencoder.last_hidden(before, layer)
        knots = percentiles(before.numpy(), N_KNOTS)
        mean = np.average(after.numpy(), axis=0, weights=target_weights) - before.numpy().mean(axis=0)
        shifts = torch.from_numpy(np.repeat(mean.astype(np.float32)[:, None], N_KNOTS, axis=1)).requires_grad_(True)
        return cls(autoencoder, layer, knots, _tied(knots), shifts, before, hidden, *_places(before, knots))

    def change(self, rows: Tensor) -> Tensor:
        """Compute the markers' change of some of the source's events."""
        # index_select and take do what indexing does, in less time.
        lower, beyond, before, hidden = (
            of_source.index_select(0, rows) for of_source in (self.lower, self.beyond, self.before, self.hidden)
        )
        flat = self._shared().flatten()
        first = flat.take(lower)
        shift = first + beyond * (flat.take(lower + 1) - first)
        return self.autoencoder.output_change(self.autoencoder.last_hidden(before + shift, self.layer) - hidden)

    def trained(self) -> PercentileShift:
        shifts = np.ascontiguousarray(self._shared().detach().numpy().T)
        return PercentileShift(self.knots, shifts, "linear")

    def _shared(self) -> Tensor:
        return (self.tied @ self.shifts[:, :, None])[:, :, 0]


def _tied(knots: Float32s) -> Tensor:
    """Average over equal knots, (n_knots, n_neurons): events between them cannot be told apart."""
    columns: Float64s = knots.T.astype(np.float64)
    same = (columns[:, :, None] == columns[:, None, :]).astype(np.float32)
    return torch.from_numpy(same / same.sum(axis=2, keepdims=True))


def _places(activations: Tensor, knots: Float32s) -> tuple[Tensor, Tensor]:
    """Find each activation's lower knot, by its place among all neurons' knots, and how far it is on to the next."""
    columns, ascending = activations.T.contiguous(), tensor(knots.T.copy())
    lower = (torch.searchsorted(ascending, columns, right=True) - 1).clamp_(0, N_KNOTS - 2)
    start, width = ascending.gather(1, lower), ascending.diff(dim=1).gather(1, lower)
    beyond = torch.where(width > 0, (columns - start) / width, 0).clamp_(0, 1)
    first = N_KNOTS * torch.arange(len(ascending))[:, None]
    return (lower + first).T.contiguous(), beyond.T.contiguous()
