"""Datasets as runs record them: their files' digest, their markers, and the events of each population that was used."""

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any, Final, Self

from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.dataset_source import DatasetSource
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, Schema
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from neuronedit.adapters.files.dataset import EventDataset
from neuronedit.adapters.registry.tracker import tracker_errors
from neuronedit.cells.panel import Panel

DIGEST_LENGTH: Final = 36
"""MLflow's limit for a dataset's digest."""

HELD_OUT: Final = "held-out"
TRAINING_PAIRS: Final = "training pairs"
"""Contexts of the datasets that a review reads."""

SHA256: Final = "sha256 of names, rows and sizes"
"""The profile's key for the digest of the files, whichever of their events were used."""

MAX_METRICS: Final = 1000
"""MLflow's limit for one call."""

MAX_POPULATIONS: Final = 500
"""Populations that a profile lists, which MLflow's pages show as text."""


@dataclass(frozen=True)
class RunDataset:
    """A dataset that a run read, in plain values.

    Attributes:
        uri: Its place, with credentials masked.
        name: For people.
        digest: Of its files and of all that the profile says: MLflow keeps one record for a name and a digest.
        context: Its part in the run, e.g. ``training`` or ``held-out``; empty for the job's name.
        schema: The columns as MLflow has them, as JSON; empty where they are not known.
        profile: Counts of events and markers, as JSON; empty where nothing is known.
        metrics: Names of the metrics that were measured on it; none: those that no dataset names.
    """

    uri: str
    name: str
    digest: str
    context: str = ""
    schema: str = ""
    profile: str = ""
    metrics: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        dataset: EventDataset,
        context: str,
        panel: Panel | None = None,
        populations: Mapping[str, int] | None = None,
        *,
        name: str = "",
        chosen: str = "",
        metrics: Sequence[str] = (),
    ) -> Self:
        """Describe a dataset, or those of its events that were used.

        Args:
            dataset: The dataset.
            context: Its part in the run.
            panel: The markers that were read; they make the schema.
            populations: Events of each population that was used.
            name: For people; by default the end of its URI.
            chosen: The choice of these events, for people.
            metrics: Names of the metrics that were measured on it.
        """
        sha256 = dataset.digest()
        profile: dict[str, Any] = {"events": dataset.n_events, "files": len(dataset.files)}
        profile |= {"markers": panel.n_markers} if panel else {}
        profile |= {"chosen": chosen} if chosen else {}
        profile |= {
            f"events of {population}": n for population, n in list((populations or {}).items())[:MAX_POPULATIONS]
        }
        digest = sha256 if not populations else hashlib.sha256(json.dumps([sha256, profile]).encode()).hexdigest()
        schema = Schema([ColSpec("float", marker) for marker in panel.markers]).to_dict() if panel else None
        return cls(
            dataset.uri,
            name or dataset_name(dataset.uri),
            digest[:DIGEST_LENGTH],
            context,
            json.dumps({"mlflow_colspec": schema}) if schema else "",
            json.dumps({**profile, SHA256: sha256}, ensure_ascii=False),
            tuple(metrics),
        )

    def entity(self) -> Dataset:
        """Give the dataset as MLflow's client takes it."""
        source = _source(self.uri)
        digest = self.digest[:DIGEST_LENGTH]
        kind, place = source._get_source_type(), source.to_json()
        return Dataset(self.name, digest, kind, place, self.schema or None, self.profile or None)


def dataset_name(uri: str) -> str:
    """Name a dataset by the end of its URI."""
    return uri.partition("?")[0].rstrip("/").rpartition("/")[2] or "events"


def reviewed_events(review: Run) -> str:
    """Name the events that a review's headline was measured on, held-out ones or else training pairs; empty if none."""
    read = {tag.value: entry.dataset for entry in review.inputs.dataset_inputs for tag in entry.tags}
    found = read.get(HELD_OUT) or read.get(TRAINING_PAIRS)
    if found is None:
        return ""
    chosen = json.loads(found.profile or "{}").get("chosen", TRAINING_PAIRS)
    return f"{found.name}, {chosen} (digest {found.digest[:8]})"


def log_datasets(run_id: str, datasets: Sequence[RunDataset], job: str, model_id: str | None = None) -> None:
    """Record the datasets that a run has read, and the logged model that it has used.

    Args:
        run_id: The run.
        datasets: The datasets.
        job: The context of those that have none.
        model_id: The logged model's, if there is one.

    Raises:
        TrackingError: The store does not answer.
    """
    inputs = [DatasetInput(each.entity(), [InputTag(MLFLOW_DATASET_CONTEXT, each.context or job)]) for each in datasets]
    with tracker_errors():
        MlflowClient().log_inputs(run_id, inputs, [LoggedModelInput(model_id)] if model_id else None)


def log_measured(
    run_id: str, metrics: Mapping[str, float], datasets: Sequence[RunDataset] = (), model_id: str | None = None
) -> None:
    """Record metrics, each with the dataset that it was measured on and the logged model that it is of.

    Args:
        run_id: The run.
        metrics: Numbers by name.
        datasets: The datasets; the first that names no metrics has those that none names.
        model_id: The logged model's, if there is one.

    Raises:
        TrackingError: The store does not answer.
    """
    now, measured_on = int(time() * 1000), {name: each for each in datasets for name in each.metrics}
    rest = next((each for each in datasets if not each.metrics), None)
    entries = []
    for name, value in metrics.items():
        dataset = measured_on.get(name, rest)
        named = (dataset.name, dataset.digest[:DIGEST_LENGTH]) if dataset else (None, None)
        entries.append(Metric(name, value, now, 0, model_id, *named, run_id))
    send_metrics(run_id, entries)


def send_metrics(run_id: str, metrics: Sequence[Metric]) -> None:
    """Record metrics in as few calls as MLflow allows.

    Raises:
        TrackingError: The store does not answer.
    """
    for start in range(0, len(metrics), MAX_METRICS):
        with tracker_errors():
            MlflowClient().log_batch(run_id, metrics=metrics[start : start + MAX_METRICS])


def _source(uri: str) -> DatasetSource:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a path could be read by two equal kinds of source
        try:
            return resolve_dataset_source(uri)
        except MlflowException:  # a storage that MLflow does not know, such as abfs:// and what only fsspec reaches
            return CodeDatasetSource({"neuronedit.uri": uri})
