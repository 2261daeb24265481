"""A shift for each kind of cell: soft strata, found in coarsely aligned events, each with its own percentiles."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from torch import Tensor

from neuronedit.arrays import Arrays, Float32s, Floats, Masks, pickled_fields
from neuronedit.edits.operators.lookup import Lookup
from neuronedit.edits.operators.mixture import Mixture
from neuronedit.edits.operators.percentiles import PercentileShift, percentiles, weighted_percentiles
from neuronedit.network.autoencoder import tensor

N_ALIGNMENT_PERCENTILES = 5
"""Percentiles of the coarse alignment, the quartiles: finer ones would force a differing mix into the same shape."""

MIN_MEMBERSHIP = 0.05
"""The least membership that counts in a stratum's percentiles: with less, its extremes would be other strata's."""

REACH = 99
"""The percentile of distances to the nearest stratum, of the events that strata were found in, up to which an event
belongs to its strata in full."""

MIN_STRATUM_EVENTS = 50
"""A stratum with fewer events, in the source or in the target, is not measured well enough to have its own shift."""

EVENTS_PER_STRATUM, FEWEST_STRATA, MOST_STRATA = 800, 4, 24
"""A stratum is looked for in so many events of the smaller population, within these numbers of strata."""

Labels = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""Kinds of cell of the source's and the target's events: (n_source,) and (n_target,)."""


@dataclass(frozen=True)
class StrataShift:
    """The mean of the strata's percentile shifts, weighted by an event's memberships.

    Clustering unaligned populations would find the change itself, not the kinds of cell. So events are first aligned
    by the coarse percentile shift of all events together, then clustered. It assumes that the mix of kinds differs
    little: a quartile that lies in one kind in the source and in another in the target misleads. Memberships and
    shifts are continuous, so that no population is split in two. Events unlike every stratum get the mean of the
    strata's shifts: to take the nearest stratum's would be a guess.

    Attributes:
        alignment: The coarse shift that moves source events near the target's, before their memberships are computed.
        mixture: The strata, as components that give memberships of aligned events.
        strata: Each stratum's own shift, in the order of the mixture's components.
        fell_back: (n_strata,) bool, strata with too few events, which have the shift of all events together.
        reach: The distance from its nearest stratum up to which an event has full memberships (``Mixture``).
    """

    alignment: PercentileShift
    mixture: Mixture
    strata: tuple[PercentileShift, ...]
    fell_back: Masks
    reach: float

    @classmethod
    def fit(
        cls,
        shift: PercentileShift,
        source: Float32s,
        target: Float32s,
        n_strata: int,
        seed: int,
        *,
        target_weights: Floats | None = None,
        labels: Labels | None = None,
    ) -> Self:
        """Find strata in the aligned source and the target, and the shift of each.

        Args:
            shift: The percentile shift of all events together; strata have as many percentiles.
            source: (n_events, n_neurons) activations of the source.
            target: (n_events, n_neurons) activations of the target.
            n_strata: Strata to look for.
            seed: Starts the search for strata.
            target_weights: (n_target,) weights of the target events; equal by default.
            labels: The kinds of cell of source and target, if they are known: strata are then the labelled kinds, and
                other events get memberships by their distance to the labelled ones.

        Example:
            >>> source = np.repeat(np.array([[0], [9]], np.float32), 100, axis=0)
            >>> kinds = np.repeat(["B", "T"], 100)
            >>> whole = PercentileShift.fit(percentiles(source), percentiles(source + 1), "linear")
            >>> fitted = StrataShift.fit(whole, source, source + 1, 2, seed=0, labels=(kinds, kinds))
            >>> [float(stratum.shifts.mean()) for stratum in fitted.strata], fitted.fell_back.tolist()
            ([1.0, 1.0], [False, False])
        """
        alignment = PercentileShift.fit(
            percentiles(source, N_ALIGNMENT_PERCENTILES),
            percentiles(target, N_ALIGNMENT_PERCENTILES, target_weights),
            "linear",
        )
        aligned = source + alignment.shift_at(tensor(source)).numpy()
        mixture = (
            Mixture.fit([aligned, target], n_strata, seed)
            if labels is None
            else Mixture.from_labels(np.concatenate([aligned, target]), np.concatenate(labels))
        )
        nearest = mixture.distances(np.concatenate([aligned, target])).min(axis=1)
        in_source, in_target = (
            (_counting(mixture.memberships(tensor(population)).numpy()) for population in (aligned, target))
            if labels is None
            else (_one_hot(part, labels) for part in labels)
        )
        fell_back = np.minimum(in_source.sum(axis=0), in_target.sum(axis=0)) < MIN_STRATUM_EVENTS
        if target_weights is not None:
            in_target = (in_target * target_weights[:, None]).astype(np.float32)
        n_percentiles = len(shift.source_percentiles)
        strata = tuple(
            shift
            if too_small
            else PercentileShift.fit(
                weighted_percentiles(source, source_weights, n_percentiles),
                weighted_percentiles(target, target_weights, n_percentiles),
                "linear",
            )
            for too_small, source_weights, target_weights in zip(fell_back, in_source.T, in_target.T, strict=True)
        )
        # In a Gaussian component, the mean squared distance is the number of neurons: nearer is never far.
        reach = max(float(np.percentile(nearest, REACH)), float(source.shape[1]))
        return cls(alignment, mixture, strata, fell_back, reach)

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Restore a shift from its ``arrays``."""
        knots, shifts = arrays["knots"], arrays["shifts"]
        return cls(
            PercentileShift(arrays["alignment.knots"], arrays["alignment.shifts"], "linear"),
            Mixture(arrays["centres"], arrays["spreads"], arrays["log_weights"]),
            tuple(PercentileShift(*stratum, "linear") for stratum in zip(knots, shifts, strict=True)),
            arrays["fell_back"],
            float(arrays["reach"][0]),
        )

    def arrays(self) -> Arrays:
        """Give alignment, mixture and the strata's percentiles by their names in a model's file."""
        return {
            "alignment.knots": self.alignment.source_percentiles,
            "alignment.shifts": self.alignment.shifts,
            "centres": self.mixture.centres,
            "spreads": self.mixture.spreads,
            "log_weights": self.mixture.log_weights,
            "knots": np.stack([stratum.source_percentiles for stratum in self.strata]),
            "shifts": np.stack([stratum.shifts for stratum in self.strata]),
            "fell_back": self.fell_back,
            "reach": np.array([self.reach]),
        }

    def shift_at(self, activations: Tensor) -> Tensor:
        """The shift of each activation: (n_events, n_neurons) → (n_events, n_neurons) float32."""
        return self.lookup.mean_at(activations, self.memberships(activations))

    @cached_property
    def lookup(self) -> Lookup:
        """The strata's shifts as lookup tables, made at first use."""
        return Lookup.from_knots(
            [stratum.source_percentiles for stratum in self.strata],
            [stratum.shifts for stratum in self.strata],
            "linear",
        )

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the fields alone: the receiver makes its own lookup tables."""
        return pickled_fields(self)

    def memberships(self, activations: Tensor) -> Tensor:
        """How far each event belongs to each stratum: (n_events, n_neurons) → (n_events, n_strata), rows sum to 1."""
        return self.mixture.memberships(activations + self.alignment.shift_at(activations), self.reach)


def n_strata_for(source: Float32s, target: Float32s) -> int:
    """Give the number of strata that source and target, (n_events, n_neurons), have events for.

    Example:
        >>> [n_strata_for(np.empty((n, 1)), np.empty((30_000, 1))) for n in (500, 4_000, 20_000)]
        [4, 5, 24]
    """
    return int(np.clip(min(len(source), len(target)) // EVENTS_PER_STRATUM, FEWEST_STRATA, MOST_STRATA))


def _counting(memberships: Float32s) -> Float32s:
    return np.where(memberships < MIN_MEMBERSHIP, 0, memberships)


def _one_hot(part: npt.NDArray[Any], labels: Labels) -> Float32s:
    return (part[:, None] == np.unique(np.concatenate(labels))).astype(np.float32)
