import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.registry import runs as tracking_module
from neuronedit.adapters.registry.datasets import RunDataset, log_datasets
from neuronedit.adapters.registry.runs import (
    TrackingConfig,
    connect,
    log_losses,
    logged_losses,
    read_run,
    tracked_run,
)
from neuronedit.adapters.registry.training_runs import log_training
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.errors import DataError, TrackingError
from neuronedit.model.edit_model import EditModel
from neuronedit.network.state import EpochLosses
from neuronedit.review.job_figures import loss_figure

SETTINGS = {"data.path": "cells/", "training.epochs": "3", "long": "x" * 900}


def test_the_stores_own_choices_follow_the_configuration(tracking: TrackingConfig, tmp_path: Path) -> None:
    experiment = mlflow.get_experiment_by_name("tests")
    assert mlflow.get_tracking_uri() == mlflow.get_registry_uri() == tracking.uri
    assert experiment.artifact_location == (tmp_path / "artifacts").as_uri()
    connect(tracking)
    assert mlflow.get_experiment_by_name("tests").experiment_id == experiment.experiment_id


def test_the_environment_names_the_store_where_the_configuration_does_not(
    tracking: TrackingConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    connect(TrackingConfig(experiment="tests"))
    assert mlflow.get_tracking_uri() == tracking.uri


def test_a_store_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch, tracking: TrackingConfig) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(
        TrackingError, match=r"^MLflow at http://127\.0\.0\.1:9: no answer, or refused \(.*\)\. Check tracking\.uri and"
    ):
        connect(TrackingConfig(uri="http://127.0.0.1:9"))


def test_a_run_keeps_its_settings(tracking: TrackingConfig) -> None:
    with tracked_run("train", SETTINGS) as run_id:
        pass
    run = MlflowClient().get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("train", "FINISHED")
    assert run.data.params == SETTINGS | {"long": "x" * 500}
    assert run.data.tags["neuronedit.job"] == "train"
    assert (
        json.loads(Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/config/train.json")).read_text())
        == SETTINGS
    )


def test_a_column_name_that_mlflow_refuses_does_not_stop_a_run(tracking: TrackingConfig) -> None:
    with tracked_run("train", {"design.source.dose (µM)": "5"}) as run_id:
        pass
    assert MlflowClient().get_run(run_id).data.params == {"design.source.dose _µM_": "5"}


def test_a_run_fails_where_the_job_fails(tracking: TrackingConfig) -> None:
    with pytest.raises(DataError, match=r"^no cells$"), tracked_run("train", SETTINGS):
        raise DataError("no cells")
    (run,) = MlflowClient().search_runs([mlflow.get_experiment_by_name("tests").experiment_id])
    assert run.info.status == "FAILED"


def test_a_run_may_belong_to_another_even_one_that_was_deleted(tracking: TrackingConfig) -> None:
    with tracked_run("train", SETTINGS) as trained:
        pass
    for _ in range(2):
        with tracked_run("review", {"other": "1"}, name="review cells v3 ▲", parent=trained) as reviewed:
            mlflow.log_metric("review/score", 1.0)
        run = MlflowClient().get_run(reviewed)
        assert (run.info.run_name, run.data.params) == ("review cells v3 ▲", {"other": "1"})
        assert (run.data.tags["mlflow.parentRunId"], run.data.tags["neuronedit.job"]) == (trained, "review")
        assert read_run(trained, reviewed)[1] == {"review/score": 1.0}
        assert MlflowClient().get_run(trained).data.metrics == {}
        MlflowClient().delete_run(trained)


def test_a_training_run_has_its_counts_its_data_and_a_figure_of_its_losses(
    tracking: TrackingConfig, cells_once: Path, controls_model: EditModel
) -> None:
    dataset = list_dataset(str(cells_once))
    losses = [EpochLosses(epoch, 1 / epoch, 2 / epoch) for epoch in range(1, 4)]
    drawn = DrawnPopulations({"control A": np.zeros((60, 6), np.float32)}, {"control A": 600})
    with tracked_run("train", SETTINGS) as run_id:
        learned = log_training(controls_model, drawn, dataset, loss_figure(pd.DataFrame(losses)))
    assert [found.path for found in MlflowClient().list_artifacts(run_id, "figures")] == ["figures/losses.png"]
    run = MlflowClient().get_run(run_id)
    assert (learned.metrics["populations"], learned.metrics["events_drawn"]) == (1, 60)
    assert learned.metrics["sample/control A/events_drawn"] == 60
    assert learned.metrics["sample/control A/rank_error"] == pytest.approx(np.sqrt(0.25 / 60 * 540 / 599))
    (entry,) = run.inputs.dataset_inputs
    assert entry.dataset.name == cells_once.name
    assert entry.dataset.digest == learned.dataset.digest
    assert json.loads(entry.dataset.source)["uri"] == str(cells_once)
    assert {tag.key: tag.value for tag in entry.tags}["mlflow.data.context"] == "training"
    facts = json.loads(Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/training.json")).read_text())
    assert facts == {"made": "by a test"}


def test_losses_are_recorded_while_training_goes_on_from_another_thread(tracking: TrackingConfig) -> None:
    losses = [EpochLosses(epoch, 1 / epoch, 2 / epoch) for epoch in range(1, 1201)]
    with tracked_run("train", SETTINGS) as run_id, ThreadPoolExecutor(1) as thread:
        thread.submit(log_losses, run_id, 1, losses[:2]).result()
        assert list(logged_losses(run_id)["validation_loss"]) == [2.0, 1.0], "before the end"
        thread.submit(log_losses, run_id, 1, losses[2:]).result()
        thread.submit(log_losses, run_id, 2, losses[:1]).result()
    found = logged_losses(run_id)
    assert list(found["epoch"]) == list(range(1, 1201))
    assert list(found["train_loss"]) == [loss.train_loss for loss in losses]
    assert len(MlflowClient().get_metric_history(run_id, "train_loss")) == 1200
    assert mlflow.get_run(run_id).data.metrics["autoencoder_2/validation_loss"] == 2.0


def test_a_store_that_takes_no_losses_is_told(tracking: TrackingConfig) -> None:
    with pytest.raises(
        TrackingError, match=r"^MLflow at sqlite:.*: there is no such run \(Run with id=nowhere not found\)\. Check"
    ):
        log_losses("nowhere", 1, [EpochLosses(1, 1.0, 1.0)])


def test_a_storage_that_mlflow_does_not_know_is_recorded_by_its_uri(tracking: TrackingConfig, cells_once: Path) -> None:
    uri = "abfs://account@cells/day1"
    connect(tracking)
    with tracked_run("transform", {}) as run_id:
        log_datasets(run_id, [RunDataset.of(replace(list_dataset(str(cells_once)), uri=uri), "transform")], "transform")
    (logged,) = MlflowClient().get_run(run_id).inputs.dataset_inputs
    assert json.loads(logged.dataset.source)["tags"] == {"neuronedit.uri": uri}


def test_a_run_that_lasts_has_system_metrics(tracking: TrackingConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_module, "SYSTEM_METRICS_SECONDS", 0.2)
    with tracked_run("train", SETTINGS) as run_id:
        time.sleep(1.5)
    assert any(name.startswith("system/cpu") for name in MlflowClient().get_run(run_id).data.metrics)
