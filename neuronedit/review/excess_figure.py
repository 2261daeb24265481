"""Each marker's excess over additivity, measured and predicted side by side, with intervals."""

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuronedit.combinations import A_ON_B, B_ON_A, MEASURED
from neuronedit.review.figures import BLACK, BLUE, ORANGE, SMALL
from neuronedit.synergy import UNDECIDED

EXCESS_FIGURE: Final = "excess.png"

# Told apart by shape as well as by colour.
_SERIES: Final = {MEASURED: (BLACK, "o"), A_ON_B: (BLUE, "s"), B_ON_A: (ORANGE, "^")}

_SPACING = 0.22
"""Between the series of one marker, of a row's height of 1."""


def excess_figure(excess: pd.DataFrame, min_excess: float, treatments: tuple[str, str] = ("A", "B")) -> Figure:
    """A row for each marker, the largest excess first; its call stands at the right.

    Rows are sorted and called by measured A+B or, without it, by A's edit on B-treated cells.

    Args:
        excess: See ``neuronedit.synergy.excess_table``.
        min_excess: Arcsinh units; the band within which an excess counts as none.
        treatments: Name A and B in the title.
    """
    shown = [source for source in _SERIES if (excess["source"] == source).any()]
    first = excess[excess["source"] == shown[0]].sort_values("excess", ascending=False, kind="stable")
    markers = list(first["marker"])
    figure = Figure(figsize=(7.2, 1.6 + 0.36 * len(markers)), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(-min_excess, min_excess, color="#EEEEEE", zorder=0, label=f"counts as none (±{min_excess:g})")
    axes.axvline(0, color=BLACK, lw=0.8)
    for place, source in enumerate(shown):
        rows = excess[excess["source"] == source].set_index("marker").loc[markers]
        _intervals(axes, rows, np.arange(len(markers)) + _SPACING * (place - (len(shown) - 1) / 2), source)
    axes.set_yticks(range(len(markers)), markers, fontsize=SMALL)
    axes.set_ylim(len(markers) - 0.4, -0.6)
    _calls(axes, first, shown[0])
    axes.set_title(f"Excess of {treatments[0]} + {treatments[1]} over additivity", fontsize=10, loc="left")
    axes.set_xlabel("mean(A+B) − mean(A) − mean(B) + mean(control), arcsinh units", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL)
    figure.legend(
        title="synergistic: further from the control than the sum of A and B, up or down; antagonistic: less far",
        loc="outside lower center",
        ncols=2,
        fontsize=SMALL,
        title_fontsize=SMALL,
        frameon=False,
    )
    return figure


def _intervals(axes: Axes, rows: pd.DataFrame, heights: np.ndarray, source: str) -> None:
    colour, shape = _SERIES[source]
    label = source if source == MEASURED else f"predicted: {source}"
    axes.hlines(heights, rows["low"], rows["high"], color=colour, lw=1.4)
    axes.scatter(rows["excess"], heights, s=24, color=colour, marker=shape, label=label, zorder=3)


def _calls(axes: Axes, first: pd.DataFrame, source: str) -> None:
    """Each marker's call, beyond the right edge of its row; what is undecided in grey."""
    words = [f"call ({'measured' if source == MEASURED else 'predicted'})", *first["call"]]
    for height, word in enumerate(words, start=-1):
        axes.annotate(
            word,
            (1, max(height, -0.6)),
            (4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            color="#6B6B6B" if height < 0 or word == UNDECIDED else BLACK,
        )
