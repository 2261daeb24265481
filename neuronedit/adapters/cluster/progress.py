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
    """Progress of a job.

    Attributes:
        events: The number of events that are done.
        text: Further progress in words, such as ``3 of 10 files``.
    """

    events: int
    text: str = ""


@contextmanager
def shown_progress(look: Callable[[], Done | None], n_events: int) -> Iterator[None]:
    """Show how far the block's work is.

    Args:
        look: Tells what is done so far, or None where that is not known now; called from another thread.
        n_events: All events.
    """
    stop = Event()
    watcher = Thread(target=_watch, args=(look, stop, n_events), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _watch(look: Callable[[], Done | None], stop: Event, n_events: int) -> None:
    logged = moved = monotonic()
    first: tuple[Done, float] | None = None
    before = Done(0)
    # Where there is no terminal, the bar is mute, and lines are logged.
    with tqdm(total=n_events, unit="events", unit_scale=True, disable=None, leave=False, file=sys.stderr) as bar:
        while not stop.wait(SECONDS_BETWEEN_LOOKS):
            done, now = look(), monotonic()
            if done and not first:
                # What an earlier run has done, and the time before anything could be, say nothing about the rate.
                first = done, now
                bar.initial = done.events
                bar.unpause()
            done = done or before
            if done != before:
                moved = now
            elif now - moved >= SECONDS_OF_SILENCE:
                log.warning(
                    "nothing has got on for %.0f minutes: look at the cluster (ray status) and the storage",
                    (now - moved) / 60,
                )
                moved = now
            bar.set_postfix_str(done.text, refresh=False)
            bar.update(done.events - before.events)
            before = done
            if bar.disable and first and now - logged >= SECONDS_BETWEEN_LINES:
                logged = now
                log.info("%s", line(done, n_events, done.events - first[0].events, now - first[1]))


def line(done: Done, n_events: int, n_lately: int, seconds: float) -> str:
    """How far a job is, in one line: its own words, events, events per second, time left.

    Args:
        done: So far.
        n_events: All events.
        n_lately: Events since the work was first looked at.
        seconds: Since then.
    """
    rate = n_lately / seconds if seconds > 0 else 0.0
    left = tqdm.format_interval((n_events - done.events) / rate) if rate > 0 else "?"
    words = f"{done.text}, " if done.text else ""
    return f"{words}{done.events:,} of {n_events:,} events, {rate:,.0f} events/s, {left} left"
