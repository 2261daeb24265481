"""Sample profiles: each sample as the quantiles of its neurons' activations, and which samples are alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram, fcluster, linkage

from neuronedit.arrays import Float32s, Float64s, Int64s
from neuronedit.errors import DataError
from neuronedit.review.charts import BLACK, COLOURS, SMALL
from neuronedit.review.part import Drawing, Part
from neuronedit.review.subject import EditSubject, Population

LEVELS = (5, 10, 25, 50, 75, 90, 95)
"""The percentiles of a profile."""

MIN_PROFILE_EVENTS = 50
"""The least number of events of a sample; fewer do not support percentiles."""

MAX_CLUSTERS = 8


@dataclass(frozen=True)
class Profiles:
    """Profiles of samples, and clusters of like ones.

    Attributes:
        samples: (n_samples,) names.
        values: (n_samples, n_levels, n_neurons) percentiles of activations, in the pooled standard deviation.
        tree: (n_samples - 1, 4) SciPy's linkage; heights are Ward's.
        clusters: (n_samples,) int64, numbers from 1.
    """

    samples: tuple[str, ...]
    values: Float64s
    tree: Float64s
    clusters: Int64s


def profile(population: Population, column: str) -> Profiles:
    """Profile and cluster a population's samples.

    The number of clusters is the one of the best silhouette.

    Args:
        population: Has that column of labels.
        column: Names the sample of each event.

    Raises:
        DataError: There is no such column, or fewer than three samples have ``MIN_PROFILE_EVENTS`` events.

    Source: Ward 1963, J. Am. Stat. Assoc. 58; Rousseeuw 1987, J. Comput. Appl. Math. 20 (silhouette).

    Example:
        >>> activations = np.repeat(np.array([[0.0], [0.1], [5.0]], np.float32), 50, axis=0)
        >>> population = Population(activations, activations, {"sample": np.repeat(["s1", "s2", "s3"], 50)})
        >>> profile(population, "sample").clusters.tolist()
        [1, 1, 2]
    """
    labels = population.label(column).astype(str)
    names, counts = np.unique(labels, return_counts=True)
    kept = names[counts >= MIN_PROFILE_EVENTS]
    if len(kept) < 3:
        raise DataError(
            f"Sample profiles: found {len(kept)} values of {column!r} with at least {MIN_PROFILE_EVENTS} events (of "
            f"{len(names)}); expected at least 3. Name the column of samples, or draw more events."
        )
    spreads = population.activations.std(axis=0, dtype=np.float64)
    scaled = population.activations / np.where(spreads > 0, spreads, 1)
    values = np.stack([_percentiles(scaled[labels == name]) for name in kept])
    flat = values.reshape(len(kept), -1)
    tree = linkage(flat, "ward")
    return Profiles(tuple(map(str, kept)), values, tree, _cut(tree, flat))


def _percentiles(activations: Float32s) -> Float64s:
    return np.asarray(np.percentile(activations, LEVELS, axis=0))


def _cut(tree: Float64s, flat: Float64s) -> Int64s:
    from sklearn.metrics import silhouette_score

    cuts = [fcluster(tree, n_clusters, "maxclust") for n_clusters in range(2, min(MAX_CLUSTERS, len(flat) - 1) + 1)]
    apart = [cut for cut in cuts if len(np.unique(cut)) > 1]
    if not apart:  # all samples are the same
        return np.ones(len(flat), dtype=np.int64)
    return np.asarray(max(apart, key=lambda cut: silhouette_score(flat, cut)), dtype=np.int64)


def profiles_part(subject: EditSubject, column: str, condition: str | None = None) -> Part:
    """Row 24: clusters of samples by their profiles, over all populations together.

    Args:
        subject: Gives all populations, which are pooled.
        column: Names the sample of each event.
        condition: A column to compare the clusters with; each sample has one value of it.

    Raises:
        DataError: Not all populations have the columns, or there are fewer than three samples.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> part = profiles_part(example_subject(), "sample", "condition")
        >>> part.tables["profiles"][["sample", "cluster"]].values.tolist()
        [['d1 control', 1], ['d1 treated', 2], ['d2 control', 1], ['d2 treated', 2]]
    """
    from sklearn.metrics import adjusted_rand_score

    population = subject.pooled
    found = profile(population, column)
    table = pd.DataFrame({"sample": found.samples, "cluster": found.clusters})
    scalars = {}
    if condition:
        of_events = pd.DataFrame({"sample": population.label(column).astype(str), "value": population.label(condition)})
        table[condition] = table["sample"].map(
            of_events.groupby("sample")["value"].agg(lambda values: values.mode()[0])
        )
        scalars["sample_clusters_ari"] = float(adjusted_rand_score(table[condition], table["cluster"]))
    tree = pd.DataFrame(found.tree, columns=["first", "second", "height", "samples"])
    drawing = Drawing(
        "profiles",
        lambda: sample_tree_figure(tree, table),
        "Dendrogram of samples by the quantiles of their activations",
        _read_tree(tree, table),
    )
    return Part(
        "profiles",
        "Sample profiles",
        "composition",
        _read(table, condition, scalars),
        {"profiles": table, "profile_quantiles": _quantiles(found, subject.neuron_names), "profile_tree": tree},
        (drawing,),
        scalars,
    )


def sample_tree_figure(tree: pd.DataFrame, samples: pd.DataFrame) -> Figure:
    """A dendrogram; a sample's label has the colour of its cluster.

    Args:
        tree: Columns first, second, height, samples: SciPy's linkage.
        samples: Columns sample, cluster, in the order that the tree numbers them in.

    Example:
        >>> samples = pd.DataFrame({"sample": ["s1", "s2"], "cluster": [1, 2]})
        >>> figure = sample_tree_figure(pd.DataFrame([[0, 1, 0.5, 2]]), samples)
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['s1 (1)', 's2 (2)']
    """
    names = [f"{name} ({cluster})" for name, cluster in zip(samples["sample"], samples["cluster"], strict=True)]
    figure = Figure(figsize=(7.2, 1.1 + 0.24 * len(samples)), layout="constrained")
    axes = figure.subplots()
    drawn = dendrogram(
        tree.to_numpy(dtype=float), orientation="left", labels=names, ax=axes, link_color_func=lambda _: BLACK
    )
    for label, leaf in zip(axes.get_yticklabels(), drawn["leaves"], strict=True):
        label.set_color(COLOURS[(int(samples["cluster"].iloc[leaf]) - 1) % len(COLOURS)])
        label.set_fontsize(SMALL)
    axes.set_xlabel("how unlike two groups of samples are (Ward); in brackets: cluster", fontsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="x", labelsize=SMALL)
    return figure


def _quantiles(found: Profiles, names: Sequence[str]) -> pd.DataFrame:
    """A row for each sample and level; a column for each neuron."""
    n_neurons = found.values.shape[2]
    columns = [f"neuron {called}" for called in names or range(n_neurons)]
    table = pd.DataFrame(found.values.reshape(-1, n_neurons), columns=columns)
    table.insert(0, "sample", np.repeat(np.array(found.samples, dtype=object), len(LEVELS)))
    table.insert(1, "percentile", np.tile(LEVELS, len(found.samples)))
    return table


def _read(table: pd.DataFrame, condition: str | None, scalars: dict[str, float]) -> str:
    counted = f"{len(table)} samples fall into {table['cluster'].nunique()} clusters"
    if not condition:
        return f"{counted} by the quantiles of their activations."
    return f"{counted}; with {condition} they agree by an adjusted Rand index of {scalars['sample_clusters_ari']:.2f}."


def _read_tree(tree: pd.DataFrame, table: pd.DataFrame) -> str:
    first = tree.iloc[0]
    if int(max(first["first"], first["second"])) >= len(table):
        return "All samples are alike."
    pair = [table["sample"].iloc[int(first[side])] for side in ("first", "second")]
    return (
        f"Most alike are {pair[0]} and {pair[1]} ({first['height']:.2f}); the last two groups join at "
        f"{tree['height'].max():.2f}."
    )
