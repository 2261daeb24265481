from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pandas as pd
import pytest
from neuronedit_jobs.benchmarks.measure import Result
from neuronedit_jobs.benchmarks.speed import memory, transform_scale
from neuronedit_jobs.benchmarks.speed.memory import Inputs

pytestmark = pytest.mark.bench


def test_pictures_are_written_beside_the_tables(tmp_path: Path) -> None:
    Result(pd.DataFrame({"a": [1.0]}), {}, {}, {"memory": b"\x89PNG"}).write(tmp_path)
    assert (tmp_path / "memory.png").read_bytes() == b"\x89PNG"


def test_tiny_files_are_written_once_and_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transform_scale, "LINKS_PER_FILE", 10)
    transform_scale._write(tmp_path / "tiny", 25)
    files = list((tmp_path / "tiny").iterdir())
    assert len(files) == 25
    assert len({path.stat().st_ino for path in files}) == 3
    assert max(path.stat().st_nlink for path in files) <= 10


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_memory_and_files_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def here(work: Callable[..., Any], *arguments: Any) -> Any:
        return work(*arguments)

    def one_after_another(work: Callable[..., Any], *arguments: tuple[Any, ...]) -> Any:
        for own in arguments:
            cost = work(Barrier(1), *own)
        return cost

    for module in (memory, transform_scale):
        monkeypatch.setattr(module, "in_new_process", here)
    monkeypatch.setattr(transform_scale, "side_by_side", one_after_another)
    few_calls = partial(transform_scale.ledger_calls_per_s, 100)
    monkeypatch.setattr(transform_scale, "ledger_calls_per_s", few_calls)
    size = transform_scale.Size(Inputs(500, (2,), 1_000, 300), (20,), n_edited_files=5, n_events=1_000)
    monkeypatch.setattr(transform_scale, "QUICK", size)
    result = transform_scale.run(quick=True)
    assert result.table["events"].tolist() == [1_000, 1_000, 1_000]
    assert (result.table[["driver_rss_mb", "worker_rss_mb", "together_mb"]] > 50).all(axis=None)
    assert result.details["small_files"].index.tolist() == [20]
    assert (result.details["small_files"] > 0).all(axis=None)
    assert result.pictures["memory"].startswith(b"\x89PNG")
    assert np.isfinite(list(result.figures.values())).all()
    assert result.figures["files"] == 20
