"""Results that MLflow did not take: kept beside a job's output, and logged later.

What a job has made does not depend on MLflow at its end. ``neuronedit log OUTPUT`` logs what was kept.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import mlflow
from pyarrow import fs

from neuronedit.adapters.files.storage import Location, locate
from neuronedit.adapters.registry.results import Results
from neuronedit.adapters.registry.runs import TrackingConfig, connect, tracked_run, use_store
from neuronedit.adapters.registry.tracker import impatient, told_with, tracker_errors
from neuronedit.adapters.transform.output_folder import UNLOGGED
from neuronedit.errors import OutputError, TrackingError, masked

log = logging.getLogger(__name__)

NOT_LOGGED: Final = 4
"""The exit status of a job whose output is complete, but whose run was not logged."""


@dataclass(frozen=True)
class Kept:
    """Results that could not be logged.

    Attributes:
        run: The run that they belong to; None to make a new one.
        store: MLflow's, without credentials.
        reason: The error that MLflow's client ended with.
        results: The results.
        experiment: The experiment of a new run.
        settings: The settings of a new run.
        name: The name of a new run; None for the job's.
        parent: The run that a new run belongs to, if any.
    """

    run: str | None
    store: str
    reason: str
    results: Results
    experiment: str = "neuronedit"
    settings: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    parent: str | None = None

    def to_facts(self) -> dict[str, Any]:
        """Give what is kept as JSON values."""
        return {**asdict(self), "results": self.results.to_facts()}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Read what was kept from its ``to_facts``."""
        return cls(**{**facts, "results": Results.from_facts(facts["results"])})


def log_or_keep(results: Results, run_id: str, folder: str | Path, shown: str, record: str | None = None) -> bool:
    """Log a complete output's results; where MLflow is gone, keep them beside the output, and tell it in one message.

    Args:
        results: The results.
        run_id: The active run.
        folder: The folder or URI of the output, as it is now.
        shown: The folder or URI that the output will have, as it may be shown.
        record: The name of the output's record, which lists its files (see ``write_record``).

    Returns:
        Whether they were logged.

    Raises:
        StorageError: The output's storage does not answer.
    """
    output = locate(str(folder))
    try:
        told = results.log(output)
    except TrackingError as error:
        _keep(Kept(run_id, masked(mlflow.get_tracking_uri()), str(error), results), output, shown, record)
        _leave_run()  # all that this run waits for from here on is known not to answer
        return False
    (output / UNLOGGED).delete()  # of an earlier run, whose output this one has replaced
    if told:
        log.warning("%s", told)
    return True


def log_in_run(
    results: Results,
    tracking: TrackingConfig,
    settings: Mapping[str, str],
    folder: Path,
    shown: str,
    *,
    name: str,
    parent: str | None,
) -> bool:
    """Do what ``log_or_keep`` does in a new run that is opened for it.

    Args:
        results: The results.
        tracking: Where the run is.
        settings: The job's.
        folder: The folder of the output, as it is now, with a record ``_JOB.json``.
        shown: The folder that the output will have.
        name: The run's name.
        parent: The run that it belongs to, if any.

    Returns:
        Whether they were logged.
    """
    record = f"_{results.job}.json"
    try:
        with tracked_run(results.job, settings, name=name, parent=parent) as run:
            return log_or_keep(results, run, folder, shown, record)
    except TrackingError as error:
        store = masked(mlflow.get_tracking_uri())
        kept = Kept(None, store, str(error), results, tracking.experiment, dict(settings), name, parent)
        _keep(kept, locate(str(folder)), shown, record)
        return False


def log_kept(uri: str, store: str | None = None) -> str:
    """Log what a job has kept beside its output, and remove it there.

    Args:
        uri: The folder or URI of the output.
        store: MLflow's; by default the one that the job had, or $MLFLOW_TRACKING_URI where that has credentials.

    Returns:
        A sentence on what was done.

    Raises:
        OutputError: There is no such folder, or what was kept is damaged.
        TrackingError: MLflow does not answer, refuses, or has no such run.
    """
    output, shown = locate(uri), masked(uri)
    if output.kind == fs.FileType.File or not output.files():
        raise OutputError(f"{shown}: no folder, or empty. Expected the output of a job; check its name.")
    place = output / UNLOGGED
    if not place.exists:
        return f"{shown}: nothing to log: there is no {UNLOGGED} in it."
    try:
        kept = Kept.from_facts(place.read_json())
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise OutputError(
            f"{shown}: {UNLOGGED} is damaged ({type(error).__name__}: {error}). The output itself does not need it: "
            "remove it, or restore it."
        ) from error
    tracking = TrackingConfig(uri=store or (None if "***" in kept.store else kept.store), experiment=kept.experiment)
    nothing_lost = "Nothing was lost: try again, with --tracking-uri URI if MLflow is elsewhere now."
    with told_with(nothing_lost), tracker_errors():
        use_store(tracking)
        if kept.run is None:
            connect(tracking)
            opened = tracked_run(kept.results.job, kept.settings, name=kept.name, parent=kept.parent)
        else:
            opened = mlflow.start_run(run_id=kept.run, log_system_metrics=False)
        with opened:
            told = kept.results.log(output, late=True)
            run = mlflow.active_run()
    place.delete()
    return f"{shown}: logged in run {run.info.run_id if run else kept.run}. {told}".rstrip()


def _keep(kept: Kept, output: Location, shown: str, record: str | None) -> None:
    (output / UNLOGGED).write_json(kept.to_facts())
    if record:
        facts = (output / record).read_json()
        (output / record).write_json({**facts, "written": sorted({*facts["written"], UNLOGGED})})
    log.warning(
        "%s: complete, but its run was not logged. %s What was to be logged is kept in %s there: run `neuronedit log "
        "%s` when MLflow answers again.",
        *(shown, kept.reason, UNLOGGED, shown),
    )


def _leave_run() -> None:
    """End the active run; that MLflow does not take it is known."""
    try:
        with impatient(), tracker_errors():
            mlflow.end_run()
    except TrackingError as error:
        log.debug("the run's end was not recorded: %s", error)
