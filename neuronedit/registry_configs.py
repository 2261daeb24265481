"""What the jobs about registered models can be told."""

from pydantic import Field

from neuronedit.config import Config
from neuronedit.design import Where
from neuronedit.job_configs import DataConfig, RayConfig, SampleConfig, TrackingConfig


class PromoteConfig(Config):
    """Give an alias to a version that has passed its review, or that you answer for."""

    name: str = Field(pattern=r"^[^/:@]+$", description="the registered model's name")
    version: str = Field(pattern=r"^\d+$", description="the version's number; an older one to go back")
    alias: str = Field(
        "champion", pattern=r"^[\w-]+$", description="the alias to move, e.g. the one that transforms ask for"
    )
    override: str | None = Field(
        None,
        pattern=r"\S",
        description="why the version may be used although gates failed or were not measured; recorded with your name",
    )
    tracking: TrackingConfig = Field(TrackingConfig(), description="where the model is registered")


class CompareConfig(Config):
    """Show what differs between two models, and how both do on the same cells."""

    first: str = Field(description="models:/NAME/VERSION, models:/NAME@ALIAS, or a model's folder")
    second: str = Field(description="the other one, likewise")
    data: DataConfig = Field(description="the events that the first was trained on, and held-out ones")
    held_out: Where = Field(
        {},
        description='events with measured truth in every batch, e.g. {role = "validation"} (controls designs)',
    )
    held_out_source: Where = Field({}, description="pair designs: untreated events to apply the edit to")
    held_out_target: Where = Field({}, description="pair designs: their measured treated counterpart")
    output: str = Field(description="the folder to write compare.html and its tables to")
    overwrite: bool = Field(False, description="replace an earlier comparison in the output folder")
    sample: SampleConfig = Field(
        SampleConfig(events_per_population=5_000), description="events drawn from each population"
    )
    tracking: TrackingConfig = Field(
        TrackingConfig(), description="where the models are registered and the run is logged"
    )
    ray: RayConfig = Field(RayConfig(), description="where it runs")
