"""Neuron health: which neurons of a layer are dead, which say the same, and in how many directions the layer varies."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import minimum_spanning_tree

from neuronedit.arrays import Float32s, Float64s, Int64s, Masks
from neuronedit.measures.moments import rms
from neuronedit.review.part import Drawing, Part
from neuronedit.review.stability.neuron_tree import DUPLICATE, neuron_tree_figure, read_tree
from neuronedit.review.subject import EditSubject
from neuronedit.review.wording import settled, short

DEAD: Final = 0.01
"""A neuron is dead where its spread is less than this share of the layer's root mean square spread."""

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
    """Measure the source's and the target's activations, pooled.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> found = neuron_health(example_subject())
        >>> found.dead.tolist(), found.duplicates, round(found.participation, 1)
        ([False, False, False], [], 3.0)
    """
    return measure_health(np.concatenate([subject.source.activations, subject.target.activations]))


def measure_health(activations: Float32s) -> Health:
    """Measure a layer's activations: (n_events, n_neurons).

    Source: participation ratio (Σλ)² / Σλ² over eigenvalues λ of the covariance: Gao et al. 2017 (bioRxiv 214262),
    equation 5; tree of correlations: Ballester et al. 2023 (arXiv 2308.04870).

    Example:
        The second neuron says what the first says, and the third is dead:

        >>> levels = np.linspace(0, 1, 100)[:, None]
        >>> found = measure_health(np.concatenate([levels, -levels, 0 * levels], axis=1))
        >>> found.duplicates, found.dead.tolist()
        ([(0, 1)], [False, False, True])
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
        settled(np.clip(covariances / np.outer(scales, scales), -1, 1)),
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
    return settled(np.maximum(information - np.outer(freedom, freedom) / (2 * n_events * np.log(2)), 0))


def _bits(shares: Float64s) -> Float64s:
    """−p log2 p, 0 where p is 0."""
    return -shares * np.log2(np.where(shares > 0, shares, 1))


def _without_diagonal(pairs: Float64s) -> Float64s:
    return np.where(np.eye(len(pairs), dtype=bool), 0, pairs)


def health_part(subject: EditSubject) -> Part:
    """Row 14: dead neurons, duplicates, information that neurons share, and directions that the layer varies in.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> health_part(example_subject()).reading
        'No neuron is dead and no two are duplicates (largest |r| 0 of 3 neurons); the layer varies as if in 3.0
        directions of equal spread.'
    """
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
        {
            "neuron_health": subject.called(found.table(), "neuron", "closest", "informed_by"),
            "neuron_tree": subject.called(tree, "first", "second"),
        },
        (drawing,) if len(tree) and (found.dead.any() or found.duplicates) else (),
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
    directions = f"the layer varies as if in {found.participation:.1f} directions of equal spread"
    if not n_dead and not pairs:
        return (
            f"No neuron is dead and no two are duplicates (largest |r| {short(found.max_abs_corr)} of "
            f"{len(found.dead)} neurons); {directions}."
        )
    dead = f"{n_dead} of {len(found.dead)} neurons are dead ({spans(np.flatnonzero(found.dead))})"
    named = ", ".join(f"{first} and {second}" for first, second in pairs[:3])
    more = f" and {len(pairs) - 3} more" if len(pairs) > 3 else ""
    return (
        f"{dead if n_dead else f'None of {len(found.dead)} neurons is dead'}; "
        f"{f'duplicates: {named}{more}' if pairs else 'no two are duplicates'} (the largest correlation is "
        f"{short(found.max_abs_corr)}); {directions}."
    )


def spans(numbers: Iterable[int]) -> str:
    """Write ascending numbers as text: ``3, 26–31``.

    Example:
        >>> spans([1, 2, 3, 7])
        '1–3, 7'
    """
    ordered = np.array(list(numbers))
    runs = np.split(ordered, np.flatnonzero(np.diff(ordered) != 1) + 1)
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs if len(run))
