"""How the autoencoder is trained: the settings of a run."""

from math import cos, pi
from typing import Literal

from pydantic import Field

from neuronedit.config import Config


class TrainingPlan(Config):
    """How long and how fast the autoencoder learns.

    Example:
        >>> from neuronedit import TrainingPlan
        >>> TrainingPlan(epochs=20, patience=3).learning_rate
        0.001
    """

    epochs: int = Field(60, ge=1, description="each draws as many events as all populations have, equally many of each")
    minibatch: int = Field(1024, ge=1, description="events per step, over all workers; every population has its share")
    accumulate: int = Field(
        1, ge=1, description="parts that a minibatch is computed in, one after another: less memory, the same step"
    )
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate (the paper: 0.001)")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="cosine: the learning rate rises during warmup and falls to nothing at the last step"
    )
    warmup: float = Field(0.05, ge=0, lt=1, description="share of all steps in which cosine's learning rate rises")
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

    def rate(self, step: int, n_steps: int) -> float:
        """The learning rate of a step, from 0, of all ``n_steps`` of a run.

        Source: Loshchilov and Hutter 2017 (SGDR), equation 5, without restarts; the warm-up is linear.
        """
        if self.schedule == "constant":
            return self.learning_rate
        n_warmup = round(self.warmup * n_steps)
        if step < n_warmup:
            return self.learning_rate * (step + 1) / n_warmup
        return self.learning_rate * (1 + cos(pi * (step - n_warmup) / (n_steps - n_warmup))) / 2
