"""How far a job is: a bar on a terminal, a line every half minute in a log."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic

from tqdm import tqdm

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_BETWEEN_LINES = 30.0
SECONDS_OF_SILENCE = 600.0
"""After which a job that does not get on says so: Ray waits without a word for nodes that do not come."""


@dataclass(frozen=True)
class Done:
    """What is done so far."""

    files: int
    events: int


@contextmanager
def shown_progress(look: Callable[[], Done | None], n_files: int, n_events: int) -> Iterator[None]:
    """Show how far the block's work is.

    Args:
        look: Tells what is done so far, or None where that is not known now; called from another thread.
        n_files: All files.
        n_events: All events.
    """
    stop = Event()
    watcher = Thread(target=_watch, args=(look, stop, n_files, n_events), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _watch(look: Callable[[], Done | None], stop: Event, n_files: int, n_events: int) -> None:
    started = said = moved = monotonic()
    before = Done(0, 0)
    # Where there is no terminal, the bar is mute, and lines are logged.
    with tqdm(total=n_events, unit="events", unit_scale=True, disable=None, leave=False, file=sys.stderr) as bar:
        while not stop.wait(SECONDS_BETWEEN_LOOKS):
            done, now = look() or before, monotonic()
            if done != before:
                moved = now
            elif now - moved >= SECONDS_OF_SILENCE:
                log.warning(
                    "no event was edited for %.0f minutes: look at the cluster (ray status) and the storage",
                    (now - moved) / 60,
                )
                moved = now
            bar.set_postfix_str(f"{done.files} of {n_files} files", refresh=False)
            bar.update(done.events - before.events)
            before = done
            if bar.disable and now - said >= SECONDS_BETWEEN_LINES:
                said = now
                log.info("%s", line(done, n_files, n_events, now - started))


def line(done: Done, n_files: int, n_events: int, seconds: float) -> str:
    """How far a job is, in one line: files, events, events per second, time left."""
    rate = done.events / seconds if seconds > 0 else 0.0
    left = tqdm.format_interval((n_events - done.events) / rate) if rate else "?"
    return (
        f"{done.files:,} of {n_files:,} files, {done.events:,} of {n_events:,} events, {rate:,.0f} events/s, "
        f"{left} left"
    )
