"""Joint dependence: whether a neuron's extremes need markers that go together, or one marker alone makes them."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuronedit.review.neurons import Neurons
from neuronedit.review.part import Part

TAILS = (2.5, 97.5)
"""Percentiles beyond which an activation is extreme."""

N_SCRAMBLED = 3
"""Times that events are scrambled."""

JOINT, SINGLE = 0.5, 0.1
"""Ratios up to the first: the neuron reads markers that go together; within the second of 1: as good as one marker."""


def exceedance_ratios(neurons: Neurons, seed: int) -> npt.NDArray[np.float64]:
    """How often scrambled events are extreme, over how often the source's are: (n_neurons,).

    In scrambled events each marker has its values and no marker knows of another. 1: the neuron is as extreme without
    joint dependence, as one that reads a single marker; near 0: it needs markers that rise together. Above 1: it reads
    a balance of markers that go together, which scrambling breaks. NaN: a dead neuron has no extremes.

    Args:
        neurons: Whose source is scrambled.
        seed: Scrambles.

    Source: the product of empirical margins, Shi & Horvath 2006, J. Comput. Graph. Stat. 15(1), section 2.
    """
    generator = np.random.default_rng(seed)
    low, high = np.percentile(neurons.source.activations, TAILS, axis=0)

    def extreme(activations: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return np.asarray(((activations < low) | (activations > high)).mean(axis=0))

    own = extreme(neurons.source.activations)
    scrambled = np.mean(
        [extreme(neurons.encode(generator.permuted(neurons.source.markers, axis=0))) for _ in range(N_SCRAMBLED)],
        axis=0,
    )
    return np.divide(scrambled, own, out=np.full(len(own), np.nan), where=own > 0)


def dependence_part(neurons: Neurons, seed: int = 0) -> Part:
    """Row 20: a column for the neuron table."""
    ratios = exceedance_ratios(neurons, seed)
    n_live = int(np.isfinite(ratios).sum())
    joint, single = int((ratios <= JOINT).sum()), int((np.abs(ratios - 1) <= SINGLE).sum())
    reading = (
        f"{joint} of {n_live} live neurons need markers that go together (scrambled events reach their extremes at "
        f"most {JOINT:g} times as often); {single} are as extreme without."
    )
    table = pd.DataFrame({"neuron": np.arange(neurons.n_neurons), "exceedance_ratio": ratios})
    return Part("dependence", "Joint dependence", "neurons", reading, {"dependence": table})
