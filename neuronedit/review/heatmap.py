"""A table as a heatmap, in colours that colour-blind readers and printers can tell apart."""

import numpy as np
import pandas as pd
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from neuronedit.review.figures import BLUE, SMALL, VERMILLION

UNKNOWN = "#DDDDDD"

DIVERGING: Colormap = LinearSegmentedColormap.from_list("blue to vermillion", [BLUE, "#FFFFFF", VERMILLION])
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
    """
    figure = Figure(figsize=(9.6, max(2.4, 1.3 + ROW_HEIGHT * len(values))), layout="constrained")
    axes = figure.subplots()
    numbers = values.to_numpy(dtype=float)
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
                axes.text(column, row, f"{value:.2g}", ha="center", va="center", fontsize=SMALL - 1, color=colour)
    beyond = "neither" if limit is None else "both" if diverging else "max"
    bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.01, extend=beyond)
    bar.set_label(label, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure
