"""The events that an edit is fitted on: the populations of a pair, each with equal weight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from neuronedit.composition import match
from neuronedit.design import EditPair
from neuronedit.percentiles import N_PERCENTILES, FloatArray, Weights
from neuronedit.steps import Fitting
from neuronedit.strata import Labels


@dataclass(frozen=True)
class PairEvents:
    """Source and target of one edit.

    Attributes:
        source: (n_source, n_markers) float32, standardised.
        target: (n_target, n_markers) float32, standardised.
        labels: The cell type of each event; None where it is not known.
        target_weights: (n_target,) what each target event counts for; None where all count alike.
    """

    source: FloatArray
    target: FloatArray
    labels: Labels | None = None
    target_weights: Weights | None = None

    @classmethod
    def pool(
        cls,
        pair: EditPair,
        populations: Mapping[str, FloatArray],
        labels: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> Self:
        """The events of a pair's populations.

        Args:
            pair: Which populations the edit leads from and to.
            populations: Standardised, (n_events, n_markers) float32 each.
            labels: The cell type of each event of each population, (n_events,); empty or None where not known.
        """
        source, target = (pool_equally([populations[name] for name in names]) for names in (pair.source, pair.target))
        if not labels:
            return cls(source, target)
        of_source, of_target = (pool_equally([labels[name] for name in names]) for names in (pair.source, pair.target))
        return cls(source, target, (of_source, of_target))

    def matched(self, seed: int) -> Self:
        """The same, with weights that make the target's mix of cell types the source's.

        Raises:
            DataError: They share no cell types, or the target lacks one with a substantial share of the source.
        """
        return replace(self, target_weights=match(self.source, self.target, seed, self.labels).target_weights)

    def fitting(self, n_percentiles: int = N_PERCENTILES, seed: int = 0) -> Fitting:
        """How steps are fitted on these events."""
        return Fitting(n_percentiles, seed, self.target_weights, self.labels)


def pool_equally(populations: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Populations, or their labels, one after another; smaller ones are repeated until all weigh the same.

    Equal to within one round of repeats.
    """
    largest = max(len(population) for population in populations)
    return np.concatenate([population[np.arange(largest) % len(population)] for population in populations])
