"""A prior of a layer's activations, and the likeliest activations that meet a condition."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor

from neuronedit.arrays import Float32s, Float64s, Int64s, Masks
from neuronedit.network.autoencoder import tensor

N_KINDS: Final = 8
"""Gaussians: the mean of one alone is between the kinds of cell, where no cell is (realism 1.4; with eight 0.8)."""

MAX_PRIOR_EVENTS: Final = 4_000
"""Events that the Gaussians are fitted to; more would only cost time."""

EVENTS_PER_KIND: Final = 100
"""The least number of events for each Gaussian, to see its neurons' correlations in."""

LEAST_VARIANCE: Final = 1e-3
"""The least variance of a Gaussian in any direction (all events': 1): a wide code does not fill its space."""

N_ROUNDS, N_RESTORED = 15, 3
"""Steps towards the likeliest point, and Newton steps back to the condition after each."""

TOLERANCE: Final = 0.01
"""A condition counts as met so near, in units of its scale."""

Condition = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Likeliest:
    """The likeliest activations for each of several levels of a condition.

    Attributes:
        neurons: (n_levels, n_neurons) float32.
        kinds: (n_levels,) int64, the number of each one's Gaussian.
        met: (n_levels,) bool, whether the condition is met within ``TOLERANCE``.
    """

    neurons: Float32s
    kinds: Int64s
    met: Masks


@dataclass(frozen=True)
class CodePrior:
    """A mixture of Gaussians over a layer's activations: μ_k + L_k u with u standard normal.

    Attributes:
        means: (n_kinds, n_neurons) float32, μ.
        factors: (n_kinds, n_neurons, n_neurons) float32, L; a dead neuron's row is zero.
        log_densities: (n_kinds,) float64, log densities at the means, but for a constant.
    """

    means: Float32s
    factors: Float32s
    log_densities: Float64s

    @classmethod
    def fit(cls, activations: Float32s, seed: int) -> Self:
        """The likeliest mixture for some events: (n_events, n_neurons).

        Args:
            activations: (n_events, n_neurons) float32, of real events.
            seed: Draws ``MAX_PRIOR_EVENTS`` of more, and where the search starts.
        """
        # Only reviews and fits need scikit-learn: where a model is applied, it is not installed.
        from sklearn.mixture import GaussianMixture

        drawn = activations[np.random.default_rng(seed).permutation(len(activations))[:MAX_PRIOR_EVENTS]].astype(
            np.float64
        )
        mean, spread = drawn.mean(axis=0), drawn.std(axis=0)
        n_kinds = int(np.clip(len(drawn) // EVENTS_PER_KIND, 1, N_KINDS))
        scaled = (drawn - mean) / np.where(spread > 0, spread, 1)
        found = GaussianMixture(n_kinds, reg_covar=LEAST_VARIANCE, random_state=seed).fit(scaled)
        variances, directions = np.linalg.eigh(found.covariances_)
        factors = spread[:, None] * directions * np.sqrt(variances)[:, None, :]
        log_densities = np.log(found.weights_) - np.log(variances).sum(axis=1) / 2
        return cls((found.means_ * spread + mean).astype(np.float32), factors.astype(np.float32), log_densities)

    def only(self, kind: int) -> "CodePrior":
        """One Gaussian of the mixture alone."""
        part = slice(kind, kind + 1)
        return CodePrior(self.means[part], self.factors[part], self.log_densities[part])

    def likeliest(self, condition: Condition, levels: Float32s, scales: Float32s) -> Likeliest:
        """Least ‖u‖² subject to condition(μ_k + L_k u) = level, in each Gaussian; of all Gaussians the likeliest.

        Each round goes to the nearest point at which the condition, made linear, is met, and from there back to where
        it is met indeed: a network of leaky ReLUs has kinks, about which the first step alone would jump to and fro.

        Args:
            condition: (n_kinds, n_levels, n_neurons) → (n_kinds, n_levels), differentiable almost everywhere; a level's
                values depend on its own neurons only.
            levels: (n_levels,) the values that the condition must have.
            scales: (n_levels,) its unit, positive.

        Source: Nguyen et al. 2016 (arXiv 1605.09304), equation 2, for the search through a generator; Rackwitz &
            Fiessler 1978, Comput. Struct. 9, for the steps.
        """
        aims, units = tensor(levels), tensor(scales)
        means, factors = tensor(self.means)[:, None], tensor(self.factors).transpose(1, 2)

        def measured(u: Tensor) -> tuple[Tensor, Tensor]:
            u = u.detach().requires_grad_()
            with torch.enable_grad():
                values = condition(means + u @ factors) / units
                (gradient,) = torch.autograd.grad(values.sum(), u)
            return aims / units - values.detach(), gradient

        u = torch.zeros(len(self.means), len(aims), self.means.shape[1])
        nearest = _Nearest(u)
        for round_ in range(N_ROUNDS):
            gap, gradient = measured(u)
            nearest.take(u, gap)
            reach = (gap + (gradient * u).sum(dim=2)) / _square(gradient)
            # The first goes all the way; later ones half of it, so that they come to rest.
            u = u + (1.0 if round_ == 0 else 0.5) * (gradient * reach[..., None] - u)
            for _ in range(N_RESTORED):
                gap, gradient = measured(u)
                nearest.take(u, gap)
                u = u + gradient * (gap / _square(gradient))[..., None]
        return self._best(nearest)

    def _best(self, nearest: "_Nearest") -> Likeliest:
        cost = nearest.norms.numpy().astype(np.float64) ** 2 / 2 - self.log_densities[:, None]
        # Where no Gaussian meets the condition, the one that comes nearest to it.
        met = nearest.met.numpy()
        cost = np.where(met, cost, np.where(met.any(axis=0), np.inf, nearest.gaps.numpy()))
        kinds, levels = np.argmin(cost, axis=0), np.arange(cost.shape[1])
        chosen = nearest.points.numpy()[kinds, levels]
        neurons = self.means[kinds] + np.einsum("lij,lj->li", self.factors[kinds], chosen)
        return Likeliest(neurons.astype(np.float32), kinds, met[kinds, levels])


class _Nearest:
    """The points of least norm that meet the condition, or come nearest to it, among all that were visited."""

    def __init__(self, u: Tensor) -> None:
        self.points = u.clone()
        self.norms = torch.full(u.shape[:2], torch.inf)
        self.gaps = torch.full(u.shape[:2], torch.inf)

    @property
    def met(self) -> Tensor:
        return self.gaps <= TOLERANCE

    def take(self, u: Tensor, gap: Tensor) -> None:
        gap, norms = gap.abs(), u.norm(dim=2)
        meets = gap <= TOLERANCE
        better = torch.where(meets & self.met, norms < self.norms, gap < self.gaps) & (meets | ~self.met)
        self.points = torch.where(better[..., None], u, self.points)
        self.norms, self.gaps = torch.where(better, norms, self.norms), torch.where(better, gap, self.gaps)


def _square(gradient: Tensor) -> Tensor:
    """Squared length, never so small that a flat condition would send a point to infinity."""
    return gradient.square().sum(dim=2).clamp_min(1e-6)
