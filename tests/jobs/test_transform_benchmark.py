import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from neuronedit_jobs.benchmarks.accuracy.peers import PeerError
from neuronedit_jobs.benchmarks.speed import event_files, peer_speed, transform
from neuronedit_jobs.benchmarks.speed.event_files import DEFAULT, MARKERS, NEURONS, FileSet, save_trials
from neuronedit_jobs.benchmarks.speed.ways import Work, copy_cost, half_cost, plain_cost, products_cost, quality_cost

from neuronedit.cells.design import PAIR_EDIT
from neuronedit.edits.plans import DEFAULT as DEFAULT_PLAN
from neuronedit.edits.students.student import BLOCK
from neuronedit.model.quality.tally import Tally
from neuronedit.model.saved.files import load_model

pytestmark = pytest.mark.bench

# --- files and models


@pytest.mark.parametrize("compression", ["snappy", "zstd"])
def test_cells_are_written_in_the_files_and_row_groups_that_are_asked_for(tmp_path: Path, compression: str) -> None:
    FileSet(300, 2, compression, 60).write(tmp_path / "cells")
    files = sorted((tmp_path / "cells").iterdir())
    assert [pq.read_metadata(path).num_rows for path in files] == [150, 150]
    metadata = pq.read_metadata(files[0])
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [60, 60, 30]
    assert metadata.row_group(0).column(5).compression == compression.upper()
    first, second = (pd.read_parquet(path)[list(MARKERS)] for path in files)
    assert not first.equals(second)
    assert 0.05 < (first == 0).to_numpy().mean() < 0.3


def test_a_row_group_larger_than_a_million_repeats_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuronedit_jobs.benchmarks.speed.event_files.MILLION", 100)
    FileSet(250, 1, row_group_events=250).write(tmp_path / "cells")
    table = pq.read_table(tmp_path / "cells")
    assert pq.read_metadata(tmp_path / "cells" / "00000.parquet").num_row_groups == 1
    assert table.slice(0, 100).equals(table.slice(100, 100))
    assert table.slice(0, 50).equals(table.slice(200, 50))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    FileSet(400, 4).write(folder / "cells")
    FileSet(20, 2).write(folder / "few")
    with pytest.MonkeyPatch.context() as patch:
        few = {name: replace(trial, n_events=200) for name, trial in event_files.TRIALS.items()}
        patch.setattr(event_files, "TRIALS", few)
        save_trials(folder / "models")
    return folder


def test_the_default_model_is_what_a_job_fits_by_default(places: Path) -> None:
    members = load_model(places / "models" / DEFAULT).edits[PAIR_EDIT].members
    of_few_events = tuple(step for step in DEFAULT_PLAN if not step.from_events)
    assert [tuple(step.plan for step in member.steps) for member in members] == [of_few_events]


# --- rows


def test_floor_a_writes_what_it_reads(places: Path, tmp_path: Path) -> None:
    cost = copy_cost(places / "cells", tmp_path / "copied", "zstd")
    assert cost.wall_s > 0
    assert pq.read_table(tmp_path / "copied").equals(pq.read_table(places / "cells"))


def test_floor_b_grows_with_the_number_of_events() -> None:
    few, many = products_cost(40_000), products_cost(400_000)
    assert 3 < many.cpu_s / few.cpu_s < 30  # 10, on a machine that others use


def test_quality_alone_counts_every_event_once(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[tuple[int, bool]] = []

    def observe(self: Tally, group: str, before: np.ndarray, after: np.ndarray, support: None) -> None:
        counted.append((len(before), bool((before != after).all())))

    monkeypatch.setattr("neuronedit_jobs.benchmarks.speed.ways.Tally.observe", observe)
    quality_cost(places / "models" / DEFAULT, places / "cells")
    assert counted == [(BLOCK, True), *4 * [(100, True)]]


def test_a_plain_process_edits_its_share_of_the_files_and_leaves_nothing(
    places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited: list[str] = []
    monkeypatch.setattr(
        "neuronedit_jobs.benchmarks.speed.ways.FileTransformer.transform", lambda self, part: edited.append(part.output)
    )
    work = Work(places / "models" / NEURONS, places / "cells", tmp_path / "edited", places / "few")
    plain_cost(work)
    assert len(edited) == 4
    edited.clear()
    for number in range(2):
        half_cost(Barrier(1), work, number, 2)
    assert sorted(edited[:2] + edited[2:]) == sorted(f"{number:05}.parquet" for number in range(4))
    assert not list(tmp_path.iterdir())


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_every_row_is_measured_and_every_figure_is_a_number(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def here(work: Callable[..., Any], *arguments: Any) -> Any:
        return work(*arguments)

    def one_after_another(work: Callable[..., Any], *arguments: tuple[Any, ...]) -> Any:
        for own in arguments:
            cost = work(Barrier(1), *own)
        return cost

    monkeypatch.setattr(transform, "in_new_process", here)
    monkeypatch.setattr(transform, "side_by_side", one_after_another)
    monkeypatch.setattr(
        transform, "save_trials", lambda folder: shutil.copytree(places / "models", folder, dirs_exist_ok=True)
    )
    monkeypatch.setattr(transform, "QUICK", transform.Size(4_000, 400))
    result = transform.run(quick=True)
    assert result.table.index.is_unique
    assert len(result.table) == 22
    with_nothing_taken_off = result.table.drop(index=[transform.ONE_ACTOR, transform.TWO_ACTORS])
    assert (with_nothing_taken_off[["wall_s", "cpu_s"]] > 0).all(axis=None)
    assert np.isfinite(list(result.figures.values())).all()
    expected = {"ray_over_plain", "plain_over_floors", "two_actors_over_two_processes", "peak_rss_mb"}
    assert expected <= set(result.figures)
    assert result.figures["peak_rss_mb"] > 100


# --- other tools


@pytest.fixture
def no_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_speed, "install", lambda environment, folder: Path(sys.executable))


@pytest.mark.usefixtures("no_installation")
def test_other_tools_are_given_events_and_asked_for_seconds(tmp_path: Path) -> None:
    script = tmp_path / "fake.py"
    script.write_text(
        "import pathlib, sys\n"
        "import numpy as np\n"
        "given = np.load(pathlib.Path(sys.argv[3]) / 'given.npz')\n"
        "print('normalized file')\n"
        "n_events = sum(len(given[name]) for name in given)\n"
        "print(-1, n_events + int(sys.argv[2]) + (sys.argv[1] == 'from_fcs_to_fcs') / 2)\n"
    )
    costs = peer_speed.peer_costs(20_000, tmp_path, script)
    assert [cost.cpu_s for cost in costs.values()] == [20_005, 20_000, 20_005.5]


@pytest.mark.usefixtures("no_installation")
def test_another_tool_that_fails_is_an_error_that_names_the_command(tmp_path: Path) -> None:
    script = tmp_path / "fake.py"
    script.write_text("import sys; sys.exit('no memory')")
    with pytest.raises(PeerError, match=r"fake\.py in_memory 5 (.|\n)*ended with 1: no memory\. Leave out --peers"):
        peer_speed.peer_costs(20_000, tmp_path, script)
