"""Which events of the target are the counterparts of which kinds of cell in the source, without labels.

Kinds are found in the source alone, as components of a mixture; in the target, each component may have moved, and may
hold another share of the events. Clustering both together would find the change, not the kinds; aligning the
populations first, by percentiles, would take a differing mix of kinds for a change.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from neuronedit.mixture import Mixture
from neuronedit.percentiles import FloatArray

FloatArray64 = npt.NDArray[np.float64]

TELLING = 0.6
"""A marker tells kinds apart if at least this share of its variance in the source lies between kinds. Functional
markers rarely do, and they are those that an effect moves: kinds are followed by the others."""

MIN_TELLING = 3
"""So many markers are kept in any case, the most telling first."""

CONSISTENT = 0.5
"""A marker is consistent while its displacements differ between kinds by at most this, as a share of how far the kinds
themselves lie apart: beyond, the change itself would decide which kinds are counterparts."""

N_ROUNDS = 4
"""Searches at most, each without the markers that were found inconsistent by the one before it."""

WIDENED = 8.0 * 0.8 ** np.arange(40)
"""What components' variances are multiplied by at each step of a search, 1 at the least: it starts with wide
components, which reach kinds that have moved, and narrows."""

PRIOR_EVENTS = 50
"""A component's displacement counts against so many events of the displacement that all kinds have in common: one
without events in the target moves with the others, and takes none of theirs."""


@dataclass(frozen=True)
class Counterparts:
    """Kinds of cell in the source, and the same kinds in the target.

    Attributes:
        markers: (n_telling,) int64, columns that the kinds were followed by.
        source: The mixture of the source in these markers.
        target: The same components, displaced and with shares of their own.
    """

    markers: npt.NDArray[np.int64]
    source: Mixture
    target: Mixture

    @classmethod
    def fit(cls, source: FloatArray, target: FloatArray, n_kinds: int, seed: int) -> Self:
        """Find kinds in the source and follow them to the target.

        Args:
            source: (n_events, n_markers).
            target: (n_events, n_markers).
            n_kinds: Components looked for.
            seed: Where the search for components starts.
        """
        markers = _telling(source, n_kinds, seed)
        for _ in range(N_ROUNDS):
            mixture = Mixture.fit([source[:, markers]], n_kinds, seed)
            moved = _follow(mixture, source[:, markers], target[:, markers])
            spread_of_moves = _between(moved.centres - mixture.centres, moved)
            inconsistency = np.sqrt(spread_of_moves / np.maximum(_between(mixture.centres, moved), _TINY))
            kept = inconsistency <= max(CONSISTENT, float(np.median(inconsistency)))
            if kept.all() or kept.sum() < MIN_TELLING:
                break
            markers = markers[kept]
        return cls(markers, mixture, moved)

    def source_memberships(self, source: FloatArray) -> FloatArray:
        """How far each source event belongs to each kind: (n_events, n_markers) → (n_events, n_kinds), sums 1."""
        return self.source.memberships(source[:, self.markers])

    def target_memberships(self, target: FloatArray) -> FloatArray:
        """How far each target event belongs to each kind: (n_events, n_markers) → (n_events, n_kinds), sums 1."""
        return self.target.memberships(target[:, self.markers])


_TINY = float(np.finfo(np.float64).tiny)


def _telling(source: FloatArray, n_kinds: int, seed: int) -> npt.NDArray[np.int64]:
    """Columns that tell kinds apart, ascending: (n_telling,)."""
    memberships = Mixture.fit([source], n_kinds, seed).memberships(source).astype(np.float64)
    shares = memberships.mean(axis=0)
    centres = memberships.T @ source / np.maximum(memberships.sum(axis=0), _TINY)[:, None]
    between = shares @ (centres - shares @ centres) ** 2
    told = between / np.maximum(source.var(axis=0, dtype=np.float64), _TINY)
    enough = max(MIN_TELLING, int((told >= TELLING).sum()))
    return np.sort(np.argsort(-told, kind="stable")[:enough])


def _between(centres: FloatArray, mixture: Mixture) -> FloatArray64:
    """Variance between kinds, weighted by a mixture's shares: (n_kinds, n_markers) → (n_markers,)."""
    shares = np.exp(mixture.log_weights.astype(np.float64))
    return np.asarray(shares @ (centres - shares @ centres) ** 2)


def _follow(mixture: Mixture, source: FloatArray, target: FloatArray) -> Mixture:
    """The components as they are in the target: the likelier of two searches, from where they were and beside it."""
    events = target.astype(np.float64)
    beside = np.median(events, axis=0) - np.median(source, axis=0)
    found = [_search(mixture, events, start) for start in (np.zeros_like(beside), beside)]
    return max(found, key=lambda result: result[1])[0]


def _search(mixture: Mixture, target: FloatArray64, start: FloatArray64) -> tuple[Mixture, float]:
    """Expectation–maximisation over displacements and shares; spreads stay the source's.

    Returns:
        The displaced mixture, and the target's mean log-likelihood before the last step.
    """
    centres, log_shares = mixture.centres.astype(np.float64), mixture.log_weights.astype(np.float64)
    displacements = np.tile(start, (len(centres), 1))
    for widened in np.maximum(WIDENED, 1):
        log_densities = log_shares + _log_density(target, centres + displacements, mixture.spreads, widened)
        log_likelihoods = np.logaddexp.reduce(log_densities, axis=1)
        memberships = np.exp(log_densities - log_likelihoods[:, None])
        counts = memberships.sum(axis=0)
        log_shares = np.log(np.maximum(counts, 1e-3) / len(target))
        means = memberships.T @ target / np.maximum(counts, _TINY)[:, None]
        own = means - centres
        common = np.median(own[counts >= min(PRIOR_EVENTS, counts.max())], axis=0)
        displacements = (counts[:, None] * own + PRIOR_EVENTS * common) / (counts[:, None] + PRIOR_EVENTS)
    displaced = Mixture((centres + displacements).astype(np.float32), mixture.spreads, log_shares.astype(np.float32))
    return displaced, float(log_likelihoods.mean())


def _log_density(target: FloatArray64, centres: FloatArray64, spreads: FloatArray, widened: float) -> FloatArray64:
    """Up to a constant: (n_events, n_markers), (n_kinds, n_markers) → (n_events, n_kinds)."""
    columns = [
        -((((target - centre) / spread) ** 2 / 2 + np.log(spread)).sum(axis=1)) / widened
        for centre, spread in zip(centres, spreads.astype(np.float64), strict=True)
    ]
    return np.stack(columns, axis=1)
