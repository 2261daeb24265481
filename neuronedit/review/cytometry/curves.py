"""The edit as curves: how far it moves each marker, against the marker's value before."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuronedit.arrays import Float32s, Masks
from neuronedit.model.edit_model import EditModel
from neuronedit.review.charts import BLUE, COLOURS, GREY, SMALL, tidy
from neuronedit.review.cytometry.stages import ALL_EVENTS, MIN_TYPE_EVENTS, N_DECIMALS, Stages
from neuronedit.review.part import Drawing, Part, finite_scalars
from neuronedit.review.transfer.transfer import Transfer

N_SHOWN: Final = 8
"""Markers shown: those that the edit moves furthest in the mean."""

N_TYPES: Final = 5
"""Cell types with a curve of their own: the most common ones."""

N_BINS: Final = 14
EVENTS_PER_BIN: Final = 30
"""Bins of the value before at most, and events for each of them in the mean at least."""

MIN_BIN_EVENTS: Final = 20
"""Events below which a bin has no percentiles."""

PERCENTILES: Final = (10, 50, 90)
STYLES: Final = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
"""Of the cell types' lines, which differ in grey print, too."""

MOVES: Final = 1e-6
"""The least mean change of a marker that is moved, transformed units."""


def curves_part(model: EditModel, transfer: Transfer) -> Part:
    """Show how far the edit moves markers, against their value before: medians and 10-90 % bands.

    Args:
        model: Its panel names the markers.
        transfer: The comparison; where its events' cell types are known, the common ones have curves of their own.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.cytometry.stages import example_transfer
        >>> table = curves_part(example_model(), example_transfer()).tables["curves"]
        >>> moved = table[(table["marker"] == "pSTAT1") & (table["cell_type"] == "all events")]
        >>> moved["median"].round(1).unique().tolist()
        [1.0]
    """
    stages, markers = Stages.of(transfer), model.panel.markers
    change = stages.edited - stages.before
    size = np.abs(change).mean(axis=0, dtype=np.float64)
    order = np.argsort(-size, kind="stable")
    shown = [int(marker) for marker in order[:N_SHOWN] if size[marker] > MOVES]
    strata = _strata(transfer)
    # Cell types only of the markers shown: all markers of all types would be thousands of rows.
    table = pd.concat(
        [
            curve(stages.before[of, marker], change[of, marker]).assign(marker=markers[marker], cell_type=name)
            for marker in map(int, order)
            for name, of in strata.items()
            if name == ALL_EVENTS or marker in shown
        ],
        ignore_index=True,
    )[["marker", "cell_type", "n_events", "before", "low", "median", "high"]]
    finding = _read(table, [markers[marker] for marker in shown], size[shown], model.panel.unit)
    drawing = Drawing(
        "curves",
        lambda: _figure(table, [markers[marker] for marker in shown], model.panel.unit),
        f"Change of markers by the edit against their value before. {finding}",
        f"{finding} Lines are medians, bands 10 to 90 % of the events{' of a cell type' if len(strata) > 1 else ''}.",
    )
    return Part(
        "curves",
        "The edit as curves",
        "cytometry",
        finding,
        {"curves": table.round(N_DECIMALS)},
        (drawing,) if shown else (),
        finite_scalars({"curves_mean_change": float(size.mean()), "curves_largest_change": float(size.max())}),
    )


def curve(before: Float32s, change: Float32s) -> pd.DataFrame:
    """Give percentiles of the change in bins of the value before: (n_events,) each.

    Columns: before (the bin's median), low, median, high (10, 50 and 90 %), n_events. Bins of equal width span 1 to
    99 % of the events; those with fewer than ``MIN_BIN_EVENTS`` are left out.

    Example:
        >>> found = curve(np.repeat([0.0, 1.0], 50), np.repeat([0.5, 2.0], 50))
        >>> found[["before", "median"]].values.tolist()
        [[0.0, 0.5], [1.0, 2.0]]
    """
    low, high = np.percentile(before, [1, 99])
    n_bins = int(np.clip(len(before) // EVENTS_PER_BIN, 1, N_BINS))
    width = (high - low) / n_bins
    bins = np.floor((before - low) / width) if width > 0 else np.where(before == low, 0, -1)
    bins = np.where(before == high, n_bins - 1 if width > 0 else 0, bins)
    rows = []
    for number in range(n_bins):
        held = bins == number
        if held.sum() >= MIN_BIN_EVENTS:
            rows.append([np.median(before[held]), *np.percentile(change[held], PERCENTILES), held.sum()])
    table = pd.DataFrame(rows, columns=["before", "low", "median", "high", "n_events"], dtype=np.float64)
    return table.astype({"n_events": np.int64})


def _strata(transfer: Transfer) -> Mapping[str, Masks]:
    """Mark all events, and those of the most common cell types where they are known."""
    n_events, types = len(transfer.comparison.events), transfer.comparison.event_types
    strata = {ALL_EVENTS: np.ones(n_events, dtype=np.bool_)}
    if types is None:
        return strata
    ranked = sorted(Counter(types).items(), key=lambda item: (-item[1], item[0]))
    return strata | {name: types == name for name, count in ranked[:N_TYPES] if count >= MIN_TYPE_EVENTS}


def _figure(table: pd.DataFrame, markers: Sequence[str], unit: str) -> Figure:
    n_columns = min(4, len(markers))
    n_rows = -(-len(markers) // n_columns)
    figure = Figure(figsize=(11 if n_columns > 2 else 8, 0.9 + 2.2 * n_rows), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
    names = [name for name in table["cell_type"].unique() if name != ALL_EVENTS] or [ALL_EVENTS]
    for axes, marker in zip(grid.flat, markers, strict=False):
        _curves(axes, table[table["marker"] == marker], names)
        axes.set_title(marker, fontsize=SMALL + 1, pad=3)
    for axes in list(grid.flat)[len(markers) :]:
        axes.set_visible(False)
    figure.supxlabel(f"value before the edit ({unit})", fontsize=9)
    figure.supylabel(f"change by the edit ({unit})", fontsize=9)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, fontsize=SMALL, frameon=False)
    return figure


def _curves(axes: Axes, rows: pd.DataFrame, names: Sequence[str]) -> None:
    axes.axhline(0, color=GREY, lw=0.8)
    for number, name in enumerate(names):
        own = _with_gaps(rows[rows["cell_type"] == name])
        colour = COLOURS[number] if len(names) > 1 else BLUE
        axes.fill_between(own["before"], own["low"], own["high"], color=colour, alpha=0.13, lw=0)
        axes.plot(own["before"], own["median"], color=colour, lw=1.5, ls=STYLES[number], label=name)
        alone = own["median"].notna() & own["median"].shift().isna() & own["median"].shift(-1).isna()
        axes.scatter(own["before"][alone], own["median"][alone], s=12, color=colour, lw=0)
    tidy(axes)


def _with_gaps(rows: pd.DataFrame) -> pd.DataFrame:
    """Add a row without values wherever bins are missing, so that no line is drawn across."""
    steps = rows["before"].diff()
    gaps = rows[steps > 2.5 * steps.median()].copy()
    gaps[["low", "median", "high"]] = np.nan
    gaps["before"] -= 1e-6
    return pd.concat([rows, gaps]).sort_values("before", kind="stable")


def _read(table: pd.DataFrame, shown: Sequence[str], sizes: np.ndarray, unit: str) -> str:
    if not shown:
        return "The edit moves no marker of these events."
    own = table[(table["marker"] == shown[0]) & (table["cell_type"] == ALL_EVENTS)]
    also = ", ".join(f"{name} ({size:.2f})" for name, size in zip(shown[1:4], sizes[1:4], strict=True))
    if own.empty:
        said = ""
    else:
        first, last = own.iloc[0], own.iloc[-1]
        said = (
            f"; its median change is {first['median']:+.2f} at a value of {first['before']:.1f} before and "
            f"{last['median']:+.2f} at {last['before']:.1f}"
        )
    return f"The edit moves {shown[0]} most, by {sizes[0]:.2f} {unit} in the mean of its events{said}." + (
        f" Then come {also}." if also else ""
    )
