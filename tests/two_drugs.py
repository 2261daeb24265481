"""A two-drug experiment whose interaction is known by construction."""

import numpy as np

from neuronedit.cells.arms import Arm, Experiment
from neuronedit.cells.panel import Panel
from neuronedit.model.predictions import RawEdit

MARKERS = ("CD69", "CD44", "CD25", "pSTAT5")
COFACTOR = 5.0
CHANGE_A = np.array([1.0, 0.5, 0.0, -0.8])
CHANGE_B = np.array([0.5, 0.5, 0.7, -0.4])
EXCESS = np.array([0.6, -0.5, 0.0, -0.3])
"""Synergistic, antagonistic, additive, and synergistic downwards, arcsinh units."""


def arm(name: str, mean: np.ndarray | float, n_events: int, seed: int, n_samples: int = 0, scatter: float = 0) -> Arm:
    """Normal events of spread 0.5 about a mean; samples have means of their own, ``scatter`` apart."""
    generator = np.random.default_rng(seed)
    samples = np.arange(n_events) % n_samples if n_samples else None
    means = scatter * generator.standard_normal((max(n_samples, 1), len(MARKERS)))
    arcsinh = 2 + mean + 0.5 * generator.standard_normal((n_events, len(MARKERS)))
    arcsinh += means[samples if n_samples else np.zeros(n_events, dtype=int)]
    return Arm(name, raw(arcsinh), samples)


def raw(arcsinh: np.ndarray) -> np.ndarray:
    return (np.sinh(arcsinh) * COFACTOR).astype(np.float32)


def experiment(n_events: int = 2_000, seed: int = 0, *, measured: bool = True, **samples: float) -> Experiment:
    means = {"control": np.zeros(4), "a": CHANGE_A, "b": CHANGE_B, "both": CHANGE_A + CHANGE_B + EXCESS}
    arms = [
        arm(name, mean, n_events, seed * 4 + number, **samples) for number, (name, mean) in enumerate(means.items())
    ]
    return Experiment(Panel(MARKERS, (COFACTOR,) * len(MARKERS)), *arms[: 4 if measured else 3])


def shift(change: np.ndarray | float) -> RawEdit:
    """The edit that adds a change on the arcsinh scale."""
    return lambda intensities: raw(np.arcsinh(intensities.astype(float) / COFACTOR) + change)
