"""The faithfulness curve: how much of an edit is kept when only a few neurons are edited."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuronedit.metrics import emd
from neuronedit.review.conductance import Conductance
from neuronedit.review.neurons import Neurons

Floats = npt.NDArray[np.float64]

CONDUCTANCE: Final = "conductance"
EMD: Final = "emd"
RANDOM: Final = "random"

N_RANDOM: Final = 10
"""Random orders whose mean, least and most are shown."""

N_COUNTS: Final = 20
"""Points of the curve, close together where neurons are few."""

MAX_EVENTS: Final = 2_000
"""Source events that are decoded for each point: the sum of squares is then known to a few hundredths of itself."""


@dataclass(frozen=True)
class Faithfulness:
    """The share of the edit that is kept, by how many neurons are edited.

    Attributes:
        counts: (n_counts,) neurons edited, ascending, from 1 to all.
        kept: (n_counts,) float64 each: by ``conductance``, by ``emd`` (of the neuron, source to target), and the mean
            of ``random`` orders. 1 is the whole edit, 0 no better than none; NaN where the edit does nothing.
        random: (N_RANDOM, n_counts) float64, each random order.

    Source: Petsiuk et al. 2018 (arXiv 1806.07421), insertion; the score is the explained share of the edit's squares.
    """

    counts: npt.NDArray[np.int64]
    kept: Mapping[str, Floats]
    random: Floats

    def kept_by(self, n_neurons: int) -> float:
        """The share that the first neurons by conductance keep; all of them where there are fewer."""
        return float(np.interp(n_neurons, self.counts, self.kept[CONDUCTANCE]))

    def table(self) -> pd.DataFrame:
        """A row for each count. Columns: neurons, conductance, emd, random, random_low, random_high."""
        low, high = self.random.min(axis=0), self.random.max(axis=0)
        return pd.DataFrame({"neurons": self.counts, **self.kept, "random_low": low, "random_high": high})


def faithfulness(subject: Neurons, conductance: Conductance, seed: int) -> Faithfulness:
    """Edit the first neurons of several orders alone, and compare with the whole edit.

    Args:
        subject: The edit, as a layer's neurons see it.
        conductance: The conductance of the same edit.
        seed: Draws the events and the random orders.
    """
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(subject.edited))[:MAX_EVENTS]
    before, after = subject.source.activations[rows], subject.edited[rows]
    n_neurons = subject.n_neurons
    counts = np.unique(np.append(np.arange(1, 5), np.geomspace(1, n_neurons, N_COUNTS).round())).astype(np.int64)
    counts = counts[counts <= n_neurons]
    whole = subject.decode(after)
    distance = float(((subject.decode(before) - whole) ** 2).sum(dtype=np.float64))

    def kept(order: npt.NDArray[np.int64]) -> Floats:
        if not distance:
            return np.full(len(counts), np.nan)
        found = np.empty(len(counts))
        for number, count in enumerate(counts):
            some = before.copy()
            some[:, order[:count]] = after[:, order[:count]]
            found[number] = 1 - ((subject.decode(some) - whole) ** 2).sum(dtype=np.float64) / distance
        return found

    by_emd = np.argsort(-emd(subject.source.activations, subject.target.activations), kind="stable")
    random = np.stack([kept(generator.permutation(n_neurons)) for _ in range(N_RANDOM)])
    curves = {CONDUCTANCE: kept(conductance.order), EMD: kept(by_emd), RANDOM: random.mean(axis=0)}
    return Faithfulness(counts, curves, random)
