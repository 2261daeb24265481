"""Neuron health on the page: the table, the dendrogram, what they say."""

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram

from neuronedit.review.figures import BLACK, BLUE, SMALL, VERMILLION
from neuronedit.review.health import DUPLICATE, Health, neuron_health
from neuronedit.review.neurons import Neurons
from neuronedit.review.part import Drawing, Part

MAX_LEAVES: Final = 64
"""Leaves drawn at most: a wider layer shows its last joins, and a number in brackets stands for so many neurons."""


def health_part(subject: Neurons) -> Part:
    """Row 14: dead neurons, duplicates, information that neurons share, and directions that the layer varies in."""
    found = neuron_health(subject)
    tree = found.tree()
    drawing = Drawing(
        "neuron_tree",
        lambda: tree_figure(tree),
        "Dendrogram of the layer's neurons: the further left two are joined, the more they correlate",
        read_tree(tree),
    )
    return Part(
        "health",
        "Neuron health",
        "health",
        read_health(found),
        {"neuron_health": found.table(), "neuron_tree": tree},
        (drawing,) if len(tree) else (),
        {
            "dead_neurons": float(found.dead.sum()),
            "duplicate_pairs": float(len(found.duplicates)),
            "max_abs_corr": found.max_abs_corr,
            "participation_ratio": found.participation,
            "active_share": float(found.active[found.alive].mean()) if len(found.alive) else 0.0,
        },
    )


def read_health(found: Health) -> str:
    """Name dead neurons and duplicates, and say in how many directions the layer varies."""
    n_dead, pairs = int(found.dead.sum()), found.duplicates
    dead = f"{n_dead} of {len(found.dead)} neurons are dead ({spans(np.flatnonzero(found.dead))})"
    named = ", ".join(f"{first} and {second}" for first, second in pairs[:3])
    more = f" and {len(pairs) - 3} more" if len(pairs) > 3 else ""
    return (
        f"{dead if n_dead else f'None of {len(found.dead)} neurons is dead'}; "
        f"{f'duplicates: {named}{more}' if pairs else 'no two are duplicates'} (the largest correlation is "
        f"{found.max_abs_corr:.2f}); the layer varies as if in {found.participation:.1f} directions of equal spread."
    )


def read_tree(tree: pd.DataFrame) -> str:
    """Name the two closest neurons, and say how close neurons are to their nearest."""
    if not len(tree):
        return "Fewer than two neurons are alive: there is nothing to compare."
    closest = tree.iloc[0]
    return (
        f"The closest neurons are {closest['first']:.0f} and {closest['second']:.0f} (r {closest['r']:.2f}); "
        f"along the tree the median |r| is {tree['r'].abs().median():.2f}."
    )


def tree_figure(tree: pd.DataFrame) -> Figure:
    """Draw the dendrogram of single linkage, from ``Health.tree``; crosses mark joins of duplicates."""
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


def linkage(tree: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Single linkage in SciPy's form, (n_leaves − 1, 4), from a minimum spanning tree's edges, the shortest first.

    Leaves stand for the tree's neurons in ascending order.

    Source: Gower & Ross 1969, J. R. Stat. Soc. C 18(1): single linkage joins along the tree's edges, in their order.
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


def spans(numbers: Iterable[int]) -> str:
    """Write ascending numbers as text: ``3, 26–31``."""
    ordered = np.array(list(numbers))
    runs = np.split(ordered, np.flatnonzero(np.diff(ordered) != 1) + 1)
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs if len(run))


def _neurons(tree: pd.DataFrame) -> list[int]:
    return sorted({*tree["first"], *tree["second"]})
