"""The activation ladder: for each neuron the likeliest cells from its lowest to its highest activations."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import pandas as pd
from torch import Tensor

from neuronedit.arrays import Float32s, Int64s, Masks
from neuronedit.edits.operators.landmarks import Landmarks
from neuronedit.network.autoencoder import tensor
from neuronedit.review.neurons.prior import CodePrior
from neuronedit.review.places import spans_of
from neuronedit.review.subject import EditSubject

PERCENTILES: Final = (1, 25, 50, 75, 99)

MAX_REAL: Final = 3_000
"""Real events among which neighbours are looked for; the ratio of two distances hardly depends on their number."""

MAX_CLIMBED: Final = 50
"""Neurons of several places whose ladders are climbed: the time grows with neurons times the square of the width."""


@dataclass(frozen=True)
class Ladder:
    """The likeliest cell for each neuron and each of five percentiles of its activations.

    Attributes:
        marker_names: (n_markers,) names, in the panel's order.
        levels: (n_neurons, 5) float32, the activations at ``PERCENTILES`` of source and target.
        reached: (n_neurons, 5) float32, the cells' activations when they are encoded.
        spreads: (n_neurons,) float32, standard deviations of activations; 0 for a dead neuron.
        cells: (n_neurons, 5, n_markers) float32, standardised.
        realism: (n_neurons, 5) float64, see ``realism``.
        numbers: (n_neurons,) int64, the neurons' numbers among all that the edit edits; by default all, in order.

    Source: Nguyen et al. 2016 (arXiv 1605.09304), activation maximisation through a generator.
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


def activation_ladder(subject: EditSubject, prior: CodePrior, seed: int, neurons: Int64s | None = None) -> Ladder:
    """Search the likeliest cells for neurons of one place and all percentiles at once.

    Args:
        subject: The edit, as the neurons of one place see it.
        prior: The layer's likely activations.
        seed: Draws the real events to which cells are compared.
        neurons: (n_climbed,) numbers of the neurons; all by default.

    Example:
        From its lowest to its highest activations, cells rise in the marker that the neuron reads:

        >>> from neuronedit.review.subject import example_subject
        >>> subject = example_subject()
        >>> prior = CodePrior.fit(subject.source.activations, seed=0)
        >>> ladder = activation_ladder(subject, prior, seed=0)
        >>> (np.diff(ladder.cells[2, :, 2]) > 0).tolist()
        [True, True, True, True]
    """
    climbed = np.arange(subject.n_neurons) if neurons is None else neurons
    activations = np.concatenate([subject.source.activations, subject.target.activations])
    levels = np.percentile(activations, PERCENTILES, axis=0).T.astype(np.float32)[climbed]
    spreads = activations.std(axis=0)
    own = np.repeat(climbed, len(PERCENTILES))
    chosen = tensor(own)[None, :, None]

    def activation(codes: Tensor) -> Tensor:
        network, layer = subject.autoencoder, subject.layer
        found = network.encode(network.decode(codes, layer), layer)
        return found.gather(2, chosen.expand(len(found), -1, -1))[..., 0]

    scales = np.where(spreads > 0, spreads, 1).astype(np.float32)[own]
    found = prior.likeliest(activation, levels.ravel(), scales)
    cells = subject.decode(found.neurons)
    reached = np.take_along_axis(subject.encode(cells), own[:, None], axis=1)
    real = np.concatenate([subject.source.markers, subject.target.markers])
    return Ladder(
        subject.marker_names,
        levels,
        reached.reshape(levels.shape),
        spreads[climbed],
        cells.reshape(*levels.shape, -1),
        realism(cells, real, seed).reshape(levels.shape),
        neurons,
    )


def edit_ladder(subject: EditSubject, prior_at: Callable[[int], CodePrior], order: Int64s, seed: int) -> Ladder:
    """Climb the ladders of an only place's neurons, or of the first ``MAX_CLIMBED`` neurons of several places.

    Each ladder has likely activations of its neuron's own place, decoded there.

    Args:
        subject: The edit, as its neurons see it.
        prior_at: Gives the likely activations of a place, by its number; not asked where no neuron is climbed.
        order: (n_neurons,) int64, the neurons of all places, the first of which are climbed.
        seed: Draws the real events to which cells are compared.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> subject = example_subject()
        >>> prior = CodePrior.fit(subject.source.activations, seed=0)
        >>> edit_ladder(subject, lambda place: prior, np.array([2, 0, 1]), seed=0).neurons.tolist()
        [0, 1, 2]
    """
    if len(subject.places) == 1:
        return activation_ladder(subject, prior_at(0), seed)
    first, found = np.sort(order[:MAX_CLIMBED]), []
    for number, span in enumerate(spans_of(subject.places)):
        own = first[(first >= span.start) & (first < span.stop)]
        if len(own):
            ladder = activation_ladder(subject.at(number), prior_at(number), seed, own - span.start)
            found.append(replace(ladder, numbers=own))
    return _joined(found)


def _joined(ladders: list[Ladder]) -> Ladder:
    arrays = [each.name for each in fields(Ladder) if each.name != "marker_names"]
    return Ladder(
        ladders[0].marker_names, *(np.concatenate([getattr(ladder, name) for ladder in ladders]) for name in arrays)
    )


def realism(cells: Float32s, real: Float32s, seed: int) -> Float32s:
    """How far cells are from the nearest real event, over what real events are from theirs.

    1 is as near as real events are to one another; a cell without noise of its own, amid real ones, is nearer.

    Args:
        cells: (n_cells, n_markers).
        real: (n_events, n_markers); ``MAX_REAL`` are drawn; at least two must differ.
        seed: Draws them.

    Returns:
        (n_cells,) distances over the median distance of real events to their nearest other.

    Example:
        Real events lie 1 apart; of two cells, one is as near, the other three times as far:

        >>> real = np.arange(5, dtype=np.float32)[:, None]
        >>> realism(np.float32([[5.0], [7.0]]), real, seed=0).tolist()
        [1.0, 3.0]
    """
    drawn = np.random.default_rng(seed).permutation(len(real))[:MAX_REAL]
    kept = Landmarks(np.unique(real[drawn], axis=0))
    own = kept.nearest(tensor(kept.events), 2)[1].numpy()  # an event's nearest is itself, at distance 0
    distances = kept.nearest(tensor(cells), 1)[1].numpy()
    return np.asarray(distances[:, 0] / np.median(own.max(axis=1)))
