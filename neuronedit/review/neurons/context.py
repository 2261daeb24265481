"""The context of a review's parts: the edit as its neurons see it, its labels, and what several parts share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import pandas as pd
from pydantic import Field

from neuronedit.config import Config
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Autoencoder
from neuronedit.review.neurons.conductance import Conductance, edit_conductance, place_table
from neuronedit.review.neurons.logit import TargetHead
from neuronedit.review.neurons.names import NeuronNames, name_neurons
from neuronedit.review.neurons.reals import RealCells
from neuronedit.review.subject import EditSubject


class LabelColumns(Config):
    """Columns of the data that label events; they make the review tell more."""

    cell_type: str | None = Field(None, description="its kind of cell, by which the review looks at each")
    donor: str | None = Field(None, description="whom it is from")
    sample: str | None = Field(None, description="the measured sample that it is from")
    condition: str | None = Field(None, description="what was done to its sample")

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are named, each once."""
        named = (self.cell_type, self.donor, self.sample, self.condition)
        return tuple(dict.fromkeys(column for column in named if column))


@dataclass(frozen=True)
class ReviewContext:
    """All that parts are made from; results that several parts share are computed once.

    Attributes:
        subject: The edit, as its neurons see it, of all places.
        model: The model that it is of.
        columns: The events' labels.
        refits: Autoencoders like the model's first, trained from other seeds.
        descriptions: Populations by name, such as ``CD3+ CD56-``.
        seed: Draws events, random orders and null distributions.
    """

    subject: EditSubject
    model: EditModel
    columns: LabelColumns = field(default_factory=LabelColumns)
    refits: Sequence[Autoencoder] = ()
    descriptions: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    @cached_property
    def conductance(self) -> Conductance:
        """Each neuron's share in the edit."""
        return edit_conductance(self.subject)

    @cached_property
    def names(self) -> NeuronNames:
        """The neurons' names."""
        return name_neurons(self.subject, self.conductance.neuron_cancellation)

    @cached_property
    def head(self) -> TargetHead:
        """The classifier that tells target from source events."""
        return TargetHead.fit(self.subject)

    @cached_property
    def cells(self) -> RealCells:
        """The cells that the only place knows: those of source and target, from which typical ones are chosen."""
        return RealCells.of(self.subject)

    @cached_property
    def places(self) -> pd.DataFrame:
        """The places that the edit edits, see ``place_table``."""
        return place_table(self.subject, self.conductance)

    @cached_property
    def each(self) -> tuple["ReviewContext", ...]:
        """A context for each place alone, in the order of the subject's places; events' kinds are known there."""
        known = replace(self.subject, cell_type=self.columns.cell_type)
        return tuple(replace(self, subject=part) for part in known.each())

    @property
    def first(self) -> "ReviewContext":
        """The context of the place that makes most of the edit's change, for what only one layer has."""
        names = [place.name or place.layer for place in self.subject.places]
        return self.each[names.index(self.places["place"][0])]

    @property
    def other_networks(self) -> tuple[Autoencoder, ...]:
        """Autoencoders to compare the only place's with: the refits, with the model's first in the place of its own."""
        own, first = self.subject.autoencoder, self.model.autoencoder
        return tuple(first if network is own else network for network in self.refits)

    @property
    def seen(self) -> str:
        """Say which neurons are looked at."""
        subject = self.subject
        if len(subject.places) == 1:
            return f"{subject.n_neurons} neurons of the layer {subject.layer}: {subject.seen_by}"
        counted = [f"{place.n_neurons} of {place.name}" for place in subject.places]
        return (
            f"{subject.n_neurons} neurons, {', '.join(counted[:-1])} and {counted[-1]}: {subject.seen_by}; parts that "
            f"look at one layer name it, the one that makes most of the change"
        )
