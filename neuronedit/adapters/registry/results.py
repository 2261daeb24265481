"""A job's results, which its MLflow run is told at the end: numbers, files, datasets, and tags of a model version."""

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import mlflow
from matplotlib.figure import Figure

from neuronedit.adapters.files.dataset import EventDataset
from neuronedit.adapters.files.storage import Location
from neuronedit.adapters.registry.datasets import RunDataset, log_datasets, log_measured
from neuronedit.adapters.registry.reviews import VersionTags, describe_run
from neuronedit.adapters.registry.tracker import tracker_errors
from neuronedit.adapters.transform.output_folder import UNLOGGED
from neuronedit.edits.students.student import served_sentence
from neuronedit.model.standing import REVIEWED_TAG
from neuronedit.review.page.card import closed


@dataclass(frozen=True)
class Results:
    """What a job tells its run at the end.

    Attributes:
        job: The job's name.
        metrics: Numbers by name.
        datasets: The datasets that were read, with the metrics that were measured on each.
        tags: Of the run.
        texts: Text files by their path among the run's artifacts.
        figures: Figures as PNG, likewise.
        folder: The artifacts' folder for the files of the job's output; None to log none of these.
        version: Tags for a model version.
        model_id: The logged model that was used, by its id in MLflow.
        judged: Whether the metrics are of that model; otherwise they are of the run alone.
        card: The model card, for the run and the version; empty where there is none.
    """

    job: str
    metrics: Mapping[str, float]
    datasets: tuple[RunDataset, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, bytes] = field(default_factory=dict)
    folder: str | None = None
    version: VersionTags | None = None
    model_id: str | None = None
    judged: bool = False
    card: str = ""

    def log(self, output: Location, *, late: bool = False) -> str:
        """Log the results in the active run.

        Args:
            output: The folder with the job's files.
            late: The job has ended before.

        Returns:
            A sentence on what was left as it is; mostly empty.

        Raises:
            TrackingError: MLflow does not answer, or refuses.
        """
        with tracker_errors():
            opened = mlflow.active_run()
        assert opened is not None
        run = opened.info.run_id
        log_datasets(run, self.datasets, self.job, self.model_id)
        with tracker_errors():
            if self.tags:
                mlflow.set_tags(dict(self.tags))
            for path, text in self.texts.items():
                mlflow.log_text(text, path)
            with TemporaryDirectory(prefix="neuronedit-log-") as temporary:
                for path, content in self.figures.items():
                    place = Path(temporary) / Path(path).name
                    place.write_bytes(content)
                    mlflow.log_artifact(str(place), str(Path(path).parent))
            if self.folder is not None:
                _log_files(Path(output.path), self.folder)
        log_measured(run, self.metrics, self.datasets, self.model_id if self.judged else None)
        if self.card:
            reviewed = self.version.tags[REVIEWED_TAG] if self.version else ""
            describe_run(run, closed(self.card, reviewed, f"run {run}"))
        return "" if self.version is None else self.version.write(run, self.card, late=late)

    def to_facts(self) -> dict[str, Any]:
        """Give the results as JSON values."""
        figures = {path: base64.b64encode(content).decode() for path, content in self.figures.items()}
        return asdict(self) | {"figures": figures}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Read results from their ``to_facts``."""
        version = VersionTags(**facts["version"]) if facts["version"] else None
        figures = {path: base64.b64decode(content) for path, content in facts["figures"].items()}
        datasets = tuple(
            RunDataset(**{**each, "metrics": tuple(each.get("metrics", ()))}) for each in facts["datasets"]
        )
        return cls(**{**facts, "datasets": datasets, "figures": figures, "version": version})


def transform_results(
    manifest: Mapping[str, Any],
    dataset: EventDataset,
    seconds: float,
    quality: Mapping[str, float],
    figure: Figure,
    model_id: str | None = None,
) -> Results:
    """Give the results of a transform: its input, manifest, counts, speed and quality.

    Args:
        manifest: The output's manifest.
        dataset: The input.
        seconds: The time that the job took.
        quality: Numbers by name (see ``quality_scalars``).
        figure: The figure of the quality (see ``quality_figure``).
        model_id: The logged model that edited it, by its id in MLflow.
    """
    counts = {f"events/{outcome.replace(' ', '_')}": n for outcome, n in manifest["counts"].items()}
    speed = {"events_per_second": manifest["events"] / seconds, "seconds": seconds}
    tags = {"neuronedit.model": manifest["model"]["uri"], "neuronedit.digest": manifest["model"]["sha256"]}
    if served := served_sentence(manifest["model"].get("served_by", {})):
        tags["neuronedit.served"] = served
    return Results(
        "transform",
        {**counts, **speed, **quality},
        (RunDataset.of(dataset, "transform"),),
        tags,
        {"manifest.json": json.dumps(dict(manifest), indent=2)},
        {"figures/quality.png": png(figure)},
        model_id=model_id,
    )


def folder_results(
    job: str,
    scalars: Mapping[str, float],
    datasets: Mapping[str, EventDataset] | None = None,
    *,
    prefix: str | None = None,
    version: VersionTags | None = None,
) -> Results:
    """Give the results of a job that writes a folder: its files as artifacts, its scalars as metrics.

    Args:
        job: The job's name, and that of the artifacts' folder.
        scalars: The numbers to record, by name.
        datasets: The datasets that were read, by their role, which names them in the run unless it is ``events``.
        prefix: Begins the metrics' names; by default the job's name and a slash.
        version: Tags for the model version that the job judged.
    """
    begin = f"{job}/" if prefix is None else prefix
    metrics = {f"{begin}{name}": value for name, value in scalars.items()}
    names = {role: "" if role == "events" else role for role in datasets or ()}
    read = tuple(RunDataset.of(dataset, job, name=names[role]) for role, dataset in (datasets or {}).items())
    return Results(job, metrics, read, folder=job, version=version)


def png(figure: Figure) -> bytes:
    """Draw a figure as PNG."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return drawn.getvalue()


def _log_files(folder: Path, artifacts: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != UNLOGGED:
            place = path.parent.relative_to(folder).as_posix()
            mlflow.log_artifact(str(path), artifacts if place == "." else f"{artifacts}/{place}")
