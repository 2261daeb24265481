"""Histograms of each marker before the edit, after it, and in the truth: shares of events in bins."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s, Float64s, Masks
from neuronedit.cells.design import MIN_POPULATION_EVENTS
from neuronedit.cells.panel import Panel
from neuronedit.cells.transforms import Transform
from neuronedit.edits.baselines import NO_EDIT
from neuronedit.measures.distances import emd
from neuronedit.review.transfer.transfer import NEURONEDIT, Transfer

MAX_BINS = 200
"""A marker that spans more than this many bins gets wider ones."""

BEFORE, EDITED, TRUTH = "before", "edited", "truth"


def density_table(transfers: Sequence[Transfer], panel: Panel) -> pd.DataFrame:
    """A row for each comparison, marker and bin.

    Columns: comparison, marker, value (the bin's centre, transformed units), and the shares of events in the bin:
    before, edited, truth; each sums to 1 over a marker's bins.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.transfer.transfer import example_comparison, measure_transfers
        >>> (transfer,) = measure_transfers(example_model(), [example_comparison()], seed=0)
        >>> density_table([transfer], example_model().panel).groupby("marker")["before"].sum().round(6).to_dict()
        {'CD3': 1.0, 'CD4': 1.0, 'pSTAT1': 1.0}
    """
    return pd.concat(
        [
            _one_marker(transfer, panel.transforms[index], index).assign(
                comparison=transfer.comparison.name, marker=marker
            )
            for transfer in transfers
            for index, marker in enumerate(panel.markers)
        ],
        ignore_index=True,
    )[["comparison", "marker", "value", BEFORE, EDITED, TRUTH]]


ALL_CELLS: Final = "all cells"

MAX_TYPES = 8
"""Cell types with histograms of their own: those of most events."""

PER = 10_000
"""Shares are whole numbers of so many: what is finer cannot be drawn."""

Histograms = Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]
"""By comparison, cell type and marker: ``first`` and ``width`` of the bins, ``shares`` and ``emd`` of each stage."""


def histograms(transfers: Sequence[Transfer], panel: Panel, typed: Collection[str] = ()) -> Histograms:
    """Give each comparison's histograms as plain values, for a page to draw one that its reader picks.

    Args:
        transfers: The comparisons.
        panel: Their markers.
        typed: Names of comparisons that have histograms by cell type, too, where types are known.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.transfer.transfer import example_comparison, measure_transfers
        >>> (transfer,) = measure_transfers(example_model(), [example_comparison()], seed=0)
        >>> found = histograms([transfer], example_model().panel)["other cells"]["all cells"]["pSTAT1"]
        >>> [round(distance, 1) for distance in found["emd"]], len(found["shares"])
        ([1.0, 0.0], 3)
    """
    return {
        transfer.comparison.name: {
            name: {
                marker: _as_values(transfer, panel.transforms[index], index, rows)
                for index, marker in enumerate(panel.markers)
            }
            for name, rows in _types(transfer, split=transfer.comparison.name in typed).items()
        }
        for transfer in transfers
    }


Rows = tuple[Masks, Masks] | None
"""Masks of the events and of the truth; None for all of them."""


def _types(transfer: Transfer, *, split: bool) -> dict[str, Rows]:
    of_events, of_truth = transfer.comparison.event_types, transfer.comparison.truth_types
    if not split or of_events is None or of_truth is None:
        return {ALL_CELLS: None}
    counts = {name: min(np.sum(of_events == name), np.sum(of_truth == name)) for name in np.unique(of_truth)}
    common = sorted((name for name in counts if counts[name] >= MIN_POPULATION_EVENTS), key=lambda name: -counts[name])
    return {ALL_CELLS: None} | {str(name): (of_events == name, of_truth == name) for name in common[:MAX_TYPES]}


def _as_values(transfer: Transfer, transform: Transform, index: int, rows: Rows) -> dict[str, Any]:
    table = _one_marker(transfer, transform, index, rows)
    distances = (
        [float(transfer.distances[method].emd[index]) for method in (NO_EDIT, NEURONEDIT)]
        if rows is None
        else _emds(transfer, index, rows)
    )
    width = float(table["value"].iloc[1] - table["value"].iloc[0])
    shares = [(table[stage] * PER).round().astype(int).tolist() for stage in (BEFORE, EDITED, TRUTH)]
    first = round(float(table["value"].iloc[0]) - width / 2, 3)
    return {"first": first, "width": round(width, 4), "shares": shares, "emd": [round(each, 3) for each in distances]}


def _emds(transfer: Transfer, index: int, rows: tuple[Masks, Masks]) -> list[float]:
    truth = transfer.truth[rows[1]][:, [index]]
    return [float(emd(transfer.predictions[name][rows[0]][:, [index]], truth)[0]) for name in (NO_EDIT, NEURONEDIT)]


def _one_marker(transfer: Transfer, transform: Transform, index: int, rows: Rows = None) -> pd.DataFrame:
    of_events, of_truth = rows or (slice(None), slice(None))
    curves = {
        BEFORE: transfer.predictions[NO_EDIT][of_events, index],
        EDITED: transfer.predictions[NEURONEDIT][of_events, index],
        TRUTH: transfer.truth[of_truth, index],
    }
    centres = _bin_centres(np.concatenate(list(curves.values())), transform)
    width = centres[1] - centres[0]
    edges = np.append(centres - width / 2, centres[-1] + width / 2)
    shares = {name: np.histogram(values, edges)[0] / len(values) for name, values in curves.items()}
    return pd.DataFrame({"value": centres, **shares})


def _bin_centres(values: Float32s, transform: Transform) -> Float64s:
    """One bin is centred on zero intensity, so that the spike of absent markers stands in a bin of its own."""
    zero, width = float(transform.forward(0.0)), transform.bin_width
    width *= max(1, int(np.ceil(np.ptp(values) / (MAX_BINS * width))))
    # One empty bin at either end lets every curve come down to 0.
    first, last = np.floor((values.min() - zero) / width - 0.5), np.ceil((values.max() - zero) / width + 0.5)
    return np.arange(first, last + 1) * width + zero
