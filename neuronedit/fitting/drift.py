"""Measures of an update: how well autoencoders know the new events, and how far old edits drift."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from neuronedit.arrays import Float32s
from neuronedit.measures.moments import rms
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Autoencoder, tensor
from neuronedit.network.chunks import CHUNK


@dataclass(frozen=True)
class EditDrift:
    """The drift of one edit: how far its results moved between two models, on the same events.

    Attributes:
        edit: The edit's name.
        rms: Root mean square of the difference between the edited events of the two models, transformed units.
        change: Root mean square of the first model's change, transformed units.
    """

    edit: str
    rms: float
    change: float

    @property
    def relative(self) -> float:
        """The drift in units of the edit's own change; infinite where an edit that did nothing now does something."""
        if self.rms == 0:
            return 0.0
        return self.rms / self.change if self.change > 0 else float("inf")

    def facts(self) -> dict[str, Any]:
        """The drift, as JSON has it: None if it is infinite."""
        relative = self.relative if np.isfinite(self.relative) else None
        return {"rms": self.rms, "change": self.change, "relative": relative}


def edit_drift(edit: str, before: EditModel, after: EditModel, intensities: Float32s) -> EditDrift:
    """Compare the events that two models edit by the edit of one name.

    Args:
        edit: The edit's name.
        before: The model that was updated.
        after: The updated one, of the same panel.
        intensities: (n_events, n_markers) raw, such as the edit was fitted on.

    Raises:
        ModelError: A model has no such edit.
        DataError: A value is not finite.

    Example:
        A model that stayed as it was; its edit adds 1 to one marker of three:

        >>> from neuronedit.model.example import example_cells, example_model
        >>> drift = edit_drift("pair", example_model(), example_model(), example_cells())
        >>> drift.rms, round(drift.change**2, 2)
        (0.0, 0.33)
    """
    unedited, old, new = (
        before.scaling.transform(events).astype(np.float64)
        for events in (intensities, before.apply(intensities, edit), after.apply(intensities, edit))
    )
    return EditDrift(edit, float(rms(new - old)), float(rms(old - unedited)))


@dataclass(frozen=True)
class Familiarity:
    """Reconstruction errors of new populations, beside those of the populations that the autoencoders were trained on.

    Attributes:
        usual: Mean squared reconstruction error of standardised markers, of held-out events of the populations trained
            on: events that were learned from would make every new one look strange.
        new: Mean squared reconstruction error of each new population, by name.
        limit: Largest error of a familiar population, in units of the usual one.
    """

    usual: float
    new: Mapping[str, float]
    limit: float

    @property
    def ratios(self) -> dict[str, float]:
        """Errors in units of the usual one, by new population."""
        return {name: error / self.usual if self.usual > 0 else float("inf") for name, error in self.new.items()}

    @property
    def strange(self) -> list[str]:
        """New populations that the autoencoders do not know, the strangest first."""
        ratios = self.ratios
        return sorted((name for name in ratios if ratios[name] > self.limit), key=lambda name: -ratios[name])

    @property
    def sentence(self) -> str:
        """The finding, for a person."""
        ratios = self.ratios
        worst = max(ratios, key=lambda name: ratios[name])
        verdict = "the autoencoder knows such events" if not self.strange else "it has to learn such events"
        return (
            f"reconstruction error of {worst!r} is {ratios[worst]:.2f} times that of the populations trained on "
            f"(limit {self.limit:g}): {verdict}"
        )


def reconstruction_error(autoencoders: Sequence[Autoencoder], markers: Float32s) -> float:
    """Mean squared error of standardised markers, (n_events, n_markers) float32; the mean over autoencoders.

    Example:
        An untrained network, whose biases are 0, takes zeros to zeros:

        >>> from neuronedit.network.autoencoder import Architecture
        >>> reconstruction_error([Autoencoder(2, Architecture())], np.zeros((3, 2), np.float32))
        0.0
    """
    with torch.inference_mode():
        sums = [
            float(torch.nn.functional.mse_loss(autoencoder(chunk), chunk, reduction="sum"))
            for autoencoder in autoencoders
            for chunk in tensor(markers).split(CHUNK)
        ]
    return sum(sums) / (len(autoencoders) * markers.size)
