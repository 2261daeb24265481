"""h5ad files as anndata reads them; the matrix stays on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import pandas as pd

from neuronedit.adapters.files.storage import first_line
from neuronedit.errors import DataError, listing, nearest_name


class Contents(NamedTuple):
    """An h5ad file that is open.

    Attributes:
        matrix: (n_events, n_variables) on disk: X, or a layer.
        obs: (n_events,) rows.
        var: (n_variables,) rows.
        uns: What stands beside the events.
    """

    matrix: Any
    obs: pd.DataFrame
    var: pd.DataFrame
    uns: dict[str, Any]


@contextmanager
def opened(path: str, layer: str | None) -> Iterator[Contents]:
    """Open an h5ad file by anndata's own reader, which knows every version's files.

    Args:
        path: The file.
        layer: The layer to read; None for X.

    Raises:
        DataError: anndata is not installed, the file is none of AnnData's or is damaged, or it has no such layer.
    """
    try:
        h5py, anndata = import_module("h5py"), import_module("anndata.io")
    except ModuleNotFoundError as error:
        raise DataError(
            "from = h5ad needs anndata; it is not installed. Install it: pip install 'neuronedit[anndata]'."
        ) from error
    try:
        with h5py.File(path, "r") as file:
            yield _contents(file, path, layer, anndata)
    except (OSError, KeyError) as error:
        raise _unreadable(path, error) from error


def _contents(file: Any, path: str, layer: str | None, anndata: Any) -> Contents:
    missing = [name for name in ("obs", "var") if name not in file]
    if missing:
        raise DataError(
            f"{path}: expected an h5ad file of AnnData; found HDF5 without {listing(missing)}. Write it with "
            "adata.write_h5ad."
        )
    layers = list(file.get("layers", ()))
    if (layer or "X") not in (layers if layer else file):
        raise DataError(
            f"{path}: {f'there is no layer {layer!r}' if layer else 'there is no X'} (layers: "
            f"{listing(layers) or 'none'}{nearest_name(layer or '', layers)}). Name a layer that is there."
        )
    stored = file["layers"][layer] if layer else file["X"]
    try:
        matrix = stored if hasattr(stored, "shape") else anndata.sparse_dataset(stored)
        obs, var = anndata.read_elem(file["obs"]), anndata.read_elem(file["var"])
        return Contents(matrix, obs, var, anndata.read_elem(file["uns"]) if "uns" in file else {})
    except Exception as error:  # of a damaged element: anndata's own errors, TypeError, ValueError, …
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: Exception) -> DataError:
    return DataError(
        f"{path}: not an h5ad file that can be read ({first_line(error)}). Check the path, or write it again."
    )
