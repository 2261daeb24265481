"""Next sample to measure on the page: populations by how much refits disagree about them."""

from collections.abc import Sequence
from typing import Final

from neuronedit.autoencoder import Autoencoder
from neuronedit.design import MIN_EVENTS
from neuronedit.percentiles import FloatArray
from neuronedit.review.bars import bar_figure
from neuronedit.review.neurons import SOURCE, Neurons
from neuronedit.review.next_sample import Discrepancy, next_sample
from neuronedit.review.part import Drawing, Part

N_SHOWN: Final = 30
"""Populations drawn, those to be measured first."""


def next_sample_part(subject: Neurons, refits: Sequence[Autoencoder], column: str | None = None, seed: int = 0) -> Part:
    """Row 23: populations by how far refits disagree about their edited events; the first is to be measured next.

    Args:
        subject: The model's; candidates are the populations to which the edit is to be applied, beside the source.
        refits: Autoencoders trained from other seeds.
        column: A label that splits each candidate, e.g. the type of cell; by default they stay whole.
        seed: Draws events for fitting.

    Raises:
        DataError: There is no refit, or a population has no such label.
    """
    candidates = {SOURCE: subject.source.markers} | candidates_of(subject, column)
    found = next_sample(subject, refits, candidates, seed)
    table = found.table()
    seen = found.discrepancy_of(SOURCE)
    drawing = Drawing(
        "next_sample",
        lambda: bar_figure(
            table[:N_SHOWN].set_index("population")[["discrepancy"]],
            "disagreement of fits about edited events (standard deviations)",
            {"the source's": round(seen, 3)},
        ),
        "Populations by how far refits disagree about their edited events, the largest first",
        f"For {(table['discrepancy'] > seen).sum()} of {len(table) - 1} populations fits disagree more than for the "
        f"source's own events ({seen:.3f}).",
    )
    return Part(
        "next_sample",
        "Next sample to measure",
        "support",
        read_next_sample(found),
        {"next_sample": table},
        (drawing,),
        {"max_discrepancy": float(table["discrepancy"].iloc[0]), "source_discrepancy": seen},
    )


def candidates_of(subject: Neurons, column: str | None) -> dict[str, FloatArray]:
    """List populations that might be measured next, by name: each extrapolation, or each of its parts by a label.

    Raises:
        DataError: A population has no such label.
    """
    if column is None:
        return {name: events.markers for name, events in subject.extrapolation.items()}
    parts = {
        f"{name}, {value}": events.markers[events.label(column) == value]
        for name, events in subject.extrapolation.items()
        for value in sorted(set(events.label(column)))
    }
    return {name: events for name, events in parts.items() if len(events) >= MIN_EVENTS}


def read_next_sample(found: Discrepancy) -> str:
    """Name the population to measure next, and say how much more fits disagree about it than about the source."""
    table = found.table()
    first, others = table.iloc[0], table[table["population"] != SOURCE]
    seen = found.discrepancy_of(SOURCE)
    if not len(others):
        return (
            f"No population is named to which the edit is to be applied; about the source fits disagree by {seen:.3f}."
        )
    if first["population"] == SOURCE:
        return (
            f"Fits disagree about no population more than about the source ({seen:.3f}); none is to be measured first."
        )
    times = f", {first['discrepancy'] / seen:.1f} times as much as about the source" if seen else ""
    return (
        f"Measure {first['population']} next: fits disagree about its edited events by {first['discrepancy']:.3f}"
        f"{times}, most of all about {first['marker']}."
    )
