"""Activation patterns: kinds of event as the layer's neurons see them, found without labels."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s, Float64s, Int64s
from neuronedit.edits.mix.composition import Composition, match
from neuronedit.edits.operators.landmarks import Landmarks
from neuronedit.network.autoencoder import tensor
from neuronedit.review.charts import heatmap_figure
from neuronedit.review.part import Drawing, Part
from neuronedit.review.subject import EditSubject
from neuronedit.review.wording import from_to

MAX_PATTERN_EVENTS = 2_000
"""Events of source and target each that patterns are looked for in: the search grows with the square."""

MIN_SHARE = 0.01
"""The least share of the events that a pattern holds."""

KEPT = 0.95
"""The share of the activations' variance that patterns are looked for in."""

N_NEIGHBOURS = 10
"""Events near an event that say how dense it is there."""

ONE_SIDED = 0.95
"""A pattern of which at least this share is of one population is one that the other lacks."""

NO_PATTERN = -1


@dataclass(frozen=True)
class Patterns:
    """Patterns of a sample of source and target.

    Attributes:
        subject: The sample.
        source: (n_source,) number of each event's pattern, the largest pattern first; -1: none.
        target: (n_target,) int64, the same for the target's events.
    """

    subject: EditSubject
    source: Int64s
    target: Int64s

    @property
    def n_patterns(self) -> int:
        """The number of patterns."""
        return int(max(self.source.max(), self.target.max())) + 1

    @property
    def composition(self) -> Composition:
        """Source and target as mixes of patterns; events of none are a stratum, too.

        Raises:
            DataError: A pattern with a substantial share of the source has no counterparts in the target.
        """
        return match(self.subject.source.markers, self.subject.target.markers, 0, (self.source, self.target))


def find_patterns(subject: EditSubject, seed: int) -> Patterns:
    """Find dense regions of the layer's activations, of source and target together.

    Args:
        subject: Gives source and target, which are sampled.
        seed: Draws the sample.

    Source: Bäuerle, Jönsson & Ropinski 2022 (Neural Activation Patterns, arXiv 2206.10611); the clusters are the
    leaves of HDBSCAN's tree (Campello, Moulavi & Sander 2013): its choice by stability joins types of unequal spread.

    Example:
        Four types of cell, far apart, are four patterns at least:

        >>> from neuronedit.review.subject import example_subject
        >>> find_patterns(example_subject(), seed=0).n_patterns >= 4
        True
    """
    from sklearn.cluster import HDBSCAN

    sample = subject.sample(MAX_PATTERN_EVENTS, seed)
    activations = np.concatenate([sample.source.activations, sample.target.activations]).astype(np.float64)
    spreads = activations.std(axis=0)
    scaled = _turned((activations - activations.mean(axis=0)) / np.where(spreads > 0, spreads, 1))
    smallest = max(N_NEIGHBOURS, int(MIN_SHARE * len(scaled)))
    clusters = HDBSCAN(
        min_cluster_size=smallest, min_samples=N_NEIGHBOURS, cluster_selection_method="leaf", copy=True
    ).fit(scaled)
    numbers = _by_size(_with_neighbours(scaled.astype(np.float32), clusters.labels_.astype(np.int64)))
    return Patterns(sample, *np.split(numbers, [len(sample.source.activations)]))


def _turned(scaled: Float64s) -> Float64s:
    """Turn events to the directions that they vary in, without those of no account: (n_events, n_neurons) → fewer.

    Hundreds of neurons vary in tens of directions; distances stay, and the search takes time by the directions.
    """
    variances, directions = np.linalg.eigh(scaled.T @ scaled)
    left_out = np.cumsum(variances) <= (1 - KEPT) * variances.sum()
    return np.ascontiguousarray(scaled @ directions[:, ~left_out])


def _with_neighbours(activations: Float32s, labels: Int64s) -> Int64s:
    """Give the events around dense regions the region's label: only the densest part of each has one so far."""
    dense = labels >= 0
    if dense.sum() < 2 or dense.all():
        return labels
    cores = Landmarks(activations[dense])
    nearest, distances = (found.numpy() for found in cores.nearest(tensor(activations[~dense]), 1))
    own = cores.nearest(tensor(activations[dense]), 2)[1].numpy()  # the nearest of each is itself
    found = labels.copy()
    found[~dense] = np.where(distances[:, 0] <= own[:, 1].max(), labels[dense][nearest[:, 0]], NO_PATTERN)
    return found


def _by_size(labels: Int64s) -> Int64s:
    sizes = np.bincount(labels[labels >= 0])
    places = np.empty(len(sizes) + 1, dtype=np.int64)
    places[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    places[-1] = NO_PATTERN  # where label -1 points
    return places[labels]


def patterns_part(subject: EditSubject, column: str | None = None, seed: int = 0) -> Part:
    """Row 13: the activation patterns, their markers, and their shares of source and target.

    Args:
        subject: Gives source and target, which are sampled.
        column: The label to name patterns by: each gets the one that most of its events have; None: no names.
        seed: Draws the sample.

    Raises:
        DataError: Source or target lacks the column.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> table = patterns_part(example_subject(), "type").tables["patterns"]
        >>> bool((table.loc[table["pattern"] != "none", "label_share"] > 0.9).all())
        True
    """
    patterns = find_patterns(subject, seed)
    table = _table(patterns, column)
    markers = table.set_index("pattern")[list(subject.marker_names)]
    drawing = Drawing(
        "patterns",
        lambda: heatmap_figure(markers, "mean (standard deviations)", diverging=True),
        "Heatmap: mean of each marker in each activation pattern",
        _read_markers(markers),
    )
    return Part(
        "patterns",
        "Activation patterns",
        "composition",
        _read(table, patterns),
        {"patterns": table},
        (drawing,) if patterns.n_patterns else (),
        {"activation_patterns": float(patterns.n_patterns)},
        _warn(table),
    )


def _table(patterns: Patterns, column: str | None) -> pd.DataFrame:
    """Columns pattern, events, source_share, target_share (of the population), label, label_share, and the markers."""
    source, target = patterns.subject.source, patterns.subject.target
    numbers = np.concatenate([patterns.source, patterns.target])
    markers = np.concatenate([source.markers, target.markers])
    labels = None if column is None else np.concatenate([source.label(column), target.label(column)]).astype(str)
    rows = []
    for number in [*range(patterns.n_patterns), NO_PATTERN]:
        chosen = numbers == number
        if not chosen.any():
            continue
        row: dict[str, object] = {
            "pattern": "none" if number == NO_PATTERN else f"pattern {number + 1}",
            "events": int(chosen.sum()),
            "source_share": float((patterns.source == number).mean()),
            "target_share": float((patterns.target == number).mean()),
        }
        if labels is not None:
            names, counts = np.unique(labels[chosen], return_counts=True)
            row |= {"label": str(names[counts.argmax()]), "label_share": float(counts.max() / chosen.sum())}
        means = markers[chosen].mean(axis=0, dtype=np.float64)
        rows.append(row | dict(zip(patterns.subject.marker_names, means, strict=True)))
    return pd.DataFrame(rows)


def _one_sided(table: pd.DataFrame) -> pd.DataFrame:
    most = table[["source_share", "target_share"]].max(axis=1)
    return table[(table["pattern"] != "none") & (most >= ONE_SIDED * (table["source_share"] + table["target_share"]))]


def _read(table: pd.DataFrame, patterns: Patterns) -> str:
    none = table.loc[table["pattern"] == "none", "events"].sum() / table["events"].sum()
    if patterns.n_patterns == 0:
        return "The layer's activations have no patterns: they are one cloud, or too few events lie close together."
    differing = table.iloc[int((table["source_share"] - table["target_share"]).abs().argmax())]
    where = "events of no pattern" if differing["pattern"] == "none" else differing["pattern"]
    return (
        f"{patterns.n_patterns} activation patterns hold {1 - none:.0%} of the events; the shares of source and target "
        f"differ most in {where} ({from_to(differing['source_share'], differing['target_share'], '.0%')})."
    )


def _read_markers(markers: pd.DataFrame) -> str:
    if markers.empty:
        return "There are no patterns."
    named = markers.drop(index="none", errors="ignore")
    telling = (named.max() - named.min()).nlargest(3)
    return f"The markers that tell patterns apart most are {', '.join(map(str, telling.index))}."


def _warn(table: pd.DataFrame) -> str:
    lacking = _one_sided(table)
    if lacking.empty:
        return ""
    return (
        f"{', '.join(lacking['pattern'])}: nearly all events are of one population. Either the other lacks these "
        "cells, or the change moves a kind of cell further than kinds lie apart."
    )
