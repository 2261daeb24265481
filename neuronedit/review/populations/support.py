"""Extrapolation support: three scores of how far events are from the edit's source; each misses something.

A neuron's range does not see a new combination of neurons; the distance to the nearest source events does. The
reconstruction error sees what the network was not trained on; not that an edit extrapolates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s, Floats
from neuronedit.errors import told
from neuronedit.measures.distances import auroc
from neuronedit.network.autoencoder import tensor
from neuronedit.network.chunks import reconstruction_errors
from neuronedit.review.charts import histogram_figure
from neuronedit.review.part import Drawing, Part
from neuronedit.review.subject import SOURCE, EditSubject, Population
from neuronedit.review.wording import from_to

RANGE: Final = (1.0, 99.0)
"""Percentiles of the source between which an activation is within its neuron's range; of its own, 2 % are outside."""

OUTSIDE, DISTANCE, ERROR = "weighted_outside", "knn_distance", "reconstruction_error"

SCORES: Final = {
    OUTSIDE: "share of the edit's neurons outside the source's range",
    DISTANCE: "distance to the nearest source events (their own: at most 1 for 99 %)",
    ERROR: "reconstruction error (mean square, standardised)",
}
"""The scores' names for people."""

N_BINS: Final = 40


@dataclass(frozen=True)
class Coverage:
    """The range of activations that the source covers.

    Attributes:
        low: (n_neurons,) activations at the lower percentile of ``RANGE``.
        high: (n_neurons,) activations at the upper one.
        weights: (n_neurons,) each neuron's weight in the edit; their sum is 1.
    """

    low: Floats
    high: Floats
    weights: Floats

    @classmethod
    def from_source(cls, activations: Float32s, weights: Floats) -> "Coverage":
        """Measure the range of a source.

        Args:
            activations: (n_events, n_neurons) float32, the source's.
            weights: (n_neurons,) each neuron's weight in the edit, not negative: its share of the conductance.
        """
        low, high = np.percentile(activations, RANGE, axis=0)
        return cls(low, high, weights / weights.sum() if weights.sum() > 0 else np.full(len(weights), 1 / len(weights)))

    def outside(self, activations: Float32s) -> Floats:
        """The weighted share of each event's neurons outside the range: (n_events, n_neurons) → (n_events,), 0 to 1.

        Source: Ma et al. 2018 (DeepGauge, arXiv 1803.07519), section 3.1: neuron boundary coverage.
        """
        return np.asarray(((activations < self.low) | (activations > self.high)) @ self.weights)


def _score(subject: EditSubject, population: Population, coverage: Coverage) -> dict[str, Floats]:
    """Compute all three scores of a population's events, (n_events,) each, by the names of ``SCORES``."""
    return {
        OUTSIDE: coverage.outside(population.activations),
        DISTANCE: subject.edit.support.scores(tensor(population.markers)).numpy(),
        ERROR: np.mean([reconstruction_errors(each, population.markers) for each in subject.networks], axis=0),
    }


def _score_source(subject: EditSubject, coverage: Coverage) -> dict[str, Floats]:
    """Compute the source's own scores; an event does not count as its own neighbour."""
    support = subject.edit.support
    return _score(subject, subject.source, coverage) | {
        DISTANCE: support.own_distances / np.float32(support.own_distance)
    }


def coverage_part(subject: EditSubject, weights: Floats) -> Part:
    """Row 12: has the source anything like the events that the edit is to be applied to?

    Args:
        subject: Gives the populations to score.
        weights: (n_neurons,) each neuron's weight in the edit, not negative: its share of the conductance.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> part = coverage_part(example_subject(), np.array([0.0, 0.0, 1.0]))
        >>> part.tables["support"][["population", "events", "weighted_outside"]].values.tolist()
        [['source', 400, 0.02], ['other', 400, 0.02]]
    """
    coverage = Coverage.from_source(subject.source.activations, weights)
    own = _score_source(subject, coverage)
    scores = {SOURCE: own} | {
        name: _score(subject, population, coverage) for name, population in subject.extrapolation.items()
    }
    table, bins = _table(subject, scores), _bins(scores)
    applied = table[table["population"] != SOURCE]
    return Part(
        "support",
        "Extrapolation support",
        "support",
        _read(applied),
        {"support": table, "support_histograms": bins},
        tuple(_drawing(bins[bins["score"] == name], table, name) for name in SCORES) if len(applied) else (),
        {
            "support_outside": float(applied[OUTSIDE].max()),
            "support_unsupported": float(applied["unsupported"].max()),
            "support_auroc": float(applied["knn_auroc"].max()),
        }
        if len(applied)
        else {},
        _warn(table),
    )


def _drawing(rows: pd.DataFrame, table: pd.DataFrame, name: str) -> Drawing:
    return Drawing(
        f"support_{name}",
        lambda: histogram_figure(rows, SCORES[name]),
        f"Histograms by population: {SCORES[name]}",
        _read_score(table, name),
    )


def _table(subject: EditSubject, scores: Mapping[str, Mapping[str, Floats]]) -> pd.DataFrame:
    """A row for each population, the source first.

    Columns: population, events, the means of all three scores, outside_ratio and error_ratio (over the source's),
    unsupported (share of events further than the source's outermost hundredth), knn_auroc, error_auroc (chance that
    an event scores higher than a source event), verdict.
    """
    rows = []
    for name, found in scores.items():
        population = subject.populations[name]
        judged = None if name == SOURCE else subject.edit.support.judge(population.markers)
        means = {key: float(np.mean(values, dtype=np.float64)) for key, values in found.items()}
        rows.append(
            {
                "population": name,
                "events": len(population.markers),
                **means,
                "outside_ratio": _ratio(means[OUTSIDE], float(np.mean(scores[SOURCE][OUTSIDE]))),
                "error_ratio": _ratio(means[ERROR], float(np.mean(scores[SOURCE][ERROR], dtype=np.float64))),
                "unsupported": float((found[DISTANCE] > 1).mean()),
                "knn_auroc": judged.auroc if judged else 0.5,
                "error_auroc": auroc(found[ERROR], scores[SOURCE][ERROR]),
                "verdict": judged.sentence if judged else "",
            }
        )
    return pd.DataFrame(rows)


def _ratio(value: float, own: float) -> float:
    return value / own if own > 0 else float("nan")


def _bins(scores: Mapping[str, Mapping[str, Floats]]) -> pd.DataFrame:
    """Columns score, population, low, high (the bin's edges) and share (of the population's events)."""
    tables = []
    for name in SCORES:
        every = np.concatenate([found[name] for found in scores.values()])
        # The last bin takes what lies beyond: one event far out would leave all others in the first bin.
        edges = np.linspace(0, max(float(np.percentile(every, 99.5)), 1e-6), N_BINS + 1)
        for population, found in scores.items():
            counts = np.histogram(np.minimum(found[name], edges[-1]), edges)[0]
            columns = {"low": edges[:-1], "high": edges[1:], "share": counts / len(found[name])}
            tables.append(pd.DataFrame({"score": name, "population": population, **columns}))
    return pd.concat(tables, ignore_index=True)


def _read(applied: pd.DataFrame) -> str:
    if applied.empty:
        return "No events were named that the edit is to be applied to: nothing is known of its support there."
    worst = applied.iloc[int(applied["knn_auroc"].argmax())]
    return (
        f"Least like the source is {worst['population']}: {worst['unsupported']:.0%} of its events are further from "
        f"the source's than nearly all of these are from one another (AUROC {worst['knn_auroc']:.2f}), and "
        f"{worst[OUTSIDE]:.1%} of the edit's neurons are outside the source's range; over the source's own share: "
        f"{told(worst['outside_ratio'], '.1f')}."
    )


def _read_score(table: pd.DataFrame, name: str) -> str:
    own, applied = table.iloc[0], table.iloc[1:]
    if applied.empty:
        return f"The source's own mean is {own[name]:.3f}."
    worst = applied.iloc[int(applied[name].argmax())]
    means = from_to(own[name], worst[name], ".3f")
    return f"Mean of the source, and of the furthest population, {worst['population']}: {means}."


def _warn(table: pd.DataFrame) -> str:
    applied = table.iloc[1:]
    if applied.empty:
        return ""
    of_each = "; ".join(
        f"{row['population']}: range {told(row['outside_ratio'], '.1f')} and reconstruction "
        f"{told(row['error_ratio'], '.1f')} times the source's, distance AUROC {row['knn_auroc']:.2f}"
        for _, row in applied.iterrows()
    )
    return (
        "Reconstruction error does not see the edit extrapolating, the neurons' weighted range does; neurons' ranges "
        f"do not see new combinations, the distance to the nearest source events does. Look at all three. {of_each}."
    )
