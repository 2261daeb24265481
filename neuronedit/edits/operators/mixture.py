"""A mixture of Gaussians that says how far an event belongs to each kind of cell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neuronedit.arrays import Float32s, Float64s, compiled, pickled_fields
from neuronedit.network.autoencoder import Tensors

MAX_MIXTURE_EVENTS = 20_000
"""Events of each population that a mixture is fitted to; more would only cost time."""

N_STARTS = 5
"""Searches, of which the likeliest mixture is kept: a single one may end where kinds of cell are cut across."""

MIN_COMPONENT_SPREAD = 0.1
"""The least spread of a component, in standard deviations of all events: a spike at zero has none of its own."""

LEAST_LOG_SHARE = -30 * math.log(2)
"""A component of a smaller share, by the largest, has none: a billionth of a shift is below float32's rounding."""

BLOCK = 64
"""Events whose distances are taken together."""


@dataclass(frozen=True)
class Mixture:
    """Gaussian components whose neurons are independent.

    Attributes:
        centres: (n_components, n_neurons) float32.
        spreads: (n_components, n_neurons) float32, standard deviations, all positive.
        log_weights: (n_components,) float32, logarithms of the components' shares.
    """

    centres: Float32s
    spreads: Float32s
    log_weights: Float32s

    @classmethod
    def fit(cls, populations: Sequence[Float32s], n_components: int, seed: int) -> Self:
        """Fit the most likely mixture to the events of all populations.

        Each event counts once: a small population that were repeated to weigh the same as a large one would get
        components for its noise.

        Args:
            populations: (n_events, n_neurons) each.
            n_components: As many as there are events at most.
            seed: Draws ``MAX_MIXTURE_EVENTS`` of a larger population, and the starts.
        """
        # Only fitting needs scikit-learn: where a model is applied, it is not installed.
        from sklearn.mixture import GaussianMixture

        generator = np.random.default_rng(seed)
        drawn = [population[generator.permutation(len(population))[:MAX_MIXTURE_EVENTS]] for population in populations]
        events = np.concatenate(drawn).astype(np.float64)
        means, spreads = events.mean(axis=0), events.std(axis=0)
        spreads = np.where(spreads > 0, spreads, 1)  # a dead neuron tells no components apart
        found = GaussianMixture(
            min(n_components, len(events)),
            covariance_type="diag",
            reg_covar=MIN_COMPONENT_SPREAD**2,
            n_init=N_STARTS,
            random_state=seed,
        ).fit((events - means) / spreads)
        return cls(
            (found.means_ * spreads + means).astype(np.float32),
            (np.sqrt(found.covariances_) * spreads).astype(np.float32),
            np.log(found.weights_).astype(np.float32),
        )

    @classmethod
    def from_labels(cls, events: Float32s, labels: npt.NDArray[Any]) -> Self:
        """Make one component for each label, in their order, from the events that have it.

        Args:
            events: (n_events, n_neurons).
            labels: (n_events,).
        """
        spreads = events.std(axis=0)
        least = MIN_COMPONENT_SPREAD * np.where(spreads > 0, spreads, 1)
        found, counts = np.unique(labels, return_counts=True)
        groups = [events[labels == label] for label in found]
        return cls(
            np.stack([group.mean(axis=0) for group in groups]).astype(np.float32),
            np.stack([np.sqrt(group.var(axis=0) + least**2) for group in groups]).astype(np.float32),
            np.log(counts / counts.sum()).astype(np.float32),
        )

    def memberships(self, events: Tensor, reach: float = math.inf) -> Tensor:
        """Give the components' shares in each event: (n_events, n_neurons) → (n_events, n_components) float32, sums 1.

        Far from all components the nearest one says nothing of the kind of cell. So densities are flattened by the
        square of how many times further away an event is than ``reach``: there the shares tend to the components' own.

        Each event is computed by itself, so that its bits do not depend on the events beside it.

        Args:
            events: (n_events, n_neurons) float32.
            reach: The squared distance (see ``distances``) up to which densities count in full.
        """
        if events.is_cuda:
            return memberships_in_float64(self._tensors.beside(events), events, reach)
        shares = torch.empty((len(events), len(self.centres)))
        _share(self.distances(events.numpy()), self.log_spreads, self.log_weights, reach, shares.numpy())
        return shares

    @cached_property
    def _tensors(self) -> Tensors:
        centres, log_weights = (array.astype(np.float64) for array in (self.centres, self.log_weights))
        return Tensors(centres, 1 / self.spreads.astype(np.float64), self.log_spreads, log_weights)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the fields alone: copies on a device are made again by the receiver."""
        return pickled_fields(self)

    @property
    def log_spreads(self) -> Float64s:
        """(n_components,) the logarithms of the spreads, summed over neurons."""
        return np.asarray(np.log(self.spreads).sum(axis=1, dtype=np.float64))

    def distances(self, events: Float32s) -> Float64s:
        """Compute squared distances in units of the spreads: (n_events, n_neurons) → (n_events, n_components)."""
        squares = np.empty((len(events), len(self.centres)))
        # float64: the square of an event far beyond any that was seen must not overflow.
        centres, densities = self.centres.astype(np.float64), 1 / self.spreads.astype(np.float64)
        _square_distances(np.asarray(events, np.float32), centres, densities, squares)
        return squares


def memberships_in_float64(mixture: tuple[Tensor, ...], events: Tensor, reach: float) -> Tensor:
    """Do what ``Mixture.memberships`` does on a GPU.

    Args:
        mixture: Centres and densities (one over spreads), (n_components, n_neurons); logarithms of spreads, summed over
            neurons, and of shares, (n_components,); all float64.
        events: (n_events, n_neurons) float32.
        reach: See ``Mixture.memberships``.

    Example:
        >>> centres, zeros = torch.tensor([[0.0], [10.0]]).double(), torch.zeros(2).double()
        >>> mixture = centres, torch.ones(2, 1).double(), zeros, zeros
        >>> memberships_in_float64(mixture, torch.tensor([[0.0], [5.0]]), reach=100.0).tolist()
        [[1.0, 0.0], [0.5, 0.5]]
    """
    centres, densities, log_spreads, log_weights = mixture
    events = events.double()
    # One component after another: all at once would be (n_events, n_components, n_neurons).
    components = zip(centres, densities, strict=True)
    squares = [(((events - centre) * density) ** 2).sum(dim=1) for centre, density in components]
    distances = torch.stack(squares, dim=1)
    flatness = (distances.amin(dim=1, keepdim=True) / reach).clamp_(min=1) ** 2
    log_shares = (-distances / 2 - log_spreads) / flatness + log_weights
    further = log_shares - log_shares.amax(dim=1, keepdim=True)
    shares = torch.where(further > LEAST_LOG_SHARE, further.exp(), 0)
    return (shares / shares.sum(dim=1, keepdim=True)).float()


@compiled
def _square_distances(
    events: Float32s,
    centres: Float64s,
    densities: Float64s,
    squares: Float64s,
) -> None:
    """Fill ``squares``; the innermost loops run over a block's events, of which the processor takes many at once."""
    n_events, n_neurons = events.shape
    column = np.empty((n_neurons, BLOCK), np.float64)
    total = np.empty(BLOCK, np.float64)
    for start in range(0, n_events, BLOCK):
        rows = min(BLOCK, n_events - start)
        for row in range(rows):
            for neuron in range(n_neurons):
                column[neuron, row] = events[start + row, neuron]
        for component in range(len(centres)):
            total[:] = 0
            for neuron in range(n_neurons):
                centre, density = centres[component, neuron], densities[component, neuron]
                for row in range(BLOCK):
                    total[row] += ((column[neuron, row] - centre) * density) ** 2
            for row in range(rows):
                squares[start + row, component] = total[row]


@compiled
def _share(
    distances: Float64s,
    log_spreads: Float64s,
    log_weights: Float32s,
    reach: float,
    shares: Float32s,
) -> None:
    n_events, n_components = distances.shape
    log_shares = np.empty(n_components, np.float64)
    for event in range(n_events):
        flatness = max(1.0, distances[event].min() / reach) ** 2
        for component in range(n_components):
            log_density = -distances[event, component] / 2 - log_spreads[component]
            log_shares[component] = log_density / flatness + log_weights[component]
        most, total = log_shares.max(), 0.0
        for component in range(n_components):
            further = log_shares[component] - most
            log_shares[component] = math.exp(further) if further > LEAST_LOG_SHARE else 0.0
            total += log_shares[component]
        for component in range(n_components):
            shares[event, component] = log_shares[component] / total
