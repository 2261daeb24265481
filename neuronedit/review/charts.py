"""Charts that several features of a review share, in colours that colour-blind readers and printers can tell apart.

Bars, heatmaps, histograms, lines from before to after, and how an edit's neurons are labelled in them.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from neuronedit.arrays import Floats
from neuronedit.review.subject import SOURCE
from neuronedit.review.wording import settled, short

# Okabe & Ito 2008, "Color universal design".
BLACK, ORANGE, BLUE, GREY, VERMILLION = "#000000", "#E69F00", "#0072B2", "#8C8C8C", "#D55E00"

LESS, MORE = BLUE, VERMILLION
SIGNS: Final = "blue: less, orange: more"
"""The colours' meaning, in bars and heatmaps alike."""

SMALL = 8
"""Point size of tick labels: legible at the page's width."""


def tidy(axes: Axes) -> None:
    """Take away the spines above and to the right, and make the ticks' labels small.

    Example:
        >>> axes = Figure().subplots()
        >>> tidy(axes)
        >>> [side for side, spine in axes.spines.items() if spine.get_visible()]
        ['left', 'bottom']
    """
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL)


COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", VERMILLION, "#56B4E9")
"""Okabe & Ito 2008, in the order in which a table's columns take them."""

HATCHES = ("", "//", "..", "xx", "\\\\", "++")
"""Hatches that tell columns apart in grey print, too."""


def bar_figure(values: pd.DataFrame, label: str, marks: Mapping[str, float] | None = None) -> Figure:
    """A bar for each row, with its sum beside it; what is not known has none.

    Args:
        values: Its index names the bars, its columns the parts that are stacked; not negative.
        label: Names the values, with their unit.
        marks: Values to compare with, by name: dashed lines.

    Example:
        >>> values = pd.DataFrame({"change": [0.5, np.nan]}, index=["CD4", "CD8"])
        >>> [text.get_text() for text in bar_figure(values, "change").axes[0].texts]
        ['0.50', 'cannot say']
    """
    figure = Figure(figsize=(7.2, 1.1 + 0.24 * len(values)), layout="constrained")
    axes = figure.subplots()
    places, left = np.arange(len(values)), np.zeros(len(values))
    for number, column in enumerate(values.columns):
        widths = np.nan_to_num(values[column].to_numpy(dtype=float))
        colour, hatch = COLOURS[number % len(COLOURS)], HATCHES[number % len(HATCHES)]
        axes.barh(places, widths, 0.72, left, color=colour, hatch=hatch, edgecolor="white", lw=0.4, label=str(column))
        left += widths
    decimals = 2 if left.max(initial=0) >= 0.5 else 3
    known = values.notna().any(axis=1).to_numpy()
    for place, total in enumerate(left):
        text = f"{total:.{decimals}f}" if known[place] else "cannot say"
        axes.annotate(text, (total, place), (3, 0), textcoords="offset points", va="center", fontsize=SMALL)
    styles = ("--", ":", "-.")
    for number, (name, value) in enumerate((marks or {}).items()):
        axes.axvline(value, color=BLACK, lw=1, ls=styles[number % len(styles)], label=f"{name} ({value:.2g})")
    axes.set_yticks(places, [str(name) for name in values.index], fontsize=SMALL)
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.set_xlim(0, 1.18 * max([float(left.max(initial=0)), *(marks or {}).values()]) or 1)
    axes.set_xlabel(label, fontsize=9)
    tidy(axes)
    if values.shape[1] > 1 or marks:
        figure.legend(loc="outside upper right", ncols=3, fontsize=SMALL, frameon=False)
    return figure


def before_after_figure(values: pd.DataFrame, label: str, words: tuple[str, str]) -> Figure:
    """Draw a line for each row of a table, from a hollow dot (before) to a full one (after).

    Args:
        values: Its index names the rows; columns before and after.
        label: Names the values, with their unit.
        words: Name before and after in the legend.

    Example:
        >>> values = pd.DataFrame({"before": [0.9], "after": [0.4]}, index=["CD4"])
        >>> axes = before_after_figure(values, "EMD", ("unedited", "edited")).axes[0]
        >>> {dots.get_label(): dots.get_offsets().tolist() for dots in axes.collections[1:]}
        {'unedited': [[0.9, 0.0]], 'edited': [[0.4, 0.0]]}
    """
    figure = Figure(figsize=(6.4, 1.2 + 0.21 * len(values)), layout="constrained")
    axes, heights = figure.subplots(), np.arange(len(values))
    axes.hlines(heights, values["before"], values["after"], color=GREY, lw=1.2)
    axes.scatter(values["before"], heights, s=28, facecolor="white", edgecolor=GREY, lw=1.5, label=words[0], zorder=3)
    axes.scatter(values["after"], heights, s=28, color=BLUE, label=words[1], zorder=4)
    axes.set_yticks(heights, [str(name) for name in values.index], fontsize=SMALL)
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel(label, fontsize=9)
    axes.grid(axis="x", color="#DDDDDD", lw=0.6)
    tidy(axes)
    figure.legend(loc="outside upper right", ncols=2, fontsize=SMALL, frameon=False)
    return figure


UNKNOWN = "#DDDDDD"
DIVERGING: Colormap = LinearSegmentedColormap.from_list("less to more", [LESS, "#FFFFFF", MORE])
SEQUENTIAL: Colormap = LinearSegmentedColormap.from_list("white to blue", ["#FFFFFF", BLUE])

ROW_HEIGHT = 0.21
"""Inches: a row's label stays legible."""

MAX_COLUMNS, MAX_NUMBERED = 12, 160
"""Columns whose names stand upright, and cells up to which each shows its number; more would be a blur."""


def heatmap_figure(values: pd.DataFrame, label: str, *, diverging: bool, limit: float | None = None) -> Figure:
    """A cell for each value; what is not known is grey.

    Args:
        values: Its index names the rows, its columns the columns.
        label: Names the values, beside the colour bar.
        diverging: White is 0 and lies in the middle; else white is 0 and the least.
        limit: Values beyond it have its colour; by default the largest.

    Example:
        >>> values = pd.DataFrame({"CD4": [-1.0], "CD8": [np.nan]}, index=["neuron 3"])
        >>> [text.get_text() for text in heatmap_figure(values, "change", diverging=True).axes[0].texts]
        ['-1']
    """
    figure = Figure(figsize=(9.6, max(2.4, 1.3 + ROW_HEIGHT * len(values))), layout="constrained")
    axes = figure.subplots()
    numbers = settled(values.to_numpy(dtype=float))
    largest = limit or float(np.nanmax(np.abs(numbers), initial=0)) or 1.0
    image = axes.imshow(
        numbers,
        aspect="auto",
        cmap=(DIVERGING if diverging else SEQUENTIAL).with_extremes(bad=UNKNOWN),
        vmin=-largest if diverging else 0,
        vmax=largest,
        interpolation="nearest",
    )
    axes.set_yticks(range(len(values)), [str(name) for name in values.index], fontsize=SMALL)
    axes.set_xticks(range(values.shape[1]), [str(name) for name in values.columns], fontsize=SMALL)
    if values.shape[1] > MAX_COLUMNS:
        axes.tick_params(axis="x", rotation=90)
    elif numbers.size <= MAX_NUMBERED:
        for (row, column), value in np.ndenumerate(numbers):
            if np.isfinite(value):
                colour = "white" if abs(value) > 0.7 * largest else "black"
                axes.text(column, row, short(value, ".2g"), ha="center", va="center", fontsize=SMALL - 1, color=colour)
    beyond = "neither" if limit is None else "both" if diverging else "max"
    bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.01, extend=beyond)
    bar.set_label(f"{label}\n{SIGNS}" if diverging else label, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def histogram_figure(rows: pd.DataFrame, label: str) -> Figure:
    """A row of its own for each population, with the source in grey behind it.

    Args:
        rows: Columns population, low, high, share; every population has the same bins.
        label: Names the values that are counted.

    Example:
        >>> names = [SOURCE, "target"]
        >>> rows = pd.DataFrame({"population": names, "low": 0.0, "high": 1.0, "share": 1.0})
        >>> [axes.get_title(loc="left") for axes in histogram_figure(rows, "distance").axes]
        ['target']
    """
    populations = [name for name in rows["population"].unique() if name != SOURCE] or [SOURCE]
    own = rows[rows["population"] == SOURCE]
    edges = np.append(own["low"].to_numpy(), own["high"].iloc[-1])
    height = 0.9 + 0.85 * len(populations)
    figure = Figure(figsize=(7.2, height), layout="constrained")
    for axes, name in zip(
        figure.subplots(len(populations), 1, sharex=True, squeeze=False)[:, 0], populations, strict=True
    ):
        # Square roots: thin tails are what a reader looks for.
        axes.stairs(np.sqrt(own["share"]), edges, fill=True, color=GREY, alpha=0.5, label=SOURCE)
        if name != SOURCE:
            shares = rows.loc[rows["population"] == name, "share"]
            axes.stairs(np.sqrt(shares), edges, color=BLUE, lw=1.4, label="population")
        axes.set_title(name, fontsize=SMALL + 0.5, loc="left", pad=2)
        axes.set_yticks(np.sqrt([0, 0.1, 0.5]), ["0 %", "10 %", "50 %"])
        axes.set_ylim(0, 1.02)
        tidy(axes)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, fontsize=SMALL, frameon=False)
    figure.supxlabel(f"{label}; last bin: and beyond", fontsize=9)
    figure.supylabel("share of events", fontsize=9)
    return figure


MAX_NEURONS: Final = 20
MAX_MARKERS: Final = 40
MAX_LADDERS: Final = 6
"""Shown at most; the tables have all."""

UNTRUSTED: Final = "#767676"
"""The colour of names that a neuron may not be called by: the lightest grey that can be read on white."""

MINUS_FROM: Final = 0.4
"""Cells below minus this share of the largest value bear a minus, because prints have no colour."""


def signed_bars(axes: Axes, values: Floats, label: str) -> None:
    """Draw a bar for each value, from the top, in the colour of less or of more, and say in the legend which is which.

    Example:
        >>> axes = Figure().subplots()
        >>> signed_bars(axes, np.array([0.5, -0.2]), "change")
        >>> [bar.get_label() for bar in axes.containers], [len(bar) for bar in axes.containers]
        (['change: more', 'less'], [1, 1])
    """
    places = np.arange(len(values))
    for side, colour, name in ((values >= 0, MORE, f"{label}: more"), (values < 0, LESS, "less")):
        axes.barh(places[side], values[side], 0.65, color=colour, label=name)
    axes.axvline(0, color=BLACK, lw=0.8)
    axes.set_ylim(len(values) - 0.4, -0.6)


def heat(axes: Axes, values: np.ndarray, columns: Sequence[str], limit: float | None = None) -> AxesImage:
    """Draw (n_rows, n_columns) values in diverging colours; strongly negative ones bear a minus sign.

    Example:
        >>> axes = Figure().subplots()
        >>> heat(axes, np.array([[-1.0, 0.5]]), ["CD4", "CD8"]).get_clim(), [text.get_text() for text in axes.texts]
        ((-1.0, 1.0), ['−'])
    """
    limit = limit or float(np.abs(values).max()) or 1.0
    image = axes.imshow(values, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(columns)), list(columns), rotation=90, fontsize=SMALL)
    for row, column in np.argwhere(values < -MINUS_FROM * limit):
        axes.text(column, row, "−", ha="center", va="center", fontsize=SMALL, color="white")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return image


def neuron_label(axes: Axes, neurons: pd.DataFrame) -> None:
    """Label rows with numbers and names of neurons; names that may not be used are grey.

    Example:
        >>> axes = Figure().subplots()
        >>> neuron_label(axes, pd.DataFrame({"neuron": [3], "name": ["CD4+ CD8-"], "trusted": [False]}))
        >>> [(label.get_text(), label.get_color()) for label in axes.get_yticklabels()]
        [('3: CD4+ CD8-', '#767676')]
    """
    labels = [neuron_name(neuron, name, 2) for neuron, name in zip(neurons["neuron"], neurons["name"], strict=True)]
    axes.set_yticks(range(len(neurons)), labels, fontsize=SMALL)
    for text, trusted in zip(axes.get_yticklabels(), neurons["trusted"], strict=True):
        text.set_color(BLACK if trusted else UNTRUSTED)


def neuron_places(names: pd.Series) -> dict[int | str, int]:
    """Map each name to its place, from 0.

    Example:
        >>> neuron_places(pd.Series([7, 3]))
        {7: 0, 3: 1}
    """
    return {name: place for place, name in enumerate(names)}


def neuron_name(neuron: int | str, name: str, n_markers: int) -> str:
    """Give a neuron's number, or what it is called, with the first markers of its name.

    Example:
        >>> neuron_name(3, "CD4+ CD8- CD45+", 2)
        '3: CD4+ CD8- …'
    """
    parts = name.split(" ")
    return f"{neuron}: {' '.join(parts[:n_markers])}{' …' if len(parts) > n_markers else ''}"


def of_many(what: str, n_shown: int, n_all: int) -> str:
    """Say how many of many are shown; empty where all are.

    Example:
        >>> of_many("markers", 40, 60)
        'the 40 of 60 markers that come first'
    """
    return f"the {n_shown} of {n_all} {what} that come first" if n_shown < n_all else ""
