"""The figures of an edit's neurons, drawn from tables alone."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from neuronedit.review.figures import BLACK, BLUE, GREY, ORANGE, SMALL, VERMILLION, tidy
from neuronedit.review.heatmap import DIVERGING

MAX_NEURONS: Final = 20
MAX_MARKERS: Final = 40
MAX_LADDERS: Final = 6
"""Shown at most; the tables have all."""

UNTRUSTED: Final = "#767676"
"""The colour of names that a neuron may not be called by: the lightest grey that can be read on white."""

MINUS_FROM: Final = 0.4
"""Cells below minus this share of the largest value bear a minus, because prints have no colour."""


def conductance_figure(conductance: pd.DataFrame, neurons: pd.DataFrame) -> Figure:
    """Draw neurons × markers of conductance, and beside it each neuron's share; most change comes first.

    Args:
        conductance: Columns neuron, name, trusted, marker, conductance.
        neurons: Columns neuron, name, trusted, share, net_share; a row each, in the order to be shown.
    """
    shown = neurons.head(MAX_NEURONS)
    values = conductance.pivot(index="neuron", columns="marker", values="conductance").loc[shown["neuron"]]
    change = conductance.groupby("marker")["conductance"].sum().abs().sort_values(ascending=False, kind="stable")
    markers = list(change.index[:MAX_MARKERS])
    figure = Figure(figsize=(11, 1.9 + 0.23 * len(shown)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(4, 1))
    image = _heat(left, values[markers].to_numpy(), markers)
    _label(left, shown)
    figure.colorbar(image, ax=left, pad=0.01, label="conductance (standard deviations)").ax.tick_params(labelsize=SMALL)
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
    figure.suptitle(_of_many("neurons", len(shown), len(neurons)), fontsize=9, x=0.01, ha="left")
    return figure


def faithfulness_figure(curves: pd.DataFrame) -> Figure:
    """Draw the share of the edit kept by the number of neurons, from ``Faithfulness.table``."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.subplots()
    counts = curves["neurons"]
    axes.fill_between(counts, curves["random_low"], curves["random_high"], color=GREY, alpha=0.25, lw=0)
    axes.plot(counts, curves["random"], ":", color=BLACK, lw=1.4, label="random order (mean; least to most)")
    axes.plot(counts, curves["emd"], "--s", color=ORANGE, ms=3.5, lw=1.4, label="by EMD, source to target")
    axes.plot(counts, curves["conductance"], "-o", color=BLUE, ms=3.5, lw=1.8, label="by conductance")
    axes.set_xscale("log", base=2)
    ticks = [2**power for power in range(int(np.log2(counts.max())) + 1)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.axhline(0, color=BLACK, lw=0.6)
    axes.set_ylim(top=1.05)
    axes.set_xlabel("neurons edited", fontsize=9)
    axes.set_ylabel("share of the edit kept", fontsize=9)
    axes.legend(loc="upper left", fontsize=SMALL, frameon=False)
    tidy(axes)
    return figure


def logit_figure(neurons: pd.DataFrame) -> Figure:
    """Draw each neuron's part in the logit beside its conductance; a row each, in the order to be shown.

    Args:
        neurons: Columns neuron, name, trusted, conductance (of all markers, without sign), logit.
    """
    shown = neurons.head(MAX_NEURONS)
    figure = Figure(figsize=(8.4, 1.4 + 0.23 * len(shown)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    heights = np.arange(len(shown))
    left.barh(heights, shown["conductance"], 0.65, color="#BBBBBB")
    left.set_xlabel("conductance, sum over markers without sign", fontsize=9)
    logit = shown["logit"].to_numpy(dtype=float)
    right.barh(heights, logit, 0.65, color=np.where(logit < 0, VERMILLION, BLUE))
    right.axvline(0, color=BLACK, lw=0.8)
    right.set_xlabel("part in the logit: right leads to treated", fontsize=9)
    left.set_ylim(len(shown) - 0.4, -0.6)
    for axes in (left, right):
        tidy(axes)
    _label(left, shown)
    right.tick_params(axis="y", length=0)
    figure.suptitle(_of_many("neurons", len(shown), len(neurons)), fontsize=9, x=0.01, ha="left")
    return figure


def ladder_figure(rungs: pd.DataFrame) -> Figure:
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
        image = _heat(axes, rows[markers].to_numpy(dtype=float), markers, limit)
        axes.set_yticks(range(len(rows)), [f"{percentile} %" for percentile in rows["percentile"]], fontsize=SMALL)
        axes.set_title(
            _name(int(rows["neuron"].iloc[0]), str(rows["name"].iloc[0]), 4),
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


def preferred_figure(markers: pd.DataFrame) -> Figure:
    """Draw each marker's difference of the preferred treated cell from its control, from ``PreferredCell.table``."""
    shown = markers.head(MAX_NEURONS)
    figure = Figure(figsize=(7.2, 1.2 + 0.22 * len(shown)), layout="constrained")
    axes = figure.subplots()
    heights = np.arange(len(shown))
    change = shown["change"].to_numpy(dtype=float)
    axes.barh(
        heights, change, 0.65, color=np.where(change < 0, VERMILLION, BLUE), label="preferred cell minus its control"
    )
    axes.scatter(shown["measured"], heights, marker="|", s=90, color=BLACK, lw=2, zorder=3, label="measured means")
    axes.axvline(0, color=BLACK, lw=0.8)
    axes.set_yticks(heights, list(shown["marker"]), fontsize=SMALL)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel("treated minus control (standard deviations)", fontsize=9)
    axes.legend(loc="lower right", fontsize=SMALL, frameon=False)
    figure.suptitle(_of_many("markers", len(shown), len(markers)), fontsize=9, x=0.01, ha="left")
    tidy(axes)
    return figure


def names_figure(profiles: pd.DataFrame) -> Figure:
    """Draw neurons × markers that they write, beside those that they read, for the markers of the first neurons.

    Args:
        profiles: Columns neuron, name, trusted, marker, writes, reads; neurons in the order to be shown.
    """
    neurons = profiles.drop_duplicates("neuron").head(MAX_NEURONS)
    shown = profiles[profiles["neuron"].isin(neurons["neuron"])]
    # What the first neurons write most comes first, until there is no more room.
    strongest = shown.assign(size=shown["writes"].abs(), place=shown["neuron"].map(_places(neurons["neuron"])))
    ordered = strongest.sort_values(["place", "size"], ascending=[True, False], kind="stable").groupby("place").head(4)
    markers = list(ordered["marker"].unique()[: MAX_MARKERS // 2])
    figure = Figure(figsize=(11, 1.9 + 0.23 * len(neurons)), layout="constrained")
    pair = figure.subplots(1, 2, sharey=True)
    titles = {"writes": "writes (its markers' spreads per spread of its own)", "reads": "reads (correlation)"}
    for axes, (column, title) in zip(pair, titles.items(), strict=True):
        values = shown.pivot(index="neuron", columns="marker", values=column).loc[neurons["neuron"], markers]
        image = _heat(axes, values.to_numpy(), markers)
        axes.set_title(title, fontsize=9, loc="left")
        figure.colorbar(image, ax=axes, pad=0.01).ax.tick_params(labelsize=SMALL)
    _label(pair[0], neurons)
    figure.suptitle(_of_many("neurons", len(neurons), profiles["neuron"].nunique()), fontsize=9, x=0.01, ha="left")
    return figure


def _heat(axes: Axes, values: np.ndarray, columns: Sequence[str], limit: float | None = None) -> AxesImage:
    limit = limit or float(np.abs(values).max()) or 1.0
    image = axes.imshow(values, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(columns)), list(columns), rotation=90, fontsize=SMALL)
    for row, column in np.argwhere(values < -MINUS_FROM * limit):
        axes.text(column, row, "−", ha="center", va="center", fontsize=SMALL, color="white")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return image


def _label(axes: Axes, neurons: pd.DataFrame) -> None:
    """Numbers and names at the left; names that may not be used are grey."""
    labels = [_name(neuron, name, 2) for neuron, name in zip(neurons["neuron"], neurons["name"], strict=True)]
    axes.set_yticks(range(len(neurons)), labels, fontsize=SMALL)
    for text, trusted in zip(axes.get_yticklabels(), neurons["trusted"], strict=True):
        text.set_color(BLACK if trusted else UNTRUSTED)


def _places(names: pd.Series) -> dict[int, int]:
    return {name: place for place, name in enumerate(names)}


def _name(neuron: int, name: str, n_markers: int) -> str:
    parts = name.split(" ")
    return f"{neuron}: {' '.join(parts[:n_markers])}{' …' if len(parts) > n_markers else ''}"


def _of_many(what: str, n_shown: int, n_all: int) -> str:
    return f"the {n_shown} of {n_all} {what} that come first" if n_shown < n_all else ""
