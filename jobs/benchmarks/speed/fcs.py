"""Speed of FCS files on one core: writing, reading, and the whole way from FCS files to edited ones.

Every row has a process of its own, and the same events of 40 channels, float32. Other libraries write a matrix in
memory, ours the same as an Arrow table; the floor writes the matrix's bytes as they stand. fcswrite is measured where
it is installed. The whole export reads Parquet (snappy), the whole ingest writes it (zstd); both take the SHA-256 of
input and output, and write a file where it belongs. flowio reads a file into an array. From FCS to FCS, events are
ingested, edited by a blend of six plans, the most that ``auto`` can choose, and exported, all files kept; CytoNormPy
(``--peers``), with clusters, reads, edits and writes them.
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

from neuronedit.adapters.export.exporter import Exporter, ExportRules
from neuronedit.adapters.export.manifest import export_items
from neuronedit.adapters.fcs.sample_sheet import read_sample_sheet
from neuronedit.adapters.fcs.writing import Channel, Events, needed_range, write_fcs
from neuronedit.adapters.files.blocks import FilePart
from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.ingest.ingester import FcsIngester
from neuronedit.adapters.ingest.manifest import complete_ingest, ingest_plan
from neuronedit.adapters.ingest.survey import IngestChoices, Survey
from neuronedit.adapters.transform.event_editor import TransformRules
from neuronedit.adapters.transform.file_transformer import FileTransformer
from neuronedit.adapters.transform.output_folder import claimed_output
from neuronedit.adapters.transform.plan import EXPORT, TransformPlan
from neuronedit.arrays import Float32s

from ..measure import MEGABYTE, Cost, Result, in_new_process, measured
from .event_files import DEFAULT, MARKERS, SAMPLE, FileSet, intensities, save_trials
from .peer_speed import FROM_FILES, peer_costs
from .ways import Work

FULL, QUICK = 2_000_000, 200_000

FEWER = 10
"""As many times fewer events are edited, which takes longest."""

N_PEER = 200_000

FLOOR, OURS, WHOLE = "floor: bytes to a file", "neuronedit, from memory", "neuronedit export, from Parquet"
FLOWIO, FLOWIO_BYTES = "flowio, from an array of NumPy", "flowio, from an array of the standard library"
FCSWRITE = "fcswrite"
INGEST, READ = "neuronedit ingest, to Parquet", "flowio, read into an array"
ROUND_TRIP = "neuronedit, FCS to FCS"


def run(quick: bool, peers: Path | None = None) -> Result:
    """Measure every way.

    Args:
        quick: Fewer events.
        peers: A folder for the environment of CytoNormPy, which is then measured, too.

    Raises:
        PeerError: CytoNormPy cannot be installed, or fails.
    """
    n_events = QUICK if quick else FULL
    n_edited = n_events // FEWER
    ways: dict[str, Callable[[Float32s, Path], None]] = {
        FLOOR: _floor,
        OURS: _ours,
        FLOWIO_BYTES: _flowio_from_bytes,
        FLOWIO: _flowio,
    }
    if find_spec("fcswrite"):
        ways[FCSWRITE] = _fcswrite
    with tempfile.TemporaryDirectory(prefix="neuronedit-benchmark-") as temporary:
        folder = Path(temporary)
        costs = {name: in_new_process(_cost, way, n_events, folder) for name, way in ways.items()}
        costs[WHOLE] = in_new_process(_export_cost, n_events, folder)
        costs[INGEST], costs[READ] = (in_new_process(way, n_events, folder) for way in (_ingest_cost, _read_cost))
        costs[ROUND_TRIP] = in_new_process(_round_trip_cost, n_edited, folder)
    counts = dict.fromkeys(costs, n_events) | {ROUND_TRIP: n_edited}
    if peers:
        costs[FROM_FILES] = peer_costs(N_PEER, peers)[FROM_FILES]
        counts[FROM_FILES] = N_PEER
    events = {name: counts[name] / cost.cpu_s for name, cost in costs.items()}
    rates = {name: 4 * len(MARKERS) * rate / MEGABYTE for name, rate in events.items()}
    rows = [
        (counts[name], c.wall_s, c.cpu_s, round(events[name]), round(rates[name]), round(c.peak_rss_mb))
        for name, c in costs.items()
    ]
    columns = ("events", "wall_s", "cpu_s", "events_per_cpu_s", "mb_per_cpu_s", "peak_rss_mb")
    figures = {
        "mb_per_cpu_s": rates[OURS],
        "export_mb_per_cpu_s": rates[WHOLE],
        "ingest_mb_per_cpu_s": rates[INGEST],
        "fcs_to_fcs_events_per_cpu_s": events[ROUND_TRIP],
        "over_flowio": rates[OURS] / rates[FLOWIO],
        "over_flowio_from_bytes": rates[OURS] / rates[FLOWIO_BYTES],
        "export_over_flowio": rates[WHOLE] / rates[FLOWIO],
        "ingest_over_flowio": rates[INGEST] / rates[READ],
    }
    if FCSWRITE in rates:
        figures["over_fcswrite"] = rates[OURS] / rates[FCSWRITE]
        figures["export_over_fcswrite"] = rates[WHOLE] / rates[FCSWRITE]
    if peers:
        figures["fcs_to_fcs_over_cytonormpy"] = events[ROUND_TRIP] / events[FROM_FILES]
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
    plan = TransformPlan(EXPORT, "", {}, inputs, EXPORT)
    with claimed_output(str(target), plan, {}, overwrite=False, resume=False) as output:
        worker = Exporter(inputs.filesystem, output, rules)
        for item in export_items(inputs, "Norm_", {}, csv=False):
            worker.export(item)


def _ingest_cost(n_events: int, folder: Path) -> Cost:
    for name, count in (("few", 1000), ("many", n_events)):
        _write_sheet(folder / name, count)
    _ingest(folder / "few", folder / "few-cells")
    with measured() as cost:
        _ingest(folder / "many", folder / "many-cells")
    return cost


def _read_cost(n_events: int, folder: Path) -> Cost:
    with measured() as cost:
        flowio.FlowData(folder / "many" / "a.fcs").as_array()
    return cost


def _round_trip_cost(n_events: int, folder: Path) -> Cost:
    save_trials(folder, (DEFAULT,))
    for name, count in (("few-round", 1000), ("many-round", n_events)):
        _write_sheet(folder / name, count)
    _round_trip(folder, "few-round")
    with measured() as cost:
        _round_trip(folder, "many-round")
    return cost


def _round_trip(folder: Path, name: str) -> None:
    cells, edited = folder / f"{name}-ingested", folder / f"{name}-edited"
    _ingest(folder / name, cells)
    dataset = list_dataset(str(cells))
    work = Work(folder / DEFAULT, cells, edited, cells, "zstd")
    with work.claimed(dataset) as output:
        transformer = FileTransformer(dataset.filesystem, output, TransformRules(), work.rules)
        output.complete({}, [transformer.transform(FilePart.whole(file)) for file in dataset.files])
        _export(edited, folder / f"{name}-fcs")


def _write_sheet(folder: Path, n_events: int) -> None:
    """A folder with one FCS file and its sheet."""
    folder.mkdir()
    _ours(intensities(n_events, np.random.default_rng(0)).astype("<f4"), folder / "a.fcs")
    (folder / "samples.csv").write_text("file,sample_id,batch_id\na.fcs,a,1\n")


def _ingest(folder: Path, target: Path) -> None:
    sheet = str(folder / "samples.csv")
    survey = Survey.of(sheet, read_sample_sheet(sheet), IngestChoices(), None)
    with claimed_output(str(target), ingest_plan(survey), {}, overwrite=False, resume=False) as output:
        receipts = [FcsIngester(output, survey.rules).ingest(item) for item in survey.items]
        complete_ingest(survey, ingest_plan(survey), receipts, {}, output)
