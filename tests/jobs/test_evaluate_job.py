"""The evaluate job on a dataset whose batches differ by a known gain: dividing by it is the perfect edit."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient
from neuronedit_jobs import evaluate

from tests.fixtures import copied_store
from tests.synthetic_cells import GAINS, MARKERS, with_column

pytestmark = pytest.mark.ray

CONFIG = """
population_column = "donor"
output = "{output}"
[edited]
path = "{edited}"
where = {{ role = "validation" }}
[truth]
path = "{cells}"
where = {{ role = "validation", batch_id = "A" }}
[unedited]
path = "{cells}"
where = {{ role = "validation", batch_id = "B" }}
[panel]
markers = {markers}
[sample]
events_per_population = 250
[tracking]
uri = "{uri}"
experiment = "tests"
[ray]
num_cpus = 2
"""


@pytest.fixture
def here(cells_once: Path, migrated_store: Path, tmp_path: Path) -> str:
    """The settings of an evaluation in this test's folder, of batch B divided by its gain."""
    table = pq.read_table(cells_once / "B-validation.parquet")
    for marker in MARKERS:
        table = with_column(table, marker, pa.array(table.column(marker).to_numpy() / np.float32(GAINS["B"])))
    pq.write_table(table, tmp_path / "edited.parquet")
    values = {"cells": cells_once, "edited": tmp_path / "edited.parquet", "output": tmp_path / "evaluation"}
    uri = copied_store(migrated_store, tmp_path).uri
    text = CONFIG.format(**values, uri=uri, markers=json.dumps(MARKERS))
    (tmp_path / "evaluate.toml").write_text(text)
    return str(tmp_path / "evaluate.toml")


def test_a_perfect_edit_is_scored_as_perfect(
    here: str, tmp_path: Path, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([here]) == 0
    assert "residual" in capsys.readouterr().out
    folder = tmp_path / "evaluation"
    scores = pd.read_csv(folder / "scores.csv", index_col="metric")
    # Samples of 250 scatter by a tenth of the gap that a gain of two makes.
    assert (scores.loc[["emd", "energy", "mmd", "delta_r2"], "residual"].abs() < 0.3).all(), scores
    assert scores.at["markers_worse", "edited"] == 0
    assert set(pd.read_csv(folder / "markers.csv")["marker"]) == set(MARKERS)
    populations = pd.read_csv(folder / "populations.csv")
    assert set(populations["population"]) == {"P0", "P1", "P2"}
    record = json.loads((folder / "_evaluate.json").read_text())
    assert set(record["written"]) == {"scores.csv", "markers.csv", "populations.csv", "_evaluate.json"}
    assert record["scores"]["emd"] == pytest.approx(scores.at["emd", "edited"])
    run = MlflowClient(mlflow.get_tracking_uri()).get_run(record["run"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["evaluate/emd_residual"] == pytest.approx(scores.at["emd", "residual"])
    assert sorted(entry.dataset.name for entry in run.inputs.dataset_inputs) == ["edited", "truth", "unedited"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("truth.where.batch_id=Z", "truth: no event of {cells} has role = validation and batch_id = Z. Correct truth"),
        ("edited.path=nowhere", "nowhere: not found. Expected a Parquet file or a folder of Parquet files; check edi"),
        ("population_column=donr", "the column 'donr' is missing; it chooses the events of a population (columns fo"),
    ],
)
def test_what_cannot_be_evaluated_is_told_and_nothing_is_written(
    here: str,
    cells_once: Path,
    tmp_path: Path,
    ray_cluster: None,
    capsys: pytest.CaptureFixture[str],
    override: str,
    message: str,
) -> None:
    assert evaluate.main([here, "--set", override]) == 2
    assert message.replace("{cells}", str(cells_once)) in capsys.readouterr().err
    assert not (tmp_path / "evaluation").exists()


def test_a_column_without_values_names_no_population(
    here: str, tmp_path: Path, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pq.read_table(tmp_path / "edited.parquet")
    nulls = pa.array([None] * table.num_rows, pa.string())
    pq.write_table(with_column(table, "donor", nulls), tmp_path / "edited.parquet")
    assert evaluate.main([here]) == 2
    assert "edited: no chosen event of" in (said := capsys.readouterr().err)
    assert "has a value in the column 'donor'. Fill the column, or leave population_column out." in said


def test_an_output_of_something_else_is_not_replaced(
    here: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evaluation").mkdir()
    assert evaluate.main([here, "--overwrite"]) == 2
    assert "expected a folder that an earlier evaluate wrote" in capsys.readouterr().err
