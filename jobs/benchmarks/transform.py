"""How fast ``transform`` is, against what no transform can beat.

Floor A reads and writes the same bytes with pyarrow; floor B does the model's matrix products alone, at the rate
that they reach here. The plain process edits the same files by the same code without Ray.
"""

import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from neuronedit.adapters.committed_file import Layout, commit_parquet
from neuronedit.adapters.event_editor import TransformRules
from neuronedit.adapters.file_blocks import read_blocks
from neuronedit.adapters.file_parts import FilePart
from neuronedit.adapters.file_transformer import FileRules, FileTransformer
from neuronedit.adapters.output_folder import OutputFolder, TransformPlan, claimed_output
from neuronedit.adapters.parquet import EventDataset, list_dataset, open_parquet
from neuronedit.adapters.ray_data import transform_parts
from neuronedit.adapters.ray_session import ray_session
from neuronedit.adapters.storage import locate
from neuronedit.autoencoder import Architecture, Autoencoder
from neuronedit.chunks import CHUNK
from neuronedit.design import PAIR_EDIT, PairDesign
from neuronedit.edit import NEURONS_THEN_MARKERS, fit_edit
from neuronedit.job_configs import RayConfig
from neuronedit.model import EditModel
from neuronedit.model_files import load_model, model_contents, save_model
from neuronedit.panel import Panel
from neuronedit.scaling import fit_scaling
from neuronedit.tally import Tally

from .measure import Cost, in_new_process, measured
from .result import Result

N_MARKERS = 40
N_FILES = 10
QUICK_EVENTS, FULL_EVENTS, FEW_EVENTS = 1_000_000, 20_000_000, 10_000
FILES = FileRules(Layout("snappy"))


def run(quick: bool) -> Result:
    """Measure floors, plain process and Ray on synthetic cells."""
    n_events = QUICK_EVENTS if quick else FULL_EVENTS
    with tempfile.TemporaryDirectory(prefix="neuronedit-benchmark-") as temporary:
        folder = Path(temporary)
        in_new_process(_make, folder, n_events)
        cells = str(folder / "cells")
        floor_a = in_new_process(_copy, cells, str(folder / "copied"))
        floor_b = in_new_process(_multiply, n_events)
        plain = in_new_process(_plain, folder, cells, "plain")
        started = in_new_process(_ray, folder, str(folder / "few"), "ray-few", 1)
        one = in_new_process(_ray, folder, cells, "ray-1", 1)
        two = None if quick else in_new_process(_ray, folder, cells, "ray-2", 2)
    rows = {
        "floor A: read and write": floor_a,
        "floor B: matrix products": floor_b,
        "plain process": plain,
        "Ray, start and stop": started,
        "Ray, 1 actor": one,
    }
    if two:
        rows["Ray, 2 actors"] = two
    table = pd.DataFrame({name: vars(cost) for name, cost in rows.items()}).T
    table["events_per_cpu_s"] = n_events / table["cpu_s"]
    table.loc["Ray, start and stop", "events_per_cpu_s"] = float("nan")
    figures = {
        "events": n_events,
        "plain_over_floors": (floor_a.cpu_s + floor_b.cpu_s) / plain.cpu_s,
        "ray_over_plain": plain.cpu_s / one.less(started).cpu_s,
        "plain_events_per_cpu_s": n_events / plain.cpu_s,
        "peak_rss_mb": one.peak_rss_mb,
    }
    if two:
        figures["two_actors_over_one_wall"] = one.less(started).wall_s / two.less(started).wall_s
    return Result(table.round(2), figures)


def _make(folder: Path, n_events: int) -> None:
    """Write cells like mass cytometry's (two kinds, many zeros), few and many, and a model fitted to them."""
    generator = np.random.default_rng(0)
    for name, total, n_files in (("cells", n_events, N_FILES), ("few", FEW_EVENTS, 1)):
        (folder / name).mkdir()
        for index in range(n_files):
            table = _cells(total // n_files, generator)
            pq.write_table(table, folder / name / f"{index:03}.parquet", use_dictionary=["sample_id"])
    source, target = (_intensities(20_000, generator) for _ in range(2))
    panel = Panel(tuple(_names()), (5.0,) * N_MARKERS)
    scaling = fit_scaling([source, target], panel.cofactors)
    autoencoder = Autoencoder(N_MARKERS, Architecture()).eval().requires_grad_(False)
    before, after = (scaling.standardise(scaling.arcsinh(events)) for events in (source, target * 1.5))
    networks = (autoencoder,)
    edits = {PAIR_EDIT: fit_edit(PAIR_EDIT, networks, NEURONS_THEN_MARKERS, before, after, zeros=scaling.zeros)}
    design = PairDesign(source={"condition": "a"}, target={"condition": "b"})
    save_model(EditModel(panel, scaling, networks, edits, design), folder / "model")


def _names() -> list[str]:
    return [f"marker{index}" for index in range(N_MARKERS)]


def _intensities(n_events: int, generator: np.random.Generator) -> np.ndarray:
    kind = generator.integers(0, 2, (n_events, 1))
    signal = generator.standard_normal((n_events, N_MARKERS), dtype=np.float32) * 1.2 + 1 + kind
    return np.clip(np.sinh(signal) * 5, 0, None).astype(np.float32)


def _cells(n_events: int, generator: np.random.Generator) -> pa.Table:
    columns = dict(zip(_names(), _intensities(n_events, generator).T, strict=True))
    sample = pa.array(["sample"] * n_events).dictionary_encode()
    return pa.table({"sample_id": sample, "event": np.arange(n_events), **columns})


def _copy(cells: str, output: str) -> Cost:
    dataset, target = list_dataset(cells), locate(output)
    with measured() as cost:
        for file in dataset.files:
            with open_parquet(dataset.filesystem, file.path) as parquet:
                schema = parquet.schema_arrow
            tables = (block.table for block in read_blocks(dataset.filesystem, file))
            commit_parquet(target / file.name, schema, tables, {}, FILES.layout)
    return cost


def _multiply(n_events: int) -> Cost:
    """The matrix products of encoding once and decoding twice (the residual form), on one core."""
    torch.set_num_threads(1)
    autoencoder = Autoencoder(N_MARKERS, Architecture())
    weights = [weight.T.contiguous() for weight in autoencoder.state_dict().values() if weight.ndim == 2]
    depth = len(weights) // 2
    events = torch.zeros(CHUNK, N_MARKERS)
    n_chunks, sampled = n_events // CHUNK, min(n_events // CHUNK, 200)
    started = process_time()
    for _ in range(sampled):
        _products(_products(events, weights[:depth]), weights[depth:])
        _products(torch.zeros(CHUNK, weights[depth].shape[0]), weights[depth:])
    seconds = (process_time() - started) * n_chunks / sampled
    return Cost(wall_s=seconds, cpu_s=seconds)


def _products(events: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
    for weight in weights:
        events = events @ weight
    return events


def _plain(folder: Path, cells: str, name: str) -> Cost:
    dataset = list_dataset(cells)
    with _claimed(folder, dataset, name) as output, measured() as cost:
        transformer = FileTransformer(dataset.filesystem, output, TransformRules(), FILES)
        for file in dataset.files:
            transformer.transform(FilePart.whole(file))
    return cost


def _ray(folder: Path, cells: str, name: str, n_workers: int) -> Cost:
    dataset = list_dataset(cells)
    parts = [FilePart.whole(file) for file in dataset.files]
    tally = Tally(load_model(folder / "model").scaling.zeros)
    with _claimed(folder, dataset, name) as output, ray_session(RayConfig()), measured() as cost:
        transform_parts(parts, dataset.filesystem, output, TransformRules(), FILES, tally, n_workers)
    return cost


def _claimed(folder: Path, dataset: EventDataset, name: str) -> AbstractContextManager[OutputFolder]:
    plan = TransformPlan(str(folder / "model"), "benchmark", {}, dataset)
    return claimed_output(str(folder / name), plan, model_contents(folder / "model"), overwrite=False, resume=False)
