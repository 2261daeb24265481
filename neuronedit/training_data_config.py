"""Settings of the events that the autoencoder learns from."""

from typing import Literal

from pydantic import Field, PositiveInt

from neuronedit.config import Config


class TrainingDataConfig(Config):
    """Number and memory of the events that the autoencoder learns from; edits are fitted on the drawn sample anyway."""

    events_per_population: PositiveInt | Literal["all"] | None = Field(
        None, description="by default those of the drawn sample; a number: so many, if there are; or all"
    )
    memory_mb: PositiveInt = Field(
        2048,
        description="of each worker, for these events; where all are more, they are read again in every epoch, and "
        "shuffled within windows",
    )
