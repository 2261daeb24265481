"""Speed of ``transform``, against floors that no transform can beat, and against other ways to edit.

All cells are synthetic, all processes work on one core each, and everything that is loaded or compiled on first use is
loaded and compiled before. Files are compressed by snappy, as pyarrow does by default, but for the rows that name zstd.
The model has the plan ``neurons-then-markers`` but for the rows that name another (``event_files.TRIALS``). Each row is
explained in ``ways`` or ``peer_speed``. Ray's actors edit the cells and, before, a tenth as many; their rows are of the
difference: all actors are at work in both, and fixed costs drop out. Rows have processes of their own, but for the two
floors, and for the plans and zstd, which share one each: their memory is that of all before them, too.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..measure import Cost, Result, in_new_process, side_by_side
from .event_files import (
    DEFAULT,
    LINEAR,
    NEIGHBOURS,
    NEURONS,
    QUANTILE_MAP,
    SIX_PLANS,
    SMALL,
    STRATA,
    TEACHER,
    FileSet,
    save_trials,
)
from .peer_speed import CLUSTERED, FROM_FILES, peer_costs
from .ways import Work, copy_cost, half_cost, pandas_cost, plain_cost, products_cost, quality_cost, ray_costs

PLANS = (SMALL, QUANTILE_MAP, LINEAR, STRATA, NEIGHBOURS, DEFAULT, TEACHER, SIX_PLANS)

MAIN, SHORT, SAMPLE, ZSTD, FEW = "cells", "short", "sample", "sample-zstd", "few"

FLOOR_A, FLOOR_B = "floor A: read and write", "floor B: matrix products"
FLOOR_A_OF_PLANS = f"{FLOOR_A}, the plans' files"
QUALITY = "quality of the plans' events"
PLAIN, TWO_PLAIN = "plain process", "2 plain processes"
START, ONE_ACTOR, TWO_ACTORS = "Ray, start", "Ray, 1 actor", "Ray, 2 actors"
WITH_START = ", with its start"
PANDAS = "mlflow.pyfunc in a pandas loop"


@dataclass(frozen=True)
class Size:
    """How many cells: in the files that the main rows edit, and in those of all other rows."""

    n_events: int
    n_sample: int

    @property
    def n_further(self) -> int:
        """Events that the main rows of Ray edit once all actors are at work: all but as many as the sample has."""
        return self.n_events - self.n_sample


FULL, QUICK = Size(20_000_000, 2_000_000), Size(1_000_000, 50_000)

N_PEER = 500_000
"""For CytoNormPy, which holds them several times over in memory."""

N_FEW = 10_000
"""Next to nothing."""


@dataclass(frozen=True)
class Row:
    """The cost of editing some number of events."""

    n_events: int
    cost: Cost

    @property
    def rate(self) -> float:
        """Events per CPU-second."""
        return self.n_events / self.cost.cpu_s


def run(quick: bool, peers: Path | None = None) -> Result:
    """Measure every row.

    Args:
        quick: Fewer cells.
        peers: A folder for the environment of CytoNormPy, which is then measured, too.

    Raises:
        PeerError: CytoNormPy cannot be installed, or fails.
    """
    with tempfile.TemporaryDirectory(prefix="neuronedit-benchmark-") as temporary:
        rows = measure(Path(temporary), QUICK if quick else FULL)
    if peers:
        rows |= {name: Row(N_PEER, cost) for name, cost in peer_costs(N_PEER, peers).items()}
    return Result(_table(rows), _figures(rows))


def measure(folder: Path, size: Size) -> dict[str, Row]:
    """All rows but other tools', by name."""
    main = in_new_process(_floors, folder, size)
    work = Work(folder / NEURONS, folder / MAIN, folder / "edited", folder / FEW)
    main[PLAIN] = in_new_process(plain_cost, work)
    main[TWO_PLAIN] = side_by_side(half_cost, (work, 0, 2), (work, 1, 2))
    start, ray = in_new_process(ray_costs, work, folder / SHORT, (1, 2))
    further = {ONE_ACTOR: ray[1][1], TWO_ACTORS: ray[2][1]}
    sample = {ONE_ACTOR + WITH_START: ray[1][0], TWO_ACTORS + WITH_START: ray[2][0]}
    sample |= in_new_process(_plans, folder)
    sample[PANDAS] = in_new_process(pandas_cost, folder / NEURONS, folder / SAMPLE, folder)
    groups = ((size.n_events, main), (N_FEW, {START: start}), (size.n_further, further), (size.n_sample, sample))
    return {name: Row(n_events, cost) for n_events, costs in groups for name, cost in costs.items()}


def _floors(folder: Path, size: Size) -> dict[str, Cost]:
    """Write files and models, then measure the floors."""
    for name, files in {
        MAIN: FileSet(size.n_events),
        SHORT: FileSet(size.n_sample),
        SAMPLE: FileSet(size.n_sample, 2),
        ZSTD: FileSet(size.n_sample, 2, "zstd"),
        FEW: FileSet(N_FEW, 2),
    }.items():
        files.write(folder / name)
    save_trials(folder)
    moved, multiplied = copy_cost(folder / MAIN, folder / "copied", "snappy"), products_cost(size.n_events)
    return {FLOOR_A: moved, FLOOR_B: multiplied}


def _plans(folder: Path) -> dict[str, Cost]:
    sample, zstd, output, few = folder / SAMPLE, folder / ZSTD, folder / "edited", folder / FEW
    costs = {
        FLOOR_A_OF_PLANS: copy_cost(sample, folder / "copied-sample", "snappy"),
        QUALITY: quality_cost(folder / DEFAULT, sample),
        f"{FLOOR_A}, zstd": copy_cost(zstd, folder / "copied-zstd", "zstd"),
        f"{PLAIN}, zstd": plain_cost(Work(folder / NEURONS, zstd, output, few, "zstd")),
    }
    return costs | {_of(plan): plain_cost(Work(folder / plan, sample, output, few)) for plan in PLANS}


def _of(plan: str) -> str:
    return f"{PLAIN}, {plan}"


def _table(rows: Mapping[str, Row]) -> pd.DataFrame:
    columns = ("events", "wall_s", "cpu_s", "events_per_cpu_s", "peak_rss_mb")
    values = [
        (row.n_events, row.cost.wall_s, row.cost.cpu_s, round(row.rate), round(row.cost.peak_rss_mb))
        for row in rows.values()
    ]
    table = pd.DataFrame(values, pd.Index(rows, name="row"), columns)
    table.loc[table["events"] == N_FEW, "events_per_cpu_s"] = 0  # fixed costs: it would mean nothing
    return table


def _figures(rows: Mapping[str, Row]) -> dict[str, float]:
    """Ratios, rates and extrapolations.

    Those named ``A_over_B`` are ratios of speed, more than 1 where A is faster; but for ``strata_over_linear`` and
    ``neighbours_over_linear``, ratios of what the whole transform costs with an operator on the code. Rates are the
    plain process's. ``quality_share`` is the share of the default's seconds that quality control takes. Minutes are for
    100 million events of 40 markers by two actors, start included.
    """
    cost = {name: row.cost for name, row in rows.items()}
    rate = {name: row.rate for name, row in rows.items()}
    n_events = rows[PLAIN].n_events
    two_actors_s = cost[TWO_ACTORS].wall_s / rows[TWO_ACTORS].n_events
    figures = {
        "events": n_events,
        "plain_over_floors": (cost[FLOOR_A].cpu_s + cost[FLOOR_B].cpu_s) / cost[PLAIN].cpu_s,
        "ray_over_plain": rate[ONE_ACTOR] / rate[PLAIN],
        "two_actors_over_two_processes": cost[TWO_PLAIN].wall_s / n_events / two_actors_s,
        "peak_rss_mb": max(cost[name].peak_rss_mb for name in (ONE_ACTOR, TWO_ACTORS)),
        "ray_start_s": cost[START].wall_s,
        "plain_events_per_cpu_s": rate[PLAIN],
        "small_events_per_cpu_s": rate[_of(SMALL)],
        "default_events_per_cpu_s": rate[_of(DEFAULT)],
        "default_over_floor_a": rate[_of(DEFAULT)] / rate[FLOOR_A_OF_PLANS],
        "quality_share": cost[QUALITY].cpu_s / cost[_of(DEFAULT)].cpu_s,
        "default_over_six_plans": rate[_of(DEFAULT)] / rate[_of(SIX_PLANS)],
        "strata_over_linear": rate[_of(LINEAR)] / rate[_of(STRATA)],
        "neighbours_over_linear": rate[_of(LINEAR)] / rate[_of(NEIGHBOURS)],
        "over_pandas_loop": rate[PLAIN] / rate[PANDAS],
        "minutes_for_100m": _minutes(cost[START], two_actors_s),
        # Two actors gain on the plain process by as much, whatever the plan.
        "default_minutes_for_100m": _minutes(cost[START], two_actors_s * rate[PLAIN] / rate[_of(DEFAULT)]),
    }
    if CLUSTERED in rows:
        for name, peer in (("over_cytonormpy", CLUSTERED), ("over_cytonormpy_from_files", FROM_FILES)):
            figures[f"default_{name}"] = rate[_of(DEFAULT)] / rate[peer]
            figures[f"small_{name}"] = rate[_of(SMALL)] / rate[peer]
    return figures


def _minutes(start: Cost, seconds_per_event: float) -> float:
    """For 100 million events: the start, once, and what every event takes."""
    return (start.wall_s + 1e8 * seconds_per_event) / 60
