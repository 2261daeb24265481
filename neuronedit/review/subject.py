"""The subject of a review: one edit, as the neurons see it that it edits, with the events that it is reviewed on."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuronedit.arrays import Float32s, Int64s, Texts
from neuronedit.cells.design import PAIR_EDIT
from neuronedit.edits.edit import Edit
from neuronedit.edits.learnable import hide
from neuronedit.errors import DataError, listing, nearest_name
from neuronedit.model.edit_model import EditModel
from neuronedit.model.example import example_cells, example_labels, example_model
from neuronedit.network.autoencoder import Autoencoder
from neuronedit.review.part import call_neurons
from neuronedit.review.places import Place, edited_places, place_at, spans_of
from neuronedit.review.wording import CHANGE, Wording

OWN_SHIFT: Final = "the shift that the edit gives this layer"
OWN_SHIFTS: Final = "the shifts that the edit gives these layers"
ENCODED_AGAIN: Final = "the edited events, encoded again"

SOURCE: Final = "source"
TARGET: Final = "target"
POPULATION: Final = "population"
"""The label of pooled events that says which population each is of."""


@dataclass(frozen=True)
class Population:
    """Events, their activations in the layers under review, and their labels.

    Attributes:
        markers: (n_events, n_markers) float32, standardised.
        activations: (n_events, n_neurons) float32.
        labels: (n_events,) texts by column: cell type, donor, batch, …; empty where none are known.
    """

    markers: Float32s
    activations: Float32s
    labels: Mapping[str, Texts] = field(default_factory=dict)

    def subset(self, rows: npt.NDArray[Any]) -> Self:
        """Keep some of the events, by their numbers or a mask."""
        labels = {column: values[rows] for column, values in self.labels.items()}
        return replace(self, markers=self.markers[rows], activations=self.activations[rows], labels=labels)

    def label(self, column: str) -> Texts:
        """One column of labels, (n_events,).

        Raises:
            DataError: There is no such column.
        """
        if column not in self.labels:
            raise DataError(
                f"The events have no label {column!r} (labels: {listing(self.labels) or 'none'}"
                f"{nearest_name(column, self.labels)}). Name a column of the data that all populations have."
            )
        return self.labels[column]


@dataclass(frozen=True)
class EditSubject:
    """One edit, as the neurons see it that it edits: of one layer, or of several, side by side.

    Attributes:
        edit: The edit under review.
        places: The layers, and the autoencoders that they are of; neurons are in the order of the places.
        marker_names: (n_markers,) names, in the panel's order.
        source: The events that the edit was fitted from.
        target: The events that it was fitted to.
        extrapolation: Populations that it is to be applied to, by name; empty where none is known.
        edited: The source's activations after the edit, (n_source, n_neurons) float32.
        seen_by: The way to ``edited``: ``OWN_SHIFT``, ``OWN_SHIFTS`` or ``ENCODED_AGAIN``.
        wording: How its two sides are called.
        cell_type: The label that names kinds of cell, where one does.
    """

    edit: Edit
    places: tuple[Place, ...]
    marker_names: tuple[str, ...]
    source: Population
    target: Population
    extrapolation: Mapping[str, Population]
    edited: Float32s
    seen_by: str
    wording: Wording = CHANGE
    cell_type: str | None = None

    @classmethod
    def from_model(
        cls,
        model: EditModel,
        edit: str,
        source: "LabelledEvents",
        target: "LabelledEvents",
        extrapolation: Mapping[str, "LabelledEvents"] | None = None,
        layer: str | None = None,
    ) -> Self:
        """Encode a model's events in the layers that an edit edits.

        Args:
            model: The model to review.
            edit: The edit's name.
            source: Raw intensities and labels.
            target: Raw intensities and labels.
            extrapolation: Raw intensities and labels, by name.
            layer: A layer of the first autoencoder, to look at it alone; by default all whose neurons the edit shifts
                in any autoencoder, or else the first one's code.

        Raises:
            ModelError: The model has no such edit.
            ConfigError: The autoencoder has no such layer.
            DataError: Labels are not one for each event.
        """
        fitted, networks = model.get_edit(edit), model.autoencoders
        places = (place_at(fitted, networks, layer),) if layer else edited_places(fitted, networks)

        def encode(events: LabelledEvents, by: Callable[[Place, Float32s], Float32s] = Place.see) -> Population:
            markers = hide(model.standardised(events.intensities), fitted.support.hidden)  # as the edit sees them
            return Population(markers, _beside([by(place, markers) for place in places]), dict(events.labels))

        of_source = encode(source)
        if places[0].shift is None:
            edited, seen_by = places[0].encode(fitted.apply(networks, of_source.markers)), ENCODED_AGAIN
        else:
            before = zip(places, spans_of(places), strict=True)
            edited = _beside([place.move(of_source.activations[:, span]) for place, span in before])
            seen_by = OWN_SHIFT if len(places) == 1 else OWN_SHIFTS
        others = {name: encode(events) for name, events in (extrapolation or {}).items()}
        led_to = encode(target, Place.encode)  # a step is fitted to the target as it was measured
        wording = Wording.of(model.design, edit)
        return cls(fitted, places, model.panel.markers, of_source, led_to, others, edited, seen_by, wording)

    @property
    def place(self) -> Place:
        """The only place; of several, each is had by ``at``."""
        assert len(self.places) == 1, "one place is looked at a time"
        return self.places[0]

    @property
    def layer(self) -> str:
        """The only place's layer."""
        return self.place.layer

    @property
    def autoencoder(self) -> Autoencoder:
        """The only place's autoencoder."""
        return self.place.autoencoder

    @property
    def networks(self) -> tuple[Autoencoder, ...]:
        """The places' autoencoders, each once."""
        return tuple(dict.fromkeys(place.autoencoder for place in self.places))

    def at(self, number: int) -> Self:
        """Look at one place alone, by its number among ``places``."""
        if len(self.places) == 1:
            return self
        span = spans_of(self.places)[number]

        def narrowed(population: Population) -> Population:
            return replace(population, activations=np.ascontiguousarray(population.activations[:, span]))

        return replace(
            self,
            places=(self.places[number],),
            source=narrowed(self.source),
            target=narrowed(self.target),
            extrapolation={name: narrowed(each) for name, each in self.extrapolation.items()},
            edited=np.ascontiguousarray(self.edited[:, span]),
        )

    def each(self) -> Iterator[Self]:
        """Look at each place alone, in their order."""
        return map(self.at, range(len(self.places)))

    @property
    def neuron_names(self) -> tuple[str, ...]:
        """(n_neurons,) names such as ``encoder.2/17``; none where the edit has one place: its neurons have numbers."""
        return tuple(name for place in self.places if place.name for name in place.neuron_names)

    def called(self, table: pd.DataFrame, *columns: str) -> pd.DataFrame:
        """Call a table's neurons by their names, where they have any; see ``call_neurons``."""
        return call_neurons(table, self.neuron_names, *columns)

    @property
    def populations(self) -> dict[str, Population]:
        """Source, target and the populations that the edit is to be applied to, by name."""
        return {SOURCE: self.source, TARGET: self.target, **self.extrapolation}

    @property
    def pooled(self) -> Population:
        """All populations' events in one, with the labels that all have, and a label ``population``."""
        parts = self.populations
        columns = [column for column in self.source.labels if all(column in part.labels for part in parts.values())]
        labels = {column: np.concatenate([part.labels[column] for part in parts.values()]) for column in columns}
        sizes = [len(part.markers) for part in parts.values()]
        return Population(
            np.concatenate([part.markers for part in parts.values()]),
            np.concatenate([part.activations for part in parts.values()]),
            labels | {POPULATION: np.repeat(np.array(list(parts), dtype=object), sizes)},
        )

    @property
    def n_neurons(self) -> int:
        """The number of neurons, of all places."""
        return int(self.source.activations.shape[1])

    @property
    def change(self) -> Float32s:
        """The edit's change of the source's activations: (n_source, n_neurons) float32."""
        return self.edited - self.source.activations

    def encode(self, markers: Float32s) -> Float32s:
        """Encode events: (n_events, n_markers) standardised → (n_events, n_neurons), both float32."""
        return _beside([place.encode(markers) for place in self.places])

    def see(self, markers: Float32s) -> Float32s:
        """Encode events as the edit's steps see them: (n_events, n_markers) → (n_events, n_neurons), both float32."""
        return _beside([place.see(markers) for place in self.places])

    @property
    def weight(self) -> float:
        """The sum of the places' weights: times the change of what is decoded it is the change that neurons make."""
        return sum(place.weight for place in self.places)

    def decode(self, neurons: Float32s) -> Float32s:
        """Decode activations: (n_events, n_neurons) → (n_events, n_markers) float32, by the places' weights."""
        if len(self.places) == 1:
            return self.place.decode(neurons)
        total = np.zeros((len(neurons), len(self.marker_names)), dtype=np.float32)
        for place, span in zip(self.places, spans_of(self.places), strict=True):
            total += np.float32(place.weight / self.weight) * place.decode(neurons[:, span])
        return total

    def sample(self, n_events: int, seed: int) -> Self:
        """Draw at most so many events of each population, without replacement."""
        generator = np.random.default_rng(seed)

        def rows(population: Population) -> Int64s:
            return np.sort(generator.permutation(len(population.markers))[:n_events])

        source = rows(self.source)
        return replace(
            self,
            source=self.source.subset(source),
            target=self.target.subset(rows(self.target)),
            extrapolation={name: each.subset(rows(each)) for name, each in self.extrapolation.items()},
            edited=self.edited[source],
        )


@dataclass(frozen=True)
class LabelledEvents:
    """Measured events and their labels.

    Attributes:
        intensities: (n_events, n_markers) raw.
        labels: (n_events,) texts by column.

    Raises:
        DataError: Labels are not one for each event.
    """

    intensities: Float32s
    labels: Mapping[str, Texts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for column, labels in self.labels.items():
            if len(labels) != len(self.intensities):
                raise DataError(
                    f"Labels {column!r}: found {len(labels)} for {len(self.intensities)} events; expected one for "
                    "each event, in the order of the events."
                )


@cache
def example_subject() -> EditSubject:
    """Give the one edit of ``example_model`` as a subject, with other control cells that it is to be applied to.

    Example:
        >>> subject = example_subject()
        >>> subject.layer, subject.marker_names, list(subject.populations)
        ('code', ('CD3', 'CD4', 'pSTAT1'), ['source', 'target', 'other'])
        >>> (subject.change.mean(axis=0) > 0.1).tolist()
        [False, False, True]
    """
    source, other = (LabelledEvents(example_cells(seed), example_labels()) for seed in (0, 2))
    target = LabelledEvents(example_cells(1, treated=1.0), example_labels("treated"))
    return EditSubject.from_model(example_model(), PAIR_EDIT, source, target, {"other": other})


def _beside(activations: list[Float32s]) -> Float32s:
    return activations[0] if len(activations) == 1 else np.concatenate(activations, axis=1)
