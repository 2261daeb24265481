"""The losses of a training run, epoch by epoch, and what follows from them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class EpochLosses:
    """Mean squared reconstruction errors of standardised markers, after one epoch."""

    epoch: int
    train_loss: float
    validation_loss: float


def best_epoch(history: Sequence[EpochLosses]) -> EpochLosses:
    """The epoch of the lowest validation loss; the earliest of equals."""
    return min(history, key=lambda losses: losses.validation_loss)


def kept_epoch(history: Sequence[EpochLosses], patience: int | None) -> EpochLosses:
    """The epoch whose weights a finished run has: the best one where it is stopped early, else the last."""
    return history[-1] if patience is None else best_epoch(history)


def stalled(history: Sequence[EpochLosses], patience: int | None) -> bool:
    """Whether the validation loss has not improved for ``patience`` epochs."""
    return patience is not None and bool(history) and history[-1].epoch - best_epoch(history).epoch >= patience


def finished(history: Sequence[EpochLosses], epochs: int, patience: int | None) -> bool:
    """Whether a run of at most so many epochs is at its end."""
    return len(history) >= epochs or stalled(history, patience)
