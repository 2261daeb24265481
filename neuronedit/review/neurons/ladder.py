"""The activation ladder: for each neuron the likeliest cells from its lowest to its highest activations."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from neuronedit.arrays import Float32s, Masks
from neuronedit.edits.operators.landmarks import Landmarks
from neuronedit.network.autoencoder import tensor
from neuronedit.review.charts import BLACK, MAX_LADDERS, MAX_MARKERS, SMALL, UNTRUSTED, heat, neuron_name
from neuronedit.review.neurons.conductance import Conductance
from neuronedit.review.neurons.names import NeuronNames, neurons_in_words
from neuronedit.review.neurons.prior import CodePrior
from neuronedit.review.part import FEW, Drawing, Part, finite_scalars
from neuronedit.review.subject import EditSubject

PERCENTILES: Final = (1, 25, 50, 75, 99)

MAX_REAL: Final = 3_000
"""Real events among which neighbours are looked for; the ratio of two distances hardly depends on their number."""


@dataclass(frozen=True)
class Ladder:
    """The likeliest cell for each neuron and each of five percentiles of its activations.

    Attributes:
        marker_names: (n_markers,) names, in the panel's order.
        levels: (n_neurons, 5) float32, the activations at ``PERCENTILES`` of source and target.
        reached: (n_neurons, 5) float32, the cells' activations when they are encoded.
        spreads: (n_neurons,) float32, standard deviations of activations; 0 for a dead neuron.
        cells: (n_neurons, 5, n_markers) float32, standardised.
        realism: (n_neurons, 5) float64, see ``realism``.

    Source: Nguyen et al. 2016 (arXiv 1605.09304), activation maximisation through a generator.
    """

    marker_names: tuple[str, ...]
    levels: Float32s
    reached: Float32s
    spreads: Float32s
    cells: Float32s
    realism: Float32s

    @property
    def errors(self) -> Float32s:
        """(n_neurons, 5) how far the cells' activations are from what was asked, in the neuron's spreads."""
        return np.abs(self.reached - self.levels) / np.where(self.spreads > 0, self.spreads, 1)[:, None]

    @property
    def live(self) -> Masks:
        """(n_neurons,) whether the neuron varies at all."""
        return np.asarray(self.spreads > 0)

    def table(self) -> pd.DataFrame:
        """A row for each neuron and percentile. Columns: neuron, percentile, activation, error, realism, markers."""
        n_neurons, n_levels, n_markers = self.cells.shape
        ladder = pd.DataFrame(
            {
                "neuron": np.repeat(np.arange(n_neurons), n_levels),
                "percentile": np.tile(PERCENTILES, n_neurons),
                "activation": self.levels.ravel(),
                "error": self.errors.ravel(),
                "realism": self.realism.ravel(),
            }
        )
        cells = pd.DataFrame(self.cells.reshape(-1, n_markers), columns=list(self.marker_names))
        return pd.concat([ladder, cells], axis=1)


def activation_ladder(subject: EditSubject, prior: CodePrior, seed: int) -> Ladder:
    """Search the likeliest cells for all neurons and percentiles at once.

    Args:
        subject: The edit, as a layer's neurons see it.
        prior: The layer's likely activations.
        seed: Draws the real events to which cells are compared.

    Example:
        From its lowest to its highest activations, cells rise in the marker that the neuron reads:

        >>> from neuronedit.review.subject import example_subject
        >>> subject = example_subject()
        >>> prior = CodePrior.fit(subject.source.activations, seed=0)
        >>> ladder = activation_ladder(subject, prior, seed=0)
        >>> (np.diff(ladder.cells[2, :, 2]) > 0).tolist()
        [True, True, True, True]
    """
    activations = np.concatenate([subject.source.activations, subject.target.activations])
    levels = np.percentile(activations, PERCENTILES, axis=0).T.astype(np.float32)
    spreads = activations.std(axis=0)
    own = np.repeat(np.arange(subject.n_neurons), len(PERCENTILES))
    chosen = tensor(own)[None, :, None]

    def activation(codes: Tensor) -> Tensor:
        network, layer = subject.autoencoder, subject.layer
        found = network.encode(network.decode(codes, layer), layer)
        return found.gather(2, chosen.expand(len(found), -1, -1))[..., 0]

    scales = np.where(spreads > 0, spreads, 1).astype(np.float32)[own]
    found = prior.likeliest(activation, levels.ravel(), scales)
    cells = subject.decode(found.neurons)
    reached = np.take_along_axis(subject.encode(cells), own[:, None], axis=1)
    real = np.concatenate([subject.source.markers, subject.target.markers])
    return Ladder(
        subject.marker_names,
        levels,
        reached.reshape(levels.shape),
        spreads,
        cells.reshape(*levels.shape, -1),
        realism(cells, real, seed).reshape(levels.shape),
    )


def realism(cells: Float32s, real: Float32s, seed: int) -> Float32s:
    """How far cells are from the nearest real event, over what real events are from theirs.

    1 is as near as real events are to one another; a cell without noise of its own, amid real ones, is nearer.

    Args:
        cells: (n_cells, n_markers).
        real: (n_events, n_markers); ``MAX_REAL`` are drawn; at least two must differ.
        seed: Draws them.

    Returns:
        (n_cells,) distances over the median distance of real events to their nearest other.

    Example:
        Real events lie 1 apart; of two cells, one is as near, the other three times as far:

        >>> real = np.arange(5, dtype=np.float32)[:, None]
        >>> realism(np.float32([[5.0], [7.0]]), real, seed=0).tolist()
        [1.0, 3.0]
    """
    drawn = np.random.default_rng(seed).permutation(len(real))[:MAX_REAL]
    kept = Landmarks(np.unique(real[drawn], axis=0))
    own = kept.nearest(tensor(kept.events), 2)[1].numpy()  # an event's nearest is itself, at distance 0
    distances = kept.nearest(tensor(cells), 1)[1].numpy()
    return np.asarray(distances[:, 0] / np.median(own.max(axis=1)))


def _ladder_figure(rungs: pd.DataFrame) -> Figure:
    """Draw a strip for each neuron: the likeliest cell at each percentile of its activations.

    Args:
        rungs: Columns neuron, name, trusted, percentile, activation, error, realism, and a column for each marker;
            neurons in the order to be shown.
    """
    neurons = rungs.drop_duplicates("neuron").head(MAX_LADDERS)
    shown = rungs[rungs["neuron"].isin(neurons["neuron"])]
    cells = shown.iloc[:, list(rungs.columns).index("realism") + 1 :]
    furthest = (cells.max() - cells.min()).sort_values(ascending=False, kind="stable").index[:MAX_MARKERS]
    markers = [marker for marker in cells.columns if marker in set(furthest)]
    limit = float(np.abs(cells[markers].to_numpy()).max()) or 1.0
    figure = Figure(figsize=(11, 1.5 + 1.0 * len(neurons)), layout="constrained")
    strips = figure.subplots(len(neurons), 1, squeeze=False, sharex=True)[:, 0]
    for axes, neuron in zip(strips, neurons["neuron"], strict=True):
        rows = shown[shown["neuron"] == neuron]
        image = heat(axes, rows[markers].to_numpy(dtype=float), markers, limit)
        axes.set_yticks(range(len(rows)), [f"{percentile} %" for percentile in rows["percentile"]], fontsize=SMALL)
        axes.set_title(
            neuron_name(int(rows["neuron"].iloc[0]), str(rows["name"].iloc[0]), 4),
            fontsize=9,
            loc="left",
            pad=3,
            color=BLACK if rows["trusted"].iloc[0] else UNTRUSTED,
        )
    for axes in strips[:-1]:
        axes.tick_params(axis="x", labelbottom=False)
    bar = figure.colorbar(image, ax=list(strips), pad=0.01, aspect=40, label="standard deviations from the mean")
    bar.ax.tick_params(labelsize=SMALL)
    return figure


def ladder_part(
    subject: EditSubject, prior: CodePrior, conductance: Conductance, names: NeuronNames, seed: int = 0
) -> Part:
    """The likeliest cells at low and high activations of each neuron, those that carry most of the edit first.

    Args:
        subject: The edit, as a layer's neurons see it.
        prior: The layer's likely activations.
        conductance: Orders the neurons.
        names: The neurons' names.
        seed: Draws real events to compare the cells with.

    Example:
        >>> from neuronedit.review.neurons.conductance import edit_conductance
        >>> from neuronedit.review.neurons.names import name_neurons
        >>> from neuronedit.review.subject import example_subject
        >>> subject, conductance = example_subject(), edit_conductance(example_subject())
        >>> names = name_neurons(subject, conductance.neuron_cancellation)
        >>> part = ladder_part(subject, CodePrior.fit(subject.source.activations, seed=0), conductance, names)
        >>> part.tables["ladder"]["name"].drop_duplicates().tolist()
        ['pSTAT1↑', 'CD3↑', 'CD4↑']
    """
    found = activation_ladder(subject, prior, seed)
    live = [int(neuron) for neuron in conductance.order if found.live[neuron]]
    table = names.beside(found.table())
    rungs = pd.concat([table[table["neuron"] == neuron] for neuron in live], ignore_index=True) if live else table[:0]
    reading = read_ladder(found, live[0] if live else 0, names)
    realism = float(np.median(found.realism[live])) if live else float("nan")
    return Part(
        "ladder",
        "Activation ladder",
        "neurons",
        reading,
        {"ladder": rungs},
        (
            Drawing(
                "ladder",
                lambda: _ladder_figure(rungs),
                "Heatmaps: the likeliest cell at five percentiles of a neuron's activations, for the first neurons",
                reading,
            ),
        )
        if live
        else (),
        finite_scalars({"ladder_realism": realism}),
        warn_ladder(found),
    )


MAX_REALISM: Final = 1.1
MAX_ERROR: Final = 0.05


def read_ladder(found: Ladder, neuron: int, names: NeuronNames) -> str:
    """Say which markers change along one neuron's ladder, and how real the cells of all neurons are.

    Example:
        >>> cells, levels = np.linspace([-2, 0], [2, 1], 5)[None], np.linspace(-2, 2, 5)[None]
        >>> found = Ladder(("CD3", "CD4"), levels, levels, np.ones(1), cells, np.full((1, 5), 0.8))
        >>> read_ladder(found, 0, NeuronNames(("CD3", "CD4"), np.eye(1, 2), np.eye(1, 2), np.zeros(1)))
        'From its 1st to its 99th percentile neuron 0 (CD3↑) goes with CD3 (+4.0), CD4 (+1.0) standard deviations; the
        cells are 0.80 times as far from the nearest real one as real ones are from one another.'
    """
    if not found.live.any():
        return "No neuron of this layer varies."
    rise = found.cells[neuron, -1] - found.cells[neuron, 0]
    most = np.argsort(-np.abs(rise), kind="stable")[:FEW]
    markers = ", ".join(f"{found.marker_names[marker]} ({rise[marker]:+.1f})" for marker in most)
    first = neurons_in_words(np.array([neuron]), names)
    return (
        f"From its 1st to its 99th percentile {first} goes with {markers} standard "
        f"deviations; the cells are {np.median(found.realism[found.live]):.2f} times as far from the nearest real one "
        "as real ones are from one another."
    )


def warn_ladder(found: Ladder) -> str:
    """Warn where cells are unlike real ones, or miss the activations asked for.

    Example:
        >>> levels = np.linspace(-2, 2, 5)[None]
        >>> warn_ladder(Ladder(("CD3",), levels, levels, np.ones(1), levels[..., None], np.full((1, 5), 1.8)))
        'Not to be read as cells: 100% of the cells are further from real ones than 1.1 times what is usual.'
    """
    if not found.live.any():
        return ""
    unreal = float((found.realism[found.live] > MAX_REALISM).mean())
    missed = float((found.errors[found.live] > MAX_ERROR).mean())
    told = [
        f"{share:.0%} of the cells {what}"
        for share, what in (
            (unreal, f"are further from real ones than {MAX_REALISM} times what is usual"),
            (missed, f"miss their activation by more than {MAX_ERROR} spreads"),
        )
        if share > 0.05
    ]
    return f"Not to be read as cells: {'; '.join(told)}." if told else ""
