"""Progress of training: the first worker reports it to an actor, the driver shows it and passes the losses on.

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
"""Called with the losses of ended epochs, each once and in their order; short ones come several at a time."""


@dataclass(frozen=True)
class TrainingProgress:
    """Progress that the first worker has reported.

    Attributes:
        history: The losses of all epochs that ended.
        n_workers: Number of workers that train now.
        notes: Warnings for the driver's log.
    """

    history: tuple[EpochLosses, ...] = ()
    n_workers: int = 0
    notes: tuple[str, ...] = ()


class _TrainingLedger:
    """An actor that keeps the first worker's progress, also when that worker dies."""

    def __init__(self) -> None:
        self.progress = TrainingProgress()

    def begin(self, history: tuple[EpochLosses, ...], n_workers: int, notes: tuple[str, ...]) -> None:
        """Note that workers have started, behind them the epochs of the checkpoint that they go on from."""
        self.progress = TrainingProgress(history, n_workers, (*self.progress.notes, *notes))

    def add(self, losses: EpochLosses) -> None:
        """Note the end of an epoch."""
        self.progress = TrainingProgress((*self.progress.history, losses), self.progress.n_workers, self.progress.notes)

    def look(self) -> TrainingProgress:
        """Tell the progress so far."""
        return self.progress


@dataclass
class _Follower:
    """The driver's part: it logs new notes and passes on new losses.

    Attributes:
        ledger: The actor.
        n_epochs: Largest number of epochs.
        epoch_events: Number of events in an epoch.
        on_losses: Called with the losses of new epochs.
        n_passed: Number of epochs passed on; those trained again after a worker's death are not passed on again.
        n_noted: Number of notes logged.
    """

    ledger: Any
    n_epochs: int
    epoch_events: int
    on_losses: OnLosses
    n_passed: int = field(default=0, init=False)
    n_noted: int = field(default=0, init=False)

    def look(self) -> Done | None:
        try:
            progress: TrainingProgress = ray.get(self.ledger.look.remote())
        except ray.exceptions.RayError:  # what is wrong, the training itself tells
            return None
        for note in progress.notes[self.n_noted :]:
            log.warning("%s", note)
        self.n_noted = len(progress.notes)
        if progress.n_workers == 0:
            return None
        try:
            self.catch_up(progress.history)
        except NeuroneditError as error:  # training need not end for it; they are told at the next look, or at the end
            log.warning("losses up to epoch %d are not logged yet: %s", len(progress.history), error)
        return Done(len(progress.history) * self.epoch_events, self.text(progress))

    def catch_up(self, history: Sequence[EpochLosses]) -> None:
        if len(history) > self.n_passed:
            self.on_losses(history[self.n_passed :])
            self.n_passed = len(history)

    def text(self, progress: TrainingProgress) -> str:
        workers = f"{progress.n_workers} worker{'s' if progress.n_workers > 1 else ''}"
        if not progress.history:
            return f"epoch 0 of {self.n_epochs}, {workers}"
        last = progress.history[-1]
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
        n_epochs: Largest number of epochs.
        epoch_events: Number of events in an epoch.
        on_losses: Called with the losses of new epochs, in another thread.

    Yields:
        The actor that workers report to (``begin``, ``add``), and a function to call with the whole history after
        the end, so that no epoch is left out.
    """
    with driver_actor(_TrainingLedger) as ledger:
        follower = _Follower(ledger, n_epochs, epoch_events, on_losses)
        with shown_progress(follower.look, n_epochs * epoch_events):
            yield ledger, follower.catch_up
        follower.look()  # at what was told after the last look
