"""Where ``transform`` ends: its memory for ever more events, and the driver for ever more files.

The model has the plan ``neurons-then-markers``, cells are synthetic, files are compressed by snappy, storage is local.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from .event_files import MILLION, FileSet
from .measure import MEGABYTE, in_new_process, side_by_side
from .memory import ONE_FILE, Inputs, measure_memory
from .memory_figure import memory_figure
from .result import Result
from .small_files import ledger_calls_per_s, measure_small_files, seconds_per_file
from .trial_models import NEURONS, save_trials
from .ways import Work, half_cost


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
