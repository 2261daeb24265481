"""How far each neuron's shift leads an event from source to target, by the logit of a classifier of the two."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import rankdata

from neuronedit.arrays import Float32s, Float64s
from neuronedit.measures.distances import auroc
from neuronedit.review.charts import MAX_NEURONS, SMALL, neuron_label, of_many, signed_bars, tidy
from neuronedit.review.neurons.conductance import Conductance
from neuronedit.review.neurons.names import NeuronNames, neurons_in_words
from neuronedit.review.neurons.secants import N_SEGMENTS, Decoder
from neuronedit.review.part import NOTHING, Drawing, Part, finite_scalars
from neuronedit.review.subject import EditSubject
from neuronedit.review.wording import Wording, settled, short

RIDGE: Final = 1.0
"""The penalty ½ λ‖w‖², beside the mean loss of an event.

Markers of one program say the same. With little penalty the classifier would weigh their noise against each other:
then a neuron's part in the logit ranked with its conductance by 0.65 to 0.8 only, with this one by 0.85 to 0.96.
"""


@dataclass(frozen=True)
class TargetHead:
    """A logistic regression on decoded markers: target against source.

    Attributes:
        weights: (n_markers,) float32.
        bias: The logit of an event that is zero in all markers.
        auroc: How well it tells the events apart that it was fitted to.
    """

    weights: Float32s
    bias: float
    auroc: float

    @classmethod
    def fit(cls, subject: EditSubject) -> Self:
        """Tell the decoded target from the decoded source."""
        # Only reviews and fits need scikit-learn: where a model is applied, it is not installed.
        from sklearn.linear_model import LogisticRegression

        source, target = (subject.decode(population.activations) for population in (subject.source, subject.target))
        events = np.concatenate([source, target]).astype(np.float64)
        is_target = np.repeat([0, 1], [len(source), len(target)])
        # Each population weighs the same, whatever its size.
        found = LogisticRegression(C=1 / (RIDGE * len(events)), class_weight="balanced", max_iter=1_000).fit(
            events, is_target
        )
        head = cls(found.coef_[0].astype(np.float32), float(found.intercept_[0]), float("nan"))
        return cls(head.weights, head.bias, auroc(head.logits(target), head.logits(source)))

    def logits(self, markers: Float32s) -> Float32s:
        """Logarithm of the odds of being of the target: (n_events, n_markers) standardised → (n_events,)."""
        return np.asarray(markers @ self.weights + np.float32(self.bias))


@dataclass(frozen=True)
class LogitAttribution:
    """Each neuron's part in what the edit does to the logit.

    Attributes:
        values: (n_events, n_neurons) float32; a row's sum is the change of the event's logit.
        auroc: The classifier's, of target against source events.
        rank_correlation: Spearman's, of the neurons' mean parts and their conductances, both without sign.

    Source: Shrikumar et al. 2017 (arXiv 1704.02685), DeepLIFT's rescale rule, in segments; see ``Decoder``.
    """

    values: Float32s
    auroc: float
    rank_correlation: float

    @property
    def mean(self) -> Float64s:
        """(n_neurons,) mean over events."""
        return settled(self.values.mean(axis=0, dtype=np.float64))


def attribute_logit(
    subject: EditSubject, head: TargetHead, conductance: Conductance, n_segments: int = N_SEGMENTS
) -> LogitAttribution:
    """Each neuron's part in each source event's change of the logit.

    Args:
        subject: The edit, as its neurons see it.
        head: The classifier.
        conductance: The edit's, to compare with.
        n_segments: Each event's path is cut into so many; 1 is DeepLIFT, many are layer conductance.

    Example:
        >>> from neuronedit.review.neurons.conductance import edit_conductance
        >>> from neuronedit.review.subject import example_subject
        >>> subject, head = example_subject(), TargetHead(np.float32([0.0, 0.0, 2.0]), 0.0, 0.9)
        >>> attribute_logit(subject, head, edit_conductance(subject)).mean.round(1).tolist()
        [0.0, 0.0, 2.8]
    """
    values = np.concatenate([_parts_in_logit(part, head, n_segments) for part in subject.each()], axis=1)
    gross = np.abs(conductance.values).sum(axis=1)
    return LogitAttribution(values, head.auroc, _rank_correlation(np.abs(values.mean(axis=0)), gross))


def _parts_in_logit(part: EditSubject, head: TargetHead, n_segments: int) -> Float32s:
    """Parts of one place's neurons in each event's logit, weighed as in the edit: (n_events, n_neurons)."""
    slopes = Decoder.at_layer(part.autoencoder, part.layer).path_slopes(
        part.source.activations, part.edited, head.weights[None], n_segments
    )
    values = np.concatenate([block[:, 0] for block in slopes]) * part.change
    return np.asarray(np.float32(part.weight) * values)


def _rank_correlation(a: Float64s, b: Float64s) -> float:
    """Spearman's rank correlation; NaN where all values of one side are equal."""
    ranks = [rankdata(values) for values in (a, b)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def logit_figure(neurons: pd.DataFrame, wording: Wording) -> Figure:
    """Draw each neuron's part in the logit beside its conductance; a row each, in the order to be shown.

    Args:
        neurons: Columns neuron, name, trusted, conductance (of all markers, without sign), logit.
        wording: How the edit's two sides are called.

    Example:
        >>> table = pd.DataFrame({"neuron": [2, 0], "name": ["pSTAT1↑", "CD3↑"], "trusted": True})
        >>> figure = logit_figure(table.assign(conductance=[1.4, 0.0], logit=[2.8, 0.0]), Wording())
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['2: pSTAT1↑', '0: CD3↑']
    """
    shown = neurons.head(MAX_NEURONS)
    figure = Figure(figsize=(8.4, 1.4 + 0.23 * len(shown)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    heights = np.arange(len(shown))
    left.barh(heights, shown["conductance"], 0.65, color="#BBBBBB")
    left.set_xlabel("conductance,\nsum over markers without sign", fontsize=9)
    signed_bars(right, shown["logit"].to_numpy(dtype=float), "part in the logit")
    right.set_xlabel(f"part in the logit:\nright leads to events {wording.after}", fontsize=9)
    right.legend(loc="lower right", fontsize=SMALL, frameon=False)
    for axes in (left, right):
        tidy(axes)
    neuron_label(left, shown)
    right.tick_params(axis="y", length=0)
    figure.suptitle(of_many("neurons", len(shown), len(neurons)), fontsize=9, x=0.01, ha="left")
    return figure


def logit_part(subject: EditSubject, head: TargetHead, conductance: Conductance, names: NeuronNames) -> Part:
    """The neurons that lead from source to target.

    Example:
        >>> from neuronedit.review.neurons.conductance import edit_conductance
        >>> from neuronedit.review.neurons.names import name_neurons
        >>> from neuronedit.review.subject import example_subject
        >>> subject, conductance = example_subject(), edit_conductance(example_subject())
        >>> names = name_neurons(subject, conductance.neuron_cancellation)
        >>> logit_part(subject, TargetHead.fit(subject), conductance, names).tables["logit"]["name"].tolist()
        ['pSTAT1↑', 'CD3↑', 'CD4↑']
    """
    found = attribute_logit(subject, head, conductance)
    low, high = np.percentile(found.values, (5, 95), axis=0)
    columns = {
        "conductance": np.abs(conductance.values).sum(axis=1),
        "logit": found.mean,
        "logit_5_percent": low,
        "logit_95_percent": high,
    }
    numbered = pd.DataFrame(columns).rename_axis("neuron").iloc[conductance.order].reset_index()
    table, reading = names.beside(numbered), read_logit(found, names, subject.wording)
    return Part(
        "logit",
        "From source to target",
        "neurons",
        reading,
        {"logit": table},
        (
            Drawing(
                "logit",
                lambda: logit_figure(table, subject.wording),
                f"Bars: each neuron's conductance, and how far it leads {subject.wording.path}",
                reading,
            ),
        ),
        finite_scalars({"logit_rank_correlation": found.rank_correlation, "target_auroc": found.auroc}),
        warn_logit(found, subject.wording),
    )


MIN_RANK_CORRELATION: Final = 0.8
"""Limits beyond which a warning stands beside the figure."""


def read_logit(found: LogitAttribution, names: NeuronNames, wording: Wording) -> str:
    """Say how well target and source are told apart, by which neurons, and whether conductance agrees.

    Example:
        >>> names = NeuronNames(("CD3", "CD4"), np.eye(2), np.eye(2), np.zeros(2))
        >>> read_logit(LogitAttribution(np.float32([[0.1, 0.7]]), auroc=0.9, rank_correlation=0.5), names, Wording())
        'A classifier tells events after the change from events before the change with AUROC 0.90; neurons 1 (CD4↑) and
        0 (CD3↑) lead there most; neurons rank by their part in it as by conductance with 0.50.'
    """
    if not found.values.any():
        return NOTHING
    first = np.argsort(-found.mean, kind="stable")[:2]
    leading = neurons_in_words(first, names)
    return (
        f"A classifier tells events {wording.after} from events {wording.before} with AUROC {found.auroc:.2f}; "
        f"{leading} lead there most; neurons rank by their part in it as by conductance with "
        f"{short(found.rank_correlation)}."
    )


def warn_logit(found: LogitAttribution, wording: Wording) -> str:
    """Warn where the rankings by logit and by conductance disagree.

    Example:
        >>> warn_logit(LogitAttribution(np.float32([[0.1, 0.7]]), auroc=0.9, rank_correlation=0.5), Wording())
        'Neurons rank otherwise by the classifier than by conductance (rank correlation 0.50, below 0.8): the markers
        that tell events after the change best are not those that the edit moves most.'
    """
    if not found.rank_correlation < MIN_RANK_CORRELATION:
        return ""
    return (
        f"Neurons rank otherwise by the classifier than by conductance (rank correlation {found.rank_correlation:.2f}, "
        f"below {MIN_RANK_CORRELATION}): the markers that tell events {wording.after} best are not those that the edit "
        "moves most."
    )
