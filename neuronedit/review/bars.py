"""A table as horizontal bars, stacked where it has several columns."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuronedit.review.figures import BLACK, BLUE, ORANGE, SMALL, VERMILLION

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
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL)
    if values.shape[1] > 1 or marks:
        figure.legend(loc="outside upper right", ncols=3, fontsize=SMALL, frameon=False)
    return figure
