"""A penalty that keeps the code's neurons from saying the same thing.

Source: review.md, row 15: the minimum spanning tree of the neurons' correlations.
"""

import numpy as np
import torch
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import Tensor

EPSILON = 1e-6
"""Added to variances: a neuron that never moves correlates with none."""


def penalty(code: Tensor) -> Tensor:
    """The sum of |r| over the edges of the spanning tree that joins the neurons by their strongest correlations.

    The tree is found without a gradient; its edges' correlations have one.

    Args:
        code: Activations of a minibatch, (n_events, n_neurons) float32.

    Returns:
        () float32: 0 where no two neurons correlate, n_neurons − 1 where all say the same.
    """
    strength = correlations(code).abs()
    ends = _strongest_tree(strength.detach().cpu().double().numpy())
    return strength[ends[0], ends[1]].sum()


def correlations(code: Tensor) -> Tensor:
    """Pearson's correlations of the neurons: (n_events, n_neurons) → (n_neurons, n_neurons)."""
    centred = code - code.mean(0)
    scaled = centred / (centred.square().mean(0) + EPSILON).sqrt()
    return scaled.T @ scaled / len(code)


def _strongest_tree(strength: np.ndarray) -> tuple[Tensor, Tensor]:
    # Distances above 0 throughout: scipy takes a 0 for "no edge".
    tree = minimum_spanning_tree(2 - np.clip(strength, 0, 1)).tocoo()
    return torch.from_numpy(tree.row.astype(np.int64)), torch.from_numpy(tree.col.astype(np.int64))
