"""How far one population is from another, on the arcsinh scale."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

FloatArray = npt.NDArray[np.floating]

MAX_ENERGY_EVENTS = 3_000
"""Pairs of events grow with the square: at most this many events of each population."""


def emd(first: FloatArray, second: FloatArray) -> npt.NDArray[np.float64]:
    """Earth mover's distance (Wasserstein-1) of each marker: (n, n_markers), (k, n_markers) → (n_markers,)."""
    return np.array([wasserstein_distance(a, b) for a, b in zip(first.T, second.T, strict=True)])


def energy_distance(first: FloatArray, second: FloatArray) -> float:
    """Energy distance of all markers jointly, 2 E|X − Y| − E|X − X'| − E|Y − Y'|, from equally many events.

    Args:
        first: (n, n_markers) in random order.
        second: (k, n_markers) in random order; the surplus of either is left out.

    Source: Székely & Rizzo 2013, J. Stat. Plan. Inference 143(8), equation 5 (V-statistic).
    """
    n_events = min(len(first), len(second), MAX_ENERGY_EVENTS)
    first, second = first[:n_events], second[:n_events]
    between, within = cdist(first, second).mean(), cdist(first, first).mean() + cdist(second, second).mean()
    return float(2 * between - within)


def normalised_residual(score: float, floor: float, no_edit: float) -> float:
    """(score − floor) / (no edit − floor): 0 is perfect, 1 no better than nothing; NaN where nothing is to do."""
    return (score - floor) / (no_edit - floor) if no_edit > floor else float("nan")


@dataclass(frozen=True)
class Distance:
    """How far a population is from the truth.

    Attributes:
        emd: (n_markers,) earth mover's distances.
        energy: Energy distance.
    """

    emd: npt.NDArray[np.float64]
    energy: float

    @classmethod
    def to_halves(cls, events: FloatArray, halves: tuple[FloatArray, FloatArray]) -> Self:
        """The mean distance to two halves of the truth, from as many events as one half has.

        Distances between samples shrink as samples grow. So that the noise floor, which is the distance between the
        halves, can be compared with the distance of a prediction, both must be of samples of one size.
        """
        size = len(halves[0])
        parts = [events[:size], events[size : 2 * size] if len(events) >= 2 * size else events[:size]]
        emds = [emd(part, half) for part, half in zip(parts, halves, strict=True)]
        energies = [energy_distance(part, half) for part, half in zip(parts, halves, strict=True)]
        return cls(np.mean(emds, axis=0), float(np.mean(energies)))

    @classmethod
    def floor(cls, halves: tuple[FloatArray, FloatArray]) -> Self:
        """The noise floor: the distance between two random halves of the truth."""
        return cls(emd(*halves), energy_distance(*halves))


def random_halves(truth: FloatArray, seed: int) -> tuple[FloatArray, FloatArray]:
    """Two random halves of a population, equally large: (n_events, n_markers) → two of (n_events // 2, n_markers)."""
    order = np.random.default_rng(seed).permutation(len(truth))
    size = len(truth) // 2
    return truth[order[:size]], truth[order[size : 2 * size]]
