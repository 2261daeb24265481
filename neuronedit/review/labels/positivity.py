"""Gates: thresholds above which events are positive for a marker, of markers that have two kinds of event."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from neuronedit.arrays import Float32s, Float64s, Masks

MAX_GATE_EVENTS = 2_000
"""Events that a marker's gate is looked for in; more would only cost time."""

SEPARATED = 2.0
"""How far two components must lie apart, in their spreads, to be two: Ashman, Bird & Zepf 1994, Astron. J. 108."""

MIN_SIDE = 10
"""Events that there must be on either side of a gate."""

MIN_GATE_SPREAD = 0.05
"""The least spread of a component, standard deviations: a spike at zero has none of its own."""


@dataclass(frozen=True)
class Positivity:
    """A gate for each marker.

    Attributes:
        thresholds: (n_markers,) standardised; an event above is positive. NaN where a marker has no two sides.
    """

    thresholds: Float64s

    @classmethod
    def fit(cls, markers: Float32s, seed: int) -> Self:
        """Look for two components in each marker.

        Args:
            markers: (n_events, n_markers) standardised.
            seed: Draws events, and where the search for components starts.
        """
        drawn = np.random.default_rng(seed).permutation(len(markers))[:MAX_GATE_EVENTS]
        thresholds = np.array([_threshold(column, seed) for column in markers[drawn].T.astype(np.float64)])
        above = (markers > thresholds).sum(axis=0)
        lacking = (above < MIN_SIDE) | (len(markers) - above < MIN_SIDE)
        return cls(np.where(lacking, np.nan, thresholds))

    @property
    def two_sided(self) -> Masks:
        """(n_markers,) whether a marker tells positive events from negative ones."""
        return np.isfinite(self.thresholds)

    def positive(self, markers: Float32s) -> Masks:
        """Mark the positive events: (n_events, n_markers) → the same, bool; none where a marker has no two sides."""
        return np.asarray(markers > self.thresholds)


def _threshold(values: Float64s, seed: int) -> float:
    """The value that is as likely under the lower of two components as under the upper; NaN where there are no two."""
    from sklearn.mixture import GaussianMixture

    spread = values.std()
    if spread == 0:
        return float("nan")
    scaled = ((values - values.mean()) / spread)[:, None]
    # Started from both ends: a rare kind of positive events is not overlooked.
    ends = np.quantile(scaled, [0.05, 0.995])[:, None]
    if ends[0] == ends[1]:
        return float("nan")
    found = GaussianMixture(
        2, means_init=ends, weights_init=[0.5, 0.5], reg_covar=MIN_GATE_SPREAD**2, random_state=seed
    ).fit(scaled)
    low, high = np.argsort(found.means_[:, 0])
    gap = found.means_[high, 0] - found.means_[low, 0]
    if gap < SEPARATED * np.sqrt(found.covariances_.mean()):
        return float("nan")
    between = np.linspace(found.means_[low, 0], found.means_[high, 0], 201)
    crossed = found.predict_proba(between[:, None])[:, high] > 0.5
    return float(between[int(crossed.argmax())] * spread + values.mean())
