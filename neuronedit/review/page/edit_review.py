"""All parts of a review of one edit, in the page's order, each with what it cost.

A new part is one line of ``PARTS``.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import process_time

import pandas as pd

from neuronedit.errors import DataError
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Autoencoder
from neuronedit.review.labels.descriptions import descriptions_part
from neuronedit.review.labels.donor_gap import donor_gap_part
from neuronedit.review.labels.explanations import explanations_part
from neuronedit.review.labels.ranges import ranges_part
from neuronedit.review.neurons.conductance import conductance_part
from neuronedit.review.neurons.context import LabelColumns, ReviewContext
from neuronedit.review.neurons.faithfulness import faithfulness_part
from neuronedit.review.neurons.ladder_part import ladder_part
from neuronedit.review.neurons.logit import logit_part
from neuronedit.review.neurons.names import names_part
from neuronedit.review.neurons.preferred import preferred_part
from neuronedit.review.neurons.receptive import dependence_part, localisation_part
from neuronedit.review.part import Family, Part
from neuronedit.review.populations.confounding import confounding_part
from neuronedit.review.populations.matching import matching_part
from neuronedit.review.populations.next_sample import next_sample_part
from neuronedit.review.populations.patterns import patterns_part
from neuronedit.review.populations.profiles import profiles_part
from neuronedit.review.populations.support import coverage_part
from neuronedit.review.stability.cycle import cycle_part
from neuronedit.review.stability.drift import drift_part, is_update, student_part
from neuronedit.review.stability.health import health_part
from neuronedit.review.stability.pruning import pruning_part
from neuronedit.review.stability.refits import refits_part
from neuronedit.review.subject import EditSubject

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Feature:
    """A part of the review and when it is made.

    Attributes:
        name: The part's name where the events do not allow it.
        make: Computes the part.
        applies: Whether the review has what the part needs.
    """

    name: str
    make: Callable[[ReviewContext], Part]
    applies: Callable[[ReviewContext], bool] = lambda _: True

    def tasks(self, context: ReviewContext) -> Iterator[tuple[str, Callable[[], Part]]]:
        """The part's name and a call that computes it; nothing where it does not apply."""
        if self.applies(context):
            yield self.name, partial(self.make, context)


@dataclass(frozen=True)
class ColumnFeature:
    """A part that is made once for each of some columns of labels.

    Attributes:
        name: The part's name where the events do not allow it; ``{column}`` stands for the column.
        make: Computes the part of a column.
        columns: Gives the columns; None among them are left out.
    """

    name: str
    make: Callable[[ReviewContext, str], Part]
    columns: Callable[[LabelColumns], Sequence[str | None]]

    def tasks(self, context: ReviewContext) -> Iterator[tuple[str, Callable[[], Part]]]:
        """Each part's name and a call that computes it."""
        for column in self.columns(context.columns):
            if column:
                yield self.name.format(column=column), partial(self.make, context, column)


def _of_first(make: Callable[..., Part]) -> Callable[..., Part]:
    """Make a part that only one layer has of the place that makes most of the change, and say in its title which."""

    def made(context: ReviewContext, *column: str) -> Part:
        first = context.first
        part, name = make(first, *column), first.subject.place.name
        return replace(part, title=f"{part.title}, {name}") if name else part

    return made


PARTS: tuple[Feature | ColumnFeature, ...] = (
    Feature("conductance", lambda c: conductance_part(c.conductance, c.names, c.places)),
    Feature("faithfulness", lambda c: faithfulness_part(c.subject, c.conductance, c.seed)),
    Feature("names", lambda c: names_part(c.names, c.conductance.order)),
    Feature("logit", lambda c: logit_part(c.subject, c.head, c.conductance, c.names)),
    Feature(
        "ladder", lambda c: ladder_part(c.subject, lambda place: c.each[place].cells, c.conductance, c.names, c.seed)
    ),
    Feature("preferred", _of_first(lambda c: preferred_part(c.subject, c.cells, c.head))),
    Feature("explanations", lambda c: explanations_part(c.subject, c.conductance.share, c.seed)),
    Feature("localisation", lambda c: localisation_part(c.subject, c.seed)),
    Feature("dependence", lambda c: dependence_part(c.subject, c.seed)),
    Feature("support", lambda c: coverage_part(c.subject, c.conductance.share)),
    Feature("health", _of_first(lambda c: health_part(c.subject))),
    Feature("pruning", _of_first(lambda c: pruning_part(c.subject, c.seed))),
    Feature("cycle", lambda c: cycle_part(c.subject, c.model, c.seed)),
    Feature(
        "student",
        lambda c: student_part(c.subject.edit, c.subject.marker_names),
        lambda c: c.subject.edit.fidelity is not None,
    ),
    Feature("drift", lambda c: drift_part(c.model), lambda c: is_update(c.model)),
    Feature("refits", _of_first(lambda c: refits_part(c.subject, c.other_networks, c.seed)), lambda c: bool(c.refits)),
    Feature(
        "next_sample",
        _of_first(lambda c: next_sample_part(c.subject, c.other_networks, c.columns.cell_type, c.seed)),
        lambda c: bool(c.refits),
    ),
    Feature("confounding", lambda c: confounding_part(c.subject, c.conductance.share, c.columns.cell_type, c.seed)),
    Feature("matching", _of_first(lambda c: matching_part(c.subject, c.columns.cell_type, c.seed))),
    Feature("patterns", _of_first(lambda c: patterns_part(c.subject, c.columns.cell_type, c.seed))),
    Feature(
        "descriptions",
        _of_first(lambda c: descriptions_part(c.subject, c.columns.cell_type, c.descriptions, c.seed)),
        lambda c: bool(c.columns.cell_type or c.descriptions),
    ),
    ColumnFeature(
        "ranges_{column}",
        _of_first(lambda c, column: ranges_part(c.subject, column, c.seed)),
        lambda each: each.names,
    ),
    ColumnFeature(
        "gap_{column}",
        _of_first(lambda c, donor: donor_gap_part(c.subject, donor, c.columns.cell_type, c.seed)),
        lambda columns: [columns.donor],
    ),
    ColumnFeature(
        "profiles",
        _of_first(lambda c, sample: profiles_part(c.subject, sample, c.columns.condition)),
        lambda columns: [columns.sample],
    ),
)
"""Every part, in the page's order."""


@dataclass(frozen=True)
class EditReview:
    """The review of one edit: all parts, and what each cost.

    Attributes:
        edit: Its name.
        neurons: Says which neurons were looked at.
        parts: The parts in the page's order.
        seconds: CPU-seconds by the name of the part.
    """

    edit: str
    neurons: str
    parts: tuple[Part, ...]
    seconds: Mapping[str, float]

    def in_family(self, family: Family) -> tuple[Part, ...]:
        """The parts of one family."""
        return tuple(part for part in self.parts if part.family == family)

    @property
    def scalars(self) -> dict[str, float]:
        """All parts' numbers."""
        return {name: value for part in self.parts for name, value in part.scalars.items()}

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """All parts' tables, and what each part cost."""
        return {name: table for part in self.parts for name, table in part.tables.items()} | {"cost": self.cost_table()}

    def cost_table(self) -> pd.DataFrame:
        """A row for each part: part, cpu_s."""
        return pd.DataFrame({"part": list(self.seconds), "cpu_s": list(self.seconds.values())})


def review_edit(
    name: str,
    subject: EditSubject,
    model: EditModel,
    columns: LabelColumns,
    refits: Sequence[Autoencoder] = (),
    descriptions: Mapping[str, str] | None = None,
    seed: int = 0,
) -> EditReview:
    """Make every part of ``PARTS`` that applies to an edit.

    Args:
        name: The edit's.
        subject: The edit, as its neurons see it.
        model: The model that it is of.
        columns: The labels that the events have.
        refits: Autoencoders like the model's first, trained from other seeds.
        descriptions: Populations by name, such as ``CD3+ CD56-``: can the layer express them?
        seed: Draws events, random orders and null distributions.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.subject import example_subject
        >>> review = review_edit("pair", example_subject(), example_model(), LabelColumns(cell_type="type"))
        >>> [part.name for part in review.in_family("composition")]
        ['confounding', 'matching', 'patterns']
    """
    context = ReviewContext(subject, model, columns, refits, descriptions or {}, seed)
    parts, seconds = [], {}
    for feature in PARTS:
        for failed_name, make in feature.tasks(context):
            started = process_time()
            part = _part_or_reason(failed_name, make)
            seconds[part.name] = process_time() - started
            log.info("review of %s: %s took %.1f CPU-seconds", name, part.name, seconds[part.name])
            parts.append(part)
    return EditReview(name, context.seen, tuple(parts), seconds)


def _part_or_reason(name: str, make: Callable[[], Part]) -> Part:
    """Make a part; where the events do not allow it, make one that says why, so that the others go on."""
    try:
        return make()
    except DataError as error:
        return Part(name, name.replace("_", " ").capitalize(), "composition", f"Cannot be said: {error}")
