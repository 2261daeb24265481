"""What many small files cost: the driver, which lists, plans and hands them out, and a worker, for each file."""

import os
import resource
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, process_time
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np
import pandas as pd
import ray

from neuronedit.adapters import ray_data
from neuronedit.adapters.event_editor import OUTCOMES, TransformRules
from neuronedit.adapters.file_parts import FilePart, file_parts
from neuronedit.adapters.file_transformer import FileTransformer
from neuronedit.adapters.manifest import Origin, make_manifest
from neuronedit.adapters.output_folder import TransformPlan, claimed_output
from neuronedit.adapters.parquet import list_dataset
from neuronedit.adapters.ray_session import RayConfig, ray_session
from neuronedit.adapters.receipt import Receipt
from neuronedit.model_files import load_model, model_contents
from neuronedit.quality import quality_table
from neuronedit.route import BATCHES_OWN
from neuronedit.tally import Tally

from .event_files import FileSet
from .measure import in_new_process
from .trial_models import NEURONS
from .ways import PART_BYTES, Work, plain_cost

EVENTS_PER_FILE = 10

LINKS_PER_FILE = 10_000
"""Names of one file's bytes: file systems allow 65,000."""

N_WORKERS = 2

N_TALLIED = 100_000

N_CALLS = 20_000

Given = TypeVar("Given")


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
        events, names = part.n_events, (part.file.name, part.output)
        return Receipt(self.output.plan_digest, *names, events, 1, "0" * 64, counts, quality=self.quality)


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
    """What a worker takes for a file besides its events, on local storage: the mean over tiny files."""
    cells = folder / "tiny"
    in_new_process(_write, cells, n_files)
    cost = in_new_process(plain_cost, Work(folder / NEURONS, cells, folder / "edited", cells))
    shutil.rmtree(cells)
    return float(cost.wall_s) / n_files


def ledger_calls_per_s(n_calls: int = N_CALLS) -> float:
    """How many notes of progress the actor that keeps them takes in a second; workers send one for each block."""
    with ray_session(RayConfig()):
        ledger = ray.remote(num_cpus=0)(ray_data._Ledger).remote()
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
    plan = TransformPlan(str(folder / NEURONS), "benchmark", {}, inputs)
    model = model_contents(folder / NEURONS)
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
        origin = Origin({}, {}, "none", "now")
        manifest = clock.time("manifest", lambda: make_manifest(plan, parts, receipts, {}, origin))
        clock.time("complete", lambda: output.complete(manifest, receipts, quality))
    shutil.rmtree(cells)
    shutil.rmtree(edited)
    # On Linux in units of 1,024 bytes.
    return clock.wall | {
        "cpu_ms_per_file": clock.cpu_s / n_files * 1e3,
        "driver_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }
