"""Labels that a neuron's activations go with, over its whole range and not only at its maximum, within strata.

Information that binned activations hold about labels, and what chance alone would make of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuronedit.arrays import Float32s, Float64s, Int64s
from neuronedit.review.charts import heatmap_figure
from neuronedit.review.labels.strata import Strata
from neuronedit.review.part import Drawing, Part, slug
from neuronedit.review.subject import EditSubject, Population
from neuronedit.review.wording import settled, short


def bin_numbers(activations: Float32s, edges: Sequence[float]) -> Int64s:
    """Number the bin between percentiles that each activation lies in: (n_events, n_neurons) → the same, int64 from 0.

    Equal activations share a bin: the later one of those whose edge they are; so some bins may hold none.

    Args:
        activations: (n_events, n_neurons).
        edges: Percentiles, ascending from 0 to 100.

    Example:
        >>> bin_numbers(np.array([[1.0], [2.0], [3.0], [4.0]], np.float32), (0, 50, 100)).ravel().tolist()
        [0, 0, 1, 1]
    """
    inner = np.percentile(activations, edges[1:-1], axis=0)
    columns = [
        np.searchsorted(bounds, values, side="right") for bounds, values in zip(inner.T, activations.T, strict=True)
    ]
    return np.stack(columns, axis=1)


def joint_counts(bins: Int64s, labels: Int64s, n_bins: int, n_labels: int) -> Int64s:
    """Events in each bin with each label: (n_events, n_neurons), (n_events,) → (n_neurons, n_bins, n_labels).

    Example:
        >>> joint_counts(np.array([[0], [0], [1]]), np.array([0, 1, 1]), n_bins=2, n_labels=2).tolist()
        [[[1, 1], [0, 1]]]
    """
    size = n_bins * n_labels
    counts = [np.bincount(column * n_labels + labels, minlength=size) for column in bins.T]
    return np.stack(counts).reshape(-1, n_bins, n_labels)


def information_by_bin(counts: npt.NDArray[np.integer]) -> Float64s:
    """Each bin's part of the mutual information, bits: (n_neurons, n_bins, n_labels) → (n_neurons, n_bins).

    The sum over bins is the mutual information of the counts as they are; few events raise it by chance.

    Source: DeWeese & Meister 1999, Network 10(4), equation 3 (specific surprise).

    Example:
        >>> information_by_bin(np.array([[[5, 0], [0, 5]]])).tolist()
        [[0.5, 0.5]]
    """
    joint = counts / np.maximum(counts.sum(axis=(1, 2), keepdims=True), 1)
    independent = joint.sum(axis=2, keepdims=True) * joint.sum(axis=1, keepdims=True)
    ratios = np.divide(joint, independent, out=np.ones_like(joint), where=joint > 0)
    return np.asarray((joint * np.log2(ratios)).sum(axis=2))


def information(counts: npt.NDArray[np.integer]) -> Float64s:
    """Mutual information of bins and labels, bits: (n_neurons, n_bins, n_labels) → (n_neurons,).

    Example:
        >>> information(np.array([[[5, 0], [0, 5]]])).tolist()
        [1.0]
    """
    return np.asarray(information_by_bin(counts).sum(axis=1))


EDGES = (0, 1, 5, 25, 40, 60, 75, 95, 99, 100)
"""Percentiles of a neuron's activations between which labels are counted."""

BINS = tuple(f"{low}–{high} %" for low, high in pairwise(EDGES))

N_PERMUTED = 10
"""Times that labels are dealt anew within strata, to know what chance makes of the information: their mean."""

N_SHOWN, MAX_ROWS = 3, 36
"""Neurons of the most information that are drawn, fewer where their labels make more rows than these."""

LIMIT = 3.0
"""An enrichment by eight has the full colour."""


@dataclass(frozen=True)
class Ranges:
    """Labels of one column along each neuron's range.

    Attributes:
        column: The labels' column.
        labels: (n_labels,) sorted.
        enrichment: (n_neurons, n_bins, n_labels) log2 of the label's events in the bin over those that the strata's
            mixes of labels would put there; NaN where a bin is empty.
        by_bin: (n_neurons, n_bins) bits that each bin adds to the mutual information.
        by_chance: (n_neurons,) bits, the mean over labels dealt at random within strata.
    """

    column: str
    labels: tuple[str, ...]
    enrichment: Float64s
    by_bin: Float64s
    by_chance: Float64s

    @property
    def information(self) -> Float64s:
        """(n_neurons,) bits, less what chance makes; none is below 0."""
        return np.maximum(self.by_bin.sum(axis=1) - self.by_chance, 0)

    @property
    def outside_top(self) -> float:
        """Share of the neurons' information that lies outside their top percent of events; NaN without any."""
        total = float(self.by_bin.sum())
        return 1 - float(self.by_bin[:, -1].sum()) / total if total > 0 else float("nan")


def associate(population: Population, strata: Strata, seed: int) -> Ranges:
    """Count labels along each neuron's range within strata, and add up.

    Args:
        population: Has the labels.
        strata: Those within which they vary; there is at least one.
        seed: Deals the labels.

    Source: O'Mahony et al. 2024 (ranges in the place of maxima); conditional mutual information, Cover & Thomas 2006,
    equation 2.60.

    Example:
        >>> activations = np.arange(200, dtype=np.float32)[:, None]
        >>> population = Population(activations, activations, {"type": np.repeat(["B", "T"], 100)})
        >>> found = associate(population, Strata.of(population, "type", None), seed=0)
        >>> found.by_bin.sum().round(2)  # a fifth, in the bin 40–60 %, is mixed
        np.float64(0.8)
    """
    labels, codes = np.unique(population.label(strata.column).astype(str), return_inverse=True)
    n_neurons, n_bins, generator = population.activations.shape[1], len(BINS), np.random.default_rng(seed)
    counts, expected = np.zeros((2, n_neurons, n_bins, len(labels)))
    by_bin, by_chance = np.zeros((n_neurons, n_bins)), np.zeros(n_neurons)
    n_events = sum(map(len, strata.rows))
    for rows in strata.rows:
        bins, own, weight = bin_numbers(population.activations[rows], EDGES), codes[rows], len(rows) / n_events
        found = joint_counts(bins, own, n_bins, len(labels))
        by_bin += weight * information_by_bin(found)
        for _ in range(N_PERMUTED):
            dealt = joint_counts(bins, generator.permutation(own), n_bins, len(labels))
            by_chance += weight * information(dealt) / N_PERMUTED
        counts += found
        expected += found.sum(axis=2, keepdims=True) * found.sum(axis=1, keepdims=True) / len(rows)
    return Ranges(strata.column, tuple(map(str, labels)), _enrichment(counts, expected), settled(by_bin), by_chance)


def _enrichment(counts: Float64s, expected: Float64s) -> Float64s:
    # One event more, of the mix of all: a label that a bin lacks is depleted by what the bin's size can tell.
    shares = counts.sum(axis=1, keepdims=True) / counts.sum(axis=(1, 2), keepdims=True)
    some = (counts.sum(axis=2, keepdims=True) > 0) & (shares > 0)
    enriched = np.log2(np.divide(counts + shares, expected + shares, out=np.ones_like(counts), where=some))
    return np.where(some, settled(enriched), np.nan)


def ranges_part(subject: EditSubject, column: str, seed: int = 0) -> Part:
    """Row 9: labels along each neuron's range, within one side of the edit and, if known, one kind of cell.

    Raises:
        DataError: Not all populations have that column, or no stratum has enough events.

    Example:
        Types differ in CD3 and CD4, which the neurons 0 and 1 read; a condition is a side's own:

        >>> from neuronedit.review.subject import example_subject
        >>> part = ranges_part(example_subject(), "type")
        >>> part.tables["information_type"]["information"].round(1).tolist()
        [0.8, 0.8, 0.0]
        >>> ranges_part(example_subject(), "condition").reading
        'Cannot be said: condition is the same for all events of one side of the edit, so that it cannot be told apart
        from the batch.'
    """
    name, information_name, title = (
        f"ranges_{slug(column)}",
        f"information_{slug(column)}",
        f"Activation ranges: {column}",
    )
    pooled, given = subject.pooled, None if subject.cell_type == column else subject.cell_type
    strata = Strata.of(pooled, column, given)
    if not strata.rows:
        return Part(name, title, "neurons", strata.reason)
    ranges = associate(pooled, strata, seed)
    enrichment, of_neurons = subject.called(_enrichment_table(ranges)), subject.called(_neuron_table(ranges))
    n_shown = max(1, min(N_SHOWN, MAX_ROWS // len(ranges.labels)))
    shown = of_neurons.nlargest(n_shown, "information")["neuron"].tolist()
    rows = _shown(enrichment, shown)
    told = float(of_neurons["information"].max()) > 0
    return Part(
        name,
        title,
        "neurons",
        _read(of_neurons, column, strata.within),
        {name: enrichment, information_name: of_neurons},
        (
            Drawing(
                name,
                lambda: heatmap_figure(rows, "log2 enrichment, by percentiles", diverging=True, limit=LIMIT),
                f"Enrichment of each {column} along the range of the neurons that tell most of it{strata.within}",
                _read_enrichment(enrichment, shown, column),
            ),
        )
        if told
        else (),
        _scalars(ranges),
        _warn(ranges) if told else "",
    )


def _enrichment_table(ranges: Ranges) -> pd.DataFrame:
    """A row for each neuron and label; a column for each bin."""
    n_neurons, n_bins, n_labels = ranges.enrichment.shape
    values = ranges.enrichment.transpose(0, 2, 1).reshape(-1, n_bins)
    table = pd.DataFrame(values, columns=list(BINS))
    table.insert(0, "neuron", np.repeat(np.arange(n_neurons), n_labels))
    table.insert(1, "label", np.tile(np.array(ranges.labels, dtype=object), n_neurons))
    return table


def _neuron_table(ranges: Ranges) -> pd.DataFrame:
    total = ranges.by_bin.sum(axis=1)
    outside = 1 - np.divide(ranges.by_bin[:, -1], total, out=np.full(len(total), np.nan), where=total > 0)
    columns = {
        "neuron": np.arange(len(total)),
        "information": settled(ranges.information),
        "by_chance": ranges.by_chance,
        "outside_top_percent": outside,
    }
    return pd.DataFrame(columns)


def _shown(enrichment: pd.DataFrame, shown: list[int | str]) -> pd.DataFrame:
    rows = enrichment[enrichment["neuron"].isin(shown)]
    rows = rows.loc[rows[list(BINS)].abs().max(axis=1).nlargest(MAX_ROWS).index.sort_values()]
    return rows.set_index("neuron " + rows["neuron"].astype(str) + " · " + rows["label"])[list(BINS)]


def _read(of_neurons: pd.DataFrame, column: str, within: str) -> str:
    best = of_neurons.astype({"neuron": object}).iloc[int(of_neurons["information"].argmax())]
    if best["information"] <= 0:
        return f"No neuron tells anything of {column} beyond chance{within}."
    telling = int((of_neurons["information"] > 0.05).sum())
    return (
        f"{telling} of {len(of_neurons)} neurons hold more than 0.05 bits about {column}; neuron {best['neuron']} "
        f"holds most, {short(best['information'])} bits ({short(best['by_chance'], '.3f')} by chance){within}."
    )


def _read_enrichment(enrichment: pd.DataFrame, shown: list[int | str], column: str) -> str:
    rows = enrichment[enrichment["neuron"].isin(shown)].reset_index(drop=True)
    values = rows[list(BINS)].to_numpy()
    if np.isnan(values).all():
        return f"No {column} is enriched anywhere."
    row, place = np.unravel_index(int(np.nanargmax(values)), values.shape)
    return (
        f"The strongest enrichment is of {rows['label'][row]} between percentiles {BINS[place]} of "
        f"neuron {rows['neuron'][row]}: {2 ** values[row, place]:.1f} times its share."
    )


def _scalars(ranges: Ranges) -> dict[str, float]:
    return (
        {} if np.isnan(ranges.outside_top) else {f"information_outside_top_{slug(ranges.column)}": ranges.outside_top}
    )


def _warn(ranges: Ranges) -> str:
    if np.isnan(ranges.outside_top):
        return ""
    return (
        f"{ranges.outside_top:.0%} of what the neurons tell of {ranges.column} lies outside the top 1 % of their "
        "events: the events that activate a neuron most do not say what it stands for. Look at ranges, not at maxima."
    )
