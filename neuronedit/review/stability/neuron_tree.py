"""The tree of a layer's neurons on the page: which say nearly the same, as a dendrogram and a sentence."""

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram

from neuronedit.arrays import Float64s
from neuronedit.review.charts import BLACK, BLUE, SMALL, VERMILLION

DUPLICATE: Final = 0.99
"""Two neurons are duplicates where they correlate as strongly, in whichever direction."""

MAX_LEAVES: Final = 64
"""Leaves drawn at most: a wider layer shows its last joins, and a number in brackets stands for so many neurons."""


def read_tree(tree: pd.DataFrame) -> str:
    """Name the two closest neurons, and say how close neurons are to their nearest.

    Example:
        >>> read_tree(pd.DataFrame({"first": [0, 1], "second": [2, 2], "r": [-0.9, 0.5]}))
        'The closest neurons are 0 and 2 (r -0.90); along the tree the median |r| is 0.70.'
    """
    if not len(tree):
        return "Fewer than two neurons are alive: there is nothing to compare."
    closest = tree.iloc[0]
    return (
        f"The closest neurons are {closest['first']:.0f} and {closest['second']:.0f} (r {closest['r']:.2f}); "
        f"along the tree the median |r| is {tree['r'].abs().median():.2f}."
    )


def neuron_tree_figure(tree: pd.DataFrame) -> Figure:
    """Draw the dendrogram of single linkage, from ``Health.tree``; crosses mark joins of duplicates.

    Example:
        >>> tree = pd.DataFrame({"first": [0, 1], "second": [2, 2], "r": [-0.9, 0.5], "distance": [0.1, 0.5]})
        >>> [label.get_text() for label in neuron_tree_figure(tree).axes[0].get_yticklabels()]
        ['1', '0', '2']
    """
    joined = linkage(tree)
    n_leaves = min(len(joined) + 1, MAX_LEAVES)
    figure = Figure(figsize=(7.2, 1.2 + 0.15 * n_leaves), layout="constrained")
    axes = figure.subplots()
    names = [*map(str, _neurons(tree)), *(f"({size:.0f})" for size in joined[:, 3])]
    drawn = dendrogram(
        joined,
        p=MAX_LEAVES,
        truncate_mode="lastp",
        orientation="left",
        ax=axes,
        leaf_label_func=names.__getitem__,
        link_color_func=lambda place: VERMILLION if joined[place - len(joined) - 1, 2] <= 1 - DUPLICATE else BLUE,
        leaf_font_size=SMALL,
    )
    links = zip(drawn["icoord"], drawn["dcoord"], drawn["color_list"], strict=True)
    crosses = [(max(distances), np.mean(heights)) for heights, distances, colour in links if colour == VERMILLION]
    where, heights = np.array(crosses).reshape(-1, 2).T
    axes.scatter(where, heights, marker="X", s=34, color=VERMILLION, zorder=3, clip_on=False)
    axes.axvline(1 - DUPLICATE, color=BLACK, ls="--", lw=0.8)
    ticks = np.array([0, 0.25, 0.5, 0.75, 1])
    axes.set_xticks(ticks, [f"{1 - tick:g}" for tick in ticks], fontsize=SMALL)
    axes.set_xlim(1, -0.02)
    axes.set_xlabel(f"|r| at which neurons are joined; from {DUPLICATE:g} on (dashed) duplicates (×)", fontsize=9)
    axes.set_ylabel("neuron", fontsize=9)
    axes.spines[["top", "left", "right"]].set_visible(False)
    return figure


def linkage(tree: pd.DataFrame) -> Float64s:
    """Single linkage in SciPy's form, (n_leaves − 1, 4), from a minimum spanning tree's edges, the shortest first.

    Leaves stand for the tree's neurons in ascending order.

    Source: Gower & Ross 1969, J. R. Stat. Soc. C 18(1): single linkage joins along the tree's edges, in their order.

    Example:
        Neurons 0 and 2 are joined first, as cluster 3; neuron 1 comes to them:

        >>> linkage(pd.DataFrame({"first": [0, 1], "second": [2, 2], "distance": [0.1, 0.5]})).tolist()
        [[0.0, 2.0, 0.1, 2.0], [1.0, 3.0, 0.5, 3.0]]
    """
    neurons = np.array(_neurons(tree))
    clusters, joined = np.arange(len(neurons)), np.zeros((len(tree), 4))
    ends = np.searchsorted(neurons, tree[["first", "second"]].to_numpy())  # (n_edges, 2) places of leaves
    for step, (leaves, distance) in enumerate(zip(ends, tree["distance"], strict=True)):
        pair = np.sort(clusters[leaves])
        members = np.isin(clusters, pair)
        joined[step] = (*pair, max(distance, 0), members.sum())
        clusters[members] = len(neurons) + step
    return joined


def _neurons(tree: pd.DataFrame) -> list[int]:
    return sorted({*tree["first"], *tree["second"]})
