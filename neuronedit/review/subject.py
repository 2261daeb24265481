"""The subject of a review: one edit, as the neurons of one layer see it, with the events that it is reviewed on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import torch

from neuronedit.arrays import Float32s, Int64s, Texts
from neuronedit.cells.design import PAIR_EDIT
from neuronedit.edits.edit import Edit
from neuronedit.edits.learnable import hide
from neuronedit.edits.operators.percentiles import Shift
from neuronedit.errors import DataError, listing, nearest_name
from neuronedit.model.edit_model import EditModel
from neuronedit.model.example import example_cells, example_labels, example_model
from neuronedit.network.autoencoder import CODE, Autoencoder, tensor
from neuronedit.network.chunks import CHUNK, activations

OWN_SHIFT: Final = "the shift that the edit gives this layer"
ENCODED_AGAIN: Final = "the edited events, encoded again"

SOURCE: Final = "source"
TARGET: Final = "target"
POPULATION: Final = "population"
"""The label of pooled events that says which population each is of."""


@dataclass(frozen=True)
class Population:
    """Events, their activations in the layer under review, and their labels.

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
    """One edit, as the neurons of one layer see it.

    Attributes:
        edit: The edit under review.
        layer: The name of the layer.
        marker_names: (n_markers,) names, in the panel's order.
        autoencoder: The model's first, frozen.
        source: The events that the edit was fitted from.
        target: The events that it was fitted to.
        extrapolation: Populations that it is to be applied to, by name; empty where none is known.
        edited: The source's activations after the edit, (n_source, n_neurons) float32.
        seen_by: The way to ``edited``: ``OWN_SHIFT`` or ``ENCODED_AGAIN``.
    """

    edit: Edit
    layer: str
    marker_names: tuple[str, ...]
    autoencoder: Autoencoder
    source: Population
    target: Population
    extrapolation: Mapping[str, Population]
    edited: Float32s
    seen_by: str

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
        """Encode a model's events in one layer of its first autoencoder.

        Args:
            model: The model to review.
            edit: The edit's name.
            source: Raw intensities and labels.
            target: Raw intensities and labels.
            extrapolation: Raw intensities and labels, by name.
            layer: The layer's name; by default the hidden layer that the edit edits, or else the code.

        Raises:
            ModelError: The model has no such edit.
            ConfigError: The autoencoder has no such layer.
            DataError: Labels are not one for each event.
        """
        fitted = model.get_edit(edit)
        layer = layer or edited_layer(fitted)

        def encode(events: LabelledEvents) -> Population:
            markers = hide(model.standardised(events.intensities), fitted.support.hidden)  # as the edit sees them
            return Population(markers, activations(model.autoencoder, markers, layer), dict(events.labels))

        of_source = encode(source)
        edited, seen_by = _edited(model, fitted, layer, of_source)
        others = {name: encode(events) for name, events in (extrapolation or {}).items()}
        return cls(
            fitted, layer, model.panel.markers, model.autoencoder, of_source, encode(target), others, edited, seen_by
        )

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
        of_events = [np.full(len(part.markers), name, dtype=object) for name, part in parts.items()]
        return Population(
            np.concatenate([part.markers for part in parts.values()]),
            np.concatenate([part.activations for part in parts.values()]),
            labels | {POPULATION: np.concatenate(of_events)},
        )

    @property
    def n_neurons(self) -> int:
        """The number of neurons of the layer."""
        return int(self.source.activations.shape[1])

    @property
    def change(self) -> Float32s:
        """The edit's change of the source's activations: (n_source, n_neurons) float32."""
        return self.edited - self.source.activations

    def encode(self, markers: Float32s) -> Float32s:
        """Encode events: (n_events, n_markers) standardised → (n_events, n_neurons), both float32."""
        return activations(self.autoencoder, markers, self.layer)

    def decode(self, neurons: Float32s) -> Float32s:
        """Decode activations: (n_events, n_neurons) → (n_events, n_markers) standardised, both float32."""
        with torch.inference_mode():
            chunks = [self.autoencoder.decode(chunk, self.layer) for chunk in tensor(neurons).split(CHUNK)]
            return np.asarray(torch.cat(chunks).numpy())

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


def edited_layer(edit: Edit) -> str:
    """The hidden layer whose neurons an edit shifts first, by the member of the largest weight; else the code.

    Example:
        >>> from neuronedit.edits.edit import fit_edit
        >>> from neuronedit.edits.operators.table import EditStep
        >>> from neuronedit.network.autoencoder import Architecture
        >>> networks, cells = (Autoencoder(1, Architecture()),), np.linspace(0, 1, 200, dtype=np.float32)[:, None]
        >>> steps = (EditStep(layer="encoder.2"),)
        >>> edited_layer(fit_edit("pair", networks, steps, cells, cells + 1, zeros=np.full(1, -9, np.float32)))
        'encoder.2'
    """
    found = _shift(edit)
    return found[0] if found else CODE


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


def _shift(edit: Edit, layer: str | None = None) -> tuple[str, Shift] | None:
    """The heaviest member's first shift of neurons of the first autoencoder, with its layer: the one named, if any."""
    members = sorted(edit.members, key=lambda member: -member.weight)
    firsts = [member.steps[0] for member in members if member.autoencoder == 0 and member.steps[0].plan.latent]
    return next((found for step in firsts for found in step.shifts.items() if layer in (None, found[0])), None)


def _edited(model: EditModel, edit: Edit, layer: str, source: Population) -> tuple[Float32s, str]:
    found = _shift(edit, layer)
    if found:
        return source.activations + found[1].shift_at(tensor(source.activations)).numpy(), OWN_SHIFT
    moved = edit.apply(model.autoencoders, source.markers)
    return activations(model.autoencoder, moved, layer), ENCODED_AGAIN
