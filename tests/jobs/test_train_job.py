import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from neuronedit_jobs import train

from neuronedit.adapters.registry.versions import PinnedModel, pinned_model
from tests.jobs.conftest import Command, Workplace
from tests.synthetic_cells import MARKERS, with_column

pytestmark = pytest.mark.ray

Trained = tuple[Workplace, subprocess.CompletedProcess[str]]


def registered(workplace: Workplace) -> tuple[PinnedModel, Run]:
    mlflow.set_tracking_uri(workplace.uri)
    mlflow.set_registry_uri(workplace.uri)
    pinned = pinned_model("models:/cells/1")
    return pinned, MlflowClient().get_run(pinned.run_id)


class TestControlsDesign:
    def test_the_command_says_what_it_registered_and_nothing_else(self, trained: Trained) -> None:
        workplace, done = trained
        assert done.returncode == 0, done.stderr
        digest = registered(workplace)[0].digest
        assert done.stdout == f"models:/cells/1: 2 edit(s) of 6 markers, sha256 {digest[:12]}\n"
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) < 20, done.stderr

    def test_the_model_leads_every_other_batch_to_the_reference(self, trained: Trained) -> None:
        model = registered(trained[0])[0].model
        assert (list(model.edits), model.reference) == (["B", "C"], "A")
        assert model.panel.markers == MARKERS
        assert model.facts["events"] == {"control A": 600, "control B": 500, "control C": 350}
        assert model.facts["extrapolation_seen"] is False

    def test_the_run_has_settings_losses_and_data(self, trained: Trained) -> None:
        pinned, run = registered(trained[0])
        assert run.info.status == "FINISHED"
        assert run.data.params["training.epochs"] == "3"
        assert run.data.params["model.alias"] == "candidate"
        assert run.data.params["design.reference"] == "A"
        history = MlflowClient().get_metric_history(run.info.run_id, "train_loss")
        assert sorted(metric.step for metric in history) == [1, 2, 3]
        (entry,) = run.inputs.dataset_inputs
        assert entry.dataset.digest == pinned.model.facts["data"]["sha256"][:36]
        assert any(name.startswith("system/") for name in run.data.metrics)

    def test_the_alias_points_at_the_version(self, trained: Trained) -> None:
        registered(trained[0])
        assert pinned_model("models:/cells@candidate").uri == "models:/cells/1"


def test_labels_reach_the_edits_and_a_mix_without_overlap_is_refused(
    workplace: Workplace, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    # The batch as the cell type: what the source has, the target lacks.
    overrides = ["--set", "edit.match_composition=true", "--set", "edit.population_column=batch_id"]
    assert train.main([workplace.train, *overrides]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "neuronedit train: Composition: source and target share no stratum (source: 'B'; target: 'A')." in said.err
    assert "training on" not in said.err, "refused before anything is trained"
    mlflow.set_registry_uri(workplace.uri)
    assert MlflowClient(workplace.uri).search_registered_models() == []


def test_a_missing_column_of_cell_types_is_told(
    workplace: Workplace, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main([workplace.train, "--set", "edit.population_column=cell_type"]) == 2
    assert "the column 'cell_type' is missing" in capsys.readouterr().err


SETTING_ERRORS = [
    (
        ["training.epocs=3"],
        r"train\.toml: unknown key 'training\.epocs'; nearest name 'epochs'\. Known keys of training: ",
    ),
    (["training.epochs=0"], r"training\.epochs: Input should be greater than or equal to 1; found 0"),
    (["data.path=nowhere"], r"nowhere: not found\. Expected a Parquet file or a folder of Parquet files"),
    (["panel.file=none.csv", "panel.markers=[]"], r"none\.csv: the panel file cannot be read"),
    (['panel.exclude=["CD4"]'], r"panel\.exclude: 'CD4' is not in the panel; nearest name 'CD45'"),
    (['edit.steps=[{layer="cod"}]'], r"no layer 'cod' \(layers: .*nearest name 'code'"),
    (["tracking.uri=http://127.0.0.1:9"], r"MLflow at http://127\.0\.0\.1:9: no answer, or refused"),
]


@pytest.mark.parametrize(("overrides", "message"), SETTING_ERRORS, ids=[case[0][0] for case in SETTING_ERRORS])
def test_settings_that_cannot_work_are_told_with_status_2(
    workplace: Workplace,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    overrides: list[str],
    message: str,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    arguments = [part for override in overrides for part in ("--set", override)]
    assert train.main([workplace.train, *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.search(rf"^neuronedit train: .*{message}", said.err, re.MULTILINE), said.err


def _one_row_population(cells: Path) -> None:
    path = cells / "C-control.parquet"
    pq.write_table(pq.read_table(path).slice(0, 1), path)


def _missing_marker(cells: Path) -> None:
    path = cells / "C-validation.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["CD19"]), path)


def _one_batch(cells: Path) -> None:
    for path in cells.iterdir():
        table = pq.read_table(path)
        pq.write_table(with_column(table, "batch_id", pa.array(["A"] * table.num_rows)), path)


DATA_ERRORS = [
    (_one_row_population, [], "The population 'control C' has 1 event; expected at least 50 to estimate percentiles"),
    (_missing_marker, [], "C-validation.parquet: marker 'CD19' is missing (the panel has 6 markers"),
    (_one_batch, [], "in 1 batch(es) of column 'batch_id': 'A'; expected at least 2"),
    (lambda cells: None, ["--set", "design.reference=AA"], "The reference batch 'AA' has no control events"),
    (lambda cells: None, ["--set", 'design.control={role="kontrol"}'], "in 0 batch(es) of column 'batch_id'; expected"),
    (lambda cells: None, ["--set", "design.batch_column=batch"], "the column 'batch' is missing"),
    (lambda cells: None, ["--set", "workers.count=9"], "9 workers need 10 CPU"),
]


@pytest.mark.parametrize(
    ("spoil", "overrides", "message"),
    DATA_ERRORS,
    ids=["one row", "marker", "one batch", "reference", "no control", "column", "workers"],
)
def test_data_that_cannot_be_learned_from_is_told_with_status_2_and_registers_nothing(
    workplace: Workplace,
    ray_cluster: None,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None],
    overrides: list[str],
    message: str,
) -> None:
    spoil(workplace.folder / "cells")
    assert train.main([workplace.train, *overrides]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert MlflowClient().search_registered_models() == []
    (run,) = MlflowClient().search_runs([mlflow.get_experiment_by_name("tests").experiment_id])
    assert run.info.status == "FAILED"


def test_a_mistyped_key_ends_the_real_command_with_one_line_and_status_2(
    workplace: Workplace, command: Command
) -> None:
    done = command("jobs/train.py", workplace.train, "--set", "training.epocs=3")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("neuronedit train: ")
    assert "unknown key 'training.epocs'; nearest name 'epochs'" in done.stderr


def test_a_search_trains_with_the_settings_that_do_best_on_populations_left_out(
    workplace: Workplace, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = ["--set", "search.code=[1, 4]", "--set", "training.epochs=8", "--set", "training.learning_rate=0.01"]
    assert train.main([workplace.train, *overrides]) == 0
    pinned, run = registered(workplace)
    found = pinned.model.facts["search"]
    # Six markers of two kinds of cell, each with its own gain and noise, do not fit through one neuron.
    assert found["chosen"] == {"hidden": [16, 8], "code": 4, "weight_decay": 0.0, "noise": 0.0}
    assert pinned.model.autoencoder.architecture.code == 4
    assert pinned.model.facts["training"]["epochs"] == 8
    assert found["sentence"] in capsys.readouterr().err
    assert (run.data.params["chosen.code"], run.data.params["autoencoder.code"]) == ("4", "4")
    client = MlflowClient()
    trials = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'")
    errors = {trial.data.params["code"]: trial.data.metrics["left_out_error"] for trial in trials}
    assert set(errors) == {"1", "4"}
    assert errors["4"] == found["error"] == run.data.metrics["search/left_out_error"] < errors["1"]
    assert all("validation_loss" in trial.data.metrics for trial in trials)
    assert "search.csv" in [artifact.path for artifact in client.list_artifacts(run.info.run_id)]
