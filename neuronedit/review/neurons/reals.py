"""The real cells that a layer was reviewed on, and the choice of typical ones: nothing that is shown was made up."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from neuronedit.arrays import Float32s, Int64s
from neuronedit.edits.operators.landmarks import Landmarks
from neuronedit.network.autoencoder import tensor
from neuronedit.review.subject import EditSubject

N_BAND: Final = 100
"""Cells about a level of a value, among which a cell is typical."""

MAX_MISS: Final = 0.05
"""How far a typical cell's value may be from the level asked for, in the value's standard deviations."""

MAX_REAL: Final = 3_000
"""Real events among which neighbours are looked for; the ratio of two distances hardly depends on their number."""


@dataclass(frozen=True)
class RealCells:
    """Source and target of one place, the source's cells first.

    A cell that is searched for by a prior can lie where no cell is: of eight Gaussians the likeliest point was in the
    tightest, and 84 % of such cells had a marker that 0.9 % of real cells have. A real cell needs no prior.

    Attributes:
        markers: (n_cells, n_markers) float32, standardised.
        activations: (n_cells, n_neurons) float32.
        n_source: How many are the source's.
    """

    markers: Float32s
    activations: Float32s
    n_source: int

    @classmethod
    def of(cls, subject: EditSubject) -> "RealCells":
        """Pool a subject's source and target.

        Example:
            >>> from neuronedit.review.subject import example_subject
            >>> RealCells.of(example_subject()).n_source
            400
        """
        parts = subject.source, subject.target
        return cls(
            np.concatenate([part.markers for part in parts]),
            np.concatenate([part.activations for part in parts]),
            len(subject.source.markers),
        )

    @property
    def source(self) -> Int64s:
        """Numbers of the source's cells."""
        return np.arange(self.n_source)

    @property
    def target(self) -> Int64s:
        """Numbers of the target's cells."""
        return np.arange(self.n_source, len(self.markers))

    def typical(self, values: Float32s, level: float, among: Int64s) -> int:
        """Choose the most typical of the cells that have a value near a level.

        Of the cells within ``MAX_MISS`` of the level, or else the nearest to it, it is the one that half of the
        ``N_BAND`` cells about the level are nearest to: amid the largest kind of cell there, not between kinds.

        Args:
            values: (n_cells,) a neuron's activations, or any other number of each cell.
            level: The value asked for.
            among: Numbers of the cells to choose from.

        Returns:
            The cell's number.

        Source: Rousseeuw 1984, J. Am. Stat. Assoc. 79, least median of squares, here among the cells themselves.
        """
        misses = np.abs(values[among] - level)
        order = np.argsort(misses, kind="stable")[:N_BAND]
        band = among[order]
        near = np.count_nonzero(misses[order] <= MAX_MISS * values.std())
        distances = squares(self.markers[band[: max(near, 1)]], self.markers[band])
        return int(band[np.median(distances, axis=1).argmin()])

    def nearest(self, cells: Int64s, among: Int64s) -> Int64s:
        """Give the numbers of the cells whose markers are nearest to those of some: (n,), of others → (n,)."""
        return np.asarray(among[squares(self.markers[cells], self.markers[among]).argmin(axis=1)])


def squares(first: Float32s, second: Float32s) -> Float32s:
    """Squared distances of all pairs: (n_first, n_markers), (n_second, n_markers) → (n_first, n_second).

    Example:
        >>> squares(np.float32([[0.0, 0.0]]), np.float32([[3.0, 4.0]])).tolist()
        [[25.0]]
    """
    norms = [(cells**2).sum(axis=1) for cells in (first, second)]
    return np.asarray(norms[0][:, None] + norms[1][None] - 2 * first @ second.T)


def realism(cells: Float32s, real: Float32s, seed: int) -> Float32s:
    """How far cells are from the nearest other real event, over what real events are from theirs.

    Args:
        cells: (n_cells, n_markers).
        real: (n_events, n_markers); ``MAX_REAL`` are drawn; at least three must differ.
        seed: Draws them.

    Returns:
        (n_cells,) distances over the median distance of real events to their nearest other.

    Example:
        Real events lie 1 apart; a cell beyond them is three times as far, and one of them as near as all are:

        >>> real = np.arange(5, dtype=np.float32)[:, None]
        >>> realism(np.float32([[7.0], [2.0]]), real, seed=0).tolist()
        [3.0, 1.0]
    """
    drawn = np.random.default_rng(seed).permutation(len(real))[:MAX_REAL]
    kept = Landmarks(np.unique(real[drawn], axis=0))
    usual, found = (_to_nearest_other(kept, events) for events in (kept.events, cells))
    return np.asarray(found / np.median(usual))


def _to_nearest_other(kept: Landmarks, events: Float32s) -> Float32s:
    """Distances to the nearest landmark that is not the event itself: (n_events, n_markers) → (n_events,)."""
    distances = np.sort(kept.nearest(tensor(events), 2)[1].numpy(), axis=1)
    return np.where(distances[:, 0] > 0, distances[:, 0], distances[:, 1])
