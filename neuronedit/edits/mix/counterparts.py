"""Counterparts: the source's kinds of cell, found without labels, and the same kinds in the target.

Kinds are found in the source alone, as components of a mixture; in the target, each component may have moved, and may
hold another share of the events. Clustering both together would find the change, not the kinds; aligning the
populations first, by percentiles, would take a differing mix of kinds for a change.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from neuronedit.arrays import Float32s, Float64s, Int64s
from neuronedit.edits.operators.mixture import Mixture
from neuronedit.network.autoencoder import tensor

N_TELLING_KINDS = 8
"""Kinds to find before choosing telling markers: with many more, every marker's variance lies between kinds."""

TELLING = 0.6
"""A marker tells kinds apart if at least this share of its variance in the source lies between kinds. Functional
markers rarely do, and they are those that an effect moves: kinds are followed by the others."""

MIN_TELLING = 4
"""With fewer such markers a population is of one kind, as a gated one is: components would cut across it anywhere."""

CONSISTENT = 0.5
"""A marker is consistent while its displacements differ between kinds by at most this, as a share of how far the kinds
themselves lie apart: beyond it, the change itself would decide which kinds are counterparts."""

N_ROUNDS = 4
"""Searches at most, each without the markers that the one before found inconsistent."""

WIDENED = 8.0 * 0.8 ** np.arange(40)
"""Factors of components' variances at each step of a search, floored at 1: it starts with wide components, which reach
kinds that have moved, and narrows."""

UNLIKELY = 0.001
"""A target event less likely than this share of the source's own is of a kind that the source lacks."""

OVERLAP = 0.1
"""Components that share more than this part of the smaller one's events are one kind, cut in two by the mixture."""

PRIOR_EVENTS = 50
"""Events by which the displacement common to all kinds counts in each component's own: a component without events in
the target moves with the others, and takes none of theirs."""


@dataclass(frozen=True)
class Counterparts:
    """Kinds of cell in the source, and the same kinds in the target.

    Attributes:
        markers: (n_telling,) int64, columns by which the kinds were followed; fewer than ``MIN_TELLING`` if the
            source is of one kind.
        source_memberships: (n_source, n_kinds) float32, rows sum to 1.
        target_memberships: (n_target, n_kinds) float32, rows sum to 1, or less if the source lacks the event's kind.
    """

    markers: Int64s
    source_memberships: Float32s
    target_memberships: Float32s

    @classmethod
    def fit(cls, source: Float32s, target: Float32s, n_kinds: int, seed: int) -> Self:
        """Find kinds in the source and follow them to the target.

        Args:
            source: (n_source, n_markers) float32, standardised.
            target: (n_target, n_markers) float32, standardised.
            n_kinds: Components to look for; those that overlap in the source are joined.
            seed: Starts the search for components.
        """
        markers = telling_markers(source, seed)
        if len(markers) < MIN_TELLING:
            return cls(markers, np.ones((len(source), 1), np.float32), np.ones((len(target), 1), np.float32))
        for _ in range(N_ROUNDS):
            mixture = Mixture.fit([source[:, markers]], n_kinds, seed)
            moved, _ = _follow(mixture, source[:, markers], target[:, markers])
            spread_of_moves = _between(moved.centres - mixture.centres, moved)
            inconsistency = np.sqrt(spread_of_moves / np.maximum(_between(mixture.centres, moved), _TINY))
            kept = inconsistency <= max(CONSISTENT, float(np.median(inconsistency)))
            if kept.all() or kept.sum() < MIN_TELLING:
                break
            markers = markers[kept]
        mixture = Mixture.fit([source[:, markers]], n_kinds, seed)
        _, memberships = _follow(mixture, source[:, markers], target[:, markers])
        in_source = mixture.memberships(tensor(source[:, markers])).numpy()
        kinds = _kinds(in_source)
        return cls(markers, in_source @ kinds, memberships @ kinds)


_TINY = float(np.finfo(np.float64).tiny)


def telling_markers(source: Float32s, seed: int) -> Int64s:
    """Columns that tell kinds apart, ascending: (n_telling,).

    Example:
        >>> cells = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
        >>> cells[:100, 1] += 20
        >>> telling_markers(cells, seed=0).tolist()
        [1]
    """
    memberships = Mixture.fit([source], N_TELLING_KINDS, seed).memberships(tensor(source)).double().numpy()
    shares = memberships.mean(axis=0)
    centres = memberships.T @ source / np.maximum(memberships.sum(axis=0), _TINY)[:, None]
    between = shares @ (centres - shares @ centres) ** 2
    total = source.var(axis=0, dtype=np.float64)
    explained = np.divide(between, total, out=np.zeros_like(total), where=total > 0)  # a dead marker tells nothing
    return np.flatnonzero(explained >= TELLING)


def _kinds(memberships: Float32s) -> Float32s:
    """Join overlapping components to kinds: (n_events, n_components) → (n_components, n_kinds) float32, 0 or 1."""
    shared, sizes = memberships.T @ memberships, memberships.sum(axis=0)
    joined = shared > OVERLAP * np.minimum.outer(sizes, sizes)
    np.fill_diagonal(joined, val=True)
    # Joining is transitive: each squaring doubles the length of the chains that are joined.
    for _ in range(len(joined).bit_length()):
        joined = joined @ joined
    return np.unique(joined, axis=1).astype(np.float32)


def _between(centres: Float32s, mixture: Mixture) -> Float64s:
    """Variance of centres between kinds, weighted by a mixture's shares: (n_kinds, n_markers) → (n_markers,)."""
    shares = np.exp(mixture.log_weights.astype(np.float64))
    return np.asarray(shares @ (centres - shares @ centres) ** 2)


def _follow(mixture: Mixture, source: Float32s, target: Float32s) -> tuple[Mixture, Float32s]:
    """Find the components in the target, and the target's memberships: the likelier of two searches.

    One starts from the components' centres in the source, the other from these moved by the difference of the medians.
    """
    events = target.astype(np.float64)
    beside = np.median(events, axis=0) - np.median(source, axis=0)
    own = _log_densities(source.astype(np.float64), mixture, np.zeros_like(beside), 1.0)
    unlike = float(np.quantile(np.logaddexp.reduce(own, axis=1), UNLIKELY))
    found = [_search(mixture, events, start, unlike) for start in (np.zeros_like(beside), beside)]
    moved, memberships, _ = max(found, key=lambda result: result[2])
    return moved, memberships.astype(np.float32)


def _search(mixture: Mixture, target: Float64s, start: Float64s, unlike: float) -> tuple[Mixture, Float64s, float]:
    """Expectation–maximisation over displacements and shares; spreads stay the source's.

    Args:
        mixture: The source's components.
        target: (n_target, n_markers) float64.
        start: (n_markers,) every component's first displacement.
        unlike: Log-density of an event of none of the kinds, the same everywhere.

    Returns:
        The displaced mixture; the memberships, (n_target, n_kinds); and the target's mean log-likelihood.

    Source: Dempster, Laird & Rubin 1977, J. R. Stat. Soc. B 39; the constant background as in Banfield & Raftery 1993,
    Biometrics 49, section 5.
    """
    displaced, displacements = mixture, np.tile(start, (len(mixture.centres), 1))
    for widened in np.maximum(WIDENED, 1):
        of_kinds = _log_densities(target, displaced, displacements, widened)
        log_densities = np.column_stack([of_kinds, np.full(len(target), unlike / widened)])
        log_likelihoods = np.logaddexp.reduce(log_densities, axis=1)
        memberships = np.exp(of_kinds - log_likelihoods[:, None])
        counts = memberships.sum(axis=0)
        own = memberships.T @ target / np.maximum(counts, _TINY)[:, None] - mixture.centres
        common = np.median(own[counts >= min(PRIOR_EVENTS, counts.max())], axis=0)
        displacements = (counts[:, None] * own + PRIOR_EVENTS * common) / (counts[:, None] + PRIOR_EVENTS)
        log_shares = np.log(np.maximum(counts, 1e-3) / len(target)).astype(np.float32)
        displaced = Mixture(mixture.centres, mixture.spreads, log_shares)
    centres = (mixture.centres + displacements).astype(np.float32)
    return Mixture(centres, mixture.spreads, log_shares), memberships, float(log_likelihoods.mean())


def _log_densities(events: Float64s, mixture: Mixture, displacements: Float64s, widened: float) -> Float64s:
    """Log-densities of displaced components times their shares, up to a constant: → (n_events, n_kinds) float64."""
    centres = mixture.centres + displacements
    columns = [
        log_share - (((events - centre) / spread) ** 2 / 2 + np.log(spread)).sum(axis=1) / widened
        for centre, spread, log_share in zip(
            centres, mixture.spreads.astype(np.float64), mixture.log_weights, strict=True
        )
    ]
    return np.stack(columns, axis=1)
