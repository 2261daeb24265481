"""The losses of a training run, epoch by epoch: the best epoch, and whether to stop."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class EpochLosses:
    """Mean squared reconstruction errors of standardised markers, after one epoch.

    Attributes:
        epoch: The epoch's number, from 1.
        train_loss: Mean over the epoch's minibatches.
        validation_loss: Mean over the populations' validation events.
    """

    epoch: int
    train_loss: float
    validation_loss: float


def best_epoch(history: Sequence[EpochLosses]) -> EpochLosses:
    """Find the epoch of the lowest validation loss, the earliest of equals.

    Example:
        >>> best_epoch([EpochLosses(1, 0.9, 0.8), EpochLosses(2, 0.5, 0.6), EpochLosses(3, 0.4, 0.7)]).epoch
        2
    """
    return min(history, key=lambda losses: losses.validation_loss)


def kept_epoch(history: Sequence[EpochLosses], patience: int | None) -> EpochLosses:
    """Find the epoch whose weights a finished run keeps: the best one with ``patience``, without it the last."""
    return history[-1] if patience is None else best_epoch(history)


def stalled(history: Sequence[EpochLosses], patience: int | None) -> bool:
    """Tell whether the validation loss has not improved for ``patience`` epochs; never without ``patience``."""
    return patience is not None and bool(history) and history[-1].epoch - best_epoch(history).epoch >= patience


def finished(history: Sequence[EpochLosses], epochs: int, patience: int | None) -> bool:
    """Tell whether a run is at its end: it has had all its epochs, or has stalled."""
    return len(history) >= epochs or stalled(history, patience)
