"""Edit conductance: through which neurons an edit changes which markers, and how much of that cancels."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuronedit.arrays import Float64s, Int64s
from neuronedit.review.charts import (
    BLACK,
    BLUE,
    MAX_MARKERS,
    MAX_NEURONS,
    SIGNS,
    SMALL,
    heat,
    neuron_label,
    of_many,
    tidy,
)
from neuronedit.review.neurons.names import HIGH_CANCELLATION, NeuronNames, neurons_in_words
from neuronedit.review.neurons.secants import BLOCK, N_SEGMENTS, Decoder, each_marker
from neuronedit.review.part import FEW, NOTHING, Drawing, Part, long_table
from neuronedit.review.places import spans_of
from neuronedit.review.subject import EditSubject
from neuronedit.review.wording import settled


@dataclass(frozen=True)
class Conductance:
    """The change of each marker by each neuron's shift, mean over the source's events, standard deviations.

    Neurons are those of all places that the edit edits; each place's part is weighed as in the edit.

    Attributes:
        marker_names: (n_markers,) names, in the panel's order.
        values: (n_neurons, n_markers) float64; a column's sum is what the edit's neurons do to the decoded marker.
        change: (n_markers,) float64, the same sums, measured: the mean decoded marker after the edit, minus before.

    Source: Dhamdhere et al. 2018 (arXiv 1805.12233), equation 2, with the neurons as inputs.
    """

    marker_names: tuple[str, ...]
    values: Float64s
    change: Float64s

    @cached_property
    def share(self) -> Float64s:
        """(n_neurons,) each neuron's share of all changes, undone or not: Σ_m |C_jm| / Σ_jm |C_jm|; sum 1."""
        gross = np.abs(self.values).sum(axis=1)
        return _ratio(gross, gross.sum())

    @cached_property
    def net_share(self) -> Float64s:
        """(n_neurons,) each neuron's share of the net change D: Σ_m C_jm D_m / Σ_m D_m²; sum 1, negative against it."""
        net = self.values.sum(axis=0)
        return _ratio(self.values @ net, float((net**2).sum()))

    @cached_property
    def cancellation(self) -> float:
        """The share of all changes that neurons undo among themselves: 1 − Σ_m |Σ_j C_jm| / Σ_jm |C_jm|, 0 to 1."""
        gross = np.abs(self.values).sum()
        return max(float(1 - np.abs(self.values.sum(axis=0)).sum() / gross), 0.0) if gross else 0.0

    @cached_property
    def neuron_cancellation(self) -> Float64s:
        """(n_neurons,) the markers' cancellation, mean weighed by each neuron's change of them, 0 to 1."""
        gross = np.abs(self.values)
        # Nothing is undone of what is nothing.
        undone = np.clip(1 - _ratio(np.abs(self.values.sum(axis=0)), gross.sum(axis=0)), 0, 1)
        return _ratio(gross @ undone, gross.sum(axis=1))

    @property
    def completeness_error(self) -> float:
        """The largest difference between a column's sum and the change measured, standard deviations."""
        return float(np.abs(self.values.sum(axis=0) - self.change).max())

    @property
    def order(self) -> Int64s:
        """(n_neurons,) int64, neurons by their net share without sign, the largest first."""
        return np.argsort(-np.abs(self.net_share), kind="stable")

    def table(self) -> pd.DataFrame:
        """A row for each neuron and marker, in ``order``. Columns: neuron, marker, conductance."""
        return long_table(self.order, self.marker_names, conductance=self.values)

    def neuron_table(self) -> pd.DataFrame:
        """A row for each neuron, in ``order``. Columns: neuron, share, net_share, cancellation."""
        columns = {"share": self.share, "net_share": self.net_share, "cancellation": self.neuron_cancellation}
        return pd.DataFrame(columns).rename_axis("neuron").iloc[self.order].reset_index()


def edit_conductance(subject: EditSubject, n_segments: int = N_SEGMENTS) -> Conductance:
    """Compute each neuron's part in the edit's change of each decoded marker.

    The time grows with events x segments x markers x the weights behind each place: it is the sum of the places'.

    Args:
        subject: The edit, as its neurons see it.
        n_segments: Each event's path is cut into so many; see ``Decoder``.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> edit_conductance(example_subject()).share.round(2).tolist()
        [0.0, 0.0, 1.0]
    """
    values = settled(np.concatenate([part.weight * _conductances(part, n_segments) for part in subject.each()]))
    decoded = subject.decode(subject.edited).mean(axis=0, dtype=np.float64)
    moved = decoded - subject.decode(subject.source.activations).mean(axis=0, dtype=np.float64)
    return Conductance(subject.marker_names, values, subject.weight * moved)


def _conductances(part: EditSubject, n_segments: int) -> Float64s:
    """Conductances of one place's neurons, were its change the whole edit: (n_neurons, n_markers)."""
    before, after, change = part.source.activations, part.edited, part.change
    decoder = Decoder.at_layer(part.autoencoder, part.layer)
    n_markers = len(part.marker_names)
    total = np.zeros((n_markers, part.n_neurons))
    slopes = decoder.path_slopes(before, after, each_marker(n_markers), n_segments)
    for start, block in zip(range(0, len(before), BLOCK), slopes, strict=True):
        total += np.einsum("nmj,nj->mj", block, change[start : start + BLOCK])
    return np.asarray(total.T / len(before))


def place_table(subject: EditSubject, found: Conductance) -> pd.DataFrame:
    """A row for each place that the edit edits, the one that makes most of its change first.

    Columns: place, neurons, weight (of the place in the edit), share and net_share (sums of its neurons').

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> place_table(example_subject(), edit_conductance(example_subject())).round(2).values.tolist()
        [['code', 3, 1.0, 1.0, 1.0]]
    """
    rows = [
        {
            "place": place.name or place.layer,
            "neurons": place.n_neurons,
            "weight": place.weight,
            "share": found.share[span].sum(),
            "net_share": found.net_share[span].sum(),
        }
        for place, span in zip(subject.places, spans_of(subject.places), strict=True)
    ]
    return pd.DataFrame(rows).sort_values("net_share", ascending=False, kind="stable", ignore_index=True)


def _ratio(numerator: Float64s, denominator: Float64s | float) -> Float64s:
    """Divide; 0 where the denominator is 0."""
    found = np.zeros_like(numerator)
    return np.divide(numerator, denominator, out=found, where=np.broadcast_to(denominator != 0, numerator.shape))


def conductance_figure(conductance: pd.DataFrame, neurons: pd.DataFrame) -> Figure:
    """Draw neurons × markers of conductance, and beside it each neuron's share; most change comes first.

    Args:
        conductance: Columns neuron, name, trusted, marker, conductance.
        neurons: Columns neuron, name, trusted, share, net_share; a row each, in the order to be shown.

    Example:
        >>> from neuronedit.review.neurons.names import name_neurons
        >>> from neuronedit.review.subject import example_subject
        >>> found = edit_conductance(example_subject())
        >>> names = name_neurons(example_subject(), found.neuron_cancellation)
        >>> figure = conductance_figure(names.beside(found.table()), names.beside(found.neuron_table()))
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['2: pSTAT1↑', '0: CD3↑', '1: CD4↑']
    """
    shown = neurons.head(MAX_NEURONS)
    values = conductance.pivot(index="neuron", columns="marker", values="conductance").loc[shown["neuron"]]
    change = conductance.groupby("marker")["conductance"].sum().abs().sort_values(ascending=False, kind="stable")
    markers = list(change.index[:MAX_MARKERS])
    figure = Figure(figsize=(11, 1.9 + 0.23 * len(shown)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(4, 1))
    image = heat(left, values[markers].to_numpy(), markers)
    neuron_label(left, shown)
    figure.colorbar(image, ax=left, pad=0.01, label=f"conductance (standard deviations; {SIGNS})").ax.tick_params(
        labelsize=SMALL
    )
    heights = np.arange(len(shown))
    bars = right.barh(heights, shown["share"], 0.6, color="#BBBBBB", label="share of all that neurons do")
    dots = right.scatter(
        shown["net_share"], heights, s=22, color=BLUE, zorder=3, label="share of the change that is left"
    )
    right.axvline(0, color=BLACK, lw=0.8)
    right.set_xlabel("share", fontsize=9)
    figure.legend(handles=[bars, dots], loc="outside upper right", ncols=2, fontsize=SMALL, frameon=False)
    tidy(right)
    right.tick_params(axis="y", length=0)
    figure.suptitle(of_many("neurons", len(shown), len(neurons)), fontsize=9, x=0.01, ha="left")
    return figure


def conductance_part(found: Conductance, names: NeuronNames, places: pd.DataFrame | None = None) -> Part:
    """The neurons through which the edit changes each marker.

    Args:
        found: The edit's conductance.
        names: The neurons' names.
        places: ``place_table``, for an edit of several places.

    Example:
        >>> from neuronedit.review.neurons.names import name_neurons
        >>> from neuronedit.review.subject import example_subject
        >>> found = edit_conductance(example_subject())
        >>> part = conductance_part(found, name_neurons(example_subject(), found.neuron_cancellation))
        >>> part.tables["conductance_neurons"][["neuron", "name", "share"]].round(2).values.tolist()
        [[2, 'pSTAT1↑', 1.0], [0, 'CD3↑', 0.0], [1, 'CD4↑', 0.0]]
    """
    table, neurons = names.beside(found.table()), names.beside(found.neuron_table())
    reading, tables = read_conductance(found, names), {"conductance": table, "conductance_neurons": neurons}
    if places is not None and len(places) > 1 and found.share.any():
        reading, tables = f"{reading} {read_places(places)}", {**tables, "conductance_places": places}
    return Part(
        "conductance",
        "Edit conductance",
        "neurons",
        reading,
        tables,
        (
            Drawing(
                "conductance",
                lambda: conductance_figure(table, neurons),
                "Heatmap: what each neuron's shift does to each marker, with bars of each neuron's share",
                reading,
            ),
        ),
        {"edit_cancellation": found.cancellation, "completeness_error": found.completeness_error},
        warn_conductance(found),
    )


MIN_SHARE: Final = 0.05
"""Neurons of a smaller net share are not named as carrying the edit."""


def read_conductance(found: Conductance, names: NeuronNames) -> str:
    """Name the neurons that carry the edit, and say how much of all changes cancels.

    Example:
        Two neurons of two markers, the second of which undoes half of the first's work on CD3:

        >>> values = np.array([[1.0, 0.0], [-0.5, 0.0]])
        >>> names = NeuronNames(("CD3", "CD4"), values, values, np.array([0.0, 0.9]))
        >>> read_conductance(Conductance(("CD3", "CD4"), values, values.sum(axis=0)), names)
        'Neurons 0 (CD3↑) and 1 carry 100% of what the edit does; 67% of what single neurons do to the markers is
        undone by others.'
    """
    if not found.share.any():
        return NOTHING
    few = found.order[:FEW]
    carry = few[np.abs(found.net_share[few]) >= MIN_SHARE]
    first = carry if len(carry) else few
    called, share = neurons_in_words(first, names), found.net_share[first].sum()
    return (
        f"{called[0].upper()}{called[1:]} carr{'y' if len(first) > 1 else 'ies'} {share:.0%} of what the edit does; "
        f"{found.cancellation:.0%} of what single neurons do to the markers is undone by others."
    )


def read_places(places: pd.DataFrame) -> str:
    """Say how much of what the edit's neurons do each place makes, the most first.

    Example:
        >>> read_places(pd.DataFrame({"place": ["decoder.2", "encoder.2"], "net_share": [0.6, 0.4]}))
        'Of what neurons do to the markers, 60% is by decoder.2 and 40% by encoder.2.'
    """
    (first, share), *others = zip(places["place"], places["net_share"], strict=True)
    words = [f"{share:.0%} is by {first}", *(f"{share:.0%} by {place}" for place, share in others)]
    return f"Of what neurons do to the markers, {', '.join(words[:-1])}{' and ' if others else ''}{words[-1]}."


def warn_conductance(found: Conductance) -> str:
    """Warn that no neuron is the effect by itself, where most changes cancel.

    Example:
        >>> values = np.array([[1.0], [-0.5]])
        >>> warn_conductance(Conductance(("CD3",), values, values.sum(axis=0)))
        '67% of what single neurons do is undone by others: the edit is the work of all together, and no neuron is the
        effect by itself.'
    """
    if found.cancellation < HIGH_CANCELLATION:
        return ""
    return (
        f"{found.cancellation:.0%} of what single neurons do is undone by others: the edit is the work of all "
        "together, and no neuron is the effect by itself."
    )
