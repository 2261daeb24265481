"""Integrated gradients by Captum: the oracle of edit conductance, and nothing that the review runs."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from neuronedit.autoencoder import LEAKY_SLOPE, tensor
from neuronedit.review.conductance import edit_conductance
from neuronedit.review.neurons import Neurons

N_STEPS = 2_000
"""Steps of Captum's sums: their error falls with the number of steps, ours with its square."""

N_SEGMENTS = 128


def decoder(subject: Neurons, *behind: nn.Module) -> nn.Sequential:
    """The decoder in modules: DeepLIFT is silently wrong where activation functions are not."""
    pairs = subject.autoencoder.dense_after(subject.layer)
    layers = [[linear, *([nn.LeakyReLU(LEAKY_SLOPE)] if leaky else [])] for linear, leaky in pairs]
    return nn.Sequential(nn.Identity(), *chain.from_iterable(layers), *behind)


def path(subject: Neurons) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations after the edit, and before it: (n_source, n_neurons) each."""
    return tensor(subject.edited), tensor(subject.source.activations)


def integrated_gradients(subject: Neurons, marker: int) -> npt.NDArray[np.float32]:
    """Each neuron's part in what the edit does to one decoded marker, mean over the source: (n_neurons,).

    Raises:
        ImportError: Captum is not installed.
    """
    from captum.attr import IntegratedGradients  # of the extra ``dev``

    after, before = path(subject)
    oracle = IntegratedGradients(decoder(subject))
    parts = oracle.attribute(
        after, before, target=marker, n_steps=N_STEPS, method="riemann_middle", internal_batch_size=20_000
    )
    return np.asarray(parts.mean(dim=0).numpy())


def difference(subject: Neurons, markers: Sequence[int]) -> float:
    """The largest difference between Captum's parts and ours, of any neuron and some markers.

    Raises:
        ImportError: Captum is not installed.
    """
    ours = edit_conductance(subject, N_SEGMENTS).values
    return max(float(np.abs(ours[:, marker] - integrated_gradients(subject, marker)).max()) for marker in markers)
