"""The faithfulness curve: how much of an edit is kept when only a few neurons are edited."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuronedit.arrays import Float64s, Int64s
from neuronedit.measures.distances import emd
from neuronedit.review import part as readings
from neuronedit.review.charts import BLACK, BLUE, GREY, ORANGE, SMALL, tidy
from neuronedit.review.neurons.conductance import Conductance
from neuronedit.review.part import FEW, NOTHING, Drawing, Part, finite_scalars
from neuronedit.review.subject import EditSubject

CONDUCTANCE: Final = "conductance"
EMD: Final = "emd"
RANDOM: Final = "random"

N_RANDOM: Final = 10
"""Random orders whose mean, least and most are shown."""

N_COUNTS: Final = 20
"""Points of the curve, close together where neurons are few."""

MAX_FAITHFULNESS_EVENTS: Final = 1_000
"""Source events that are decoded for each point: the sum of squares is then known to a few hundredths of itself."""


@dataclass(frozen=True)
class Faithfulness:
    """The share of the edit that is kept, by how many neurons are edited.

    Attributes:
        counts: (n_counts,) neurons edited, ascending, from 1 to all.
        kept: (n_counts,) float64 each: by ``conductance``, by ``emd`` (of the neuron, source to target), and the mean
            of ``random`` orders. 1 is all that neurons do, 0 no better than none; NaN where they do
            nothing.
        random: (N_RANDOM, n_counts) float64, each random order.

    Source: Petsiuk et al. 2018 (arXiv 1806.07421), insertion; the score is the explained share of the edit's squares.
    """

    counts: Int64s
    kept: Mapping[str, Float64s]
    random: Float64s

    def kept_by(self, n_neurons: int) -> float:
        """The share that the first neurons by conductance keep; all of them where there are fewer."""
        return float(np.interp(n_neurons, self.counts, self.kept[CONDUCTANCE]))

    def table(self) -> pd.DataFrame:
        """A row for each count. Columns: neurons, conductance, emd, random, random_low, random_high."""
        low, high = self.random.min(axis=0), self.random.max(axis=0)
        return pd.DataFrame({"neurons": self.counts, **self.kept, "random_low": low, "random_high": high})


def faithfulness(subject: EditSubject, conductance: Conductance, seed: int) -> Faithfulness:
    """Edit the first neurons of several orders alone, and compare with all that neurons do.

    Neurons of all places are in one order. A later step sees events as the whole steps before leave them, however few
    neurons of these are edited. The time grows with points of the curve x orders x events x the weights behind the
    places, not with neurons.

    Args:
        subject: The edit, as its neurons see it.
        conductance: The conductance of the same edit.
        seed: Draws the events and the random orders.

    Example:
        >>> from neuronedit.review.neurons.conductance import edit_conductance
        >>> from neuronedit.review.subject import example_subject
        >>> subject = example_subject()
        >>> round(faithfulness(subject, edit_conductance(subject), seed=0).kept_by(1), 2)
        1.0
    """
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(subject.edited))[:MAX_FAITHFULNESS_EVENTS]
    before, after = subject.source.activations[rows], subject.edited[rows]
    n_neurons = subject.n_neurons
    counts = np.unique(np.append(np.arange(1, 5), np.geomspace(1, n_neurons, N_COUNTS).round())).astype(np.int64)
    counts = counts[counts <= n_neurons]
    whole = subject.decode(after)
    distance = float(((subject.decode(before) - whole) ** 2).sum(dtype=np.float64))

    def kept(order: Int64s) -> Float64s:
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


def _faithfulness_figure(curves: pd.DataFrame) -> Figure:
    """Draw the share of the edit kept by the number of neurons, from ``Faithfulness.table``."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.subplots()
    counts = curves["neurons"]
    axes.fill_between(counts, curves["random_low"], curves["random_high"], color=GREY, alpha=0.25, lw=0)
    axes.plot(counts, curves["random"], ":", color=BLACK, lw=1.4, label="random order (mean; least to most)")
    axes.plot(counts, curves["emd"], "--s", color=ORANGE, ms=3.5, lw=1.4, label="by EMD, source to target")
    axes.plot(counts, curves["conductance"], "-o", color=BLUE, ms=3.5, lw=1.8, label="by conductance")
    axes.set_xscale("log", base=2)
    ticks = [2**power for power in range(int(np.log2(counts.max())) + 1)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.axhline(0, color=BLACK, lw=0.6)
    axes.set_ylim(top=1.05)
    axes.set_xlabel("neurons edited", fontsize=9)
    axes.set_ylabel("share of the edit kept", fontsize=9)
    axes.legend(loc="upper left", fontsize=SMALL, frameon=False)
    tidy(axes)
    return figure


def faithfulness_part(subject: EditSubject, conductance: Conductance, seed: int = 0) -> Part:
    """How many neurons the edit needs.

    Args:
        subject: The edit, as its neurons see it.
        conductance: The conductance of the same edit.
        seed: Draws random orders of neurons.

    Example:
        >>> from neuronedit.review.neurons.conductance import edit_conductance
        >>> from neuronedit.review.subject import example_subject
        >>> subject = example_subject()
        >>> faithfulness_part(subject, edit_conductance(subject)).reading
        'The first 3 neurons by conductance keep 100% of the edit, by EMD 100%, in a random order 100%; 1 of 3 keep
        nine tenths.'
    """
    found = faithfulness(subject, conductance, seed)
    table, reading = found.table(), read_faithfulness(found)
    return Part(
        "faithfulness",
        "How few neurons carry the edit",
        "neurons",
        reading,
        {"faithfulness": table},
        (
            Drawing(
                "faithfulness",
                lambda: _faithfulness_figure(table),
                "Lines: share of the edit kept by the number of neurons edited, for three orders of neurons",
                reading,
            ),
        ),
        finite_scalars({"top4_fraction": found.kept_by(readings.FEW)}),
    )


def read_faithfulness(found: Faithfulness) -> str:
    """Say how much of the edit a few neurons keep, beside other orders, and how many keep nine tenths.

    Example:
        >>> shares = {CONDUCTANCE: [0.6, 0.95, 1.0], EMD: [0.5, 0.8, 1.0], RANDOM: [0.2, 0.7, 1.0]}
        >>> kept = {order: np.array(values) for order, values in shares.items()}
        >>> read_faithfulness(Faithfulness(np.array([1, 4, 8]), kept, kept[RANDOM][None]))
        'The first 4 neurons by conductance keep 95% of the edit, by EMD 80%, in a random order 70%; 4 of 8 keep nine
        tenths.'
    """
    if np.isnan(found.random).all():
        return NOTHING
    few = min(FEW, int(found.counts[-1]))
    shares = {order: float(np.interp(few, found.counts, found.kept[order])) for order in (CONDUCTANCE, EMD, RANDOM)}
    enough = int(found.counts[np.argmax(found.kept[CONDUCTANCE] >= 0.9)])
    return (
        f"The first {few} neurons by conductance keep {shares[CONDUCTANCE]:.0%} of the edit, by EMD "
        f"{shares[EMD]:.0%}, in a random order {shares[RANDOM]:.0%}; {enough} of {found.counts[-1]} keep nine tenths."
    )
