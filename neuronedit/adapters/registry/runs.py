"""MLflow runs: parameters, metrics, figures, and the data that they came from."""

import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import Any

import mlflow
import pandas as pd
from matplotlib.figure import Figure
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.dataset_source import DatasetSource
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from pydantic import Field

from neuronedit.adapters.files.dataset import EventDataset
from neuronedit.config import Config
from neuronedit.errors import ModelError
from neuronedit.network.state import EpochLosses

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow reads it when it is imported
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar of files floods a job's log


class TrackingConfig(Config):
    """MLflow's store of models, metrics and reviews."""

    uri: str | None = Field(
        None,
        description="a tracking server or database; otherwise $MLFLOW_TRACKING_URI, otherwise sqlite:///mlflow.db",
    )
    experiment: str = Field("neuronedit", description="the experiment that runs belong to")
    artifacts: str | None = Field(
        None, description="folder or URI for a new experiment's artifacts; by default the store's own choice"
    )


DEFAULT_STORE = "sqlite:///mlflow.db"
SYSTEM_METRICS_SECONDS = 2
MAX_PARAM_LENGTH = 500
LOSSES = ("train_loss", "validation_loss")
DIGEST_LENGTH = 36  # MLflow's limit for a dataset's digest


def connect(config: TrackingConfig) -> None:
    """Point MLflow at the configured store, and make the experiment where it is not there yet.

    Raises:
        ModelError: The store does not answer.
    """
    uri = _point_at(config)
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    try:
        if mlflow.get_experiment_by_name(config.experiment) is None:
            mlflow.create_experiment(config.experiment, config.artifacts and _absolute(config.artifacts))
        mlflow.set_experiment(config.experiment)
    except MlflowException as error:
        raise ModelError(_no_answer(uri, error)) from error


def use_store(config: TrackingConfig) -> None:
    """Point MLflow at the configured store, for jobs that make no run: no database is made where there is none.

    Raises:
        ModelError: The store does not answer.
    """
    uri = _point_at(config)
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        raise ModelError(f"MLflow at {uri}: there is no such database. Check tracking.uri and $MLFLOW_TRACKING_URI.")
    try:
        MlflowClient().search_registered_models(max_results=1)
    except MlflowException as error:
        raise ModelError(_no_answer(uri, error)) from error


def _point_at(config: TrackingConfig) -> str:
    uri = config.uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE
    if uri.startswith("sqlite:///"):
        database = Path(uri.removeprefix("sqlite:///")).absolute()
        uri = f"sqlite:///{database}"  # workers and child processes have other working folders
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # stdout holds the job's own result alone
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return uri


def _no_answer(uri: str, error: MlflowException) -> str:
    return f"MLflow at {uri}: no answer, or refused ({error.message}). Check tracking.uri and $MLFLOW_TRACKING_URI."


@contextmanager
def tracked_run(job: str, settings: Mapping[str, str], run_id: str | None = None) -> Iterator[str]:
    """A run that is open while a job works: it records settings and system metrics, and fails if the job fails.

    Args:
        job: The run's name.
        settings: Logged as parameters; skipped where an earlier run is continued.
        run_id: An earlier run to continue.

    Yields:
        The run's id.
    """
    mlflow.set_system_metrics_sampling_interval(SYSTEM_METRICS_SECONDS)
    with mlflow.start_run(run_id=run_id, run_name=None if run_id else job, log_system_metrics=run_id is None) as run:
        if run_id is None:
            # A key may hold a column's name, and MLflow refuses most punctuation.
            keys = {key: re.sub(r"[^\w./: -]", "_", key) for key in settings}
            params = [Param(keys[key], value[:MAX_PARAM_LENGTH]) for key, value in settings.items()]
            MlflowClient().log_batch(run.info.run_id, params=params)
            mlflow.set_tag("neuronedit.job", job)
        mlflow.log_dict(dict(settings), f"config/{job}.json")
        yield run.info.run_id


def log_dataset(dataset: EventDataset, name: str, context: str) -> None:
    """Record a dataset that a run has read: its URI, and a digest of its files' names, rows and sizes."""
    mlflow.log_input(
        MetaDataset(_source(dataset.uri), name=name, digest=dataset.digest()[:DIGEST_LENGTH]), context=context
    )


def log_series(rows: Sequence[Mapping[str, float]], step_key: str, run_id: str | None = None) -> None:
    """Record metrics that have one value for each step, all in one call.

    Args:
        rows: For each step, its number and the metrics' values.
        step_key: The number's key.
        run_id: The run; by default this thread's active one.

    Raises:
        ModelError: The store does not answer.
    """
    if run_id is None:
        run = mlflow.active_run()
        assert run is not None
        run_id = run.info.run_id
    now = int(time() * 1000)
    metrics = [
        Metric(key, value, now, int(row[step_key])) for row in rows for key, value in row.items() if key != step_key
    ]
    for start in range(0, len(metrics), 1000):  # MLflow's limit for one call
        try:
            MlflowClient().log_batch(run_id, metrics=metrics[start : start + 1000])
        except MlflowException as error:
            raise ModelError(
                f"MLflow at {mlflow.get_tracking_uri()}: metrics of run {run_id} were not taken ({error.message}). "
                "Check that it runs."
            ) from error


def log_losses(run_id: str, number: int, losses: Sequence[EpochLosses]) -> None:
    """Record epochs of an autoencoder while it is trained; in any thread, since the run is named.

    Args:
        run_id: The run.
        number: The autoencoder's, from 1; the first one's metrics are ``train_loss`` and ``validation_loss``.
        losses: Epochs that were not recorded yet.

    Raises:
        ModelError: The store does not answer.
    """
    prefix = "" if number == 1 else f"autoencoder_{number}/"
    rows = [{"epoch": loss.epoch, **{f"{prefix}{name}": getattr(loss, name) for name in LOSSES}} for loss in losses]
    log_series(rows, "epoch", run_id)


def metric_slug(name: str) -> str:
    """A name as MLflow takes it in that of a metric."""
    return re.sub(r"[^\w./ -]", "_", name)


def log_transform(manifest: Mapping[str, Any], dataset: EventDataset, seconds: float) -> None:
    """Record a transform's input, manifest, counts and speed."""
    log_dataset(dataset, "events", "transform")
    mlflow.log_dict(dict(manifest), "manifest.json")
    mlflow.set_tags({"neuronedit.model": manifest["model"]["uri"], "neuronedit.digest": manifest["model"]["sha256"]})
    counts = {f"events/{outcome.replace(' ', '_')}": n for outcome, n in manifest["counts"].items()}
    mlflow.log_metrics({**counts, "events_per_second": manifest["events"] / seconds, "seconds": seconds})


def log_quality(scalars: Mapping[str, float], figure: Figure) -> None:
    """Record the quality of a transform: ``quality_scalars`` as metrics, ``quality_figure`` as a figure."""
    log_series([{**scalars, "step": 0}], "step")
    mlflow.log_figure(figure, "figures/quality.png")


def log_results(
    job: str,
    folder: Path,
    scalars: Mapping[str, float],
    datasets: Mapping[str, EventDataset] | None = None,
    *,
    prefix: str | None = None,
) -> None:
    """Record a job's results: its files as artifacts, its scalars as metrics, the datasets that it read.

    Args:
        job: The job's name, and that of the artifacts' folder.
        folder: The folder whose files are all recorded.
        scalars: The numbers to record, by name.
        datasets: The datasets that were read, by their role.
        prefix: Begins the metrics' names; by default the job's name and a slash.
    """
    for name, dataset in (datasets or {}).items():
        log_dataset(dataset, name, job)
    mlflow.log_artifacts(str(folder), job)
    begin = f"{job}/" if prefix is None else prefix
    mlflow.log_metrics({f"{begin}{name}": value for name, value in scalars.items()})


def read_run(run_id: str | None) -> tuple[dict[str, str], dict[str, float]]:
    """The settings of a training run, and the scalars of its model's review; empty where there is no run."""
    if run_id is None:
        return {}, {}
    data = MlflowClient().get_run(run_id).data
    return dict(data.params), {name: value for name, value in data.metrics.items() if name.startswith("review/")}


def logged_losses(run_id: str | None) -> pd.DataFrame:
    """The losses of a training run by epoch: epoch, train_loss, validation_loss; empty where there is no run."""
    if run_id is None:
        return pd.DataFrame(columns=["epoch", *LOSSES])
    histories = {name: MlflowClient().get_metric_history(run_id, name) for name in LOSSES}
    columns = {name: pd.Series({entry.step: entry.value for entry in history}) for name, history in histories.items()}
    return pd.DataFrame(columns).rename_axis("epoch").sort_index().reset_index()


def _source(uri: str) -> DatasetSource:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a path could be read by two equal kinds of source
        try:
            return resolve_dataset_source(uri)
        except MlflowException:  # a storage that MLflow does not know, such as abfs:// and what only fsspec reaches
            return CodeDatasetSource({"neuronedit.uri": uri})


def _absolute(location: str) -> str:
    return location if "://" in location else Path(location).absolute().as_uri()
