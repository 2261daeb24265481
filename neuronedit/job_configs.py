"""What each job can be told: one typed configuration per job."""

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from neuronedit.autoencoder import Architecture
from neuronedit.config import Config
from neuronedit.design import ControlsDesign, PairDesign, Where
from neuronedit.edit_config import EditConfig
from neuronedit.errors import PanelError, listing, nearest_name
from neuronedit.panel import MASS_COFACTOR, Panel, read_panel
from neuronedit.route import UnknownBatch
from neuronedit.search_config import SearchConfig
from neuronedit.synergy import SynergyRule
from neuronedit.training_data_config import TrainingDataConfig
from neuronedit.training_plan import TrainingPlan
from neuronedit.workers_config import WorkersConfig


class PanelConfig(Config):
    """Which markers are modelled: a panel file, or a list of names with one cofactor."""

    file: str | None = Field(None, description="CSV with the columns marker and, optionally, channel and cofactor")
    markers: tuple[str, ...] = Field((), description="marker names, where there is no panel file")
    cofactor: float = Field(
        MASS_COFACTOR, gt=0, description="for panel.markers: 5 for mass, 150 for fluorescence cytometry"
    )
    exclude: tuple[str, ...] = Field((), description="markers of the panel to leave out: they stay untouched")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.file) == bool(self.markers):
            raise ValueError("give either panel.file or panel.markers")
        return self

    def read(self) -> Panel:
        """The panel, read and checked.

        Raises:
            PanelError: The file cannot be read, names something twice, or lacks a marker to exclude.
        """
        if self.file:
            panel, _ = read_panel(self.file)
        else:
            panel = Panel(self.markers, (self.cofactor,) * len(self.markers))
        unknown = [marker for marker in self.exclude if marker not in panel.markers]
        if unknown:
            raise PanelError(
                f"panel.exclude: {listing(unknown)} is not in the panel{nearest_name(unknown[0], panel.markers)}. "
                "Correct the name."
            )
        kept = [pair for pair in zip(panel.markers, panel.cofactors, strict=True) if pair[0] not in self.exclude]
        return Panel(tuple(marker for marker, _ in kept), tuple(cofactor for _, cofactor in kept))


class RayConfig(Config):
    """Where Ray runs."""

    address: str | None = Field(
        None,
        description="a running cluster; otherwise $RAY_ADDRESS (set in every Ray job), otherwise this machine",
    )
    num_cpus: PositiveInt | None = Field(None, description="cores to use when Ray runs on this machine only")


class TrackingConfig(Config):
    """Where MLflow keeps models, metrics and reviews."""

    uri: str | None = Field(
        None,
        description="a tracking server or database; otherwise $MLFLOW_TRACKING_URI, otherwise sqlite:///mlflow.db",
    )
    experiment: str = Field("neuronedit", description="the experiment that runs belong to")
    artifacts: str | None = Field(
        None, description="folder or URI for a new experiment's artifacts; by default the store's own choice"
    )


SAMPLE_COLUMN = "sample_id"
"""Names an event's sample, where no other column is named to do so: ingest writes it."""


class SampleConfig(Config):
    """How many events of each population are drawn for training, fitting and review."""

    events_per_population: int = Field(
        20_000, ge=100, description="at most this many; a percentile's rank error is at most 0.5/sqrt of it"
    )
    seed: int = Field(0, ge=0, description="the same seed draws the same events, in whatever order files are read")
    sample_column: str | None = Field(
        None,
        description="a column that names the sample that each event is from; by default sample_id where a file has it, "
        "otherwise the file's name",
    )

    def column_of(self, names: Collection[str]) -> str | None:
        """The column that names an event's sample in a file with these columns, if there is one."""
        return self.sample_column or (SAMPLE_COLUMN if SAMPLE_COLUMN in names else None)


class DataConfig(Config):
    """The events."""

    path: str = Field(description="a Parquet file, a folder of them, or a URI (s3://…, gs://…)")


class IngestConfig(Config):
    """FCS files and their sample sheet → a Parquet dataset of raw intensities."""

    sample_sheet: str = Field(
        description="CSV: the column 'file', 'sample_id', 'batch_id', and any others (role, condition, donor, …)"
    )
    fcs_folder: str | None = Field(None, description="where the sheet's files lie; by default beside the sheet")
    panel: str | None = Field(
        None,
        description="CSV channel, marker, cofactor; by default each channel's own marker name ($PnS) is used",
    )
    output: str = Field(description="the folder of the Parquet dataset to write")
    compensate: bool = Field(False, description="apply the spillover matrix stored in each file (flow cytometry)")
    on_error: Literal["fail", "quarantine"] = Field(
        "fail",
        description="quarantine: list unreadable files in _quarantine.json, go on, and exit with status 3",
    )
    overwrite: bool = Field(False, description="replace the output of an earlier ingest")


class RegistryConfig(Config):
    """The model's name in MLflow's registry."""

    name: str = Field("neuronedit", pattern=r"^[^/:@]+$", description="registered model name")
    alias: str | None = Field(None, description="an alias to point at the new version, e.g. candidate")


class TrainConfig(Config):
    """Train the autoencoder, fit the edits, register the model."""

    data: DataConfig = Field(description="the events to learn from")
    panel: PanelConfig = Field(description="the markers to model")
    design: Annotated[PairDesign | ControlsDesign, Field(discriminator="kind")] = Field(
        description="which events are source, target and extrapolation"
    )
    sample: SampleConfig = Field(SampleConfig(), description="events drawn from each population")
    autoencoder: Architecture = Field(Architecture(), description="the network")
    ensemble: PositiveInt = Field(
        1, description="autoencoders, each trained from a seed of its own; the changes that they make are averaged"
    )
    training: TrainingPlan = Field(TrainingPlan(), description="how it learns")
    search: SearchConfig = Field(SearchConfig(), description="settings of the network to try first")
    training_data: TrainingDataConfig = Field(TrainingDataConfig(), description="what it learns from")
    workers: WorkersConfig = Field(WorkersConfig(), description="who computes")
    edit: EditConfig = Field(EditConfig(), description="what is edited")
    model: RegistryConfig = Field(RegistryConfig(), description="under which name the model is registered")
    tracking: TrackingConfig = Field(TrackingConfig(), description="where it is logged")
    ray: RayConfig = Field(RayConfig(), description="where it runs")


class TransformConfig(Config):
    """Apply a pinned model to a Parquet dataset."""

    data: DataConfig = Field(description="the events to edit")
    model: str = Field(description="models:/NAME/VERSION, models:/NAME@ALIAS, or a model's folder")
    output: str = Field(description="the folder or URI of the Parquet dataset to write")
    where: Where = Field(
        {}, description="edit only events with these column values (pair designs); others pass as they are"
    )
    unknown_batch: UnknownBatch = Field(
        "error",
        description="pass: leave events of unknown batches as they are, flagged in the column neuronedit",
    )
    edits: tuple[str, ...] = Field(
        (),
        description="edits to apply one after another to every chosen event, in place of its batch's own: "
        '["day1", "day3 inverse"] leads from day1 by the reference to day3',
    )
    strength: float = Field(1.0, ge=0, le=1, description="of each edit's whole change; 0.5 goes half of the way")
    support: bool = Field(
        False,
        description="write the column neuronedit_support: how far each event is from what its edit was learned on; "
        "up to 1 is as near as the source's own events",
    )
    allow_failed_gates: bool = Field(
        False,
        description="use a registered model although its review's gates failed; by default only where an override "
        "given with promote holds for them. A version that was never reviewed is used, with a warning",
    )
    overwrite: bool = Field(False, description="replace the output of an earlier transform")
    resume: bool = Field(False, description="continue a transform that was stopped: finished files are kept")
    workers: PositiveInt | None = Field(
        None, description="actors at most; by default one per core that is free at the start"
    )
    use_gpu: bool = Field(
        False, description="edit on GPUs (CUDA): the same results, but for the last digits of float32"
    )
    actors_per_gpu: PositiveInt = Field(
        4, description="actors that share a GPU: some read and write files while it computes for another"
    )
    on_error: Literal["fail", "quarantine"] = Field(
        "fail",
        description="quarantine: leave out files and row groups that cannot be read, and events whose intensities are "
        "not finite; list them in the manifest, go on, and exit with status 3",
    )
    compression: Literal["keep", "snappy", "zstd", "lz4", "none"] = Field(
        "zstd", description="of the Parquet files written; keep: each file's own"
    )
    row_group_events: PositiveInt | None = Field(
        None, description="events of each row group written; by default the input's row groups, up to 131,072 events"
    )
    part_mb: PositiveInt = Field(
        1024,
        description="larger files are edited in parts of about this size, each with an output file of its own, "
        "NAME-00001-of-00005.parquet",
    )
    tracking: TrackingConfig = Field(
        TrackingConfig(), description="where the model is registered and the run is logged"
    )
    ray: RayConfig = Field(RayConfig(), description="where it runs")

    def rules(self) -> dict[str, object]:
        """The settings that decide the output's bits."""
        who_and_where = {"workers", "actors_per_gpu", "tracking", "ray"}
        others = {"data", "model", "output", "allow_failed_gates", "overwrite", "resume"}
        return self.model_dump(exclude=others | who_and_where)


class EventsConfig(Config):
    """Events to compare: a dataset, and which of its events."""

    path: str = Field(description="a Parquet file, a folder of them, or a URI (s3://…, gs://…)")
    where: Where = Field(
        {}, description='only events with these column values, e.g. {batch_id = "day2"}; by default all'
    )


class EvaluateConfig(Config):
    """Compare edited events with their measured truth, whatever edited them."""

    edited: EventsConfig = Field(description="the events to judge, as raw intensities")
    truth: EventsConfig = Field(description="events as they should be like: measured, not necessarily the same cells")
    unedited: EventsConfig | None = Field(
        None, description="the events before the edit; with them every score stands beside that of doing nothing"
    )
    panel: PanelConfig = Field(description="the markers to compare")
    population_column: str | None = Field(
        None, description="a column that names cell populations: markers are also compared within each"
    )
    output: str = Field(description="the folder to write the tables to")
    overwrite: bool = Field(False, description="replace an earlier evaluation in the output folder")
    sample: SampleConfig = Field(SampleConfig(), description="events drawn from each dataset, and of each population")
    tracking: TrackingConfig = Field(TrackingConfig(), description="where the run is logged")
    ray: RayConfig = Field(RayConfig(), description="where it runs")


class CombineConfig(Config):
    """Predict two treatments together from the edits of each, beside what was measured."""

    data: DataConfig = Field(description="the measured arms, as raw intensities")
    panel: PanelConfig = Field(description="the markers to compare; both models' markers must be among them")
    control: Where = Field(min_length=1, description='column values of neither treatment, e.g. {drug = "none"}')
    a: Where = Field(min_length=1, description='column values of A alone, e.g. {drug = "A"}')
    b: Where = Field(min_length=1, description='column values of B alone, e.g. {drug = "B"}')
    both: Where = Field({}, description="column values of A and B together, where that was measured (optional)")
    model_a: str = Field(description="the edit from control to A: models:/NAME/VERSION, models:/NAME@ALIAS or a folder")
    model_b: str = Field(description="the edit from control to B, likewise")
    sample_column: str | None = Field(
        None,
        description="a column that names replicate samples (wells): intervals then hold how much these scatter; "
        "without it events are resampled as if they were replicates",
    )
    output: str = Field(description="the folder to write the tables and the figure to")
    overwrite: bool = Field(False, description="replace an earlier combination in the output folder")
    rule: SynergyRule = Field(SynergyRule(), description="when a marker is called synergistic, antagonistic, additive")
    sample: SampleConfig = Field(
        SampleConfig(), description="events drawn from each arm; with sample_column, from each sample of each arm"
    )
    tracking: TrackingConfig = Field(TrackingConfig(), description="where the models are registered, the run is logged")
    ray: RayConfig = Field(RayConfig(), description="where it runs")
