"""The events that an edit is fitted on: the populations of a pair, each with equal weight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from neuronedit.arrays import Float32s, Floats
from neuronedit.cells.design import EditPair
from neuronedit.edits.mix.composition import match
from neuronedit.edits.operators.percentiles import N_PERCENTILES
from neuronedit.edits.operators.strata import Labels
from neuronedit.edits.operators.table import Fitting


@dataclass(frozen=True)
class PairEvents:
    """Source and target of one edit.

    Attributes:
        source: (n_source, n_markers) float32, standardised.
        target: (n_target, n_markers) float32, standardised.
        labels: (n_source,) and (n_target,) cell types of the events; None if they are unknown.
        target_weights: (n_target,) weights of the target events; None if all weigh the same.
        unlearnable: Columns of markers that cannot be learned from them, each with the reason.
        unmoved: Columns of markers that the edit is not to move.
    """

    source: Float32s
    target: Float32s
    labels: Labels | None = None
    target_weights: Floats | None = None
    unlearnable: Mapping[int, str] = field(default_factory=dict)
    unmoved: tuple[int, ...] = ()

    @classmethod
    def pool(
        cls,
        pair: EditPair,
        populations: Mapping[str, Float32s],
        labels: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> Self:
        """Pool the populations of each side of a pair, each with equal weight.

        Args:
            pair: Names of the populations that the edit leads from and to.
            populations: (n_events, n_markers) float32 each, standardised, by name.
            labels: (n_events,) cell types of each population's events, by name; empty or None if unknown.

        Example:
            >>> populations = {"source": np.zeros((3, 2)), "target": np.ones((5, 2))}
            >>> events = PairEvents.pool(EditPair("pair", ("source",), ("target",)), populations)
            >>> events.source.shape, events.target.shape
            ((3, 2), (5, 2))
        """
        source, target = (pool_equally([populations[name] for name in names]) for names in (pair.source, pair.target))
        if not labels:
            return cls(source, target)
        of_source, of_target = (pool_equally([labels[name] for name in names]) for names in (pair.source, pair.target))
        return cls(source, target, (of_source, of_target))

    def matched(self, seed: int) -> Self:
        """Add weights that give the target the source's mix of cell types.

        Raises:
            DataError: They share no cell types, or the target lacks one with a substantial share of the source.
        """
        return replace(self, target_weights=match(self.source, self.target, seed, self.labels).target_weights)

    def fitting(self, n_percentiles: int = N_PERCENTILES, seed: int = 0) -> Fitting:
        """Make the settings and weights by which steps are fitted on these events."""
        return Fitting(n_percentiles, seed, self.target_weights, self.labels, self.unmoved)


def pool_equally(populations: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Concatenate populations, or their labels; smaller ones are repeated, whole and in part, to the largest's size.

    Example:
        >>> pool_equally([np.array([1, 2, 3]), np.array([7, 8])]).tolist()
        [1, 2, 3, 7, 8, 7]
    """
    largest = max(len(population) for population in populations)
    return np.concatenate([population[np.arange(largest) % len(population)] for population in populations])
