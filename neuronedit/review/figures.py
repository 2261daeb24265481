"""The review's figures, in colours that colour-blind readers tell apart (Okabe & Ito 2008)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuronedit.review.transfer import FLOOR, NEURONEDIT, NO_EDIT, Transfer

FloatArray = npt.NDArray[np.floating]

BLUE, ORANGE, GREY, GREEN = "#0072B2", "#D55E00", "#B8B8B8", "#009E73"
MIN_BINS, MAX_BINS = 20, 60
COLUMNS = 6


def marker_errors(table: pd.DataFrame, title: str) -> Figure:
    """Each marker's EMD to the truth before and after the edit, with the noise floor; the largest change first."""
    table = table.sort_values("before", ascending=True)
    height = np.arange(len(table))
    figure = Figure(figsize=(7, 0.6 + 0.21 * len(table)), layout="constrained")
    axes = figure.subplots()
    axes.hlines(height, table["before"], table["after"], color=GREY, linewidth=1.5, zorder=1)
    axes.scatter(table["floor"], height, marker="|", color="black", s=50, label="noise floor", zorder=2)
    axes.scatter(table["before"], height, color=ORANGE, s=26, label="before", zorder=3)
    axes.scatter(table["after"], height, color=BLUE, marker="D", s=22, label="after", zorder=4)
    axes.set_yticks(height, table["marker"], fontsize=8)
    axes.set_ylim(-0.8, len(table) - 0.2)
    axes.set_xlim(left=0)
    axes.set_xlabel("EMD to the truth (arcsinh units)")
    axes.set_title(title, fontsize=10, loc="left")
    axes.legend(loc="lower right", fontsize=8, frameon=False)
    _tidy(axes)
    return figure


def densities(transfer: Transfer, markers: Sequence[str]) -> Figure:
    """Every marker's distribution before and after the edit, over the truth; the largest change first."""
    order = np.argsort(-transfer.distances[NO_EDIT].emd)
    n_rows = -(-len(markers) // COLUMNS)
    figure = Figure(figsize=(12, 1.35 * n_rows + 0.5), layout="constrained")
    panels = figure.subplots(n_rows, COLUMNS, squeeze=False).ravel()
    for axes, marker in zip(panels, order, strict=False):
        _density(axes, transfer, int(marker))
        axes.set_title(markers[marker], fontsize=9, pad=2)
    for axes in panels[len(markers) :]:
        axes.remove()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=3, fontsize=9, frameon=False)
    return figure


def methods(table: pd.DataFrame) -> Figure:
    """Mean EMD and energy distance of every method, and the noise floor below which nothing can go for a reason."""
    table = table.iloc[::-1]
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    for axes, (metric, label) in zip(
        figure.subplots(1, 2, sharey=True), (("emd", "mean EMD"), ("energy", "energy distance")), strict=True
    ):
        bars = table.drop(index=FLOOR)
        axes.barh(bars.index, bars[metric], color=[BLUE if name == NEURONEDIT else GREY for name in bars.index])
        axes.axvline(table.loc[FLOOR, metric], color="black", linestyle=":", linewidth=1.5)
        axes.set_title("dotted: noise floor", fontsize=8, loc="right", color="#57606a")
        axes.set_xlabel(label)
        _tidy(axes)
    return figure


def losses(table: pd.DataFrame) -> Figure:
    """Reconstruction errors of training and validation events by epoch."""
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(table["epoch"], table["train_loss"], color=ORANGE, label="training")
    axes.plot(table["epoch"], table["validation_loss"], color=BLUE, linestyle="--", label="validation")
    axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean squared error")
    axes.legend(fontsize=8, frameon=False)
    _tidy(axes)
    return figure


def overview(transfer: Transfer, summary: pd.DataFrame, markers: Sequence[str], n_markers: int = 5) -> Figure:
    """One picture of a result: the markers that were furthest from the truth, and every method's error."""
    order = np.argsort(-transfer.distances[NO_EDIT].emd)[:n_markers]
    figure = Figure(figsize=(13, 2.7), layout="constrained")
    panels = figure.subplots(1, n_markers + 1, width_ratios=[1] * n_markers + [1.5])
    for axes, marker in zip(panels, order, strict=False):
        _density(axes, transfer, int(marker))
        axes.set_title(markers[marker], fontsize=10)
        axes.set_xlabel("arcsinh intensity", fontsize=8)
    bars = summary.iloc[::-1].drop(index=FLOOR)
    panels[-1].barh(bars.index, bars["emd"], color=[BLUE if name == NEURONEDIT else GREY for name in bars.index])
    panels[-1].axvline(summary.loc[FLOOR, "emd"], color="black", linestyle=":")
    panels[-1].set_xlabel("mean EMD to the truth (dotted: noise floor)", fontsize=8)
    panels[-1].tick_params(labelsize=8)
    _tidy(panels[-1])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=3, fontsize=9, frameon=False)
    figure.suptitle(transfer.comparison.name, fontsize=10, x=0.99, ha="right")
    return figure


def _density(axes: Axes, transfer: Transfer, marker: int) -> None:
    before, after = (transfer.predictions[method][:, marker] for method in (NO_EDIT, NEURONEDIT))
    truth = transfer.truth[:, marker]
    pooled = np.concatenate([before, after, truth])
    low, high = (float(limit) for limit in np.percentile(pooled, [0.1, 99.9]))
    if low == high:
        low, high = low - 0.5, high + 0.5
    n_bins = int(np.clip(np.sqrt(len(truth)), MIN_BINS, MAX_BINS))
    edges = np.linspace(low, high, n_bins + 1)
    axes.stairs(_shares(truth, edges), edges, fill=True, color=GREY, label="truth (measured)")
    axes.stairs(_shares(before, edges), edges, color=ORANGE, linewidth=1.1, linestyle="--", label="before")
    axes.stairs(_shares(after, edges), edges, color=BLUE, linewidth=1.3, label="edited")
    # The spike at zero would flatten everything else on a linear scale.
    axes.set_yscale("function", functions=(np.sqrt, np.square))
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _shares(values: FloatArray, edges: FloatArray) -> FloatArray:
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#EEEEEE", zorder=0)
    axes.set_axisbelow(True)
