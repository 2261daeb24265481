"""A figure of two values for each row, joined by a line: before and after."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuronedit.review.figures import BLUE, GREY, SMALL


def before_after_figure(values: pd.DataFrame, label: str, words: tuple[str, str]) -> Figure:
    """Draw a line for each row of a table, from a hollow dot (before) to a full one (after).

    Args:
        values: Its index names the rows; columns before and after.
        label: Names the values, with their unit.
        words: Name before and after in the legend.
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
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL)
    figure.legend(loc="outside upper right", ncols=2, fontsize=SMALL, frameon=False)
    return figure
