"""Neuron names: the markers that a neuron writes, whether it reads the same, and whether the name may be trusted."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuronedit.arrays import Float64s, Int64s, Masks
from neuronedit.review.charts import MAX_MARKERS, MAX_NEURONS, SIGNS, SMALL, heat, neuron_label, neuron_places, of_many
from neuronedit.review.neurons.secants import Decoder, each_marker
from neuronedit.review.part import Drawing, Part, call_neurons, long_table
from neuronedit.review.subject import EditSubject

HIGH_CANCELLATION: Final = 0.5
"""A neuron of at least this cancellation must not be called by its markers: others undo most of its work."""

MAX_NAMED: Final = 4
"""Markers in a name at most."""

LEAST: Final = 0.5
"""A marker is in the name if the neuron writes at least this share of what it writes most."""

LOW_AGREEMENT: Final = 0.5
"""Below, a neuron reads mostly other markers than it writes: its name says only what it does, not what it sees."""

SILENT: Final = "(silent)"


@dataclass(frozen=True)
class NeuronNames:
    """The markers that each neuron writes and reads, and the name that follows.

    Attributes:
        marker_names: (n_markers,) names, in the panel's order.
        writes: (n_neurons, n_markers) float64: by how many of its standard deviations a decoded marker changes with
            one standard deviation of the neuron, mean slope over the source's events.
        reads: (n_neurons, n_markers) float64: correlation of activation and marker, over source and target.
        cancellation: (n_neurons,) float64: how much of the neuron's part in the edit others undo; see ``Conductance``.
        neurons: (n_neurons,) what neurons are called in tables, such as ``encoder.2/17``; none: by their numbers.
    """

    marker_names: tuple[str, ...]
    writes: Float64s
    reads: Float64s
    cancellation: Float64s
    neurons: tuple[str, ...] = ()

    @cached_property
    def written(self) -> tuple[tuple[int, ...], ...]:
        """Each neuron's marker numbers that name it, the strongest first; none if it writes nothing."""
        found = []
        for row in np.abs(self.writes):
            order = np.argsort(-row, kind="stable")[:MAX_NAMED]
            found.append(tuple(int(marker) for marker in order if row[marker] > 0 and row[marker] >= LEAST * row.max()))
        return tuple(found)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Each neuron's name: the markers that it writes, with the direction in which a rise moves them."""
        return tuple(self._text(self.writes[neuron], markers) for neuron, markers in enumerate(self.written))

    @cached_property
    def read_names(self) -> tuple[str, ...]:
        """The markers that each neuron reads most, as many as name it."""
        return tuple(self._text(self.reads[neuron], markers) for neuron, markers in enumerate(self._read))

    @cached_property
    def agreement(self) -> Float64s:
        """(n_neurons,) the share of a name's markers that are among as many read most, with the same sign."""
        same = np.sign(self.writes) == np.sign(self.reads)
        shares = [
            np.mean([marker in read and same[neuron, marker] for marker in written]) if written else 0.0
            for neuron, (written, read) in enumerate(zip(self.written, self._read, strict=True))
        ]
        return np.array(shares, dtype=np.float64)

    @cached_property
    def trusted(self) -> Masks:
        """(n_neurons,) whether a neuron may be called by its name: not undone by others, it reads what it writes."""
        named = np.array([bool(markers) for markers in self.written])
        return named & (self.cancellation < HIGH_CANCELLATION) & (self.agreement >= LOW_AGREEMENT)

    def beside(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table whose column ``neuron`` has numbers: neurons as they are called, ``name`` and ``trusted`` beside."""
        neuron = table["neuron"].to_numpy()
        named = table.copy()
        at = list(table.columns).index("neuron") + 1
        named.insert(at, "name", np.array(self.names, dtype=object)[neuron])
        named.insert(at + 1, "trusted", self.trusted[neuron])
        return call_neurons(named, self.neurons)

    def table(self) -> pd.DataFrame:
        """A row for each neuron. Columns: neuron, name, trusted, reads, agreement, cancellation."""
        columns = {"reads": self.read_names, "agreement": self.agreement, "cancellation": self.cancellation}
        return self.beside(pd.DataFrame({"neuron": np.arange(len(self.names)), **columns}))

    @cached_property
    def _read(self) -> tuple[tuple[int, ...], ...]:
        orders = np.argsort(-np.abs(self.reads), axis=1, kind="stable")
        pairs = zip(orders, self.written, strict=True)
        return tuple(tuple(int(marker) for marker in order[: len(written)]) for order, written in pairs)

    def _text(self, values: Float64s, markers: tuple[int, ...]) -> str:
        arrows = [f"{self.marker_names[marker]}{'↑' if values[marker] > 0 else '↓'}" for marker in markers]
        return " ".join(arrows) or SILENT


def name_neurons(subject: EditSubject, cancellation: Float64s) -> NeuronNames:
    """Name each neuron of all places that the edit edits, by what its own decoder makes of it.

    Args:
        subject: The edit, as its neurons see it.
        cancellation: (n_neurons,) float64, how much of each neuron's work others undo, 0 to 1.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> name_neurons(example_subject(), np.zeros(3)).names
        ('CD3↑', 'CD4↑', 'pSTAT1↑')
    """
    writes, reads = zip(*map(_written_and_read, subject.each()), strict=True)
    found = np.concatenate(writes), np.concatenate(reads)
    return NeuronNames(subject.marker_names, *found, cancellation, subject.neuron_names)


def _written_and_read(part: EditSubject) -> tuple[Float64s, Float64s]:
    """Markers that one place's neurons write, and those that they read: (n_neurons, n_markers) each."""
    before = part.source.activations
    n_markers = len(part.marker_names)
    slopes = np.zeros((n_markers, part.n_neurons))
    for block in Decoder.at_layer(part.autoencoder, part.layer).slopes(before, each_marker(n_markers)):
        slopes += block.sum(axis=0, dtype=np.float64)
    activations = np.concatenate([before, part.target.activations]).astype(np.float64)
    markers = np.concatenate([part.source.markers, part.target.markers]).astype(np.float64)
    per_event, marker_spreads = slopes / len(before), markers.std(axis=0)
    spreads = activations.std(axis=0)
    written = per_event.T * spreads[:, None] / np.where(marker_spreads > 0, marker_spreads, 1)
    return written, _correlations(activations, markers)


def _correlations(a: Float64s, b: Float64s) -> Float64s:
    """Pearson's correlation of each column of a with each of b: (n, k), (n, m) → (k, m); 0 for constant ones."""
    centred = [values - values.mean(axis=0) for values in (a, b)]
    scaled = [values / np.where(values.any(axis=0), np.linalg.norm(values, axis=0), 1) for values in centred]
    return np.asarray(scaled[0].T @ scaled[1])


def _names_figure(profiles: pd.DataFrame) -> Figure:
    """Draw neurons × markers that they write, beside those that they read, for the markers of the first neurons.

    Args:
        profiles: Columns neuron, name, trusted, marker, writes, reads; neurons in the order to be shown.
    """
    neurons = profiles.drop_duplicates("neuron").head(MAX_NEURONS)
    shown = profiles[profiles["neuron"].isin(neurons["neuron"])]
    # What the first neurons write most comes first, until there is no more room.
    strongest = shown.assign(size=shown["writes"].abs(), place=shown["neuron"].map(neuron_places(neurons["neuron"])))
    ordered = strongest.sort_values(["place", "size"], ascending=[True, False], kind="stable").groupby("place").head(4)
    markers = list(ordered["marker"].unique()[: MAX_MARKERS // 2])
    figure = Figure(figsize=(11, 1.9 + 0.23 * len(neurons)), layout="constrained")
    pair = figure.subplots(1, 2, sharey=True)
    titles = {"writes": "writes (its markers' spreads per spread of its own)", "reads": "reads (correlation)"}
    for axes, (column, title) in zip(pair, titles.items(), strict=True):
        values = shown.pivot(index="neuron", columns="marker", values=column).loc[neurons["neuron"], markers]
        image = heat(axes, values.to_numpy(), markers)
        axes.set_title(title, fontsize=9, loc="left")
        bar = figure.colorbar(image, ax=axes, pad=0.01)
        bar.set_label(SIGNS, fontsize=SMALL)
        bar.ax.tick_params(labelsize=SMALL)
    neuron_label(pair[0], neurons)
    figure.suptitle(of_many("neurons", len(neurons), profiles["neuron"].nunique()), fontsize=9, x=0.01, ha="left")
    return figure


def names_part(names: NeuronNames, order: Int64s) -> Part:
    """The neurons' names, and whether a neuron may be called by its own.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> names_part(name_neurons(example_subject(), np.zeros(3)), np.arange(3)).reading
        '3 of 3 neurons may be called by their names, as they read what they write and others undo less than half of
        it.'
    """
    table = names.table().iloc[order].reset_index(drop=True)
    profiles = names.beside(long_table(order, names.marker_names, writes=names.writes, reads=names.reads))
    reading = read_names(names)
    return Part(
        "names",
        "Neuron names",
        "neurons",
        reading,
        {"neuron_names": table, "neuron_profiles": profiles},
        (
            Drawing(
                "names",
                lambda: _names_figure(profiles),
                "Two heatmaps, neuron by marker: what neurons write, and what they read",
                reading,
            ),
        )
        if names.trusted.any()
        else (),
        {"trusted_names": float(names.trusted.mean())},
        warn_names(names) if names.trusted.any() else "",
    )


ONE_VERSION: Final = (
    "Names belong to this version of the model: trained anew, the layer as a whole comes back, single neurons do not."
)


def read_names(names: NeuronNames) -> str:
    """Say how many neurons may be called by their names.

    Example:
        >>> read_names(NeuronNames(("CD3", "CD4"), np.eye(2), np.eye(2), cancellation=np.array([0.0, 0.9])))
        '1 of 2 neurons may be called by their names, as they read what they write and others undo less than half of
        it.'
    """
    silent = sum(not markers for markers in names.written)
    if not names.trusted.any():
        return (
            f"None of {len(names.names)} neurons may be called by the markers that it writes: others undo half of it "
            "or more, or it reads other markers. Names in the tables are of what a neuron writes, and no more."
        )
    return (
        f"{names.trusted.sum()} of {len(names.names)} neurons may be called by their names, as they read what they "
        f"write and others undo less than half of it{f'; {silent} write nothing' if silent else ''}."
    )


def warn_names(names: NeuronNames) -> str:
    """Warn that names belong to one version, and explain grey ones.

    Example:
        >>> warn_names(NeuronNames(("CD3", "CD4"), np.eye(2), np.eye(2), cancellation=np.array([0.0, 0.9])))
        'Names belong to this version of the model: trained anew, the layer as a whole comes back, single neurons do
        not. Grey names are of neurons whose work others undo by half or more, or that read other markers than ...'
    """
    grey = (
        ""
        if names.trusted.all()
        else " Grey names are of neurons whose work others undo by half or more, or that read other markers than they "
        "write: such a neuron is not what it is called."
    )
    return ONE_VERSION + grey


def neurons_in_words(neurons: np.ndarray, names: NeuronNames) -> str:
    """Neurons in words, with their names where these may be used.

    Example:
        >>> names = NeuronNames(("CD3", "CD4"), np.eye(2), np.eye(2), cancellation=np.array([0.0, 0.9]))
        >>> neurons_in_words(np.array([1, 0]), names)
        'neurons 1 and 0 (CD3↑)'
    """
    called = [names.neurons[neuron] if names.neurons else neuron for neuron in neurons]
    trusted = zip(neurons, called, strict=True)
    words = [f"{call} ({names.names[neuron]})" if names.trusted[neuron] else f"{call}" for neuron, call in trusted]
    listed = f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
    return f"neuron{'s' if len(words) > 1 else ''} {listed}"
