"""Composition: the mix of kinds of cell in source and target, and weights that make it the same.

If the mixes differ, percentiles of whole populations mistake the difference for an effect. Percentiles of weighted
events (``weighted_percentiles``) do not.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuronedit.arrays import Float32s, Float64s, Floats, Masks
from neuronedit.edits.mix.counterparts import Counterparts
from neuronedit.errors import DataError, listing

N_STRATA = 8
"""Kinds of cell to look for if events have no labels."""

SUBSTANTIAL = 0.05
"""A stratum with at least this share of the source must have counterparts in the target."""

MAX_WEIGHT = 20
"""The largest weight of a target event; a stratum so rare that it needs more counts as having no counterparts."""

CLEAN, CONFOUNDED = 0.10, 0.30
"""Composition shares up to ``CLEAN`` are no concern; from ``CONFOUNDED`` on, do not trust an unmatched edit."""


@dataclass(frozen=True)
class Composition:
    """Memberships of each event of source and target in each stratum.

    Attributes:
        strata: (n_strata,) names.
        source_memberships: (n_source, n_strata) float32, rows sum to 1.
        target_memberships: (n_target, n_strata) float32, rows sum to 1, or to less if an event is like no stratum.

    Raises:
        DataError: No stratum is shared, or one with a substantial share of the source has no counterparts.
    """

    strata: tuple[str, ...]
    source_memberships: Float32s
    target_memberships: Float32s

    def __post_init__(self) -> None:
        shared = self._shared
        if not (np.minimum(self.source_shares, self.target_shares) > 0).any():
            raise DataError(
                "Composition: source and target share no stratum "
                f"(source: {self._held_by(self.source_shares)}; target: {self._held_by(self.target_shares)}). "
                "A mix cannot be matched without overlap: use the same labels in both, or fit without matching."
            )
        lacking = ~shared & (self.source_shares >= SUBSTANTIAL)
        if lacking.any():
            stratum = int(np.where(lacking, self.source_shares, 0).argmax())
            n_source, n_target = len(self.source_memberships), len(self.target_memberships)
            raise DataError(
                f"Composition: stratum {self.strata[stratum]!r} holds {self.source_shares[stratum]:.1%} of the source "
                f"({n_source} events) and {self.target_shares[stratum]:.1%} of the target ({n_target} events); "
                f"expected at least {self.source_shares[stratum] / MAX_WEIGHT:.1%}. A mix cannot be matched without "
                "overlap: add such events to the target, leave them out of the source, or fit without matching."
            )

    @property
    def source_shares(self) -> Float64s:
        """Shares of the source's events in each stratum, (n_strata,) float64, sum 1."""
        return np.asarray(self.source_memberships.mean(axis=0, dtype=np.float64))

    @property
    def target_shares(self) -> Float64s:
        """Shares of the target's events in each stratum, (n_strata,) float64, sum 1 at most."""
        return np.asarray(self.target_memberships.mean(axis=0, dtype=np.float64))

    @property
    def target_weights(self) -> Float64s:
        """Weights that give the target the source's mix of the shared strata, (n_target,) float64, mean 1."""
        return self._weights(self.target_memberships, self.source_shares, self.target_shares)

    @property
    def source_weights(self) -> Float64s:
        """Weights that give the source the target's mix of the shared strata, (n_source,) float64, mean 1."""
        return self._weights(self.source_memberships, self.target_shares, self.source_shares)

    @property
    def _shared(self) -> Masks:
        source, target = self.source_shares, self.target_shares
        return (source > 0) & (target > 0) & (target * MAX_WEIGHT >= source)

    def _weights(self, memberships: Float32s, wanted: Float64s, found: Float64s) -> Float64s:
        ratios = np.divide(wanted, found, out=np.zeros_like(wanted), where=self._shared)
        weights = memberships.astype(np.float64) @ ratios
        return np.asarray(weights / weights.mean())

    def _held_by(self, shares: Float64s) -> str:
        return listing(name for name, share in zip(self.strata, shares, strict=True) if share > 0)


@dataclass(frozen=True)
class Confounding:
    """The parts of each neuron's difference between source and target that are mix and state.

    Attributes:
        by_mix: (n_neurons,) float64, Wasserstein-1 distance between the source and the source in the target's mix,
            less the part that sampling alone makes.
        by_state: (n_neurons,) float64, Wasserstein-1 distance between the source and the target in the source's mix.
    """

    by_mix: Float64s
    by_state: Float64s

    @property
    def composition_share(self) -> float:
        """The mix's part in the sum over neurons: 0 if the mixes are the same, 1 if nothing but the mixes differs."""
        return self.weighted_share(np.ones(len(self.by_mix)))

    def weighted_share(self, weights: Floats) -> float:
        """The mix's part in a weighted sum over neurons; weights, (n_neurons,), are not negative."""
        mix, state = float(weights @ self.by_mix), float(weights @ self.by_state)
        return mix / (mix + state) if mix + state > 0 else 0.0

    @property
    def verdict(self) -> str:
        """``clean``, ``doubtful`` or ``confounded``."""
        return judge_share(self.composition_share)


def judge_share(share: float) -> str:
    """Judge the mix's share of the difference between source and target: ``clean``, ``doubtful`` or ``confounded``.

    Example:
        >>> judge_share(0.05), judge_share(0.2), judge_share(0.5)
        ('clean', 'doubtful', 'confounded')
    """
    if share <= CLEAN:
        return "clean"
    return "confounded" if share >= CONFOUNDED else "doubtful"


def match(
    source: Float32s,
    target: Float32s,
    seed: int,
    labels: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    n_strata: int = N_STRATA,
) -> Composition:
    """Find the strata of source and target: by labels if they are given, by soft clusters otherwise.

    Args:
        source: (n_source, n_markers) float32, standardised.
        target: (n_target, n_markers) float32, standardised.
        seed: Starts the search for clusters.
        labels: (n_source,) and (n_target,) cell types of the events, in any wording that both share.
        n_strata: Clusters to look for if there are no labels.

    Raises:
        DataError: Labels are not one for each event, no stratum is shared, or one with a substantial share of the
            source has no counterparts in the target.

    Example:
        >>> cells = np.zeros((4, 1), np.float32)
        >>> match(cells, cells, seed=0, labels=(["B", "B", "T", "T"], ["B", "T", "T", "T"])).target_weights.round(3)
        array([2.   , 0.667, 0.667, 0.667])
    """
    if labels is None:
        kinds = Counterparts.fit(source, target, n_strata, seed)
        names = tuple(f"cluster {number + 1}" for number in range(kinds.source_memberships.shape[1]))
        return Composition(names, kinds.source_memberships, kinds.target_memberships)
    given_names = [np.array([str(label) for label in np.asarray(given, dtype=object)]) for given in labels]
    for role, population, given in zip(("source", "target"), (source, target), given_names, strict=True):
        if len(given) != len(population):
            raise DataError(
                f"Composition: {len(given)} labels for {len(population)} {role} events; expected one for each event, "
                "in the order of the events."
            )
    strata = np.unique(np.concatenate(given_names))
    in_source, in_target = ((given[:, None] == strata).astype(np.float32) for given in given_names)
    return Composition(tuple(map(str, strata)), in_source, in_target)


def confounding(source: Float32s, target: Float32s, composition: Composition) -> Confounding:
    """Split the difference between source and target into mix and state, neuron by neuron.

    Args:
        source: (n_source, n_neurons) activations, or markers, of the composition's source events.
        target: (n_target, n_neurons) activations, or markers, of its target events.
        composition: The strata of these events.

    Source: Wasserstein-1 distances between weighted samples, Vallender 1974, Theory Probab. Appl. 18(4), equation 1.

    Example:
        >>> cells, kinds = np.array([[0.0], [0.0], [5.0], [5.0]], np.float32), ["B", "B", "T", "T"]
        >>> found = confounding(cells, cells + 2, match(cells, cells + 2, seed=0, labels=(kinds, kinds)))
        >>> found.by_mix.tolist(), found.by_state.tolist()
        ([0.0], [2.0])
    """
    # Only fitting and reviewing need SciPy: where a model is applied, it is not installed.
    from scipy.stats import wasserstein_distance

    pairs = ((source, composition.source_weights), (target, composition.target_weights))
    by_mix, by_state = (
        np.array([wasserstein_distance(*columns, None, weights) for columns in zip(source.T, other.T, strict=True)])
        for other, weights in pairs
    )
    return Confounding(by_mix * _beyond_sampling(composition), by_state)


def _beyond_sampling(composition: Composition) -> float:
    """The share, in [0, 1], of the difference between the mixes that sampling from one mix does not explain.

    Source: the positive-part shrinkage of James & Stein 1961, Proc. 4th Berkeley Symp., with multinomial variances.
    """
    source, target = composition.source_shares, composition.target_shares
    rate = 1 / len(composition.source_memberships) + 1 / len(composition.target_memberships)
    pooled = (source + target) / 2
    expected, found = float((pooled * (1 - pooled)).sum() * rate), float(((source - target) ** 2).sum())
    return max(0.0, 1 - expected / found) if found > 0 else 0.0
