from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jobs.benchmarks import memory, small_files, transform_scale, trial_models
from jobs.benchmarks.memory import Inputs
from jobs.benchmarks.projection import Assumptions, Rates, Requests, project, projected
from jobs.benchmarks.result import Result
from jobs.benchmarks.schedule import file_sizes, makespan, tasks_of
from neuronedit.adapters.work_items import MAX_TASKS

RATES = Rates(200_000, file_s=0, list_s=0, driver_s=0, ledger_calls_per_s=1e9, bytes_per_event=160)

NOTHING_ELSE = Assumptions(
    spread=0,
    requests=Requests(0, 0, 0, 0),
    bytes_per_core_s=1e12,
    start_s=0,
    dollars_per_core_hour=0.05,
)

# --- the schedule


def test_each_task_goes_to_the_core_that_is_free_first() -> None:
    assert makespan([3, 1, 1, 1, 2], 2) == 5
    assert makespan([3, 1, 1, 1, 2], 1) == 8
    assert makespan([3, 1, 1], 10) == 3


def test_more_files_than_tasks_share_them_in_order() -> None:
    tasks = tasks_of(np.arange(2.0 * MAX_TASKS))
    assert len(tasks) == MAX_TASKS
    assert tasks[:2].tolist() == [1, 5]
    assert tasks_of(np.array([3.0, 4.0])).tolist() == [3, 4]


def test_file_sizes_have_the_mean_and_spread_that_are_asked_for() -> None:
    sizes = file_sizes(10_000, 300.0, 0.5)
    assert sizes.mean() == pytest.approx(300)
    assert np.log(sizes).std() == pytest.approx(0.5, rel=0.05)  # of a sample


# --- on paper


def test_with_nothing_else_to_do_cores_share_the_editing_evenly() -> None:
    found = project(6e8, 100, RATES, NOTHING_ELSE)
    assert found.n_files == 2_000
    assert found.bottleneck == "editing"
    assert sum(found.seconds.values()) == pytest.approx(30)
    assert found.dollars == (pytest.approx(30 / 3600 * 100 * 0.05), 0)


@pytest.mark.parametrize(
    ("rates", "assumed", "bottleneck", "seconds"),
    [
        ({"driver_s": 1.0}, {}, "driver", 2_000),
        ({"ledger_calls_per_s": 10.0}, {"events_per_block": 3e5}, "notes of progress", 600),
        ({}, {"requests": Requests(0, 0, 7, 0), "puts_per_s": 70}, "store's limit", 200),
        ({"list_s": 0.5}, {}, "listing", 1_030),
        ({}, {"start_s": 60}, "start", 90),
        ({}, {"requests": Requests(in_turn=100), "latency_s": 0.1}, "requests in turn", None),
        ({}, {"bytes_per_core_s": 160 * 1e5}, "network", 60),
    ],
)
def test_whatever_is_slowest_is_the_bottleneck(
    rates: dict[str, float], assumed: dict[str, Any], bottleneck: str, seconds: float | None
) -> None:
    found = project(6e8, 100, replace(RATES, **rates), replace(NOTHING_ELSE, **assumed))
    assert found.bottleneck == bottleneck
    if seconds:
        assert sum(found.seconds.values()) == pytest.approx(seconds)


def test_too_few_files_leave_cores_without_work() -> None:
    found = project(6e8, 1_500, RATES, NOTHING_ELSE)  # 1,000 tasks of two files
    assert found.seconds["the last tasks"] == pytest.approx(1)
    assert sum(found.seconds.values()) == pytest.approx(3)


def test_the_table_has_a_row_for_each_number_of_events_and_cores() -> None:
    table = projected((1e9, 1e10), (10, 1_000), RATES)
    assert table[["events", "cores"]].to_numpy().tolist() == [
        ["1e+09", 10],
        ["1e+09", 1_000],
        ["1e+10", 10],
        ["1e+10", 1_000],
    ]
    seconds = table[[column for column in table if column.endswith("_s")]]
    np.testing.assert_allclose(seconds.sum(axis=1) / 60, table["minutes"])
    assert (table["request_dollars"] > 0).all()


# --- measured


def test_pictures_are_written_beside_the_tables(tmp_path: Path) -> None:
    Result(pd.DataFrame({"a": [1.0]}), {}, {}, {"memory": b"\x89PNG"}).write(tmp_path)
    assert (tmp_path / "memory.png").read_bytes() == b"\x89PNG"


def test_tiny_files_are_written_once_and_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_files, "LINKS_PER_FILE", 10)
    small_files._write(tmp_path / "tiny", 25)
    files = list((tmp_path / "tiny").iterdir())
    assert len(files) == 25
    assert len({path.stat().st_ino for path in files}) == 3
    assert max(path.stat().st_nlink for path in files) <= 10


@pytest.mark.ray
@pytest.mark.bench
@pytest.mark.usefixtures("ray_cluster")
def test_memory_files_and_paper_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def here(work: Callable[..., Any], *arguments: Any) -> Any:
        return work(*arguments)

    def one_after_another(work: Callable[..., Any], *arguments: tuple[Any, ...]) -> Any:
        for own in arguments:
            cost = work(Barrier(1), *own)
        return cost

    for module in (memory, small_files, transform_scale):
        monkeypatch.setattr(module, "in_new_process", here)
    monkeypatch.setattr(transform_scale, "side_by_side", one_after_another)
    monkeypatch.setattr(transform_scale, "ledger_calls_per_s", lambda: small_files.ledger_calls_per_s(100))
    monkeypatch.setattr(trial_models, "N_OTHERWISE", 200)
    size = transform_scale.Size(Inputs(500, (2,), 1_000, 300), (20,), n_edited_files=5, n_events=1_000)
    monkeypatch.setattr(transform_scale, "QUICK", size)
    result = transform_scale.run(quick=True)
    assert result.table["events"].tolist() == [1_000, 1_000, 1_000]
    assert (result.table[["driver_rss_mb", "worker_rss_mb", "together_mb"]] > 50).all(axis=None)
    assert result.details["small_files"].index.tolist() == [20]
    assert (result.details["small_files"] > 0).all(axis=None)
    assert len(result.details["projection"]) == 10
    assert result.pictures["memory"].startswith(b"\x89PNG")
    assert np.isfinite(list(result.figures.values())).all()
    assert result.figures["files"] == 20
