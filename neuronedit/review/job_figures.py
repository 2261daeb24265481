"""Each batch's markers before and after the edit, by how far they are from the reference.

Each marker's excess over additivity, measured and predicted side by side, with intervals.
"""

from typing import Final

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuronedit.measures.synergy import UNDECIDED
from neuronedit.model.combination import MEASURED
from neuronedit.model.predictions import A_ON_B, B_ON_A
from neuronedit.review.charts import BLACK, BLUE, GREY, ORANGE, SMALL, VERMILLION, tidy


def loss_figure(losses: pd.DataFrame) -> Figure:
    """Reconstruction error by epoch; columns epoch, train_loss, validation_loss.

    Example:
        >>> losses = pd.DataFrame({"epoch": [1, 2], "train_loss": [0.9, 0.5], "validation_loss": [0.8, 0.6]})
        >>> {line.get_label(): line.get_ydata().tolist() for line in loss_figure(losses).axes[0].lines}
        {'training': [0.9, 0.5], 'validation': [0.8, 0.6]}
    """
    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots()
    styles = {"train_loss": (GREY, "training", "-"), "validation_loss": (BLUE, "validation", "--")}
    for column, (colour, label, style) in styles.items():
        axes.plot(
            losses["epoch"], losses[column], style, color=colour, label=label, marker="." if len(losses) < 3 else ""
        )
    axes.set_yscale("log")
    axes.set_xlabel("epoch", fontsize=9)
    axes.set_ylabel("mean squared error\n(standardised markers)", fontsize=9)
    axes.legend(fontsize=SMALL, frameon=False)
    tidy(axes)
    return figure


MAX_BATCHES, MAX_MARKERS = 24, 40
"""Shown at most; more could not be read."""

MAX_NUMBERED = 6
"""Up to so many batches, every cell has its number."""

ENOUGH = 0.05
"""The colours' scale ends here, transformed units, or further up: noise should not look like an effect."""

NONE: Final = "No batch has a reference to be compared with."


def quality_figure(table: pd.DataFrame, unit: str) -> Figure:
    """Two heatmaps on one scale, before and after, from ``neuronedit.model.quality.table.quality_table``.

    Rows are markers, columns are batches that have a reference; of many, those that are furthest from it after the
    edit. A cross is a marker that the edit leads away from the reference.

    Example:
        >>> row = {"group": "day2", "marker": "CD4", "emd_before": 0.5, "emd_after": 0.1, "worse": False}
        >>> before, after, _ = quality_figure(pd.DataFrame([row]), "arcsinh units").axes
        >>> before.texts[0].get_text(), after.texts[0].get_text()
        ('0.50', '0.10')
    """
    batches, markers = _shown(table)
    if not batches:
        return _empty()
    before, after, worse = (
        table.pivot(index="marker", columns="group", values=name).loc[markers, batches].to_numpy(dtype=float)
        for name in ("emd_before", "emd_after", "worse")
    )
    cell = 0.55 if len(batches) <= MAX_NUMBERED else 0.24
    longest = max(len(batch) for batch in batches)
    figure = Figure(
        figsize=(max(2.7 + 2 * cell * len(batches), 5.4), 1.9 + 0.2 * len(markers) + 0.06 * min(longest, 24)),
        layout="constrained",
    )
    highest = max(float(np.nanmax([before, after])), ENOUGH)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, values, title in ((left, before, "before"), (right, after, "after the edit")):
        # A few far ones must not make all others look alike: colours follow the root.
        image = axes.imshow(np.sqrt(values), cmap=colormaps["Blues"], vmin=0, vmax=np.sqrt(highest), aspect="auto")
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xticks(range(len(batches)), [_short(batch) for batch in batches], rotation=90, fontsize=SMALL)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        if len(batches) <= MAX_NUMBERED:
            _write(axes, values, highest)
    left.set_yticks(range(len(markers)), markers, fontsize=SMALL)
    rows, columns = np.nonzero(worse)
    beside = 0.36 if len(batches) <= MAX_NUMBERED else 0
    right.scatter(columns + beside, rows, marker="X", s=34, color=VERMILLION, edgecolor="white", lw=0.6)
    bar = figure.colorbar(image, ax=[left, right], pad=0.02, shrink=min(1.0, 8 / len(markers)))
    ticks = _ticks(highest)
    bar.set_ticks(list(np.sqrt(ticks)), labels=[f"{tick:g}" for tick in ticks], fontsize=SMALL)
    bar.set_label(f"EMD to the reference\n({unit}; dark is far)", fontsize=SMALL)
    figure.suptitle(_title(table, batches, markers, bool(worse.any())), fontsize=9, x=0.01, ha="left")
    return figure


def _shown(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The batches and markers that are drawn, in the table's order: of many, those that are furthest after the edit."""
    known = table[table["emd_after"].notna()]
    shown = []
    for column, limit in (("group", MAX_BATCHES), ("marker", MAX_MARKERS)):
        furthest = known.groupby(column, sort=False)["emd_after"].mean().sort_values(ascending=False, kind="stable")
        kept = set(furthest.index[:limit])
        shown.append([str(name) for name in known[column].unique() if name in kept])
    return shown[0], shown[1]


def _title(table: pd.DataFrame, batches: list[str], markers: list[str], crosses: bool) -> str:
    lines = ["How far each batch's markers are from the reference"]
    known = table.loc[table["emd_after"].notna()]
    for name, shown, column in (("batches", batches, "group"), ("markers", markers, "marker")):
        if len(shown) < known[column].nunique():
            lines.append(f"the {len(shown)} of {known[column].nunique()} {name} that are furthest after the edit")
    if crosses:
        lines.append("×: led away from it")
    return "\n".join([lines[0], "; ".join(lines[1:])]) if len(lines) > 1 else lines[0]


def _write(axes: Axes, values: np.ndarray, highest: float) -> None:
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if np.sqrt(value / highest) > 0.6 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color=colour)


def _ticks(highest: float) -> list[float]:
    return [tick for tick in (0, 0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if tick <= highest]


def _short(name: str, limit: int = 24) -> str:
    return name if len(name) <= limit else f"{name[: limit - 1]}…"


def _empty() -> Figure:
    figure = Figure(figsize=(5, 1))
    figure.text(0.5, 0.5, NONE, ha="center", va="center", fontsize=9)
    return figure


EXCESS_FIGURE: Final = "excess.png"

# Told apart by shape as well as by colour.
_SERIES: Final = {MEASURED: (BLACK, "o"), A_ON_B: (BLUE, "s"), B_ON_A: (ORANGE, "^")}

_SPACING = 0.22
"""Between the series of one marker, of a row's height of 1."""


def excess_figure(
    excess: pd.DataFrame, min_excess: float, unit: str, treatments: tuple[str, str] = ("A", "B")
) -> Figure:
    """A row for each marker, the largest excess first; its call stands at the right.

    Rows are sorted and called by measured A+B or, without it, by A's edit on B-treated cells.

    Args:
        excess: See ``neuronedit.measures.synergy.excess_table``.
        min_excess: Transformed units; the band within which an excess counts as none.
        unit: Of the excess.
        treatments: Name A and B in the title.

    Example:
        >>> row = {"marker": "CD4", "source": MEASURED, "excess": 0.5, "low": 0.3, "high": 0.7, "call": "synergistic"}
        >>> axes = excess_figure(pd.DataFrame([row]), min_excess=0.1, unit="arcsinh units").axes[0]
        >>> [text.get_text() for text in axes.texts]
        ['call (measured)', 'synergistic']
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
    axes.set_xlabel(f"mean(A+B) − mean(A) − mean(B) + mean(control), {unit}", fontsize=9)
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
