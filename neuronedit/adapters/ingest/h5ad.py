"""Ingests an h5ad file of AnnData: its matrix in blocks of events, so that memory does not grow with them."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from neuronedit.adapters.fcs.looks import Findings
from neuronedit.adapters.fcs.parquet_file import MAX_KEYWORD, METADATA_KEY, parquet_names
from neuronedit.adapters.files.dataset import EventFile
from neuronedit.adapters.files.storage import Location, first_line
from neuronedit.adapters.files.walk import entry_of
from neuronedit.adapters.h5ad.reading import Contents, opened
from neuronedit.adapters.h5ad.writing import OBS_NAMES
from neuronedit.adapters.ingest.ingester import LAYOUT, LOCAL, FcsIngester, IngestItem, IngestRules
from neuronedit.adapters.ingest.survey import Survey
from neuronedit.adapters.transform.committed import Receipt, commit_parquet
from neuronedit.cells.events import check_finite
from neuronedit.cells.names import no_markers
from neuronedit.cells.transforms import MAX_TRANSFORMED
from neuronedit.errors import DataError, listing
from neuronedit.estimator.matrices import as_floats, blocks

CHANNEL = "channel"
"""The column of ``var`` with each variable's detector, as readfcs writes it."""


def survey_h5ad(path: str, layer: str | None) -> Survey:
    """Look at an h5ad file: its variables become columns, beside those of ``obs``.

    Args:
        path: The file.
        layer: The layer to read; None for X.

    Raises:
        DataError: It cannot be read; two columns would have one name; or it has no events.
    """
    with opened(path, layer) as found:
        names = [str(name) for name in found.var.index]
        columns = [*map(str, found.obs.columns), OBS_NAMES, *names]
        n_events = len(found.obs)
    repeated = [name for name, count in pd.Series(columns).value_counts().items() if count > 1]
    if repeated:
        raise DataError(
            f"{path}: the names of variables and of columns of obs become columns of one table; {listing(repeated)} "
            "would stand twice. Rename one of each."
        )
    if not n_events or not names:
        raise DataError(f"{path}: expected events and variables; found {n_events} and {len(names)}. Name another file.")
    file = Path(path).absolute()
    entry = entry_of(Location(LOCAL, str(file)))
    listed = EventFile(str(file), file.name, n_events, entry.n_bytes, {}, entry.stamp)
    labels = {"file": file.name, "sample_id": file.stem}
    (output,) = parquet_names([file.stem])
    rules = IngestRules(panel=None, columns=tuple(names), layer=layer)
    return Survey(path, (IngestItem(output, listed, labels, "h5ad"),), rules, ())


class H5adIngester(FcsIngester):
    """Turns an h5ad file into a Parquet file and a receipt."""

    def _commit(self, item: IngestItem, content: str) -> Receipt:
        told = Findings()
        with opened(item.file.path, self.rules.layer) as found:
            obs = _table(found.obs, item.file.path)
            kind = pa.from_numpy_dtype(as_floats(np.empty(0, found.matrix.dtype)).dtype)
            fields = [*obs.schema, *(pa.field(name, kind) for name in self.rules.columns)]
            schema = pa.schema(fields, {METADATA_KEY: json.dumps(_facts(item, content, found), ensure_ascii=False)})
            return commit_parquet(
                self.output.location / item.output,
                schema,
                self._still_as_listed(_tables(item, found.matrix, obs, self.rules.columns, schema, told), item),
                LAYOUT,
                lambda done: self.output.accept(self._receipt(item, content, done, notes=told.texts)),
                self.output.lease.move,
            )


def _table(obs: pd.DataFrame, path: str) -> pa.Table:
    """The columns of ``obs``, and the names of the events."""
    named = obs.assign(**{OBS_NAMES: obs.index.astype(str)})
    try:
        return pa.Table.from_pandas(named, preserve_index=False).replace_schema_metadata()
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(
            f"{path}: a column of obs has values of several types ({first_line(error)}). Make them one type."
        ) from error


def _facts(item: IngestItem, content: str, found: Contents) -> dict[str, Any]:
    """What the Parquet file notes of its source: variables, detectors where it came from FCS, and their keywords."""
    variables = [str(name) for name in found.var.index]
    channels = found.var[CHANNEL].astype(str) if CHANNEL in found.var else ()
    meta = found.uns.get("meta", {})
    texts = {key: str(value) for key, value in meta.items() if isinstance(value, str | int | float)}
    return {
        "file": item.file.name,
        "sha256": content.removeprefix("sha256:"),
        "variables": variables,
        "channels": dict(zip(channels, variables, strict=False)),
        "keywords": {key: value for key, value in texts.items() if len(value) <= MAX_KEYWORD},
    }


def _tables(
    item: IngestItem, matrix: Any, obs: pa.Table, names: Sequence[str], schema: pa.Schema, told: Findings
) -> Iterator[pa.Table]:
    markers = [column for column, name in enumerate(names) if not no_markers([name])]
    for first, block in blocks(matrix):
        values = as_floats(block)
        check_finite(values, names, item.file.path, first)
        if first == 0 and markers and 0 < abs(values[:, markers]).max() < MAX_TRANSFORMED:
            told.add(
                item.file.name,
                f"no value is beyond {MAX_TRANSFORMED:g}: they look transformed (arcsinh, logicle or log) before. Give "
                "them the transform linear in the panel, or name the layer with raw intensities",
            )
        rows = obs.slice(first, len(values))
        yield pa.Table.from_arrays([*rows.columns, *map(pa.array, values.T)], schema=schema)
