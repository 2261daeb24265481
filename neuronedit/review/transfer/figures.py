"""The review's figures, drawn from its tables alone, in colours that colour-blind readers can tell apart."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuronedit.edits.baselines import NO_EDIT
from neuronedit.measures.distances import DECISIVE, FLOOR, DecisiveMetric
from neuronedit.review.charts import BLACK, BLUE, GREY, ORANGE, SMALL, VERMILLION, tidy
from neuronedit.review.transfer.densities import BEFORE, EDITED, TRUTH
from neuronedit.review.transfer.transfer import NEURONEDIT

N_OVERVIEW = 6
"""Markers shown in the overview."""


def transfer_figure(markers: pd.DataFrame, unit: str) -> Figure:
    """Each marker's EMD before and after, with its noise floor, from one comparison's rows of ``marker_table``.

    Example:
        >>> from neuronedit.review.page.review_model import example_review
        >>> figure = transfer_figure(example_review().markers, "arcsinh units")
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['pSTAT1', 'CD4', 'CD3']
    """
    figure = Figure(figsize=(6.4, 1 + 0.21 * len(markers)), layout="constrained")
    axes = figure.subplots()
    heights = np.arange(len(markers))
    worse = markers["worse"].to_numpy(dtype=bool)
    axes.hlines(
        heights, markers["before"], markers["after"], color=np.where(worse, VERMILLION, BLUE), lw=1.2, alpha=0.6
    )
    axes.scatter(markers["floor"], heights, marker="|", s=60, color=BLACK, label="noise floor", zorder=3)
    axes.scatter(markers["before"], heights, s=28, facecolor="white", edgecolor=GREY, lw=1.5, label=BEFORE, zorder=4)
    axes.scatter(markers["after"][~worse], heights[~worse], s=28, color=BLUE, label=EDITED, zorder=5)
    if worse.any():
        axes.scatter(
            markers["after"][worse], heights[worse], s=34, color=VERMILLION, marker="X", label="made worse", zorder=5
        )
    axes.set_yticks(heights, list(markers["marker"]), fontsize=SMALL)
    axes.set_ylim(len(markers) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"EMD to the truth ({unit}); left is better", fontsize=9)
    axes.grid(axis="x", color="#DDDDDD", lw=0.6)
    axes.legend(loc="lower right", fontsize=SMALL, frameon=False)
    tidy(axes)
    return figure


def method_figure(methods: pd.DataFrame) -> Figure:
    """Every method's decisive distances, with their noise floors, from one comparison's rows of ``method_table``.

    Example:
        >>> from neuronedit.review.page.review_model import example_review
        >>> [label.get_text() for label in method_figure(example_review().methods).axes[0].get_yticklabels()]
        ['neuronedit', 'no edit', 'mean shift', 'quantile map', 'latent mean']
    """
    figure = Figure(figsize=(9, 2.5), layout="constrained")
    grid = figure.subplots(1, len(DECISIVE), sharey=True, squeeze=False)
    for axes, metric in zip(grid.flat, DECISIVE, strict=True):
        _method_bars(axes, methods, metric)
    return figure


def density_figure(densities: pd.DataFrame, markers: Sequence[str], unit: str, n_columns: int = 5) -> Figure:
    """Small multiples: the distribution of each marker, from one comparison's rows of ``density_table``.

    Example:
        >>> from neuronedit.review.page.review_model import example_review
        >>> figure = density_figure(example_review().densities, ["pSTAT1"], "arcsinh units")
        >>> figure.axes[0].get_title()
        'pSTAT1'
    """
    n_rows = -(-len(markers) // n_columns)
    height = 0.9 + 1.35 * n_rows  # inches: a legend above, a label below, and the rows
    figure = Figure(figsize=(11, height))
    grid = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
    # Constrained layout takes seconds on forty axes; the margins are known.
    figure.subplots_adjust(0.07, 0.5 / height, 0.99, 1 - 0.55 / height, wspace=0.12, hspace=0.5)
    for axes, marker in zip(grid.flat, markers, strict=False):
        _density(axes, densities[densities["marker"] == marker], marker)
    _share_axis(grid[0, 0], densities)
    for axes in list(grid.flat)[len(markers) :]:
        axes.set_visible(False)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=3, fontsize=9, frameon=False)
    figure.supxlabel(unit, fontsize=9, y=0.08 / height)
    figure.supylabel("share of events per bin (square-root scale)", fontsize=9, x=0.01)
    return figure


def overview_figure(
    title: str,
    methods: pd.DataFrame,
    markers: pd.DataFrame,
    densities: pd.DataFrame,
    unit: str,
    n_markers: int = N_OVERVIEW,
) -> Figure:
    """One wide figure: the markers that the edit changes most, and every method's distances.

    Args:
        title: Names the comparison.
        methods: One comparison's rows of ``method_table``.
        markers: Its rows of ``marker_table``.
        densities: Its rows of ``density_table``.
        unit: Of the markers.
        n_markers: How many markers to show.

    Example:
        >>> from neuronedit.review.page.review_model import example_review
        >>> review = example_review()
        >>> figure = overview_figure("Other cells", review.methods, review.markers, review.densities, "arcsinh units")
        >>> figure.axes[0].get_title()
        'pSTAT1   EMD 1.00 → 0.04'
    """
    chosen = most_changed(densities, n_markers)
    figure = Figure(figsize=(14, 4.6), layout="constrained")
    figure.suptitle(title, fontsize=13, fontweight="bold")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(2.1, 1))[0]
    grid = left.subplots(2, -(-len(chosen) // 2), sharey=True, squeeze=False).ravel()
    for axes, marker in zip(grid, chosen, strict=False):
        score = markers[markers["marker"] == marker].iloc[0]
        _density(
            axes,
            densities[densities["marker"] == marker],
            f"{marker}   EMD {score['before']:.2f} → {score['after']:.2f}",
        )
    for axes in grid[len(chosen) :]:
        axes.set_visible(False)
    _share_axis(grid[0], densities[densities["marker"].isin(chosen)])
    handles, labels = grid[0].get_legend_handles_labels()
    left.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=10, frameon=False)
    left.supxlabel(unit, fontsize=9)
    left.supylabel("share of events (square-root scale)", fontsize=9)
    for axes, metric in zip(right.subplots(len(DECISIVE), 1, squeeze=False).flat, DECISIVE, strict=True):
        _method_bars(axes, methods, metric)
    return figure


def most_changed(densities: pd.DataFrame, n_markers: int = N_OVERVIEW) -> list[str]:
    """The markers that the edit moves furthest, by the EMD between before and edited, of one comparison's rows.

    Example:
        >>> from neuronedit.review.page.review_model import example_review
        >>> most_changed(example_review().densities, n_markers=1)
        ['pSTAT1']
    """
    moved = {}
    for marker, rows in densities.groupby("marker", sort=False):
        width = rows["value"].diff().max()
        moved[str(marker)] = float((rows[BEFORE] - rows[EDITED]).cumsum().abs().sum() * width)
    return sorted(moved, key=lambda marker: -moved[marker])[:n_markers]


def _method_bars(axes: Axes, methods: pd.DataFrame, metric: DecisiveMetric) -> None:
    scores = methods.set_index("method")[metric.name]
    floor, bars = scores[FLOOR], scores.drop(FLOOR)
    colours = {NEURONEDIT: BLUE, NO_EDIT: ORANGE}
    axes.barh(list(bars.index), bars, color=[colours.get(str(name), "#BBBBBB") for name in bars.index], height=0.7)
    for height, score in enumerate(bars):
        axes.annotate(
            f"{score:.3f}",
            (max(score, 0), height),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    axes.axvline(floor, color=BLACK, ls="--", lw=1)
    title = ", ".join(filter(None, (metric.title, metric.detail)))
    axes.set_title(f"{title} (noise floor {floor:.3f}, dashed)", fontsize=9, loc="left")
    axes.set_xlim(0, 1.15 * max(bars.max(), floor))
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    tidy(axes)


def _density(axes: Axes, rows: pd.DataFrame, title: str) -> None:
    centres = rows["value"].to_numpy()
    half = (centres[1] - centres[0]) / 2
    edges = np.append(centres - half, centres[-1] + half)
    # On a square-root scale the spike at zero and the thin tail of positive events are both readable.
    before, edited, truth = (np.sqrt(rows[name].to_numpy()) for name in (BEFORE, EDITED, TRUTH))
    axes.stairs(before, edges, fill=True, color=ORANGE, alpha=0.45, label=BEFORE)
    # Wide and light, so that it shows on both sides of an edited line that lies on it.
    axes.stairs(truth, edges, baseline=None, color=BLACK, alpha=0.5, lw=2.6, label="truth (measured)")
    axes.stairs(edited, edges, baseline=None, color=BLUE, lw=1.1, label="edited by neuronedit")
    axes.set_title(title, fontsize=SMALL + 0.5, pad=2)
    tidy(axes)
    axes.tick_params(labelsize=6.5, length=2)


def _share_axis(axes: Axes, densities: pd.DataFrame) -> None:
    """Set the share axis that all small multiples have in common, up to the highest bin."""
    highest = float(densities[[BEFORE, EDITED, TRUTH]].to_numpy().max())
    percents = [percent for percent in (0, 5, 25, 50, 100) if percent <= 100 * highest]
    axes.set_ylim(0, 1.05 * np.sqrt(highest))
    axes.set_yticks(np.sqrt(np.array(percents) / 100), [f"{percent} %" for percent in percents])
