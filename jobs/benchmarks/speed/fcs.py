"""Speed of writing FCS files, one core: ours beside other libraries' from memory, and a whole export from Parquet.

Every row has a process of its own, which writes the same events of 40 channels, float32: a matrix in memory for other
libraries, the same as an Arrow table for ours. The whole export reads Parquet (snappy), takes the SHA-256 of input and
output, and writes the file where it belongs. The floor writes the matrix's bytes as they stand. fcswrite is measured
where it is installed.
"""

import tempfile
from array import array
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import flowio
import numpy as np
import pandas as pd
import pyarrow as pa

from neuronedit.adapters.export.exporter import ExportRules, FcsExporter
from neuronedit.adapters.export.manifest import EXPORT, export_items
from neuronedit.adapters.fcs.writing import Channel, Events, needed_range, write_fcs
from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.transform.output_folder import TransformPlan, claimed_output
from neuronedit.arrays import Float32s

from ..measure import MEGABYTE, Cost, Result, in_new_process, measured
from .event_files import MARKERS, SAMPLE, FileSet, intensities

FULL, QUICK = 2_000_000, 200_000

FLOOR, OURS, WHOLE = "floor: bytes to a file", "neuronedit, from memory", "neuronedit export, from Parquet"
FLOWIO, FLOWIO_BYTES = "flowio, from an array of NumPy", "flowio, from an array of the standard library"
FCSWRITE = "fcswrite"


def run(quick: bool) -> Result:
    """Measure every way.

    Args:
        quick: Fewer events.
    """
    n_events = QUICK if quick else FULL
    ways: dict[str, Callable[[Float32s, Path], None]] = {
        FLOOR: _floor,
        OURS: _ours,
        FLOWIO_BYTES: _flowio_from_bytes,
        FLOWIO: _flowio,
    }
    if find_spec("fcswrite"):
        ways[FCSWRITE] = _fcswrite
    with tempfile.TemporaryDirectory(prefix="neuronedit-benchmark-") as temporary:
        costs = {name: in_new_process(_cost, way, n_events, Path(temporary)) for name, way in ways.items()}
        costs[WHOLE] = in_new_process(_export_cost, n_events, Path(temporary))
    n_bytes = 4 * len(MARKERS) * n_events
    rates = {name: n_bytes / MEGABYTE / cost.cpu_s for name, cost in costs.items()}
    rows = [(n_events, c.wall_s, c.cpu_s, round(rates[name]), round(c.peak_rss_mb)) for name, c in costs.items()]
    columns = ("events", "wall_s", "cpu_s", "mb_per_cpu_s", "peak_rss_mb")
    figures = {
        "mb_per_cpu_s": rates[OURS],
        "export_mb_per_cpu_s": rates[WHOLE],
        "over_flowio": rates[OURS] / rates[FLOWIO],
        "over_flowio_from_bytes": rates[OURS] / rates[FLOWIO_BYTES],
        "export_over_flowio": rates[WHOLE] / rates[FLOWIO],
    }
    if FCSWRITE in rates:
        figures["over_fcswrite"] = rates[OURS] / rates[FCSWRITE]
        figures["export_over_fcswrite"] = rates[WHOLE] / rates[FCSWRITE]
    return Result(pd.DataFrame(rows, pd.Index(rates, name="way"), columns), figures)


def _cost(way: Callable[[Float32s, Path], None], n_events: int, folder: Path) -> Cost:
    matrix = intensities(n_events, np.random.default_rng(0)).astype("<f4")
    way(matrix[:1000], folder / "first.fcs")  # imports and what else is done once
    with measured() as cost:
        way(matrix, folder / "written.fcs")
    return cost


def _floor(matrix: Float32s, path: Path) -> None:
    with path.open("wb") as file:
        file.write(matrix.data)


def _ours(matrix: Float32s, path: Path) -> None:
    table = pa.table(dict(zip(MARKERS, map(pa.array, np.asfortranarray(matrix).T), strict=True)))
    largest = matrix.max(axis=0)
    channels = [
        Channel(name, name, "", needed_range(value)) for name, value in zip(MARKERS, largest.tolist(), strict=True)
    ]
    size = 131_072
    starts = range(0, len(matrix), size)
    parts = (Events(table.slice(start, size), "memory", np.arange(start, len(matrix))) for start in starts)
    with path.open("wb") as file:
        write_fcs(file, channels, {}, len(matrix), parts)


def _flowio(matrix: Float32s, path: Path) -> None:
    with path.open("wb") as file:
        flowio.create_fcs(file, matrix.ravel(), list(MARKERS))


def _flowio_from_bytes(matrix: Float32s, path: Path) -> None:
    values = array("f")
    values.frombytes(matrix.tobytes())
    with path.open("wb") as file:
        flowio.create_fcs(file, values, list(MARKERS))


def _fcswrite(matrix: Float32s, path: Path) -> None:
    import fcswrite

    fcswrite.write_fcs(str(path), list(MARKERS), matrix)


def _export_cost(n_events: int, folder: Path) -> Cost:
    files = FileSet(n_events, 2)
    files.write(folder / "cells")
    _export(folder / "cells", folder / "first")
    with measured() as cost:
        _export(folder / "cells", folder / "exported")
    return cost


def _export(cells: Path, target: Path) -> None:
    inputs = list_dataset(str(cells))
    rules = ExportRules(leave_out=(SAMPLE, "event"))
    plan = TransformPlan("", "", {}, inputs, EXPORT)
    with claimed_output(str(target), plan, {}, overwrite=False, resume=False) as output:
        worker = FcsExporter(inputs.filesystem, output, rules)
        for item in export_items(inputs, "Norm_", {}, csv=False):
            worker.export(item)
