"""MLflow runs: parameters, metrics, figures, and the data that they came from."""

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import time

import mlflow
import pandas as pd
from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from pydantic import Field

from neuronedit.adapters.registry.datasets import reviewed_events, send_metrics
from neuronedit.adapters.registry.tracker import (
    check_database,
    check_uri,
    impatient,
    set_patience,
    told_with,
    tracker_errors,
)
from neuronedit.config import Config
from neuronedit.errors import TrackingError
from neuronedit.network.state import EpochLosses

log = logging.getLogger(__name__)

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
REVIEW_METRICS = ("headline/", "review/")


def connect(config: TrackingConfig) -> None:
    """Point MLflow at the configured store, and make the experiment where it is not there yet.

    Raises:
        TrackingError: The store does not answer, or cannot be used.
    """
    uri = _point_at(config)
    with told_with("Nothing was done."), tracker_errors():
        if database := _sqlite_file(uri):
            database.parent.mkdir(parents=True, exist_ok=True)
        check_database(uri)
        with impatient():
            known = mlflow.get_experiment_by_name(config.experiment) is not None
        if not known:
            mlflow.create_experiment(config.experiment, config.artifacts and _absolute(config.artifacts))
        mlflow.set_experiment(config.experiment)


def use_store(config: TrackingConfig) -> None:
    """Point MLflow at the configured store, for jobs that make no run: no database is made where there is none.

    Raises:
        TrackingError: The store does not answer, or cannot be used.
    """
    uri = _point_at(config)
    database = _sqlite_file(uri)
    if database and not database.exists():
        raise TrackingError(f"MLflow at {uri}: there is no such database. Check tracking.uri and $MLFLOW_TRACKING_URI.")
    check_database(uri)
    with tracker_errors(), impatient():
        MlflowClient().search_registered_models(max_results=1)


def _point_at(config: TrackingConfig) -> str:
    uri = config.uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE
    if database := _sqlite_file(uri):  # workers and child processes have other working folders
        uri = f"sqlite:///{database.absolute()}{uri.removeprefix('sqlite:///').removeprefix(str(database))}"
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # stdout holds the job's own result alone
    set_patience()
    check_uri(uri)
    with tracker_errors():
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
    return uri


def _sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite database; None for other stores."""
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]) if uri.startswith("sqlite:///") else None


@contextmanager
def tracked_run(
    job: str, settings: Mapping[str, str], *, name: str | None = None, parent: str | None = None
) -> Iterator[str]:
    """A run that is open while a job works: it records settings and system metrics, and fails if the job fails.

    Args:
        job: The job.
        settings: Logged as parameters.
        name: The run's name; by default the job.
        parent: The run that it belongs to, below which MLflow's pages show it; its job's work is over, so it has no
            system metrics.

    Yields:
        The run's id.
    """
    with tracker_errors():
        mlflow.set_system_metrics_sampling_interval(SYSTEM_METRICS_SECONDS)
        # By its tag: start_run asks for the parent, and refuses one that was deleted.
        tags = {"neuronedit.job": job} | ({MLFLOW_PARENT_RUN_ID: parent} if parent else {})
        opened = mlflow.start_run(run_name=name or job, log_system_metrics=parent is None, tags=tags)
        run = opened.info.run_id
    try:
        with tracker_errors():
            # A key may hold a column's name, and MLflow refuses most punctuation.
            keys = {key: re.sub(r"[^\w./: -]", "_", key) for key in settings}
            params = [Param(keys[key], value[:MAX_PARAM_LENGTH]) for key, value in settings.items()]
            MlflowClient().log_batch(run, params=params)
            mlflow.log_dict(dict(settings), f"config/{job}.json")
        yield run
    except BaseException:
        _end_run("FAILED")
        raise
    _end_run("FINISHED")


def _end_run(status: str) -> None:
    """End the run; what a job has done stands, and what it says is not hidden, where MLflow does not take it."""
    if (run := mlflow.active_run()) is None:  # it has ended, as its results could not be logged
        return
    try:
        with impatient(), tracker_errors():
            mlflow.end_run(status)
    except TrackingError as error:
        log.warning("run %s: that it has ended (%s) was not recorded. %s", run.info.run_id, status, error)


def log_series(rows: Sequence[Mapping[str, float]], step_key: str, run_id: str | None = None) -> None:
    """Record metrics that have one value for each step, all in one call.

    Args:
        rows: For each step, its number and the metrics' values.
        step_key: The number's key.
        run_id: The run; by default this thread's active one.

    Raises:
        TrackingError: The store does not answer.
    """
    if run_id is None:
        run = mlflow.active_run()
        assert run is not None
        run_id = run.info.run_id
    now = int(time() * 1000)
    metrics = [
        Metric(key, value, now, int(row[step_key])) for row in rows for key, value in row.items() if key != step_key
    ]
    send_metrics(run_id, metrics)


def log_losses(run_id: str, number: int, losses: Sequence[EpochLosses]) -> None:
    """Record epochs of an autoencoder while it is trained; in any thread, since the run is named.

    Args:
        run_id: The run.
        number: The autoencoder's, from 1; the first one's metrics are ``train_loss`` and ``validation_loss``.
        losses: Epochs that were not recorded yet.

    Raises:
        TrackingError: The store does not answer.
    """
    prefix = "" if number == 1 else f"autoencoder_{number}/"
    rows = [{"epoch": loss.epoch, **{f"{prefix}{name}": getattr(loss, name) for name in LOSSES}} for loss in losses]
    log_series(rows, "epoch", run_id)


def metric_slug(name: str) -> str:
    """A name as MLflow takes it in that of a metric."""
    return re.sub(r"[^\w./ -]", "_", name)


def read_run(run_id: str | None, review_run: str | None = None) -> tuple[dict[str, str], dict[str, float], str]:
    """The settings of a training run, the scalars of its model's review, and the events that these were measured on.

    All are empty where there is no run, and the events where an older review has recorded none of its own.

    Args:
        run_id: The training's.
        review_run: The review's; older reviews are in the training's own run.

    Raises:
        TrackingError: The store does not answer, or has no such run.
    """
    if run_id is None:
        return {}, {}, ""
    with tracker_errors():
        trained = MlflowClient().get_run(run_id)
        reviewed = MlflowClient().get_run(review_run) if review_run else trained
    scalars = {name: value for name, value in reviewed.data.metrics.items() if name.startswith(REVIEW_METRICS)}
    return dict(trained.data.params), scalars, reviewed_events(reviewed)


def logged_losses(run_id: str | None) -> pd.DataFrame:
    """The losses of a training run by epoch: epoch, train_loss, validation_loss; empty where there is no run."""
    if run_id is None:
        return pd.DataFrame(columns=["epoch", *LOSSES])
    with tracker_errors():
        histories = {name: MlflowClient().get_metric_history(run_id, name) for name in LOSSES}
    columns = {name: pd.Series({entry.step: entry.value for entry in history}) for name, history in histories.items()}
    return pd.DataFrame(columns).rename_axis("epoch").sort_index().reset_index()


def _absolute(location: str) -> str:
    return location if "://" in location else Path(location).absolute().as_uri()
