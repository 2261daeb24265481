"""What workers tell of their training while it goes on, and who is told.

Ray Train's own way, ``ray.train.report``, is a barrier for all workers, waits until its controller has taken the last
report (which it looks for now and then), and ends in a callback that runs in the controller's process, without the
driver's terminal and its MLflow. So the first worker drops a line at an actor beside the driver, waiting for nothing,
and the driver looks there once a second. The actor outlives workers; with the training it ends.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray

from neuronedit.adapters.cluster.progress import Done, shown_progress
from neuronedit.adapters.cluster.session import driver_actor
from neuronedit.errors import NeuroneditError
from neuronedit.network.state import EpochLosses

log = logging.getLogger(__name__)

OnLosses = Callable[[Sequence[EpochLosses]], None]
"""Is told of epochs as they end, each once and in their order, several at a time where they are short."""


@dataclass(frozen=True)
class TrainingProgress:
    """What the workers have told so far.

    Attributes:
        history: The losses of all epochs behind them.
        n_workers: That train now.
        notes: What is to be logged as a warning.
    """

    history: tuple[EpochLosses, ...] = ()
    n_workers: int = 0
    notes: tuple[str, ...] = ()


class _TrainingLedger:
    """An actor that keeps what the first worker tells, over its death."""

    def __init__(self) -> None:
        self.told = TrainingProgress()

    def begin(self, history: tuple[EpochLosses, ...], n_workers: int, notes: tuple[str, ...]) -> None:
        """Note that workers have started, behind them the epochs of the checkpoint that they go on from."""
        self.told = TrainingProgress(history, n_workers, (*self.told.notes, *notes))

    def add(self, losses: EpochLosses) -> None:
        """Note the end of an epoch."""
        self.told = TrainingProgress((*self.told.history, losses), self.told.n_workers, self.told.notes)

    def look(self) -> TrainingProgress:
        """What was told so far."""
        return self.told


@dataclass
class _Follower:
    """The driver's part: passes on what is new.

    Attributes:
        ledger: The actor.
        n_epochs: At most.
        epoch_events: Events of an epoch.
        on_losses: Is told of new epochs.
        n_passed: Epochs that it knows; those that are trained again after a worker's death are not told again.
        n_noted: Notes logged.
    """

    ledger: Any
    n_epochs: int
    epoch_events: int
    on_losses: OnLosses
    n_passed: int = field(default=0, init=False)
    n_noted: int = field(default=0, init=False)

    def look(self) -> Done | None:
        try:
            told: TrainingProgress = ray.get(self.ledger.look.remote())
        except ray.exceptions.RayError:  # what is wrong, the training itself tells
            return None
        for note in told.notes[self.n_noted :]:
            log.warning("%s", note)
        self.n_noted = len(told.notes)
        if told.n_workers == 0:
            return None
        try:
            self.catch_up(told.history)
        except NeuroneditError as error:  # training need not end for it; they are told at the next look, or at the end
            log.warning("losses up to epoch %d are not logged yet: %s", len(told.history), error)
        return Done(len(told.history) * self.epoch_events, self.text(told))

    def catch_up(self, history: Sequence[EpochLosses]) -> None:
        if len(history) > self.n_passed:
            self.on_losses(history[self.n_passed :])
            self.n_passed = len(history)

    def text(self, told: TrainingProgress) -> str:
        workers = f"{told.n_workers} worker{'s' if told.n_workers > 1 else ''}"
        if not told.history:
            return f"epoch 0 of {self.n_epochs}, {workers}"
        last = told.history[-1]
        return (
            f"epoch {last.epoch} of {self.n_epochs}, {workers}, loss {last.train_loss:.4f}, "
            f"validation loss {last.validation_loss:.4f}"
        )


@contextmanager
def followed_training(
    n_epochs: int, epoch_events: int, on_losses: OnLosses
) -> Iterator[tuple[Any, Callable[[Sequence[EpochLosses]], None]]]:
    """Show how training gets on while the block runs, and pass its losses on.

    Args:
        n_epochs: At most.
        epoch_events: Events of an epoch.
        on_losses: Is told of new epochs, in another thread.

    Yields:
        The actor that workers tell (``begin``, ``add``), and what is to be called with the whole history after the
        end, so that no epoch is left out.
    """
    with driver_actor(_TrainingLedger) as ledger:
        follower = _Follower(ledger, n_epochs, epoch_events, on_losses)
        with shown_progress(follower.look, n_epochs * epoch_events):
            yield ledger, follower.catch_up
        follower.look()  # at what was told after the last look
