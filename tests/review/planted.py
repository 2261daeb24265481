"""Events whose change from source to target is known by construction."""

import numpy as np

MARKERS = ("CD3", "CD4", "CD8", "CD19", "<b>&CD56")
TRUE_SHIFT = np.array([1.0, 0.5, -0.5, 0.8, 0.0])
"""What leads from the planted source to the planted target, arcsinh units."""


def planted_events(n_events: int, seed: int, shift: np.ndarray | float = 0.0) -> np.ndarray:
    """Raw intensities whose arcsinh values are normal about 3, moved by a shift."""
    arcsinh = np.random.default_rng(seed).normal(3, 0.5, (n_events, len(MARKERS))) + shift
    return (np.sinh(arcsinh) * 5).astype(np.float32)
