"""Histograms of each marker before the edit, after it, and in the truth: shares of events in bins."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from neuronedit.baselines import NO_EDIT
from neuronedit.review.transfer import NEURONEDIT, FloatArray, Transfer

BIN_WIDTH = 0.2
"""Arcsinh units; one bin is centred on 0, so that the spike of absent markers stands in a bin of its own."""

MAX_BINS = 200
"""A marker that spans more than this many bins gets wider ones."""

BEFORE, EDITED, TRUTH = "before", "edited", "truth"


def density_table(transfers: Sequence[Transfer], markers: Sequence[str]) -> pd.DataFrame:
    """A row for each comparison, marker and bin.

    Columns: comparison, marker, value (the bin's centre, arcsinh units), and the shares of events in the bin:
    before, edited, truth; each sums to 1 over a marker's bins.
    """
    return pd.concat(
        [
            _one_marker(transfer, marker, index).assign(comparison=transfer.comparison.name, marker=marker)
            for transfer in transfers
            for index, marker in enumerate(markers)
        ],
        ignore_index=True,
    )[["comparison", "marker", "value", BEFORE, EDITED, TRUTH]]


def _one_marker(transfer: Transfer, marker: str, index: int) -> pd.DataFrame:
    curves = {
        BEFORE: transfer.predictions[NO_EDIT][:, index],
        EDITED: transfer.predictions[NEURONEDIT][:, index],
        TRUTH: transfer.truth[:, index],
    }
    centres = _bin_centres(np.concatenate(list(curves.values())))
    width = centres[1] - centres[0]
    edges = np.append(centres - width / 2, centres[-1] + width / 2)
    shares = {name: np.histogram(values, edges)[0] / len(values) for name, values in curves.items()}
    return pd.DataFrame({"value": centres, **shares})


def _bin_centres(values: FloatArray) -> FloatArray:
    width = BIN_WIDTH * max(1, int(np.ceil(np.ptp(values) / (MAX_BINS * BIN_WIDTH))))
    # One empty bin at either end lets every curve come down to 0.
    first, last = np.floor(values.min() / width - 0.5), np.ceil(values.max() / width + 0.5)
    return (np.arange(first, last + 1) * width).astype(np.float64)
