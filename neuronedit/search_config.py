"""What can be told of the search for the network's settings."""

from typing import Annotated

from pydantic import Field, PositiveInt

from neuronedit.config import Config

NotNegative = Annotated[float, Field(ge=0)]


class SearchConfig(Config):
    """Settings of the network to try on populations left out of source and target; by default none are tried."""

    hidden: tuple[tuple[PositiveInt, ...], ...] = Field(
        (), description="layers' widths to try, e.g. [[200, 100], [100]]; by default autoencoder.hidden alone"
    )
    code: tuple[PositiveInt, ...] = Field((), description="code sizes to try; by default autoencoder.code alone")
    weight_decay: tuple[NotNegative, ...] = Field((), description="to try; by default training.weight_decay alone")
    noise: tuple[NotNegative, ...] = Field((), description="to try; by default training.noise alone")
    trials: PositiveInt | None = Field(
        None, description="at most so many of all combinations, drawn by training.seed; by default all are tried"
    )

    @property
    def enabled(self) -> bool:
        """Whether there is anything to try."""
        return any((self.hidden, self.code, self.weight_decay, self.noise))
