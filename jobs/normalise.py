"""Correct batch effects of FCS files: ``python jobs/normalise.py samples.csv --panel panel.csv --reference day1 …``."""

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, PositiveInt, ValidationError, model_validator

from neuronedit.adapters.cluster.command import JobCommand
from neuronedit.adapters.cluster.session import RayConfig, ray_session
from neuronedit.adapters.fcs.data import Offsets
from neuronedit.adapters.fcs.sample_sheet import SheetRow, read_sample_sheet
from neuronedit.adapters.files.dataset import DataConfig, list_dataset
from neuronedit.adapters.files.storage import storage_errors
from neuronedit.adapters.normalise.progress import Progress, claimed_progress
from neuronedit.adapters.normalise.roles import Roles
from neuronedit.adapters.normalise.summary import SAMPLE, Outcome, judge_samples, summary_lines
from neuronedit.adapters.registry.promotion import promote
from neuronedit.adapters.registry.runs import TrackingConfig, connect
from neuronedit.adapters.registry.unlogged import NOT_LOGGED
from neuronedit.adapters.registry.versions import PinnedModel, RegistryConfig, find_version, pinned_model
from neuronedit.adapters.transform.manifest import read_manifest
from neuronedit.cells.design import ControlsDesign
from neuronedit.cells.draw import SampleConfig
from neuronedit.cells.panel import PanelConfig
from neuronedit.config import Config
from neuronedit.edits.plans import EditConfig
from neuronedit.errors import ModelError, TrackingError
from neuronedit.model.gates import GateConfig, listed
from neuronedit.model.standing import VERDICT_TAG, Standing
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan, WorkersConfig
from neuronedit.review.neurons.context import LabelColumns
from neuronedit.review.page.html import PAGE

if TYPE_CHECKING:
    from . import export, ingest, review, train, transform
else:  # run as a script, this module has no package
    from neuronedit_jobs import export, ingest, review, train, transform

FCS, REVIEW, SUMMARY, CELLS, EDITED = "fcs", "review", "summary.txt", "steps/cells", "steps/edited"

ALIAS = "champion"

OF_INGEST = ("fcs_folder", "compensate", "spillover", "passengers", "labels", "offsets", "data_set", "on_error")
"""Settings that are handed on to ingest, where they are given."""

OF_TRAIN = ("sample", "autoencoder", "ensemble", "training", "workers", "edit")

WHERE_IT_RUNS = {"output", "accept_failed_gates", "overwrite", "workers", "tracking", "ray"}
"""Settings that do not decide what comes of it."""


class NormaliseConfig(Config):
    """Correct batch effects: FCS files in, corrected FCS files, a review and a summary out."""

    samples: str = Field(description="the sample sheet, CSV: 'file', 'sample_id', 'batch_id', 'role', and any others")
    panel: str = Field(description="CSV channel, marker, transform, cofactor; `neuronedit channels` writes one")
    reference: str = Field(description="the batch that others are led to, or 'pooled' for all controls together")
    output: str = Field(description="the folder to write: fcs/, review/, summary.txt, and the steps between")
    controls: str = Field(
        "control",
        description="what the column role has for the control of each batch; 'none' where there are none: all samples "
        "of a batch then stand for its control, and biology that differs between batches is removed with the effect",
    )
    held_out: str | None = Field(
        None, description="what it has for other samples that were measured in several batches: the review's truth"
    )
    role_column: str = Field("role", description="the sheet's column that says which sample is what")
    accept_failed_gates: str | None = Field(
        None, pattern=r"\S", description="why the model is used although its review's gates failed; recorded"
    )
    prefix: str = Field("Norm_", description="stands before the name of each corrected file")
    csv: bool = Field(False, description="write the same numbers as CSV, too, beside each FCS file")
    fcs_folder: str | None = Field(None, description="where the sheet's files lie; by default beside the sheet")
    compensate: bool = Field(False, description="apply the spillover matrix stored in each file; false says: do not")
    spillover: str | None = Field(None, description="CSV of a spillover matrix for all files, in place of their own")
    passengers: Literal["common", "all", "none"] = Field("common", description="channels outside the panel to keep")
    labels: Literal["check", "ignore"] = Field("check", description="whether the files' own labels may contradict it")
    offsets: Offsets = Field("auto", description="where DATA lies, if an FCS file's HEADER and TEXT differ")
    data_set: int | None = Field(None, ge=1, description="which data set of FCS files that have several")
    on_error: Literal["fail", "quarantine"] = Field(
        "fail", description="quarantine: go on without files and events that cannot be used, and exit with status 3"
    )
    overwrite: bool = Field(False, description="begin anew in the folder of an earlier run")
    sample: SampleConfig = Field(SampleConfig(), description="events drawn from each population")
    autoencoder: Architecture = Field(Architecture(), description="the network")
    ensemble: PositiveInt = Field(1, description="autoencoders, each trained from a seed of its own")
    training: TrainingPlan = Field(TrainingPlan(), description="how it learns")
    workers: WorkersConfig = Field(WorkersConfig(), description="who trains")
    edit: EditConfig = Field(EditConfig(), description="what is edited")
    gates: GateConfig = Field(GateConfig(), description="what the model must show before it is used")
    model: RegistryConfig = Field(
        RegistryConfig(name="batches", alias=ALIAS),
        description="under which name the model is registered, and the alias of a version that passed its review",
    )
    tracking: TrackingConfig = Field(
        TrackingConfig(), description="where it is logged; by default $MLFLOW_TRACKING_URI, else in the output folder"
    )
    ray: RayConfig = Field(RayConfig(), description="where it runs")

    @model_validator(mode="after")
    def _steps_take_it(self) -> Self:
        try:
            self.of_ingest()
            self.of_export()
        except ValidationError as error:
            raise ValueError(str(error.errors()[0]["ctx"]["error"])) from error
        return self

    def of_ingest(self, **how: bool) -> ingest.IngestConfig:
        """The settings of the first step."""
        given = self.model_dump(include=set(OF_INGEST) & self.model_fields_set)
        return ingest.IngestConfig(
            sample_sheet=self.samples, panel=self.panel, output=self.place(CELLS), ray=self.ray, **given, **how
        )

    def of_export(self, **how: bool) -> export.ExportConfig:
        """The settings of the last step."""
        data, output = DataConfig(path=self.place(EDITED)), self.place(FCS)
        return export.ExportConfig(data=data, output=output, prefix=self.prefix, csv=self.csv, ray=self.ray, **how)

    @property
    def roles(self) -> Roles:
        """The sheet's words for what its samples are."""
        return Roles(self.role_column, self.controls, self.held_out)

    @property
    def store(self) -> TrackingConfig:
        """Where all steps log."""
        if self.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI"):
            return self.tracking
        store = Path(self.output, "steps").absolute()
        artifacts = self.tracking.artifacts or f"{store}/mlflow-artifacts"
        return self.tracking.model_copy(update={"uri": f"sqlite:///{store}/mlflow.db", "artifacts": artifacts})

    def place(self, step: str) -> str:
        """The folder of a step's output."""
        return str(Path(self.output, step))

    def decides(self) -> dict[str, str]:
        """All that decides what comes of it: the settings, and the content of the files that they name."""
        settings = {key: text for key, text in self.flat().items() if key.partition(".")[0] not in WHERE_IT_RUNS}
        for name, path in {"samples": self.samples, "panel": self.panel, "spillover": self.spillover}.items():
            if path:
                with storage_errors(path):
                    settings[f"{name} file"] = sha256(Path(path).read_bytes()).hexdigest()
        return settings


def job(config: NormaliseConfig) -> int:
    """Correct batch effects of FCS files: ingest, train, review, transform and export, each step once.

    Failed gates of the review stop it before anything is corrected. The same command goes on where it was stopped.
    """
    rows = read_sample_sheet(config.samples, config.fcs_folder)
    design = config.roles.design(rows, config.reference, config.samples)
    with claimed_progress(config.output, config.decides(), overwrite=config.overwrite) as progress:
        with ray_session(config.ray):
            told = [ingested(config, progress)]
            uri = trained(config, progress, design)
            reviewed(config, progress, uri, rows)
            model = accepted(config, progress, uri)
            told += [corrected(config, progress, model), exported(config, progress)]
            lines = summary(config, model, rows)
        text = "".join(f"{line}\n" for line in lines)
        progress.lease.write(progress.location / SUMMARY, text.encode())
    print(f"\n{text}", end="")
    return max(told)


def ingested(config: NormaliseConfig, progress: Progress) -> int:
    """FCS files become Parquet."""
    status = ingest.job(config.of_ingest(**progress.begin("ingest")))
    progress.end("ingest", status)
    return status


def trained(config: NormaliseConfig, progress: Progress, design: ControlsDesign) -> str:
    """Train a model, once, and give its URI."""
    uri: str | None = progress.done("train")
    if uri is None:
        progress.begin("train")
        name = config.model.model_copy(update={"alias": None})  # it is promoted once it is reviewed
        asked = train.TrainConfig(
            data=DataConfig(path=config.place(CELLS)),
            panel=PanelConfig(file=config.panel),
            design=design,
            model=name,
            **{section: getattr(config, section) for section in OF_TRAIN},
            tracking=config.store,
            ray=config.ray,
        )
        uri = train.registered(asked).uri
        progress.end("train", uri)
    return uri


def reviewed(config: NormaliseConfig, progress: Progress, uri: str, rows: Sequence[SheetRow]) -> None:
    """Review the model, once.

    Raises:
        TrackingError: MLflow did not take the review's gates.
    """
    if progress.done("review") is None:
        progress.begin("review")
        named = [name for name in ("donor", "cell_type", "condition") if name in rows[0].labels]
        asked = review.ReviewConfig(
            data=DataConfig(path=config.place(CELLS)),
            model=uri,
            held_out=config.roles.held_out_where,
            labels=LabelColumns(sample=SAMPLE, **dict(zip(named, named, strict=True))),
            output=config.place(REVIEW),
            overwrite=True,
            gates=config.gates,
            tracking=config.store,
            ray=config.ray,
        )
        if review.job(asked) == NOT_LOGGED:
            raise TrackingError(f"{config.place(REVIEW)}: reviewed, but not logged. Run the same command again.")
        progress.end("review", True)


def accepted(config: NormaliseConfig, progress: Progress, uri: str) -> PinnedModel:
    """Promote the model if its gates stand or somebody answers for them; without a failed gate, use it as it is.

    Raises:
        ModelError: A gate failed, and nobody answers for it.
    """
    connect(config.store)
    standing = Standing.from_tags(find_version(uri).tags)
    reason = config.accept_failed_gates
    if standing.against_use and not (reason or standing.excused):
        raise ModelError(
            f"{config.output}: nothing was corrected, as the review found against it: {listed(standing.against_use)}. "
            f'Read {config.place(REVIEW)}/{PAGE}; then run the same command again with --accept-failed-gates "reason" '
            "if you answer for it, or begin anew with other samples or settings (--overwrite)."
        )
    if progress.done("promote") is None and (reason or not standing.blocking):
        _, name, version = uri.rsplit("/", 2)
        promote(name, version, config.model.alias or ALIAS, reason if standing.blocking else None)
        progress.end("promote", True)
    return pinned_model(uri)


def corrected(config: NormaliseConfig, progress: Progress, model: PinnedModel) -> int:
    """Apply the model to all cells."""
    how = progress.begin("transform")
    asked = transform.TransformConfig(
        data=DataConfig(path=config.place(CELLS)),
        model=model.uri,
        output=config.place(EDITED),
        on_error=config.on_error,
        use_gpu=config.workers.use_gpu,
        **how,
        tracking=config.store,
        ray=config.ray,
    )
    status = transform.job(asked)
    progress.end("transform", status)
    return status


def exported(config: NormaliseConfig, progress: Progress) -> int:
    """Parquet becomes FCS files."""
    status = export.job(config.of_export(**progress.begin("export")))
    progress.end("export", status)
    return status


def summary(config: NormaliseConfig, model: PinnedModel, rows: Sequence[SheetRow]) -> list[str]:
    """Say what came of it."""
    tags = find_version(model.uri).tags
    cells = list_dataset(config.place(CELLS))
    outcome = Outcome(
        model.model,
        model.uri,
        Standing.from_tags(tags),
        tags.get(VERDICT_TAG, ""),
        judge_samples(model.model, cells, rows),
        read_manifest(config.place(EDITED)),
        read_manifest(config.place(FCS)),
        [left_out["file"] for left_out in read_manifest(config.place(CELLS))["left_out"]],
    )
    return summary_lines(outcome, config.place(FCS), f"{config.place(REVIEW)}/{PAGE}")


main = JobCommand(
    "normalise",
    NormaliseConfig,
    job,
    positional=("samples",),
    remedy="What is done stands: run the same command again.",
)


if __name__ == "__main__":
    raise SystemExit(main())
