"""Heads that score events for a description by markers, fitted on a layer's neurons without the described cells."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neuronedit.arrays import Float32s, Float64s, Int64s, Masks
from neuronedit.review.labels.positivity import MIN_SIDE, Positivity
from neuronedit.review.subject import EditSubject, Population

RIDGE = 1e-3
"""Added to standardised activations' covariance: dead neurons and copies get no weight of their own."""

STEEPNESS = 2.0
"""Steepness of a gate's vote: an event in the middle of the positive cells, at 1, has 0.96 of the vote."""

MAX_HEAD_EVENTS = 3_000
"""Events of each population that heads are fitted on; more would only cost time."""

Signs = Mapping[str, int]


@dataclass(frozen=True)
class Head:
    """A score of activations that joins a description's gates.

    Attributes:
        weights: (n_neurons, n_gates) of standardised activations; signed as described.
        offsets: (n_gates,) the weighted sum of an event that lies on the gate.
        means: (n_neurons,) means of the activations that it was fitted on.
        spreads: (n_neurons,) standard deviations of the same.
    """

    weights: Float64s
    offsets: Float64s
    means: Float64s
    spreads: Float64s

    @property
    def importance(self) -> Float64s:
        """(n_neurons,) the rise of the score by a standard deviation of the neuron, where no gate is decided."""
        return np.asarray(STEEPNESS * self.weights.mean(axis=1))

    def scores(self, activations: Float32s) -> Float64s:
        """1 where all gates are as described, −1 where none is: (n_events, n_neurons) → (n_events,).

        A gate that is decided says no more: else one marker far beyond its gate would outweigh others.
        """
        margins = (activations - self.means) / self.spreads @ self.weights - self.offsets
        return np.asarray(np.tanh(STEEPNESS * margins).mean(axis=1))


@dataclass(frozen=True)
class Heads:
    """A linear head for each marker.

    Attributes:
        markers: The panel's.
        weights: (n_neurons, n_markers) of standardised activations; the result is a marker's value, less its mean.
        means: (n_neurons,) means of the activations that they were fitted on.
        spreads: (n_neurons,) standard deviations of the same.
        gaps: (n_markers,) how far apart positive and negative cells are in the result, in the mean.
        thresholds: (n_markers,) the result of an event on the gate; NaN where a marker has none.
    """

    markers: tuple[str, ...]
    weights: Float64s
    means: Float64s
    spreads: Float64s
    gaps: Float64s
    thresholds: Float64s

    def joined(self, signs: Signs) -> Head:
        """A description's heads, each scaled to 1 on its positive and −1 on its negative cells, in the mean."""
        columns = [self.markers.index(marker) for marker in signs]
        gaps = self.gaps[columns]
        factors = np.array(list(signs.values())) / np.where(gaps > 0, gaps / 2, np.inf)
        return Head(self.weights[:, columns] * factors, self.thresholds[columns] * factors, self.means, self.spreads)


@dataclass(frozen=True)
class Described:
    """The result of one description.

    Attributes:
        name: The population's name.
        signs: 1 for positive and −1 for negative, by marker.
        n_events: Described cells.
        head: None where nothing can be said.
        auroc: Chance that a described cell scores higher than another; NaN without a head.
        reason: Why nothing can be said; empty where something can.
    """

    name: str
    signs: Signs
    n_events: int
    head: Head | None
    auroc: float
    reason: str = ""

    @property
    def text(self) -> str:
        """The description, e.g. ``CD3+ CD56−``."""
        return " ".join(f"{marker}{'+' if sign > 0 else '−'}" for marker, sign in self.signs.items())


def sides(positive: Masks) -> Int64s:
    """Negative and positive cells of each marker: (n_events, n_markers) → (2, n_markers).

    Example:
        >>> sides(np.array([[True], [True], [False]])).tolist()
        [[1], [2]]
    """
    return np.stack([(~positive).sum(axis=0), positive.sum(axis=0)])


@dataclass(frozen=True)
class Cells:
    """Events that heads are fitted on and tried on.

    Attributes:
        population: All events.
        positive: (n_events, n_markers) bool, the gates' result.
        gates: Thresholds of the markers that have two sides.
        markers: The panel's.
    """

    population: Population
    positive: Masks
    gates: Positivity
    markers: tuple[str, ...]

    @classmethod
    def from_subject(cls, subject: EditSubject, seed: int) -> "Cells":
        """A sample of all populations' events, gated."""
        population = subject.sample(MAX_HEAD_EVENTS, seed).pooled
        gates = Positivity.fit(population.markers, seed)
        return cls(population, gates.positive(population.markers), gates, subject.marker_names)

    def heads(self, fitted: Masks) -> "Heads":
        """A head for each marker, fitted on some cells, (n_events,) bool.

        They are fitted to the markers' values: what varies within a kind of cell tells which neurons carry a marker,
        where markers that go together between kinds do not.
        """
        events, values = (
            of[fitted].astype(np.float64) for of in (self.population.activations, self.population.markers)
        )
        means, spreads = events.mean(axis=0), events.std(axis=0)
        spreads = np.where(spreads > 0, spreads, 1)
        events, centres = (events - means) / spreads, values.mean(axis=0)
        covariance = events.T @ events / len(events) + RIDGE * np.eye(events.shape[1])
        weights = np.linalg.solve(covariance, events.T @ (values - centres) / len(events))
        told, positive = events @ weights, self.positive[fitted]
        negatives, positives = np.maximum(sides(positive), 1)
        gaps = (told * positive).sum(axis=0) / positives - (told * ~positive).sum(axis=0) / negatives
        return Heads(self.markers, weights, means, spreads, gaps, self.gates.thresholds - centres)

    def express(self, name: str, signs: Signs, cells: Masks, heads: "Heads | None" = None) -> Described:
        """Fit a description's heads on all other cells, and see whether they score the described ones highest.

        Args:
            name: The described population's name.
            signs: The description: 1 or −1 by marker.
            cells: (n_events,) the described cells.
            heads: Fitted on all other cells, where they are at hand.

        Source: Selvaraju et al. 2018 (NIWT, arXiv 1808.02861), sections 3.2 and 3.3: the head of an unseen class from
        what domain knowledge says of its neurons' importance.
        """
        from sklearn.metrics import roc_auc_score

        n_events, reason = int(cells.sum()), self._reason(signs, cells)
        if reason:
            return Described(name, signs, n_events, None, float("nan"), f"cannot say: {reason}")
        head = (heads or self.heads(~cells)).joined(signs)
        return Described(
            name, signs, n_events, head, float(roc_auc_score(cells, head.scores(self.population.activations)))
        )

    def _reason(self, signs: Signs, cells: Masks) -> str:
        """Why a description cannot be judged; empty where it can."""
        if not signs:
            return "the description names no marker"
        counts = sides(self.positive[~cells])
        for marker in signs:
            column = self.markers.index(marker)
            if not self.gates.two_sided[column]:
                return f"{marker} has no positive cells apart from negative ones"
            for side, count in zip(("negative", "positive"), counts[:, column], strict=True):
                if count < MIN_SIDE:
                    return f"{marker} has {count or 'no'} {side} cells among those not described"
        return f"{cells.sum() or 'no'} cells are as described" if cells.sum() < MIN_SIDE else ""
