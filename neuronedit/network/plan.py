"""Settings of a training run: the plan, the number of training events, and the workers."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, PositiveInt

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


class WorkersConfig(Config):
    """Number, devices, checkpoints and restarts of Ray Train's workers."""

    count: PositiveInt = Field(
        1, description="processes that share each minibatch; one per GPU, or few: the model is small"
    )
    use_gpu: bool = Field(False, description="give each worker a GPU")
    storage: str | None = Field(
        None,
        description="folder or URI that all nodes reach, for checkpoints, by which the same command goes on where it "
        "was stopped; by default $XDG_CACHE_HOME/neuronedit/training or ~/.cache/neuronedit/training, for one node",
    )
    checkpoint_epochs: PositiveInt | None = Field(None, description="write a checkpoint every so many epochs")
    checkpoint_seconds: float = Field(
        60.0, gt=0, description="write a checkpoint at the end of an epoch if the last is so many seconds old"
    )
    checkpoints_kept: PositiveInt = Field(
        2, description="the newest so many; where the last is damaged, training goes on from the one before"
    )
    max_failures: int = Field(
        3, ge=0, description="how often workers that died are started again, from the last checkpoint"
    )
