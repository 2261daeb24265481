"""Histograms of each marker before the edit, after it, and in the truth: shares of events in bins."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s, Float64s
from neuronedit.cells.panel import Panel
from neuronedit.cells.transforms import Transform
from neuronedit.edits.baselines import NO_EDIT
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
        >>> from neuronedit.review.transfer.transfer import example_comparison, measure_transfer
        >>> transfer = measure_transfer(example_model(), example_comparison(), seed=0)
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


def _one_marker(transfer: Transfer, transform: Transform, index: int) -> pd.DataFrame:
    curves = {
        BEFORE: transfer.predictions[NO_EDIT][:, index],
        EDITED: transfer.predictions[NEURONEDIT][:, index],
        TRUTH: transfer.truth[:, index],
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
