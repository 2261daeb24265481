"""A marker's cumulative distribution as a line: the share of events up to each value."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from neuronedit.arrays import Float32s, Float64s, Int64s
from neuronedit.model.quality.counting import AT_ZERO, EDGES, N_BINS


@dataclass(frozen=True)
class Cumulative:
    """A cumulative distribution, straight between its points; several points at one value are a jump.

    Attributes:
        values: (n_points,) ascending, standard deviations from the mean.
        shares: (n_points,) ascending from 0 to 1, the share of events up to each value.
        spike: The share at exact zero intensity, 0 if it was not counted apart.
    """

    values: Float64s
    shares: Float64s
    spike: float = 0.0

    @classmethod
    def from_percentiles(cls, percentiles: Float32s) -> Self:
        """Make the line through evenly spaced percentiles, (n_percentiles,)."""
        return cls(percentiles.astype(np.float64), np.linspace(0, 1, len(percentiles)))

    @classmethod
    def from_counts(cls, counts: Int64s, lowest: float, highest: float, zero: float) -> Self | None:
        """Make the line of one marker's counts in a tally, spreading a bin's events evenly; None without events.

        Args:
            counts: (N_BINS + 2,) int64, see ``Counts.values``.
            lowest: The least value: the first bin that is not empty begins there.
            highest: The greatest value: the last bin that is not empty ends there.
            zero: Zero intensity, standardised.
        """
        total = counts[: AT_ZERO + 1].sum()
        if not total:
            return None
        edges = np.clip([min(lowest, EDGES[0]), *EDGES[1:-1], max(highest, EDGES[-1])], lowest, highest)
        shares = np.concatenate([[0], np.cumsum(counts[:N_BINS])]) / total
        if not counts[AT_ZERO]:
            return cls(edges, shares)
        place = int(np.searchsorted(edges, zero, side="right"))
        below, spike = float(np.interp(zero, edges, shares)), float(counts[AT_ZERO] / total)
        return cls(
            np.concatenate([edges[:place], [zero, zero], edges[place:]]),
            np.concatenate([shares[:place], [below, below + spike], shares[place:] + spike]),
            spike,
        )

    def quantiles(self, levels: npt.ArrayLike) -> Float64s:
        """Find the least value up to which a share of the events lies: (n_levels,) between 0 and 1 → (n_levels,)."""
        levels = np.asarray(levels, dtype=np.float64)
        return self._on(np.searchsorted(self.shares, levels, side="left"), levels)

    def emd(self, other: Self) -> float:
        """Compute the earth mover's distance, standard deviations: the exact area between the two lines.

        Example:
            >>> line = Cumulative.from_percentiles(np.array([0.0, 1.0]))
            >>> line.emd(Cumulative.from_percentiles(np.array([2.0, 3.0])))
            2.0
        """
        levels = np.unique(np.concatenate([self.shares, other.shares]))
        starts, ends = levels[:-1], levels[1:]
        # Between two levels both lines are straight, so the gaps at both ends give the area.
        at_start, at_end = (self._between(starts, place) - other._between(starts, place) for place in (starts, ends))
        far = np.abs(at_start) + np.abs(at_end)
        crossing = (at_start**2 + at_end**2) / np.where(far > 0, 2 * far, 1)
        return float(((ends - starts) * np.where(at_start * at_end < 0, crossing, far / 2)).sum())

    def _between(self, starts: Float64s, levels: Float64s) -> Float64s:
        """Interpolate values at levels, each on the piece that begins at its start or contains it."""
        return self._on(np.searchsorted(self.shares, starts, side="right"), levels)

    def _on(self, ends: Int64s, levels: Float64s) -> Float64s:
        """Interpolate values at levels, each on the piece that ends at the given point."""
        ends = np.clip(ends, 1, len(self.shares) - 1)
        height = self.shares[ends] - self.shares[ends - 1]
        part = np.divide(levels - self.shares[ends - 1], height, out=np.zeros_like(levels), where=height > 0)
        return self.values[ends - 1] + np.clip(part, 0, 1) * (self.values[ends] - self.values[ends - 1])
