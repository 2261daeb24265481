"""Training and update in their MLflow runs: search trials, datasets, scores of each edit."""

import math
from collections.abc import Mapping
from dataclasses import asdict

import mlflow
import numpy as np
from matplotlib.figure import Figure

from neuronedit.adapters.files.dataset import EventDataset
from neuronedit.adapters.registry.runs import log_dataset, log_series, metric_slug
from neuronedit.adapters.registry.tracker import tracker_errors
from neuronedit.adapters.registry.versions import PARENT_TAG, PinnedModel
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.cells.tables import csv_text
from neuronedit.fitting.edits import edit_scores
from neuronedit.fitting.search_result import SearchResult, SearchTrial
from neuronedit.fitting.update import Update
from neuronedit.model.edit_model import EditModel

SEARCHED = ("hidden", "code", "weight_decay", "noise")


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
def log_training(model: EditModel, drawn: DrawnPopulations, dataset: EventDataset, losses: Figure) -> None:
    """Record a training's dataset, scores and losses.

    Args:
        model: The fitted model.
        drawn: The events that it learned from.
        dataset: The dataset of these events.
        losses: The figure of the losses, which ``log_losses`` recorded as they fell.
    """
    log_dataset(dataset, "events", "training")
    drawn_events = sum(len(events) for events in drawn.intensities.values())
    mlflow.log_metrics({"populations": len(drawn.counts), "events": dataset.n_events, "events_drawn": drawn_events})
    mlflow.log_metrics(_named("edit", edit_scores(model)) | _named("sample", sample_sizes(drawn)))
    mlflow.log_dict(dict(model.facts), "training.json")
    mlflow.log_figure(losses, "figures/losses.png")


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
def log_update(update: Update, parent: PinnedModel, dataset: EventDataset) -> None:
    """Record an update's dataset, parent, scores, and how far old edits drifted."""
    log_dataset(dataset, "events", "update")
    mlflow.set_tags({PARENT_TAG: parent.uri, "neuronedit.parent_digest": parent.digest})
    log_series([asdict(loss) for loss in update.losses], "epoch")
    mlflow.log_metrics(update_metrics(update) | _named("edit", edit_scores(update.model)))
    mlflow.log_dict(dict(update.model.facts), "training.json")


def update_metrics(update: Update) -> dict[str, float]:
    """``old_edit_drift`` (the largest), each edit's own, and what the decision to retrain rests on; all finite."""
    metrics = {
        "retrained": float(update.retrained),
        "reconstruction_ratio": max(update.familiarity.ratios.values()),
        "old_edit_drift": update.worst_drift.relative,
        **{f"edit/{metric_slug(drift.edit)}/old_edit_drift": drift.relative for drift in update.drifts},
    }
    return {name: value for name, value in metrics.items() if np.isfinite(value)}
