"""The activation ladder on the page: a strip for each neuron, a sentence, and where few cells are to choose from."""

from collections.abc import Callable
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuronedit.review.charts import BLACK, MAX_LADDERS, MAX_MARKERS, SIGNS, SMALL, UNTRUSTED, heat, neuron_name
from neuronedit.review.neurons.conductance import Conductance
from neuronedit.review.neurons.ladder import Ladder, edit_ladder
from neuronedit.review.neurons.names import NeuronNames, neurons_in_words
from neuronedit.review.neurons.reals import MAX_MISS, RealCells
from neuronedit.review.part import FEW, Drawing, Part, finite_scalars
from neuronedit.review.subject import EditSubject
from neuronedit.review.wording import short


def _ladder_figure(rungs: pd.DataFrame) -> Figure:
    """Draw a strip for each neuron: a typical real cell at each percentile of its activations.

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
            neuron_name(neuron, str(rows["name"].iloc[0]), 4),
            fontsize=9,
            loc="left",
            pad=3,
            color=BLACK if rows["trusted"].iloc[0] else UNTRUSTED,
        )
    for axes in strips[:-1]:
        axes.tick_params(axis="x", labelbottom=False)
    label = f"standard deviations from the mean ({SIGNS})"
    bar = figure.colorbar(image, ax=list(strips), pad=0.01, aspect=40, label=label)
    bar.ax.tick_params(labelsize=SMALL)
    return figure


def ladder_part(
    subject: EditSubject,
    cells_at: Callable[[int], RealCells],
    conductance: Conductance,
    names: NeuronNames,
    seed: int = 0,
) -> Part:
    """Typical real cells at low and high activations of each neuron, those that carry most of the edit first.

    Args:
        subject: The edit, as its neurons see it.
        cells_at: Gives a place's source and target, by its number.
        conductance: Orders the neurons.
        names: The neurons' names.
        seed: Draws real events to compare the cells with.

    Example:
        >>> from neuronedit.review.neurons.conductance import edit_conductance
        >>> from neuronedit.review.neurons.names import name_neurons
        >>> from neuronedit.review.subject import example_subject
        >>> subject, conductance = example_subject(), edit_conductance(example_subject())
        >>> names = name_neurons(subject, conductance.neuron_cancellation)
        >>> cells = RealCells.of(subject)
        >>> part = ladder_part(subject, lambda place: cells, conductance, names)
        >>> part.tables["ladder"]["name"].drop_duplicates().tolist()
        ['pSTAT1↑', 'CD3↑', 'CD4↑']
    """
    found = edit_ladder(subject, cells_at, conductance.order, seed)
    rows = {int(neuron): row for row, neuron in enumerate(found.neurons)}
    live = [rows[neuron] for neuron in map(int, conductance.order) if neuron in rows and found.live[rows[neuron]]]
    table = found.table()
    climbed = [table[table["neuron"] == found.neurons[row]] for row in live]
    rungs = names.beside(pd.concat(climbed, ignore_index=True) if live else table[:0])
    reading = read_ladder(found, live[0] if live else 0, names)
    if len(rows) < subject.n_neurons:
        reading += f" Ladders are of the {len(rows)} of {subject.n_neurons} neurons that carry most of the edit."
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
                "Heatmaps: a typical real cell at five percentiles of a neuron's activations, for the first neurons",
                reading,
            ),
        )
        if live
        else (),
        finite_scalars({"ladder_realism": realism}),
        warn_ladder(found),
    )


MANY: Final = 0.05
"""A share of the cells from which on a warning stands beside the figure."""


def read_ladder(found: Ladder, row: int, names: NeuronNames) -> str:
    """Say which markers change along the ladder in a row of ``found``.

    Example:
        >>> cells, levels = np.linspace([-2, 0], [2, 1], 5)[None], np.linspace(-2, 2, 5)[None]
        >>> found = Ladder(("CD3", "CD4"), levels, levels, np.ones(1), cells, np.full((1, 5), 0.8))
        >>> read_ladder(found, 0, NeuronNames(("CD3", "CD4"), np.eye(1, 2), np.eye(1, 2), np.zeros(1)))
        'From its 1st to its 99th percentile neuron 0 (CD3↑) goes with CD3 (+4.0), CD4 (+1.0) standard deviations,
        between typical cells there; every cell of a ladder was measured.'
    """
    if not found.live.any():
        return "No neuron of this layer varies."
    rise = found.cells[row, -1] - found.cells[row, 0]
    most = np.argsort(-np.abs(rise), kind="stable")[:FEW]
    markers = ", ".join(f"{found.marker_names[marker]} ({short(rise[marker], '+.1f')})" for marker in most)
    first = neurons_in_words(found.neurons[row : row + 1], names)
    return (
        f"From its 1st to its 99th percentile {first} goes with {markers} standard deviations, between typical cells "
        "there; every cell of a ladder was measured."
    )


def warn_ladder(found: Ladder) -> str:
    """Warn where too few cells are near the activations asked for.

    Example:
        >>> levels = np.linspace(-2, 2, 5)[None]
        >>> warn_ladder(Ladder(("CD3",), levels, levels + 1, np.ones(1), levels[..., None], np.full((1, 5), 1.8)))
        '100% of the cells miss the activation asked for by more than 0.05 spreads: none was measured nearer.'
    """
    if not found.live.any():
        return ""
    missed = float((found.errors[found.live] > MAX_MISS).mean())
    return (
        f"{missed:.0%} of the cells miss the activation asked for by more than {MAX_MISS} spreads: none was measured "
        "nearer."
        if missed > MANY
        else ""
    )
