"""Composition: the mix of kinds of cell in source and target, and weights that make it the same.

Where the mixes differ, percentiles of whole populations read the mix as an effect. Percentiles of weighted events
(``weighted_percentiles``) do not.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuronedit.counterparts import Counterparts
from neuronedit.errors import DataError, listing
from neuronedit.percentiles import FloatArray

N_STRATA = 8
"""Kinds of cell looked for where events have no labels."""

SUBSTANTIAL = 0.05
"""A stratum with at least this share of the source must have counterparts in the target."""

MAX_WEIGHT = 20
"""A target event that stood for more would be a guess: so rare a stratum counts as having no counterparts."""

CLEAN, CONFOUNDED = 0.10, 0.30
"""Composition shares up to the first are no concern; from the second on, an unmatched edit is not to be trusted."""

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Composition:
    """How far each event of source and target belongs to each stratum.

    Attributes:
        strata: (n_strata,) names.
        source_memberships: (n_source, n_strata), rows sum to 1.
        target_memberships: (n_target, n_strata), rows sum to 1, or to less where an event is like none of them.

    Raises:
        DataError: No stratum is shared, or one with a substantial share of the source has no counterparts.
    """

    strata: tuple[str, ...]
    source_memberships: FloatArray
    target_memberships: FloatArray

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
    def source_shares(self) -> Weights:
        """(n_strata,) of the source's events, sum 1."""
        return np.asarray(self.source_memberships.mean(axis=0, dtype=np.float64))

    @property
    def target_shares(self) -> Weights:
        """(n_strata,) of the target's events, sum 1 at most."""
        return np.asarray(self.target_memberships.mean(axis=0, dtype=np.float64))

    @property
    def target_weights(self) -> Weights:
        """(n_target,) float64, mean 1: weighted so, the target has the source's mix of the strata that both share."""
        return self._weights(self.target_memberships, self.source_shares, self.target_shares)

    @property
    def source_weights(self) -> Weights:
        """(n_source,) float64, mean 1: weighted so, the source has the target's mix of the strata that both share."""
        return self._weights(self.source_memberships, self.target_shares, self.source_shares)

    @property
    def _shared(self) -> npt.NDArray[np.bool_]:
        source, target = self.source_shares, self.target_shares
        return (source > 0) & (target > 0) & (target * MAX_WEIGHT >= source)

    def _weights(self, memberships: FloatArray, wanted: Weights, found: Weights) -> Weights:
        ratios = np.divide(wanted, found, out=np.zeros_like(wanted), where=self._shared)
        weights = memberships.astype(np.float64) @ ratios
        return np.asarray(weights / weights.mean())

    def _held_by(self, shares: Weights) -> str:
        return listing(name for name, share in zip(self.strata, shares, strict=True) if share > 0)


@dataclass(frozen=True)
class Confounding:
    """What of the difference between source and target is mix, and what is state, in each neuron.

    Attributes:
        by_mix: (n_neurons,) W1 of the source and the source in the target's mix, less what sampling alone makes.
        by_state: (n_neurons,) W1 of the source and the target in the source's mix.
    """

    by_mix: Weights
    by_state: Weights

    @property
    def composition_share(self) -> float:
        """The mix's part in the sum over neurons: 0 where the mix is the same, 1 where only it differs."""
        return self.weighted_share(np.ones(len(self.by_mix)))

    def weighted_share(self, weights: npt.NDArray[np.floating]) -> float:
        """The mix's part in the sum over neurons that count by weights, (n_neurons,), not negative."""
        mix, state = float(weights @ self.by_mix), float(weights @ self.by_state)
        return mix / (mix + state) if mix + state > 0 else 0.0

    @property
    def verdict(self) -> str:
        """``clean``, ``doubtful`` or ``confounded``."""
        return judge_share(self.composition_share)


def judge_share(share: float) -> str:
    """``clean``, ``doubtful`` or ``confounded``, by the mix's share of the difference between source and target."""
    if share <= CLEAN:
        return "clean"
    return "confounded" if share >= CONFOUNDED else "doubtful"


def match(
    source: FloatArray,
    target: FloatArray,
    seed: int,
    labels: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    n_strata: int = N_STRATA,
) -> Composition:
    """The strata of source and target, by labels where they are given, by soft clusters otherwise.

    Args:
        source: (n_events, n_markers) standardised markers.
        target: (n_events, n_markers) standardised markers.
        seed: Where the search for clusters starts.
        labels: Of the source's events and of the target's: cell types, in any wording that both share.
        n_strata: Clusters looked for where there are no labels.

    Raises:
        DataError: Labels are not one for each event, no stratum is shared, or one with a substantial share of the
            source has no counterparts in the target.
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


def confounding(source: FloatArray, target: FloatArray, composition: Composition) -> Confounding:
    """How much of the difference between source and target their mixes make, neuron by neuron.

    Args:
        source: (n_source, n_neurons) activations, or markers, of the events that the composition is of.
        target: (n_target, n_neurons).
        composition: Of the same events.

    Source: Wasserstein-1 distances between weighted samples, Vallender 1974, Theory Probab. Appl. 18(4), equation 1.
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
    """What of the difference between the mixes two samples of one mix would not show, in [0, 1].

    Source: the positive-part shrinkage of James & Stein 1961, Proc. 4th Berkeley Symp., with multinomial variances.
    """
    source, target = composition.source_shares, composition.target_shares
    rate = 1 / len(composition.source_memberships) + 1 / len(composition.target_memberships)
    pooled = (source + target) / 2
    expected, found = float((pooled * (1 - pooled)).sum() * rate), float(((source - target) ** 2).sum())
    return max(0.0, 1 - expected / found) if found > 0 else 0.0
