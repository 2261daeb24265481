"""The combine job on cells whose drugs multiply intensities, and together by a known factor more than that."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient
from neuronedit_jobs import combine

from neuronedit.cells.design import PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.model.saved.files import save_model
from tests.fixtures import CONTROLS, copied_store, fit_small_model, fit_small_pair
from tests.synthetic_cells import MARKERS, intensities

pytestmark = pytest.mark.ray

GAINS = {"none": (1.0, 1.0), "A": (2.0, 1.0), "B": (1.5, 1.0), "AB": (3.0, 2.0)}
"""Of all markers but the last, whose arcsinh means thus add up, and of the last, which only both drugs raise."""

CONFIG = """
model_a = "{folder}/model_a"
model_b = "{folder}/model_b"
output = "{folder}/combination"
control = {{ drug = "none" }}
a = {{ drug = "A" }}
b = {{ drug = "B" }}
both = {{ drug = "AB" }}
sample_column = "well"
[data]
path = "{folder}/cells.parquet"
[panel]
markers = {markers}
[sample]
events_per_population = 300
[tracking]
uri = "{uri}"
experiment = "tests"
[ray]
num_cpus = 2
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two wells for each arm, and the models of A and B."""
    folder, events, tables = tmp_path_factory.mktemp("drugs"), {}, []
    for number, (drug, gains) in enumerate(GAINS.items()):
        events[drug] = intensities(600, 1.0, np.random.default_rng(number)) * np.float32([*[gains[0]] * 5, gains[1]])
        wells = [f"{drug}{row % 2}" for row in range(600)]
        columns = dict(zip(MARKERS, events[drug].T, strict=True))
        tables.append(pa.table({"drug": [drug] * 600, "well": wells, **columns}))
    pq.write_table(pa.concat_tables(tables), folder / "cells.parquet")
    for drug, name in (("A", "model_a"), ("B", "model_b")):
        design = PairDesign(source={"drug": "none"}, target={"drug": drug})
        save_model(fit_small_pair(PANEL, events["none"], events[drug], design), folder / name)
    return folder


PANEL = Panel(MARKERS, (5.0,) * len(MARKERS))


@pytest.fixture
def here(dataset: Path, migrated_store: Path, tmp_path: Path) -> str:
    """The settings of a combination in this test's folder."""
    for name in ("cells.parquet", "model_a", "model_b"):
        (tmp_path / name).symlink_to(dataset / name)
    uri = copied_store(migrated_store, tmp_path).uri
    (tmp_path / "combine.toml").write_text(CONFIG.format(folder=tmp_path, uri=uri, markers=json.dumps(MARKERS)))
    return str(tmp_path / "combine.toml")


def test_the_planted_synergy_is_found(
    here: str, tmp_path: Path, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert combine.main([here]) == 0
    assert "Order effect: EMD" in capsys.readouterr().out
    folder = tmp_path / "combination"
    excess = pd.read_csv(folder / "excess.csv")
    measured = excess[excess["source"] == "measured"].set_index("marker")
    assert measured.at["pSTAT5", "call"] == "synergistic"
    assert (measured.drop(index="pSTAT5")["call"] != "synergistic").all()
    distances = pd.read_csv(folder / "distances.csv", index_col="method")
    assert (
        distances.loc[["A's edit on B-treated cells", "additivity (marker means, on control cells)"], "r_emd"] < 0.6
    ).all()
    assert "between samples of A+B" in distances.index
    assert (folder / "excess.png").stat().st_size > 10_000
    record = json.loads((folder / "_combine.json").read_text())
    assert set(record["written"]) == {"excess.csv", "markers.csv", "distances.csv", "excess.png", "_combine.json"}
    assert record["models"]["model_a"]["sha256"] != record["models"]["model_b"]["sha256"]
    run = MlflowClient(mlflow.get_tracking_uri()).get_run(record["run"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["combine/synergistic_measured"] == (measured["call"] == "synergistic").sum()
    assert run.data.metrics["combine/emd_a_on_b"] == pytest.approx(distances.at["A's edit on B-treated cells", "emd"])


def test_without_measured_both_the_predictions_are_written(
    here: str, tmp_path: Path, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert combine.main([here, "--set", "both={}", "--set", f"model_b={tmp_path}/model_a"]) == 0
    folder = tmp_path / "combination"
    assert "Order effect: EMD 0.000" in capsys.readouterr().out  # the same model twice
    assert not (folder / "distances.csv").exists()
    assert (folder / "excess.png").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "both.drug=ABC",
            "both: no event of {folder}/cells.parquet has drug = ABC. Correct the column values of both.",
        ),
        (
            "model_b={folder}/controls",
            "model_b: expected a model of a pair design (one edit, 'pair'); found one edit fo",
        ),
    ],
)
def test_what_cannot_be_combined_is_told_and_nothing_is_written(
    here: str,
    tmp_path: Path,
    cells_once: Path,
    ray_cluster: None,
    capsys: pytest.CaptureFixture[str],
    override: str,
    message: str,
) -> None:
    if "controls" in override:
        save_model(fit_small_model(cells_once, PANEL, CONTROLS), tmp_path / "controls")
    assert combine.main([here, "--set", override.replace("{folder}", str(tmp_path))]) == 2
    assert message.replace("{folder}", str(tmp_path)) in capsys.readouterr().err
    assert not (tmp_path / "combination").exists()


def test_an_output_of_something_else_is_not_replaced(
    here: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "combination").mkdir()
    assert combine.main([here, "--overwrite"]) == 2
    assert "expected a folder that an earlier combine wrote" in capsys.readouterr().err
