"""An update in its MLflow run."""

from dataclasses import asdict

import mlflow
import numpy as np

from neuronedit.adapters.parquet import EventDataset
from neuronedit.adapters.registry import PARENT_TAG, PinnedModel
from neuronedit.adapters.tracking import edit_metrics, log_dataset, log_series, metric_slug
from neuronedit.fitting.update import Update


def log_update(update: Update, parent: PinnedModel, dataset: EventDataset) -> None:
    """Record what an update read, which model it is of, what it decided on, and how far old edits drifted."""
    log_dataset(dataset, "events", "update")
    mlflow.set_tags({PARENT_TAG: parent.uri, "neuronedit.parent_digest": parent.digest})
    log_series([asdict(loss) for loss in update.losses], "epoch")
    mlflow.log_metrics(update_metrics(update) | edit_metrics(update.model))
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
