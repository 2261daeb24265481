"""Time, processor time and memory of a piece of work, with all processes that it has started."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from threading import Event, Thread
from time import monotonic
from typing import Any

import psutil

SECONDS_BETWEEN_LOOKS = 0.2


@dataclass
class Cost:
    """What a piece of work took: seconds on the clock, seconds of all cores, the largest process's memory."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_rss_mb: float = 0.0

    def less(self, fixed: "Cost") -> "Cost":
        """The cost without what the same work takes on next to nothing."""
        return Cost(self.wall_s - fixed.wall_s, self.cpu_s - fixed.cpu_s, self.peak_rss_mb)


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure the body: this process and all below it; a worker that ends before the body does is missed."""
    cost, tree, stop = Cost(), psutil.Process(), Event()
    watcher = Thread(target=_watch, args=(tree, cost, stop), daemon=True)
    watcher.start()
    started, cpu = monotonic(), _cpu_seconds(tree)
    yield cost
    cost.wall_s, cost.cpu_s = monotonic() - started, _cpu_seconds(tree) - cpu
    stop.set()
    watcher.join()


def in_new_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function in a fresh process, so that what ran before neither warms it nor adds to its memory."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def _cpu_seconds(tree: psutil.Process) -> float:
    total = 0.0
    for process in [tree, *tree.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _watch(tree: psutil.Process, cost: Cost, stop: Event) -> None:
    while not stop.wait(SECONDS_BETWEEN_LOOKS):
        for process in [tree, *tree.children(recursive=True)]:
            try:
                cost.peak_rss_mb = max(cost.peak_rss_mb, process.memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                continue
