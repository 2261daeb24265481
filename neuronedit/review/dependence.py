"""Joint dependence: whether a neuron's extremes need markers that go together, or one marker alone makes them."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuronedit.review.neurons import Neurons
from neuronedit.review.part import Part

TAILS = (2.5, 97.5)
"""Percentiles beyond which an activation is extreme."""

N_SCRAMBLED = 3
"""Number of times that events are scrambled."""

JOINT, SINGLE = 0.5, 0.1
"""Ratios up to the first: the neuron reads markers that go together; within the second of 1: as good as one marker."""


def exceedance_ratios(subject: Neurons, seed: int) -> npt.NDArray[np.float64]:
    """The share of scrambled events that are extreme, over the share of the source's: (n_neurons,) float64.

    Scrambled events have each marker's values in an order of its own. 1: the neuron is as extreme without
    joint dependence, as one that reads a single marker; near 0: it needs markers that rise together. Above 1: it reads
    a balance of markers that go together, which scrambling breaks. NaN: a dead neuron has no extremes.

    Args:
        subject: Gives the source, which is scrambled.
        seed: Scrambles.

    Source: the product of empirical margins, Shi & Horvath 2006, J. Comput. Graph. Stat. 15(1), section 2.
    """
    generator = np.random.default_rng(seed)
    low, high = np.percentile(subject.source.activations, TAILS, axis=0)

    def extreme(activations: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return np.asarray(((activations < low) | (activations > high)).mean(axis=0))

    own = extreme(subject.source.activations)
    scrambled = np.mean(
        [extreme(subject.encode(generator.permuted(subject.source.markers, axis=0))) for _ in range(N_SCRAMBLED)],
        axis=0,
    )
    return np.divide(scrambled, own, out=np.full(len(own), np.nan), where=own > 0)


def dependence_part(subject: Neurons, seed: int = 0) -> Part:
    """Row 20: the neurons that need markers to go together."""
    ratios = exceedance_ratios(subject, seed)
    n_live = int(np.isfinite(ratios).sum())
    joint, single = int((ratios <= JOINT).sum()), int((np.abs(ratios - 1) <= SINGLE).sum())
    reading = (
        f"{joint} of {n_live} live neurons need markers that go together (scrambled events reach their extremes at "
        f"most {JOINT:g} times as often); {single} are as extreme without."
    )
    table = pd.DataFrame({"neuron": np.arange(subject.n_neurons), "exceedance_ratio": ratios})
    return Part("dependence", "Joint dependence", "neurons", reading, {"dependence": table})
