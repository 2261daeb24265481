"""Limits of ``transform``: its memory for ever more events, and its time for ever more small files.

The model has the plan ``neurons-then-markers``, cells are synthetic, files are compressed by snappy, storage is local.
"""

import os
import resource
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, process_time
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np
import pandas as pd
import ray

from neuronedit.adapters.cluster.session import RayConfig, ray_session
from neuronedit.adapters.files.blocks import FilePart, file_parts
from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.transform import pool as ray_data
from neuronedit.adapters.transform.committed import Receipt
from neuronedit.adapters.transform.event_editor import OUTCOMES, TransformRules
from neuronedit.adapters.transform.file_transformer import FileTransformer
from neuronedit.adapters.transform.manifest import OutputOrigin, make_manifest
from neuronedit.adapters.transform.output_folder import claimed_output
from neuronedit.adapters.transform.plan import TransformPlan
from neuronedit.model.quality.table import quality_table
from neuronedit.model.quality.tally import Tally
from neuronedit.model.route import BATCHES_OWN
from neuronedit.model.saved.files import contents_digest, load_model, model_contents

from ..measure import MEGABYTE, Result, in_new_process, side_by_side
from .event_files import MILLION, NEURONS, FileSet, save_trials
from .memory import ONE_FILE, Inputs, measure_memory, memory_figure
from .ways import PART_BYTES, Work, half_cost, plain_cost

EVENTS_PER_FILE = 10

LINKS_PER_FILE = 10_000
"""Names of one file's bytes: file systems allow 65,000."""

N_WORKERS = 2

N_TALLIED = 100_000

N_CALLS = 20_000

Given = TypeVar("Given")


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        inputs: For memory.
        file_counts: Numbers of tiny files, in ascending order.
        n_edited_files: Tiny files that a worker edits.
        n_events: That two cores edit side by side.
    """

    inputs: Inputs
    file_counts: tuple[int, ...]
    n_edited_files: int
    n_events: int


FULL = Size(Inputs(MILLION, (2, 5, 10, 20, 50), 31 * MILLION, MILLION), (1_000, 10_000, 100_000), 1_000, 4 * MILLION)
"""31 million events are 5 GB."""

QUICK = Size(Inputs(50_000, (2, 4), 200_000, 50_000), (100, 1_000), 100, 200_000)


def run(quick: bool) -> Result:
    """Measure memory, the driver, and the rates that run times elsewhere follow from.

    Figures: the most memory of a worker over the inputs of many files, ``worker_growth``, for the most of them over
    that for the fewest, and over those of one huge file; the most of all processes together; the driver's memory and
    seconds for the most tiny files; events that a core edits in a second while the other has a worker, too;
    milliseconds for a file on a worker, in the listing and of the driver's processor; notes of progress that their
    keeper takes in a second; bytes of an event on storage.
    """
    size = QUICK if quick else FULL
    with tempfile.TemporaryDirectory(prefix="neuronedit-benchmark-") as temporary:
        folder = Path(temporary)
        in_new_process(_prepare, folder, size)
        work = Work(folder / NEURONS, folder / "shared", folder / "edited", folder / "few")
        two = side_by_side(half_cost, (work, 0, 2), (work, 1, 2))
        small = measure_small_files(folder, size.file_counts)
        file_s, calls_per_s = seconds_per_file(folder, size.n_edited_files), in_new_process(ledger_calls_per_s)
        memory = measure_memory(folder, size.inputs)
    most_files = small.iloc[-1]
    rates = {
        "events_per_core_s": size.n_events / two.wall_s / 2,
        "worker_ms_per_file": file_s * 1e3,
        "list_ms_per_file": most_files["list_s"] / size.file_counts[-1] * 1e3,
        "driver_ms_per_file": most_files["cpu_ms_per_file"],
        "ledger_calls_per_s": calls_per_s,
        "bytes_per_event": memory["input_mb"].iloc[-1] * MEGABYTE / memory["events"].iloc[-1],
    }
    figures = _memory_figures(memory) | _file_figures(small) | rates
    return Result(memory.round(1), figures, {"small_files": small}, {"memory": memory_figure(memory)})


def measure_small_files(folder: Path, counts: tuple[int, ...]) -> pd.DataFrame:
    """A row for each number of files.

    Columns, all of the driver, on local storage: list_s, to list the files and read their footers; plan_s, to divide
    them and take the plan's digest; schedule_s, to hand them to two workers that do nothing with them, and gather
    their receipts; manifest_s, to make the manifest, and complete_s, to write it; cpu_ms_per_file, of the driver's
    process for all steps but the listing; driver_rss_mb, the most that it held.

    Args:
        folder: Has the model ``neurons-then-markers``; what is added is removed again.
        counts: Numbers of files.
    """
    rows = {count: in_new_process(_of_driver, folder, count) for count in counts}
    return pd.DataFrame(rows).T.rename_axis("files")


def seconds_per_file(folder: Path, n_files: int) -> float:
    """Measure a worker's time for a file besides its events, on local storage: the mean over tiny files."""
    cells = folder / "tiny"
    in_new_process(_write, cells, n_files)
    cost = in_new_process(plain_cost, Work(folder / NEURONS, cells, folder / "edited", cells))
    shutil.rmtree(cells)
    return float(cost.wall_s) / n_files


def ledger_calls_per_s(n_calls: int = N_CALLS) -> float:
    """How many notes of progress the actor that keeps them takes in a second; workers send one for each block."""
    with ray_session(RayConfig()):
        ledger = ray.remote(num_cpus=0)(ray_data._TransformLedger).remote()
        ray.get(ledger.look.remote())
        started = monotonic()
        for number in range(n_calls):
            ledger.advance.remote("file", number, False)
        ray.get(ledger.look.remote())
        return n_calls / (monotonic() - started)


def _write(cells: Path, n_files: int) -> None:
    n_written = -(-n_files // LINKS_PER_FILE)
    FileSet(n_written * EVENTS_PER_FILE, n_written).write(cells)
    for number in range(n_written, n_files):
        os.link(cells / f"{number % n_written:05}.parquet", cells / f"{number:06}-linked.parquet")


def _of_driver(folder: Path, n_files: int) -> dict[str, float]:
    cells, edited = folder / "tiny", folder / "edited"
    _write(cells, n_files)
    clock = _Clock({})
    inputs = clock.time("list", lambda: list_dataset(str(cells)))
    clock.cpu_s = 0.0
    model = model_contents(folder / NEURONS)
    plan = TransformPlan(str(folder / NEURONS), contents_digest(model), {}, inputs)
    parts, _ = clock.time("plan", lambda: (file_parts(inputs.files, inputs.filesystem, PART_BYTES), plan.digest()))
    with (
        ray_session(RayConfig()),
        claimed_output(str(edited), plan, model, overwrite=False, resume=False) as output,
        patch.object(ray_data, "FileTransformer", ReceiptsOnly),
    ):
        rules = Work(folder / NEURONS, cells, edited, cells).rules
        loaded = load_model(folder / NEURONS)
        tally = Tally(loaded.scaling.zeros)
        work: tuple[Any, ...] = (parts, inputs.filesystem, output, TransformRules(), rules, tally, N_WORKERS)
        receipts = clock.time("schedule", lambda: ray_data.transform_parts(*work))
        quality = quality_table(tally, loaded, BATCHES_OWN)
        origin = OutputOrigin({}, {}, "none", "now", output.claim)
        manifest = clock.time("manifest", lambda: make_manifest(plan, parts, receipts, {}, origin))
        clock.time("complete", lambda: output.complete(manifest, receipts, quality))
    shutil.rmtree(cells)
    shutil.rmtree(edited)
    # On Linux in units of 1,024 bytes.
    return clock.wall | {
        "cpu_ms_per_file": clock.cpu_s / n_files * 1e3,
        "driver_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


@dataclass
class _Clock:
    """Seconds of the driver by step: on the clock, and of its process."""

    wall: dict[str, float]
    cpu_s: float = 0.0

    def time(self, step: str, work: Callable[[], Given]) -> Given:
        started, cpu = monotonic(), process_time()
        given = work()
        self.wall[f"{step}_s"] = monotonic() - started
        self.cpu_s += process_time() - cpu
        return given


class ReceiptsOnly(FileTransformer):
    """Stands in for the transformer: leaves out reading, editing and writing, and does all else.

    Its receipts have a tally such as files of ``N_TALLIED`` events leave.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        zeros = self.editor.model.scaling.zeros
        events = np.random.default_rng(0).standard_normal((N_TALLIED, len(zeros)), dtype=np.float32)
        tally = Tally(zeros)
        tally.observe("batch", events, events)
        self.quality = tally.to_text()

    def transform(self, part: FilePart) -> Receipt:
        """A receipt as if the part had been edited."""
        self._advance(part, part.n_events, finished=True)
        counts = dict.fromkeys(OUTCOMES, 0) | {OUTCOMES[0]: part.n_events}
        events, names = part.n_events, (part.file.name, "", part.output)
        return Receipt(self.output.claim, *names, events, 1, "0" * 64, counts, quality=self.quality)


def _prepare(folder: Path, size: Size) -> None:
    FileSet(10_000, 2).write(folder / "few")
    FileSet(size.n_events, 4).write(folder / "shared")
    save_trials(folder, (NEURONS,))


def _memory_figures(memory: pd.DataFrame) -> dict[str, float]:
    huge = memory.index.str.startswith(ONE_FILE)
    of_many = memory["worker_rss_mb"][~huge]
    return {
        "worker_rss_mb": of_many.max(),
        "worker_growth": of_many.iloc[-1] / of_many.iloc[0],
        "huge_file_worker_rss_mb": memory["worker_rss_mb"][huge].max(),
        "together_mb": memory["together_mb"].max(),
    }


def _file_figures(small: pd.DataFrame) -> dict[str, float]:
    columns = ("driver_rss_mb", "list_s", "plan_s", "schedule_s", "manifest_s")
    return {"files": float(small.index[-1])} | {f"files_{column}": small[column].iloc[-1] for column in columns}
