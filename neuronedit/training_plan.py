"""The training plan: settings of a run that trains the autoencoder."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from neuronedit.config import Config

RETIRED = ("schedule", "warmup", "accumulate")
"""Names of settings that earlier versions had, which their models still record."""


class TrainingPlan(Config):
    """How long and how fast the autoencoder learns.

    Example:
        >>> from neuronedit import TrainingPlan
        >>> TrainingPlan(epochs=20, patience=3).learning_rate
        0.001
    """

    epochs: int = Field(60, ge=1, description="each draws as many events as all populations have, equally many of each")
    minibatch: int = Field(1024, ge=1, description="events per step, over all workers; every population has its share")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate (the paper: 0.001)")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's: how much of itself a weight loses per unit of rate")
    noise: float = Field(
        0.0, ge=0, description="standard deviations of Gaussian noise on the standardised input, to be removed again"
    )
    decorrelation: float = Field(
        0.0,
        ge=0,
        description="weight of a penalty on the strongest correlations between the code's neurons, against duplicates; "
        "0.1 halves them at no loss of accuracy on synthetic cells",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the network's products in training; bfloat16 has 3 digits, and is faster on GPUs"
    )
    validation_fraction: float = Field(
        0.1,
        gt=0,
        lt=0.5,
        description="share of each population kept for validation: whole samples, where they are known",
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="stop after so many epochs in which the validation loss has not improved, and keep the best "
        "epoch's weights; by default all epochs are trained, and the last one's are kept",
    )
    seed: int = Field(0, ge=0, description="initial weights, held-out events, minibatches and noise")


def without_retired(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the settings that no longer exist from a plan's recorded settings.

    Example:
        >>> without_retired({"epochs": 60, "warmup": 0.1})
        {'epochs': 60}
    """
    return {name: value for name, value in recorded.items() if name not in RETIRED}
