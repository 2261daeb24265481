"""Next sample to measure: populations by how far autoencoders trained anew disagree about their edited events.

Next sample to measure on the page: populations by how much refits disagree about them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s, Float64s
from neuronedit.cells.design import MIN_POPULATION_EVENTS
from neuronedit.edits.operators.table import EditStep, Fitting
from neuronedit.edits.plans import Plan
from neuronedit.edits.steps import apply_steps, fit_steps
from neuronedit.errors import DataError
from neuronedit.measures.moments import rms
from neuronedit.network.autoencoder import Autoencoder
from neuronedit.review.charts import bar_figure
from neuronedit.review.part import Drawing, Part
from neuronedit.review.subject import SOURCE, EditSubject


@dataclass(frozen=True)
class Discrepancy:
    """How far fits disagree about the edited events of each population.

    Attributes:
        populations: Their names.
        events: Events of each.
        scores: (n_populations, n_markers) float64: root mean square over events of the standard deviation over fits,
            standard deviations of the marker.
        marker_names: (n_markers,) names, in the panel's order.
    """

    populations: tuple[str, ...]
    events: tuple[int, ...]
    scores: Float64s
    marker_names: tuple[str, ...]

    @property
    def over_markers(self) -> Float64s:
        """(n_populations,) float64: root mean square over markers."""
        return rms(self.scores, axis=1)

    def discrepancy_of(self, population: str) -> float:
        """One population's discrepancy: root mean square over markers."""
        return float(self.over_markers[self.populations.index(population)])

    def table(self) -> pd.DataFrame:
        """A row for each population, the one to be measured next first.

        Columns: population, events, discrepancy (root mean square over markers), marker (on which fits disagree most).
        """
        return pd.DataFrame(
            {
                "population": self.populations,
                "events": self.events,
                "discrepancy": self.over_markers,
                "marker": [self.marker_names[marker] for marker in self.scores.argmax(axis=1)],
            }
        ).sort_values("discrepancy", ascending=False, kind="stable", ignore_index=True)


def next_sample(
    subject: EditSubject, refits: Sequence[Autoencoder], candidates: Mapping[str, Float32s], seed: int
) -> Discrepancy:
    """Fit the edit's own plan for each autoencoder, and see on which candidates the edited events differ.

    Decoded edited events are compared. The edits' changes alone (the residual form) tell less: on planted cells with
    two refits they did not rank all types that were never trained on above all that were; the decoded events did, 0.36
    to 0.46 against 0.23 to 0.26.

    Args:
        subject: The model's source and target, on which every fit's edit is fitted, and its autoencoder.
        refits: Trained on the same populations from other seeds.
        candidates: (n_events, n_markers) float32 standardised markers, by population.
        seed: Draws events for fitting.

    Raises:
        DataError: There is no refit, or no candidate.

    Example:
        Untrained networks stand for refits:

        >>> from neuronedit.review.subject import example_subject
        >>> subject = example_subject()
        >>> refits = [Autoencoder(3, subject.autoencoder.architecture, seed) for seed in (1, 2)]
        >>> candidates = {"source": subject.source.markers, "far": subject.source.markers + 3}
        >>> next_sample(subject, refits, candidates, seed=0).table()["population"].tolist()
        ['far', 'source']
    """
    if not refits or not candidates:
        raise DataError(
            f"Next sample to measure: found {len(refits)} refits and {len(candidates)} candidates; expected at least "
            "one of each. Review the model with refits = 1 or more, and name the events that are to be edited."
        )
    made = [_made_by(fit, subject, candidates, seed) for fit in (subject.autoencoder, *refits)]
    scores = [np.sqrt(np.var([of[name] for of in made], axis=0).mean(axis=0)) for name in candidates]
    counts = tuple(len(events) for events in candidates.values())
    return Discrepancy(tuple(candidates), counts, np.stack(scores), subject.marker_names)


def plan_of(subject: EditSubject) -> Plan:
    """The heaviest member's steps up to the first on neurons, there by the decoder; else the paper's on the code.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> [(step.layer, step.form) for step in plan_of(example_subject())]
        [('code', 'plain')]
    """
    latent = [member for member in subject.edit.members if any(step.plan.latent for step in member.steps)]
    heaviest = max(latent, key=lambda member: member.weight, default=None)
    plan = [step.plan for step in heaviest.steps] if heaviest else [EditStep(layer=subject.layer)]
    first = next(number for number, step in enumerate(plan) if step.latent)
    return (*plan[:first], plan[first].model_copy(update={"form": "plain"}))


def _made_by(
    fit: Autoencoder, subject: EditSubject, candidates: Mapping[str, Float32s], seed: int
) -> dict[str, Float32s]:
    steps = fit_steps(fit, plan_of(subject), subject.source.markers, subject.target.markers, Fitting(seed=seed))
    return {name: apply_steps(steps, fit, events) for name, events in candidates.items()}


N_SHOWN: Final = 30
"""Populations drawn, those to be measured first."""


def next_sample_part(
    subject: EditSubject, refits: Sequence[Autoencoder], column: str | None = None, seed: int = 0
) -> Part:
    """Row 23: populations by how far refits disagree about their edited events; the first is to be measured next.

    Args:
        subject: The model's; candidates are the populations to which the edit is to be applied, beside the source.
        refits: Autoencoders trained from other seeds.
        column: A label that splits each candidate, e.g. the type of cell; by default they stay whole.
        seed: Draws events for fitting.

    Raises:
        DataError: There is no refit, or a population has no such label.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> refits = [Autoencoder(3, example_subject().autoencoder.architecture, seed) for seed in (1, 2)]
        >>> sorted(next_sample_part(example_subject(), refits, "type").tables["next_sample"]["population"])
        ['other, B', 'other, CD4 T', 'other, CD8 T', 'other, monocyte', 'source']
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


def candidates_of(subject: EditSubject, column: str | None) -> dict[str, Float32s]:
    """List populations that might be measured next, by name: each extrapolation, or each of its parts by a label.

    Raises:
        DataError: A population has no such label.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> {name: len(events) for name, events in candidates_of(example_subject(), "type").items()}
        {'other, B': 100, 'other, CD4 T': 100, 'other, CD8 T': 100, 'other, monocyte': 100}
    """
    if column is None:
        return {name: events.markers for name, events in subject.extrapolation.items()}
    parts = {
        f"{name}, {value}": events.markers[events.label(column) == value]
        for name, events in subject.extrapolation.items()
        for value in sorted(set(events.label(column)))
    }
    return {name: events for name, events in parts.items() if len(events) >= MIN_POPULATION_EVENTS}


def read_next_sample(found: Discrepancy) -> str:
    """Name the population to measure next, and say how much more fits disagree about it than about the source.

    Example:
        >>> found = Discrepancy((SOURCE, "day 2"), (100, 100), np.array([[0.1], [0.3]]), ("CD4",))
        >>> read_next_sample(found)
        'Measure day 2 next: fits disagree about its edited events by 0.300, 3.0 times as much as about the source, ...'
    """
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
