"""How far each neuron's shift leads an event from control to treated, by the logit of a classifier of the two."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from neuronedit.metrics import auroc
from neuronedit.percentiles import FloatArray
from neuronedit.review.conductance import Conductance, Floats
from neuronedit.review.neurons import Neurons
from neuronedit.review.secants import N_SEGMENTS, Decoder

RIDGE: Final = 1.0
"""The penalty ½ λ‖w‖², beside the mean loss of an event.

Markers of one program say the same. With little penalty the classifier would weigh their noise against each other:
then a neuron's part in the logit ranked with its conductance by 0.65 to 0.8 only, with this one by 0.85 to 0.96.
"""


@dataclass(frozen=True)
class TreatedHead:
    """A logistic regression on decoded markers: target (treated) against source (control).

    Attributes:
        weights: (n_markers,) float32.
        bias: The logit of an event that is zero in all markers.
        auroc: How well it tells the events apart that it was fitted to.
    """

    weights: FloatArray
    bias: float
    auroc: float

    @classmethod
    def fit(cls, subject: Neurons) -> Self:
        """Tell the decoded target from the decoded source."""
        # Only reviews and fits need scikit-learn: where a model is applied, it is not installed.
        from sklearn.linear_model import LogisticRegression

        control, treated = (subject.decode(population.activations) for population in (subject.source, subject.target))
        events = np.concatenate([control, treated]).astype(np.float64)
        is_treated = np.repeat([0, 1], [len(control), len(treated)])
        # Each population weighs the same, whatever its size.
        found = LogisticRegression(C=1 / (RIDGE * len(events)), class_weight="balanced", max_iter=1_000).fit(
            events, is_treated
        )
        head = cls(found.coef_[0].astype(np.float32), float(found.intercept_[0]), float("nan"))
        return cls(head.weights, head.bias, auroc(head.logits(treated), head.logits(control)))

    def logits(self, markers: FloatArray) -> FloatArray:
        """Logarithm of the odds of being treated: (n_events, n_markers) standardised → (n_events,)."""
        return np.asarray(markers @ self.weights + np.float32(self.bias))


@dataclass(frozen=True)
class LogitAttribution:
    """Each neuron's part in what the edit does to the logit.

    Attributes:
        values: (n_events, n_neurons) float32; a row's sum is the change of the event's logit.
        auroc: The classifier's, of treated against control events.
        rank_correlation: Spearman's, of the neurons' mean parts and their conductances, both without sign.

    Source: Shrikumar et al. 2017 (arXiv 1704.02685), DeepLIFT's rescale rule, in segments; see ``Decoder``.
    """

    values: FloatArray
    auroc: float
    rank_correlation: float

    @property
    def mean(self) -> Floats:
        """(n_neurons,) mean over events."""
        return np.asarray(self.values.mean(axis=0, dtype=np.float64))


def attribute_logit(
    subject: Neurons, head: TreatedHead, conductance: Conductance, n_segments: int = N_SEGMENTS
) -> LogitAttribution:
    """Each neuron's part in each source event's change of the logit.

    Args:
        subject: The edit, as a layer's neurons see it.
        head: The classifier.
        conductance: The edit's, to compare with.
        n_segments: Each event's path is cut into so many; 1 is DeepLIFT, many are layer conductance.
    """
    slopes = Decoder.at_layer(subject.autoencoder, subject.layer).path_slopes(
        subject.source.activations, subject.edited, head.weights[None], n_segments
    )
    values = np.concatenate([block[:, 0] for block in slopes]) * subject.change
    gross = np.abs(conductance.values).sum(axis=1)
    return LogitAttribution(values, head.auroc, _rank_correlation(np.abs(values.mean(axis=0)), gross))


def _rank_correlation(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> float:
    """Spearman's rank correlation; NaN where all values of one side are equal."""
    ranks = [rankdata(values) for values in (a, b)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])
