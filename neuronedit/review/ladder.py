"""The activation ladder: for each neuron the likeliest cells from its lowest to its highest activations."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import Tensor

from neuronedit.autoencoder import tensor
from neuronedit.landmarks import Landmarks
from neuronedit.percentiles import FloatArray
from neuronedit.review.neurons import Neurons
from neuronedit.review.prior import CodePrior

PERCENTILES: Final = (1, 25, 50, 75, 99)

MAX_REAL: Final = 3_000
"""Real events among which neighbours are looked for; the ratio of two distances hardly depends on their number."""


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

    Source: Nguyen et al. 2016 (arXiv 1605.09304), activation maximisation through a generator.
    """

    marker_names: tuple[str, ...]
    levels: FloatArray
    reached: FloatArray
    spreads: FloatArray
    cells: FloatArray
    realism: FloatArray

    @property
    def errors(self) -> FloatArray:
        """(n_neurons, 5) how far the cells' activations are from what was asked, in the neuron's spreads."""
        return np.abs(self.reached - self.levels) / np.where(self.spreads > 0, self.spreads, 1)[:, None]

    @property
    def live(self) -> npt.NDArray[np.bool_]:
        """(n_neurons,) whether the neuron varies at all."""
        return np.asarray(self.spreads > 0)

    def table(self) -> pd.DataFrame:
        """A row for each neuron and percentile. Columns: neuron, percentile, activation, error, realism, markers."""
        n_neurons, n_levels, n_markers = self.cells.shape
        ladder = pd.DataFrame(
            {
                "neuron": np.repeat(np.arange(n_neurons), n_levels),
                "percentile": np.tile(PERCENTILES, n_neurons),
                "activation": self.levels.ravel(),
                "error": self.errors.ravel(),
                "realism": self.realism.ravel(),
            }
        )
        cells = pd.DataFrame(self.cells.reshape(-1, n_markers), columns=list(self.marker_names))
        return pd.concat([ladder, cells], axis=1)


def activation_ladder(subject: Neurons, prior: CodePrior, seed: int) -> Ladder:
    """Search the likeliest cells for all neurons and percentiles at once.

    Args:
        subject: The edit, as a layer's neurons see it.
        prior: The layer's likely activations.
        seed: Draws the real events to which cells are compared.
    """
    activations = np.concatenate([subject.source.activations, subject.target.activations])
    levels = np.percentile(activations, PERCENTILES, axis=0).T.astype(np.float32)
    spreads = activations.std(axis=0)
    own = np.repeat(np.arange(subject.n_neurons), len(PERCENTILES))
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
        spreads,
        cells.reshape(*levels.shape, -1),
        realism(cells, real, seed).reshape(levels.shape),
    )


def realism(cells: FloatArray, real: FloatArray, seed: int) -> FloatArray:
    """How far cells are from the nearest real event, over what real events are from theirs.

    1 is as near as real events are to one another; a cell without noise of its own, amid real ones, is nearer.

    Args:
        cells: (n_cells, n_markers).
        real: (n_events, n_markers); ``MAX_REAL`` are drawn; at least two must differ.
        seed: Draws them.

    Returns:
        (n_cells,) distances over the median distance of real events to their nearest other.
    """
    drawn = np.random.default_rng(seed).permutation(len(real))[:MAX_REAL]
    kept = Landmarks(np.unique(real[drawn], axis=0))
    own = kept.nearest(tensor(kept.events), 2)[1].numpy()  # an event's nearest is itself, at distance 0
    distances = kept.nearest(tensor(cells), 1)[1].numpy()
    return np.asarray(distances[:, 0] / np.median(own.max(axis=1)))
