"""Histograms of one score, each population beside the source."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuronedit.review.figures import BLUE, GREY, SMALL
from neuronedit.review.neurons import SOURCE


def histogram_figure(rows: pd.DataFrame, label: str) -> Figure:
    """A row of its own for each population, with the source in grey behind it.

    Args:
        rows: Columns population, low, high, share; every population has the same bins.
        label: Names the values that are counted.
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
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=SMALL)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, fontsize=SMALL, frameon=False)
    figure.supxlabel(f"{label}; last bin: and beyond", fontsize=9)
    figure.supylabel("share of events", fontsize=9)
    return figure
