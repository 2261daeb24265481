"""The donor gap: information of a neuron about the donor of a cell whose side and kind are known already."""

import numpy as np
import pandas as pd

from neuronedit.arrays import Float64s
from neuronedit.review.charts import bar_figure
from neuronedit.review.labels.ranges import bin_numbers, information, joint_counts
from neuronedit.review.labels.strata import Strata
from neuronedit.review.neurons.receptive import leading_markers, receptive_fields
from neuronedit.review.part import Drawing, Part, slug
from neuronedit.review.subject import EditSubject, Population
from neuronedit.review.wording import settled, short

EDGES = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
"""Percentiles, within a type, between which activations are counted."""

N_PERMUTED = 10
"""Number of times that donors are dealt anew within strata: the information by chance is their mean."""

N_SHOWN = 12


def donor_gap(population: Population, strata: Strata, seed: int) -> Float64s:
    """I(neuron; donor | stratum) in bits, less that by chance: (n_neurons,) float64, not negative.

    Args:
        population: Has the labels.
        strata: Those within which the donors vary; without any, nothing is told.
        seed: Deals the donors.

    Source: conditional mutual information, Cover & Thomas 2006, equation 2.60.

    Example:
        >>> activations = np.repeat(np.array([[0.0], [1.0]], np.float32), 500, axis=0)
        >>> population = Population(activations, activations, {"donor": np.repeat(["d1", "d2"], 500)})
        >>> donor_gap(population, Strata.of(population, "donor", None), seed=0).round(2).tolist()
        [1.0]
    """
    names, donors = np.unique(population.label(strata.column).astype(str), return_inverse=True)
    generator, n_bins = np.random.default_rng(seed), len(EDGES) - 1
    gap = np.zeros(population.activations.shape[1])
    for rows in strata.rows:
        bins, own = bin_numbers(population.activations[rows], EDGES), donors[rows]
        found = information(joint_counts(bins, own, n_bins, len(names)))
        dealt = [
            information(joint_counts(bins, generator.permutation(own), n_bins, len(names))) for _ in range(N_PERMUTED)
        ]
        gap += (found - np.mean(dealt, axis=0)) * len(rows)
    return settled(np.maximum(gap / max(sum(map(len, strata.rows)), 1), 0))


def donor_gap_part(subject: EditSubject, donor: str, given: str | None = None, seed: int = 0) -> Part:
    """Row 22: the neurons that tell donors apart, within one side of the edit and, if known, one kind of cell.

    Args:
        subject: Gives all populations.
        donor: A column: donor, batch, site, …
        given: The column of cell types; None: they are not known.
        seed: Deals the donors.

    Raises:
        DataError: Not all populations have the columns, or no stratum has enough events.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> part = donor_gap_part(example_subject(), "type")
        >>> part.tables["gap_type"]["leading_marker"].tolist(), round(part.scalars["gap_type"], 1)
        (['CD4', 'CD3', 'pSTAT1'], 1.0)
        >>> donor_gap_part(example_subject(), "condition", "type").reading
        'Cannot be said: condition is the same for all events of one side of the edit and type, so that it cannot be
        told apart from the batch and the type.'
    """
    name, title, pooled = f"gap_{slug(donor)}", f"Gap between values of {donor}", subject.pooled
    strata = Strata.of(pooled, donor, given)
    if not strata.rows:
        return Part(name, title, "composition", strata.reason)
    gap = donor_gap(pooled, strata, seed)
    leading = leading_markers(receptive_fields(subject, seed), subject.marker_names)
    table = pd.DataFrame({"neuron": np.arange(subject.n_neurons), "leading_marker": leading, "bits": gap})
    table = subject.called(table.sort_values("bits", ascending=False, kind="stable", ignore_index=True))
    first = table.head(N_SHOWN)
    bars = first.set_index("neuron " + first["neuron"].astype(str) + " " + first["leading_marker"])[["bits"]]
    largest = float(gap.max())
    reading = (
        f"Neuron {table['neuron'][0]}, which {table['leading_marker'][0] or 'nothing'} moves most, tells most of the "
        f"{donor}{strata.within}: {short(largest, '.3f')} bits; the median neuron {short(np.median(gap), '.3f')}."
        if largest > 0
        else f"No neuron tells anything of {donor} beyond chance{strata.within}."
    )
    drawing = Drawing(
        name,
        lambda: bar_figure(bars, f"information about {donor} (bits)"),
        f"Bars: information that the neurons which tell most of it hold about {donor}{strata.within}",
        reading,
    )
    return Part(
        name,
        title,
        "composition",
        reading,
        {name: table},
        (drawing,) if largest > 0 else (),
        {name: largest},
    )
