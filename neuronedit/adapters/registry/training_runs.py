"""Training and update in their MLflow runs: search trials, datasets, scores of each edit."""

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import mlflow
import numpy as np
from matplotlib.figure import Figure
from mlflow.tracking import MlflowClient

from neuronedit.adapters.files.dataset import EventDataset
from neuronedit.adapters.registry.datasets import RunDataset, log_datasets, log_measured
from neuronedit.adapters.registry.reviews import describe_run, describe_version
from neuronedit.adapters.registry.runs import log_series, metric_slug
from neuronedit.adapters.registry.tracker import tracker_errors
from neuronedit.adapters.registry.versions import PARENT_TAG, PinnedModel
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.cells.tables import csv_text
from neuronedit.errors import TrackingError
from neuronedit.fitting.edits import edit_scores
from neuronedit.fitting.search_result import SearchResult, SearchTrial
from neuronedit.fitting.update import Update
from neuronedit.model.edit_model import EditModel
from neuronedit.review.page.card import closed, training_card

log = logging.getLogger(__name__)

SEARCHED = ("hidden", "code", "weight_decay", "noise")


@dataclass(frozen=True)
class Learned:
    """A new model's numbers, and the dataset that it learned from.

    Attributes:
        dataset: The dataset.
        metrics: Numbers by name.
    """

    dataset: RunDataset
    metrics: Mapping[str, float]


@tracker_errors()
def log_trial(number: int, trial: SearchTrial) -> None:
    """Record a trial of a search as a run within the training's run."""
    row = trial.row()
    with mlflow.start_run(run_name=f"trial {number}", nested=True, log_system_metrics=False):
        mlflow.log_params({name: row[name] for name in (*SEARCHED, "n_weights")})
        found = {"validation_loss": trial.reconstruction, "left_out_error": trial.error}
        mlflow.log_metrics({name: value for name, value in found.items() if math.isfinite(value)})
        if trial.failure:
            mlflow.set_tag("failure", trial.failure)
            mlflow.end_run("FAILED")


@tracker_errors()
def log_search(result: SearchResult) -> None:
    """Record a search's choice and trials in the training's run."""
    chosen = result.best.row()
    mlflow.log_params({f"chosen.{name}": chosen[name] for name in SEARCHED})
    mlflow.log_metrics({"search/left_out_error": result.best.error, "search/trials": len(result.trials)})
    mlflow.log_text(csv_text(result.table()), "search.csv")


@tracker_errors()
def log_training(model: EditModel, drawn: DrawnPopulations, dataset: EventDataset, losses: Figure) -> Learned:
    """Record a training's dataset, facts and losses.

    Args:
        model: The fitted model.
        drawn: The events that it learned from.
        dataset: The dataset of these events.
        losses: The figure of the losses, which ``log_losses`` recorded as they fell.

    Returns:
        The dataset and the scores, for ``introduce``.
    """
    learned = RunDataset.of(dataset, "training", model.panel, drawn.counts)
    log_datasets(_active(), [learned], "train")
    mlflow.log_dict(dict(model.facts), "training.json")
    mlflow.log_figure(losses, "figures/losses.png")
    drawn_events = sum(len(events) for events in drawn.intensities.values())
    counts = {"populations": len(drawn.counts), "events": dataset.n_events, "events_drawn": drawn_events}
    return Learned(learned, counts | _named("edit", edit_scores(model)) | _named("sample", sample_sizes(drawn)))


def introduce(pinned: PinnedModel, job: str, learned: Learned) -> None:
    """Name a new version's run by it, describe both, and record its scores as those of the logged model.

    The version is complete without: where MLflow does not take it, the log has a warning.

    Args:
        pinned: The new version.
        job: The job that made it, in the active run.
        learned: The dataset and the scores.
    """
    run = _active()
    try:
        log_measured(run, learned.metrics, [learned.dataset], pinned.model_id)
        with tracker_errors():
            MlflowClient().update_run(run, name=f"{job} {pinned.short_name}")
        name, _, version = pinned.uri.removeprefix("models:/").rpartition("/")
        card = closed(training_card(pinned.model, pinned.uri, learned.dataset.uri))
        describe_version(name, version, card)
        describe_run(run, closed(f"Made {pinned.uri}, whose page tells whether it was reviewed, and what it is for."))
    except TrackingError as error:
        log.warning("%s: registered, but not described in full. %s", pinned.uri, error)


def _active() -> str:
    run = mlflow.active_run()
    assert run is not None
    return run.info.run_id


def sample_sizes(drawn: DrawnPopulations) -> dict[str, dict[str, float]]:
    """By population, how many events were drawn, and the rank error that its percentiles have for it."""
    return {
        name: {"events_drawn": float(len(events)), "rank_error": drawn.rank_errors[name]}
        for name, events in drawn.intensities.items()
    }


def _named(kind: str, found: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Metrics as MLflow takes them: the kind, the name without what MLflow refuses in one, the key."""
    return {f"{kind}/{metric_slug(name)}/{key}": value for name, keys in found.items() for key, value in keys.items()}


@tracker_errors()
def log_update(update: Update, parent: PinnedModel, dataset: EventDataset) -> Learned:
    """Record an update's dataset, parent and losses, and give its scores and how far old edits drifted."""
    learned = RunDataset.of(dataset, "update", update.model.panel, update.drawn.select(update.new).counts)
    log_datasets(_active(), [learned], "update", parent.model_id)
    mlflow.set_tags({PARENT_TAG: parent.uri, "neuronedit.parent_digest": parent.digest})
    log_series([asdict(loss) for loss in update.losses], "epoch")
    mlflow.log_dict(dict(update.model.facts), "training.json")
    return Learned(learned, update_metrics(update) | _named("edit", edit_scores(update.model)))


def update_metrics(update: Update) -> dict[str, float]:
    """``old_edit_drift`` (the largest), each edit's own, and what the decision to retrain rests on; all finite."""
    metrics = {
        "retrained": float(update.retrained),
        "reconstruction_ratio": max(update.familiarity.ratios.values()),
        "old_edit_drift": update.worst_drift.relative,
        **{f"edit/{metric_slug(drift.edit)}/old_edit_drift": drift.relative for drift in update.drifts},
    }
    return {name: value for name, value in metrics.items() if np.isfinite(value)}
