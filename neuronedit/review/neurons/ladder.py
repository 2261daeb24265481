"""The activation ladder: for each neuron typical real cells from its lowest to its highest activations."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s, Int64s, Masks
from neuronedit.review.neurons.reals import RealCells, realism
from neuronedit.review.places import spans_of
from neuronedit.review.subject import EditSubject

PERCENTILES: Final = (1, 25, 50, 75, 99)

MAX_CLIMBED: Final = 50
"""Neurons of several places whose ladders are climbed: hundreds would fill the page."""


@dataclass(frozen=True)
class Ladder:
    """A typical real cell for each neuron and each of five percentiles of its activations.

    Attributes:
        marker_names: (n_markers,) names, in the panel's order.
        levels: (n_neurons, 5) float32, the activations at ``PERCENTILES`` of source and target.
        reached: (n_neurons, 5) float32, the cells' activations.
        spreads: (n_neurons,) float32, standard deviations of activations; 0 for a dead neuron.
        cells: (n_neurons, 5, n_markers) float32, standardised.
        realism: (n_neurons, 5) float64, see ``realism``.
        numbers: (n_neurons,) int64, the neurons' numbers among all that the edit edits; by default all, in order.

    Source: Nguyen et al. 2016 (arXiv 1605.09304), activation maximisation; here by a choice among real cells.
    """

    marker_names: tuple[str, ...]
    levels: Float32s
    reached: Float32s
    spreads: Float32s
    cells: Float32s
    realism: Float32s
    numbers: Int64s | None = None

    @property
    def neurons(self) -> Int64s:
        """(n_neurons,) int64, the neurons' numbers."""
        return np.arange(len(self.levels)) if self.numbers is None else self.numbers

    @property
    def errors(self) -> Float32s:
        """(n_neurons, 5) how far the cells' activations are from what was asked, in the neuron's spreads."""
        return np.abs(self.reached - self.levels) / np.where(self.spreads > 0, self.spreads, 1)[:, None]

    @property
    def live(self) -> Masks:
        """(n_neurons,) whether the neuron varies at all."""
        return np.asarray(self.spreads > 0)

    def table(self) -> pd.DataFrame:
        """A row for each neuron and percentile. Columns: neuron, percentile, activation, error, realism, markers."""
        n_neurons, n_levels, n_markers = self.cells.shape
        ladder = pd.DataFrame(
            {
                "neuron": np.repeat(self.neurons, n_levels),
                "percentile": np.tile(PERCENTILES, n_neurons),
                "activation": self.levels.ravel(),
                "error": self.errors.ravel(),
                "realism": self.realism.ravel(),
            }
        )
        cells = pd.DataFrame(self.cells.reshape(-1, n_markers), columns=list(self.marker_names))
        return pd.concat([ladder, cells], axis=1)


def activation_ladder(subject: EditSubject, cells: RealCells, seed: int, neurons: Int64s | None = None) -> Ladder:
    """Choose typical real cells for neurons of one place and all percentiles.

    Args:
        subject: The edit, as the neurons of one place see it.
        cells: The place's source and target.
        seed: Draws the real events to which cells are compared.
        neurons: (n_climbed,) numbers of the neurons; all by default.

    Example:
        From its lowest to its highest activations, cells rise in the marker that the neuron reads:

        >>> from neuronedit.review.subject import example_subject
        >>> subject = example_subject()
        >>> ladder = activation_ladder(subject, RealCells.of(subject), seed=0)
        >>> (np.diff(ladder.cells[2, :, 2]) > 0).tolist()
        [True, True, True, True]
    """
    climbed = np.arange(subject.n_neurons) if neurons is None else neurons
    values = cells.activations[:, climbed]
    levels = np.percentile(values, PERCENTILES, axis=0).T.astype(np.float32)
    everyone = np.arange(len(values))
    chosen = np.array(
        [[cells.typical(own, level, everyone) for level in asked] for own, asked in zip(values.T, levels, strict=True)],
        dtype=np.int64,
    ).reshape(levels.shape)
    found = cells.markers[chosen]
    return Ladder(
        subject.marker_names,
        levels,
        np.take_along_axis(values, chosen.T, axis=0).T,
        values.std(axis=0),
        found,
        realism(found.reshape(chosen.size, -1), cells.markers, seed).reshape(levels.shape),
        neurons,
    )


def edit_ladder(subject: EditSubject, cells_at: Callable[[int], RealCells], order: Int64s, seed: int) -> Ladder:
    """Climb the ladders of an only place's neurons, or of the first ``MAX_CLIMBED`` neurons of several places.

    Each ladder is of its neuron's own place, as that place sees the cells.

    Args:
        subject: The edit, as its neurons see it.
        cells_at: Gives a place's source and target, by its number; not asked where no neuron is climbed.
        order: (n_neurons,) int64, the neurons of all places, the first of which are climbed.
        seed: Draws the real events to which cells are compared.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> subject = example_subject()
        >>> cells = RealCells.of(subject)
        >>> edit_ladder(subject, lambda place: cells, np.array([2, 0, 1]), seed=0).neurons.tolist()
        [0, 1, 2]
    """
    if len(subject.places) == 1:
        return activation_ladder(subject, cells_at(0), seed)
    first, found = np.sort(order[:MAX_CLIMBED]), []
    for number, span in enumerate(spans_of(subject.places)):
        own = first[(first >= span.start) & (first < span.stop)]
        if len(own):
            ladder = activation_ladder(subject.at(number), cells_at(number), seed, own - span.start)
            found.append(replace(ladder, numbers=own))
    return _joined(found)


def _joined(ladders: list[Ladder]) -> Ladder:
    arrays = [each.name for each in fields(Ladder) if each.name != "marker_names"]
    return Ladder(
        ladders[0].marker_names, *(np.concatenate([getattr(ladder, name) for ladder in ladders]) for name in arrays)
    )
