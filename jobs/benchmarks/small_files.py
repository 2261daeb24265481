"""What many small files cost: the driver, which lists, plans and hands them out, and a worker, for each file."""

import os
import resource
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, process_time
from typing import TypeVar
from unittest.mock import patch

import pandas as pd
import ray

from neuronedit.adapters import ray_data
from neuronedit.adapters.committed_file import Layout
from neuronedit.adapters.event_editor import TransformRules
from neuronedit.adapters.file_parts import FilePart, file_parts
from neuronedit.adapters.file_transformer import FileRules, FileTransformer
from neuronedit.adapters.manifest import make_manifest
from neuronedit.adapters.output_folder import OutputFolder, TransformPlan, claimed_output
from neuronedit.adapters.parquet import list_dataset
from neuronedit.adapters.ray_session import ray_session
from neuronedit.adapters.receipt import Receipt
from neuronedit.job_configs import RayConfig
from neuronedit.model_files import load_model, model_contents
from neuronedit.quality import manifest_facts, quality_table
from neuronedit.tally import Tally

from .event_files import FileSet
from .measure import MEGABYTE, in_new_process
from .trial_models import NEURONS
from .ways import PART_BYTES, Work, plain_cost

EVENTS_PER_FILE = 10

LINKS_PER_FILE = 10_000
"""Names of one file's bytes: file systems allow 65,000."""

N_WORKERS = 2

N_CALLS = 20_000

Given = TypeVar("Given")


class ReceiptsOnly(FileTransformer):
    """Stands in for the transformer: edits the first file that it is given, and of all others claims the same."""

    first: Receipt | None = None

    def transform(self, part: FilePart) -> Receipt:
        """A receipt as if the part had been edited; all parts have as many events."""
        if self.first is None:
            self.first = super().transform(part)
            return self.first
        self._advance(part, part.n_events, finished=True)
        return replace(self.first, input=part.file.name, output=part.output)


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
    their receipts; finish_s, to write the table of quality and the manifest; cpu_ms_per_file, of the driver's process
    for all steps but the listing; driver_rss_mb, the most that it held.

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
    cells, edited, clock = folder / "tiny", folder / "edited", _Clock({})
    _write(cells, n_files)
    inputs = clock.time("list", lambda: list_dataset(str(cells)))
    clock.cpu_s = 0.0
    plan = TransformPlan(str(folder / NEURONS), "benchmark", {}, inputs)
    parts, _ = clock.time("plan", lambda: (file_parts(inputs.files, inputs.filesystem, PART_BYTES), plan.digest()))
    claim = claimed_output(str(edited), plan, model_contents(folder / NEURONS), overwrite=False, resume=False)
    with ray_session(RayConfig()), claim as output, patch.object(ray_data, "FileTransformer", ReceiptsOnly):
        _transform(plan, parts, output, clock)
    shutil.rmtree(cells)
    shutil.rmtree(edited)
    # On Linux in units of 1,024 bytes.
    return clock.wall | {
        "cpu_ms_per_file": clock.cpu_s / n_files * 1e3,
        "driver_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE,
    }


def _transform(plan: TransformPlan, parts: Sequence[FilePart], output: OutputFolder, clock: _Clock) -> None:
    model, rules, files = load_model(plan.model_uri), TransformRules(), FileRules(Layout("snappy"))
    tally = Tally(model.scaling.zeros)
    receipts = clock.time(
        "schedule",
        lambda: ray_data.transform_parts(parts, plan.inputs.filesystem, output, rules, files, tally, N_WORKERS),
    )

    def finish() -> None:
        quality = quality_table(tally, model, rules.route)
        output.complete(make_manifest(plan, parts, receipts, manifest_facts(quality), {}, "now"), receipts, quality)

    clock.time("finish", finish)
