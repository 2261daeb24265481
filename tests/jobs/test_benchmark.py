import argparse
import importlib
import json
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from neuronedit_jobs import benchmark
from neuronedit_jobs.benchmarks.measure import Result, markdown

from tests.fixtures import copied_store


def fake_run(quick: bool) -> Result:
    table = pd.DataFrame({"emd": [0.5]}, index=pd.Index(["no edit"], name="method"))
    return Result(table, {"r_emd": 0.12345, "quick": float(quick)})


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "import_module", lambda name: argparse.Namespace(run=fake_run))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.usefixtures("faked")
def test_the_last_line_on_stdout_is_the_figures_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert benchmark.main(["transform", "--quick", "--output", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"r_emd": 0.123, "quick": 1.0}
    assert (tmp_path / "table.md").is_file()


@pytest.mark.parametrize("name", benchmark.BENCHMARKS)
def test_every_name_is_that_of_a_module_with_a_run(name: str) -> None:
    assert callable(importlib.import_module(benchmark.module_of(name)).run)


@pytest.mark.usefixtures("faked")
def test_tables_and_figures_are_logged_where_a_tracking_uri_is_given(tmp_path: Path, migrated_store: Path) -> None:
    tracking = copied_store(migrated_store, tmp_path)
    arguments = ["transform", "--output", str(tmp_path / "tables"), "--tracking-uri", str(tracking.uri)]
    assert benchmark.main(arguments) == 0
    run = mlflow.last_active_run()
    assert run is not None
    assert run.data.metrics["r_emd"] == pytest.approx(0.12345)
    assert run.data.params == {"benchmark": "transform", "quick": "False"}
    logged = MlflowClient().list_artifacts(run.info.run_id, "benchmark")
    assert [artifact.path for artifact in logged] == ["benchmark/table.md", "benchmark/table.parquet"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {}),
        (["--peers"], {"peers": Path("benchmark-output/peers")}),
        (["--data", "cells", "--peers", "made"], {"data": Path("cells"), "peers": Path("made")}),
    ],
)
def test_folders_reach_the_benchmark_only_where_they_are_given(
    arguments: list[str], expected: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[dict[str, Path]] = []

    def run(quick: bool, **folders: Path) -> Result:
        given.append(folders)
        return fake_run(quick)

    monkeypatch.setattr(benchmark, "import_module", lambda name: argparse.Namespace(run=run))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert benchmark.main(["accuracy", "--output", str(tmp_path), *arguments]) == 0
    assert given == [expected]


def test_tables_are_written_as_markdown_and_parquet(tmp_path: Path) -> None:
    table = pd.DataFrame({"emd": [0.12345], "tasks": [3]}, index=pd.Index(["no edit"], name="method"))
    Result(table, {}, {"further": table}).write(tmp_path / "a" / "b")
    assert (tmp_path / "a/b/further.md").read_text() == (
        "| method | emd | tasks |\n| --- | --- | --- |\n| no edit | 0.123 | 3 |\n"
    )
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a/b/table.parquet"), table)
    assert markdown(table.reset_index(drop=True)).startswith("| emd | tasks |")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["transform", "--data", "cells"],
            "--data is for accuracy, combinations, evidence, review; transform makes its own cells",
        ),
        (["transform", "--peers", "--quick"], "--peers is for accuracy, transform, train, fcs, without --quick"),
        (["combinations", "--peers"], "--peers is for accuracy, transform, train, fcs, without --quick"),
    ],
)
def test_folders_that_a_benchmark_does_not_use_are_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(arguments)
    assert told in capsys.readouterr().err
