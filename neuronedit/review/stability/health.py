"""Neuron health: which neurons of a layer are dead, which say the same, and in how many directions the layer varies.

Neuron health on the page: the table, the dendrogram, what they say.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram
from scipy.sparse.csgraph import minimum_spanning_tree

from neuronedit.arrays import Float32s, Float64s, Int64s, Masks
from neuronedit.measures.moments import rms
from neuronedit.review.charts import BLACK, BLUE, SMALL, VERMILLION
from neuronedit.review.part import Drawing, Part
from neuronedit.review.subject import EditSubject

DEAD: Final = 0.01
"""A neuron is dead where its spread is less than this share of the layer's root mean square spread."""

DUPLICATE: Final = 0.99
"""Two neurons are duplicates where they correlate as strongly, in whichever direction."""

N_ENTROPY_BINS: Final = 32
"""Bins of equal width over each neuron's own range: a neuron that fills them evenly has log2(32) = 5 bits."""

N_QUANTILES: Final = 8
"""Bins of equal counts for mutual information: a copy knows log2(8) = 3 bits."""


@dataclass(frozen=True)
class Health:
    """How the neurons of a layer fare on the source's and the target's events.

    Attributes:
        dead: (n_neurons,) bool.
        correlations: (n_neurons, n_neurons) float64, Pearson's; 0 where one of the two is dead.
        information: (n_neurons, n_neurons) float64, mutual information in bits, less what chance alone gives.
        entropies: (n_neurons,) float64, bits of ``N_ENTROPY_BINS``; 0 for dead ones.
        active: (n_neurons,) float64, share of events in which the activation is not exactly 0.
        spreads: (n_neurons,) float64, standard deviations.
        participation: Participation ratio.
    """

    dead: Masks
    correlations: Float64s
    information: Float64s
    entropies: Float64s
    active: Float64s
    spreads: Float64s
    participation: float

    @property
    def alive(self) -> Int64s:
        """Numbers of the neurons that are not dead."""
        return np.flatnonzero(~self.dead)

    @property
    def duplicates(self) -> list[tuple[int, int]]:
        """Pairs of neurons that say the same, the lower number first."""
        return [(int(a), int(b)) for a, b in np.argwhere(np.triu(np.abs(self.correlations) >= DUPLICATE, k=1))]

    @property
    def max_abs_corr(self) -> float:
        """The largest |r| of any two neurons; 0 where fewer than two are alive."""
        return float(np.abs(_without_diagonal(self.correlations)).max(initial=0))

    def table(self) -> pd.DataFrame:
        """A row for each neuron.

        Columns: neuron, dead, spread, active (share of events), entropy (bits); closest and r: the neuron that it
        correlates with most; informed_by and information: the one that it shares most bits with.
        """
        correlations, information = (_without_diagonal(pairs) for pairs in (self.correlations, self.information))
        closest, informed_by = np.abs(correlations).argmax(axis=1), information.argmax(axis=1)
        numbers = np.arange(len(self.dead))
        return pd.DataFrame(
            {
                "neuron": numbers,
                "dead": self.dead,
                "spread": self.spreads,
                "active": self.active,
                "entropy": self.entropies,
                "closest": closest,
                "r": correlations[numbers, closest],
                "informed_by": informed_by,
                "information": information[numbers, informed_by],
            }
        )

    def tree(self) -> pd.DataFrame:
        """The minimum spanning tree of the neurons that are not dead, the closest pair first.

        Columns: first, second, r, distance (1 − |r|).
        """
        distances = 1 - np.abs(self.correlations[np.ix_(self.alive, self.alive)])
        # A weight of 0 would count as no edge, and is just what duplicates have; one added to all changes no tree.
        edges = minimum_spanning_tree(np.triu(1 + distances, k=1)).tocoo()
        first, second = self.alive[edges.row], self.alive[edges.col]
        table = pd.DataFrame({"first": first, "second": second, "r": self.correlations[first, second]})
        table["distance"] = 1 - table["r"].abs()
        return table.sort_values("distance", kind="stable", ignore_index=True)


def neuron_health(subject: EditSubject) -> Health:
    """Measure the source's and the target's activations, pooled."""
    return measure_health(np.concatenate([subject.source.activations, subject.target.activations]))


def measure_health(activations: Float32s) -> Health:
    """Measure a layer's activations: (n_events, n_neurons).

    Source: participation ratio (Σλ)² / Σλ² over eigenvalues λ of the covariance: Gao et al. 2017 (bioRxiv 214262),
    equation 5; tree of correlations: Ballester et al. 2023 (arXiv 2308.04870).
    """
    values = activations.astype(np.float64)
    centred = values - values.mean(axis=0)
    covariances = centred.T @ centred / len(values)
    spreads = np.sqrt(covariances.diagonal())
    dead = spreads <= DEAD * rms(spreads)
    scales = np.where(dead, np.inf, spreads)
    # The sum of a symmetric matrix's squared eigenvalues is that of its squared entries.
    squares = (covariances**2).sum()
    return Health(
        dead,
        np.clip(covariances / np.outer(scales, scales), -1, 1),
        _mutual_information(values),
        _entropies(values),
        (values != 0).mean(axis=0),
        spreads,
        float(covariances.trace() ** 2 / squares) if squares else 0.0,
    )


def _entropies(values: Float64s) -> Float64s:
    """Bits of each column in bins of equal width over its own range; 0 where it has none."""
    counts = np.stack([np.histogram(column, N_ENTROPY_BINS)[0] for column in values.T])
    return _bits(counts / len(values)).sum(axis=1)


def _mutual_information(values: Float64s) -> Float64s:
    """Bits that each pair of columns shares, in bins of equal counts, less the bias of finite samples.

    Source: the bias (B − 1)² / 2N nats of independent columns: Miller 1955; here with the bins that hold events.
    """
    n_events, n_columns = values.shape
    edges = np.quantile(values, np.arange(1, N_QUANTILES) / N_QUANTILES, axis=0)
    bins = np.stack([np.searchsorted(*of, side="right") for of in zip(edges.T, values.T, strict=True)], axis=1)
    # One product counts all pairs of bins of all pairs of columns; float32 counts exactly to 16 million events.
    member = np.zeros((n_events, n_columns, N_QUANTILES), dtype=np.float32)
    np.put_along_axis(member, bins[:, :, None], 1, axis=2)
    flat = member.reshape(n_events, -1)
    joint = (flat.T @ flat).astype(np.float64).reshape(n_columns, N_QUANTILES, n_columns, N_QUANTILES) / n_events
    shares = member.mean(axis=0, dtype=np.float64)
    entropies = _bits(shares).sum(axis=1)
    information = entropies[:, None] + entropies[None, :] - _bits(joint).sum(axis=(1, 3))
    freedom = (shares > 0).sum(axis=1) - 1
    return np.maximum(information - np.outer(freedom, freedom) / (2 * n_events * np.log(2)), 0)


def _bits(shares: Float64s) -> Float64s:
    """−p log2 p, 0 where p is 0."""
    return -shares * np.log2(np.where(shares > 0, shares, 1))


def _without_diagonal(pairs: Float64s) -> Float64s:
    return np.where(np.eye(len(pairs), dtype=bool), 0, pairs)


MAX_LEAVES: Final = 64
"""Leaves drawn at most: a wider layer shows its last joins, and a number in brackets stands for so many neurons."""


def health_part(subject: EditSubject) -> Part:
    """Row 14: dead neurons, duplicates, information that neurons share, and directions that the layer varies in."""
    found = neuron_health(subject)
    tree = found.tree()
    drawing = Drawing(
        "neuron_tree",
        lambda: neuron_tree_figure(tree),
        "Dendrogram of the layer's neurons: the further left two are joined, the more they correlate",
        read_tree(tree),
    )
    return Part(
        "health",
        "Neuron health",
        "health",
        _read_health(found),
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


def _read_health(found: Health) -> str:
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


def neuron_tree_figure(tree: pd.DataFrame) -> Figure:
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


def linkage(tree: pd.DataFrame) -> Float64s:
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
