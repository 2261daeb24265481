"""Memory of a transform, for few and for many events and for a single huge file, as a table and a picture."""

import shutil
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from neuronedit.adapters.cluster.session import RayConfig, ray_session

from ..measure import MEGABYTE, Cost, in_new_process
from .event_files import MILLION, NEURONS, FileSet
from .ways import Work, ray_cost

N_WORKERS = 2

ONE_FILE = "one file"


@dataclass(frozen=True)
class Inputs:
    """Inputs of the transforms whose memory is measured.

    Attributes:
        file_events: Events of each of many files.
        file_counts: How many of them are edited at a time, in ascending order.
        huge_events: Events of a single huge file.
        row_group_events: Events in each row group of the huge file, if it has several.
    """

    file_events: int
    file_counts: tuple[int, ...]
    huge_events: int
    row_group_events: int


def measure_memory(folder: Path, inputs: Inputs) -> pd.DataFrame:
    """A row for each input, edited by two of Ray's actors in a session of its own.

    Columns: events; files; input_mb, on storage; driver_rss_mb and worker_rss_mb, the most that the driver and any one
    worker held; together_mb, the most of driver, workers and all that Ray itself runs, shared pages counted once;
    wall_s and cpu_s, from a session that runs on, so with what it takes to start two actors.

    Args:
        folder: Has the model ``neurons-then-markers`` and the input ``few``; all else in it is removed again.
        inputs: The events to edit.
    """
    n_files = inputs.file_counts[-1]
    many = FileSet(inputs.file_events * n_files, n_files, row_group_events=inputs.file_events)
    grouped = FileSet(inputs.huge_events, 1, row_group_events=inputs.row_group_events)
    whole = FileSet(inputs.huge_events, 1, row_group_events=inputs.huge_events)
    of_many = _rows(folder, many, inputs.file_counts)
    rows = {f"{count} files of {inputs.file_events:,} events": row for count, row in of_many.items()}
    rows[f"{ONE_FILE}, row groups of {inputs.row_group_events:,}"] = _rows(folder, grouped, (1,))[1]
    rows[f"{ONE_FILE}, one row group"] = _rows(folder, whole, (1,))[1]
    return pd.DataFrame(rows).T.rename_axis("input")


def _rows(folder: Path, files: FileSet, counts: tuple[int, ...]) -> dict[int, dict[str, float]]:
    cells = folder / "cells"
    in_new_process(files.write, cells)
    n_bytes = [path.stat().st_size for path in sorted(cells.iterdir())]
    work = Work(folder / NEURONS, cells, folder / "edited", folder / "few")
    rows = {}
    for count in counts:
        cost = in_new_process(_cost, work, count)
        rows[count] = {
            "events": files.n_events // files.n_files * count,
            "files": count,
            "input_mb": sum(n_bytes[:count]) / MEGABYTE,
            "driver_rss_mb": cost.own_rss_mb,
            "worker_rss_mb": cost.worker_rss_mb,
            "together_mb": cost.together_mb,
            "wall_s": cost.wall_s,
            "cpu_s": cost.cpu_s,
        }
    shutil.rmtree(cells)
    return rows


def _cost(work: Work, n_files: int) -> Cost:
    with ray_session(RayConfig()):
        return ray_cost(work, N_WORKERS, n_files, together=True)


LINES = (
    ("together_mb", "0.6", "all processes, shared pages once"),
    ("worker_rss_mb", "C0", "the largest worker"),
    ("driver_rss_mb", "C1", "driver"),
)


def memory_figure(table: pd.DataFrame) -> bytes:
    """A PNG of ``measure_memory``'s table: the most memory held over the number of events."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    huge = table.index.str.startswith(ONE_FILE)
    for column, colour, label in LINES:
        axes.plot(table["events"][~huge] / MILLION, table[column][~huge], "o-", color=colour, label=label)
        axes.plot(table["events"][huge] / MILLION, table[column][huge], "x", color=colour)
    axes.set(xlabel="million events of 40 markers", ylabel="most memory held, MB", ylim=(0, None))
    axes.legend(title="○ many files   × one huge file")
    with BytesIO() as stream:
        figure.savefig(stream, format="png", dpi=150)
        return stream.getvalue()
