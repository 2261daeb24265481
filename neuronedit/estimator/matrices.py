"""Matrices of AnnData and its like: blocks of rows, which column is which marker, and the scale of the values."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from neuronedit.arrays import Floats, Int64s
from neuronedit.cells.panel import Panel
from neuronedit.cells.transforms import MAX_TRANSFORMED, Linear
from neuronedit.errors import DataError

Scale = Literal["raw", "transformed"]
"""What values are: raw intensities, or those led through each marker's transform (arcsinh, logicle)."""

IS_MARKER, MARKER = "is_marker", "marker"
"""Columns of ``var``: whether a variable is a marker; and its name, as readfcs and pytometry write it."""

ROWS = 65_536
"""So many events are read at a time: of a file on disk no more are in memory."""

HIGH = 0.999
"""The quantile of all values that tells their scale; beyond it there may be anything."""


def blocks(matrix: Any) -> Iterator[tuple[int, Any]]:
    """Give a matrix in blocks of its rows, each with its first row's number; one block at least.

    Args:
        matrix: (n_events, n_variables), dense or sparse, in memory or on disk: what slices by rows.

    Example:
        >>> [(first, block.shape) for first, block in blocks(np.zeros((100_000, 2)))]
        [(0, (65536, 2)), (65536, (34464, 2))]
    """
    for first in range(0, max(matrix.shape[0], 1), ROWS):
        block = matrix[first : first + ROWS]
        yield first, block if sparse.issparse(block) else np.asarray(block)


def as_floats(block: Any) -> Floats:
    """Copy a block, dense or sparse, into an array of its own: float16 becomes float32, whole numbers float64.

    Example:
        >>> as_floats(sparse.csr_matrix([[0, 3]])), as_floats(np.zeros(1, np.float16)).dtype
        (array([[0., 3.]]), dtype('float32'))
    """
    values = block.toarray() if sparse.issparse(block) else block
    return np.array(values, np.float32 if values.dtype in (np.float16, np.float32) else np.float64)


def marker_names(var: pd.DataFrame) -> list[str]:
    """Name the variables that are markers: those of which a column ``is_marker`` says so, or all.

    Example:
        >>> marker_names(pd.DataFrame({"is_marker": [True, False]}, index=["CD3", "Time"]))
        ['CD3']
    """
    marked = var.index[var[IS_MARKER].to_numpy(dtype=bool)] if IS_MARKER in var else var.index
    return [str(name) for name in marked]


def marker_columns(var: pd.DataFrame, panel: Panel) -> Int64s:
    """Find each marker's variable, (n_markers,), by its name or by the column ``marker``.

    Raises:
        PanelError: A marker is missing, or stands twice.

    Example:
        >>> var = pd.DataFrame({"marker": ["", "CD3"]}, index=["FSC-A", "Er170Di"])
        >>> marker_columns(var, Panel(["CD3"], [5.0]))
        array([1])
    """
    names = [str(name) for name in var.index]
    if MARKER in var and not set(panel.markers).issubset(names):
        names = [str(name) for name in var[MARKER]]
    counts = Counter(names)
    panel.check_columns([name for name in names if name in panel.markers or counts[name] == 1], "adata.var")
    return np.array([names.index(marker) for marker in panel.markers])


def check_scale(matrix: Any, columns: Int64s, panel: Panel, scale: Scale, usual: float = np.inf) -> None:
    """Check that values look raw, or transformed, as they are said to be.

    Args:
        matrix: (n_events, n_variables); its first block is looked at.
        columns: (n_markers,) the markers' columns.
        panel: Their transforms; values of markers with a linear one are both.
        scale: What the values are said to be.
        usual: A raw intensity that is usual; where it is small itself, small values may be raw.

    Raises:
        DataError: They do not.

    Example:
        >>> check_scale(np.full((9, 1), 3.0), np.array([0]), Panel(["CD3"], [5.0]), "raw")
        Traceback (most recent call last):
        neuronedit.errors.DataError: adata: expected raw intensities; 99.9% of the values are at most 3, as after ...
    """
    if scale not in ("raw", "transformed"):
        raise DataError(f"scale is {scale!r}; expected 'raw' or 'transformed'.")
    curved = [not isinstance(transform, Linear) for transform in panel.transforms]
    _, block = next(blocks(matrix))
    values = np.abs(as_floats(block)[:, columns[curved]])
    values = values[np.isfinite(values)]
    high = float(np.quantile(values, HIGH)) if len(values) else 0.0
    if scale == "raw" and 0 < high < MAX_TRANSFORMED and usual > 2 * MAX_TRANSFORMED:
        raise DataError(
            f"adata: expected raw intensities; {HIGH:.1%} of the values are at most {high:.3g}, as after arcsinh or "
            "logicle. Name the layer with raw intensities, or say scale='transformed' if these are the transforms of "
            "the model's panel."
        )
    if scale == "transformed" and high > MAX_TRANSFORMED:
        raise DataError(
            f"adata: expected transformed values; {1 - HIGH:.1%} of them are beyond {high:.4g}, where neither arcsinh "
            "nor logicle leads. Say scale='raw' for raw intensities, or name the layer with transformed ones."
        )
