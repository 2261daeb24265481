"""What the review job can be told."""

from pydantic import Field

from neuronedit.config import Config
from neuronedit.design import Where
from neuronedit.job_configs import DataConfig, RayConfig, SampleConfig, TrackingConfig
from neuronedit.review.acceptance import GateConfig
from neuronedit.review.edit_review import LabelColumns


class ReviewConfig(Config):
    """Show what a model learned, and how well it does on data it was not fitted to."""

    data: DataConfig = Field(description="the events that the model was trained on, and held-out ones")
    model: str = Field(description="models:/NAME/VERSION, models:/NAME@ALIAS, or a model's folder")
    held_out: Where = Field(
        {},
        description='events with measured truth in every batch, e.g. {role = "validation"} (controls designs)',
    )
    held_out_source: Where = Field({}, description="pair designs: untreated events to apply the edit to")
    held_out_target: Where = Field({}, description="pair designs: their measured treated counterpart")
    labels: LabelColumns = Field(LabelColumns(), description="columns that say something of an event")
    descriptions: dict[str, str] = Field(
        {}, description='populations by their markers, e.g. {NK = "CD3- CD56+"}: can the network express them?'
    )
    edits: tuple[str, ...] = Field(
        (), description="edits to look at neuron by neuron; by default the one that moves its source's events most"
    )
    refits: int = Field(
        0,
        ge=0,
        description="train the network so many times more, from other seeds, to see which neurons come back and which "
        "sample to measure next; a model with an ensemble has refits already",
    )
    output: str = Field(description="the folder to write review.html and its tables to")
    overwrite: bool = Field(False, description="replace an earlier review in the output folder")
    sample: SampleConfig = Field(
        SampleConfig(events_per_population=5_000), description="events drawn from each population"
    )
    gates: GateConfig = Field(GateConfig(), description="what the model must show before it may be promoted")
    tracking: TrackingConfig = Field(TrackingConfig(), description="where the model's run is")
    ray: RayConfig = Field(RayConfig(), description="where it runs")
