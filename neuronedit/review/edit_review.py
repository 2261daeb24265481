"""The neurons' part of a review: every feature of one edit, each with what it cost."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import process_time

import pandas as pd
from pydantic import Field

from neuronedit.autoencoder import Autoencoder
from neuronedit.config import Config
from neuronedit.errors import DataError
from neuronedit.model import EditModel
from neuronedit.review.conductance import edit_conductance
from neuronedit.review.confounding import confounding_part
from neuronedit.review.coverage import coverage_part
from neuronedit.review.cycle_part import cycle_part
from neuronedit.review.dependence import dependence_part
from neuronedit.review.descriptions import descriptions_part
from neuronedit.review.donor_gap import donor_gap_part
from neuronedit.review.drift_part import drift_part
from neuronedit.review.explanations import explanations_part
from neuronedit.review.health_part import health_part
from neuronedit.review.localisation import localisation_part
from neuronedit.review.matching import matching_part
from neuronedit.review.neuron_parts import neuron_parts
from neuronedit.review.neurons import Neurons
from neuronedit.review.next_sample_part import next_sample_part
from neuronedit.review.part import Family, Part
from neuronedit.review.patterns import patterns_part
from neuronedit.review.profiles import profiles_part
from neuronedit.review.pruning_part import pruning_part
from neuronedit.review.ranges import ranges_part
from neuronedit.review.refits_part import refits_part

log = logging.getLogger(__name__)


class LabelColumns(Config):
    """Which columns of the data say what of an event; they make the review tell more."""

    cell_type: str | None = Field(None, description="its kind of cell: tells state from mix, in the gate, too")
    donor: str | None = Field(None, description="whom it is from")
    sample: str | None = Field(None, description="the measured sample that it is from")
    condition: str | None = Field(None, description="what was done to its sample")

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are named, each once."""
        named = (self.cell_type, self.donor, self.sample, self.condition)
        return tuple(dict.fromkeys(column for column in named if column))


@dataclass(frozen=True)
class EditReview:
    """One edit, neuron by neuron.

    Attributes:
        edit: Its name.
        neurons: Which neurons were looked at, in words.
        parts: In the page's order.
        seconds: CPU-seconds by the name of the part.
    """

    edit: str
    neurons: str
    parts: tuple[Part, ...]
    seconds: Mapping[str, float]

    def of(self, family: Family) -> tuple[Part, ...]:
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
    neurons: Neurons,
    model: EditModel,
    columns: LabelColumns,
    refits: Sequence[Autoencoder] = (),
    descriptions: Mapping[str, str] | None = None,
    seed: int = 0,
) -> EditReview:
    """Look at one edit, neuron by neuron.

    Args:
        name: The edit's.
        neurons: The edit, as a layer's neurons see it.
        model: Whose edit it is.
        columns: Of the labels that the events have.
        refits: Autoencoders like the model's first, trained from other seeds.
        descriptions: Populations by name, such as ``CD3+ CD56-``: can the layer express them?
        seed: Draws events, random orders and null distributions.
    """
    parts, seconds = [], {}
    for part, cpu_s in _timed(_parts(neurons, model, columns, refits, descriptions or {}, seed)):
        log.info("review of %s: %s took %.1f CPU-seconds", name, part.name, cpu_s)
        parts.append(part)
        seconds[part.name] = cpu_s
    seen = f"{neurons.n_neurons} neurons of the layer {neurons.layer}: {neurons.seen_by}"
    return EditReview(name, seen, tuple(parts), seconds)


def _parts(
    neurons: Neurons,
    model: EditModel,
    columns: LabelColumns,
    refits: Sequence[Autoencoder],
    descriptions: Mapping[str, str],
    seed: int,
) -> Iterator[Part]:
    conductance = edit_conductance(neurons)
    weights = conductance.share
    yield from neuron_parts(neurons, conductance, seed)
    yield explanations_part(neurons, weights, seed)
    yield localisation_part(neurons, seed)
    yield dependence_part(neurons, seed)
    yield coverage_part(neurons, weights)
    yield health_part(neurons)
    yield pruning_part(neurons, seed)
    yield cycle_part(neurons, model, seed)
    if drift := drift_part(model):
        yield drift
    if refits:
        yield refits_part(neurons, refits, seed)
        yield _said("next_sample", lambda: next_sample_part(neurons, refits, columns.cell_type, seed))
    yield _said("confounding", lambda: confounding_part(neurons, weights, columns.cell_type, seed))
    yield _said("matching", lambda: matching_part(neurons, columns.cell_type, seed))
    yield _said("patterns", lambda: patterns_part(neurons, columns.cell_type, seed))
    if columns.cell_type or descriptions:
        yield _said("descriptions", lambda: descriptions_part(neurons, columns.cell_type, descriptions, seed))
    for column in columns.names:
        yield _said(f"ranges_{column}", partial(ranges_part, neurons, column, seed))
    if columns.donor:
        donor = columns.donor
        yield _said(f"gap_{donor}", lambda: donor_gap_part(neurons, donor, columns.cell_type, seed))
    if columns.sample:
        sample = columns.sample
        yield _said("profiles", lambda: profiles_part(neurons, sample, columns.condition))


def _said(name: str, make: Callable[[], Part]) -> Part:
    """A part; where the events do not allow it, one that says why, so that the others go on."""
    try:
        return make()
    except DataError as error:
        return Part(name, name.replace("_", " ").capitalize(), "composition", f"Cannot be said: {error}")


def _timed(parts: Iterator[Part]) -> Iterator[tuple[Part, float]]:
    """Each part with the CPU-seconds that it took to make."""
    started = process_time()
    for part in parts:
        yield part, process_time() - started
        started = process_time()
