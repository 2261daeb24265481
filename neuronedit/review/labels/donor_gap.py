"""The donor gap: information of a neuron about the donor of a cell whose type is known already."""

import numpy as np
import pandas as pd

from neuronedit.arrays import Float64s
from neuronedit.errors import DataError
from neuronedit.review.charts import bar_figure
from neuronedit.review.labels.ranges import bin_numbers, information, joint_counts
from neuronedit.review.neurons.receptive import leading_markers, receptive_fields
from neuronedit.review.part import Drawing, Part, slug
from neuronedit.review.subject import EditSubject, Population

EDGES = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
"""Percentiles, within a type, between which activations are counted."""

MIN_DONOR_EVENTS = 100
"""Types with fewer are left out: ten bins of some donors each would hold noise alone."""

N_PERMUTED = 10
"""Number of times that donors are dealt anew within types: the information by chance is their mean."""

N_SHOWN = 12


def donor_gap(population: Population, donor: str, given: str | None, seed: int) -> Float64s:
    """I(neuron; donor | type) in bits, less that by chance: (n_neurons,) float64, not negative.

    Args:
        population: Has both columns of labels.
        donor: A column: donor, batch, site, …
        given: A column of cell types; None: nothing is known already.
        seed: Deals the donors.

    Raises:
        DataError: There is no such column, or no type has ``MIN_DONOR_EVENTS`` events.

    Source: conditional mutual information, Cover & Thomas 2006, equation 2.60.

    Example:
        >>> activations = np.repeat(np.array([[0.0], [1.0]], np.float32), 500, axis=0)
        >>> population = Population(activations, activations, {"donor": np.repeat(["d1", "d2"], 500)})
        >>> donor_gap(population, "donor", None, seed=0).round(2).tolist()
        [1.0]
    """
    names, donors = np.unique(population.label(donor).astype(str), return_inverse=True)
    types = np.zeros(len(donors)) if given is None else population.label(given).astype(str)
    kinds, counts = np.unique(types, return_counts=True)
    kept = kinds[counts >= MIN_DONOR_EVENTS]
    if not len(kept):
        raise DataError(
            f"Donor gap: the largest of {len(kinds)} values of {given!r} has {counts.max()} events; expected at least "
            f"{MIN_DONOR_EVENTS}. Draw more events, or name a coarser column."
        )
    generator = np.random.default_rng(seed)
    gap = np.zeros(population.activations.shape[1])
    for kind in kept:
        chosen = types == kind
        bins, of_type = bin_numbers(population.activations[chosen], EDGES), donors[chosen]
        n_bins = len(EDGES) - 1
        found = information(joint_counts(bins, of_type, n_bins, len(names)))
        dealt = [
            information(joint_counts(bins, generator.permutation(of_type), n_bins, len(names)))
            for _ in range(N_PERMUTED)
        ]
        gap += (found - np.mean(dealt, axis=0)) * len(of_type)
    return np.maximum(gap / counts[counts >= MIN_DONOR_EVENTS].sum(), 0)


def donor_gap_part(subject: EditSubject, donor: str, given: str | None = None, seed: int = 0) -> Part:
    """Row 22: the neurons that tell donors apart, over all populations; takes the arguments of ``donor_gap``.

    Raises:
        DataError: Not all populations have the columns, or no type has enough events.

    Example:
        Which condition a cell is of, the neuron of the treatment's marker tells:

        >>> from neuronedit.review.subject import example_subject
        >>> part = donor_gap_part(example_subject(), "condition", "type")
        >>> part.tables["gap_condition"]["leading_marker"][0], round(part.scalars["gap_condition"], 1)
        ('pSTAT1', 0.4)
    """
    gap = donor_gap(subject.pooled, donor, given, seed)
    leading = leading_markers(receptive_fields(subject, seed), subject.marker_names)
    table = pd.DataFrame({"neuron": np.arange(subject.n_neurons), "leading_marker": leading, "bits": gap})
    table = subject.called(table.sort_values("bits", ascending=False, kind="stable", ignore_index=True))
    first = table.head(N_SHOWN)
    bars = first.set_index("neuron " + first["neuron"].astype(str) + " " + first["leading_marker"])[["bits"]]
    name, known = f"gap_{slug(donor)}", f" of a cell whose {given} is known" if given else ""
    reading = (
        f"Neuron {table['neuron'][0]}, which {table['leading_marker'][0] or 'nothing'} moves most, tells most of the "
        f"{donor}{known}: {table['bits'][0]:.3f} bits; the median neuron {table['bits'].median():.3f}."
    )
    drawing = Drawing(
        name,
        lambda: bar_figure(bars, f"information about {donor} (bits)"),
        f"Bars: information that the neurons which tell most of it hold about {donor}{known}",
        reading,
    )
    return Part(
        name,
        f"Gap between values of {donor}",
        "composition",
        reading,
        {name: table},
        (drawing,),
        {name: float(gap.max())},
    )
