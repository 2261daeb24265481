"""The cost of a piece of work with all processes that it starts, and the result of a benchmark."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from threading import Event, Thread
from time import monotonic, process_time
from typing import Any

import pandas as pd
import psutil

SECONDS_BETWEEN_LOOKS = 0.2
LOOKS_TOGETHER = 5
"""One look of as many is at the memory that all processes hold together, which takes long."""

MEGABYTE = 1e6


@dataclass
class Cost:
    """The cost of a piece of work.

    Attributes:
        wall_s: Seconds on the clock.
        cpu_s: Seconds of all cores, of this process and all that it started.
        own_rss_mb: The most memory that the process itself held (resident).
        worker_rss_mb: The most that any process below it held; 0 where there is none.
        together_mb: The most that all held together, pages that several share counted once; 0 where not asked for.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    own_rss_mb: float = 0.0
    worker_rss_mb: float = 0.0
    together_mb: float = 0.0

    @property
    def peak_rss_mb(self) -> float:
        """The most that one process held."""
        return max(self.own_rss_mb, self.worker_rss_mb)

    def less(self, other: "Cost") -> "Cost":
        """Subtract the cost of less of the same work, and with it fixed costs; memory stays that of the whole."""
        return replace(self, wall_s=self.wall_s - other.wall_s, cpu_s=self.cpu_s - other.cpu_s)


@contextmanager
def measured(*, together: bool = False) -> Iterator[Cost]:
    """Measure the body: this process and all below it, those that end before the body does, too.

    Processes that end are missed from the last look on.

    Args:
        together: Whether to ask for the memory that all hold together, which takes the processor's time itself.
    """
    cost, tree, stop = Cost(), _Tree(), Event()
    tree.look()
    before = tree.cpu_seconds
    watcher = Thread(target=_watch, args=(tree, stop, together), daemon=True)
    started = monotonic()
    watcher.start()
    yield cost
    cost.wall_s = monotonic() - started
    stop.set()
    watcher.join()
    tree.look()
    cost.cpu_s = tree.cpu_seconds - before
    cost.own_rss_mb, cost.worker_rss_mb, cost.together_mb = tree.own, tree.worker, tree.together


def in_new_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function in a fresh process, so that what ran before neither warms it nor adds to its memory."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def side_by_side(work: Callable[..., Cost], *arguments: tuple[Any, ...]) -> Cost:
    """Run a function in fresh processes at a time, one for each tuple of arguments.

    The function gets a barrier first, on which it waits before what it measures; the clock of all is the slowest's.
    """
    context = get_context("spawn")
    with context.Manager() as manager, context.Pool(len(arguments)) as pool:
        barrier = manager.Barrier(len(arguments))
        costs = pool.starmap(work, [(barrier, *own) for own in arguments], chunksize=1)
    return Cost(
        max(cost.wall_s for cost in costs),
        sum(cost.cpu_s for cost in costs),
        max(cost.own_rss_mb for cost in costs),
    )


@dataclass
class _Tree:
    """This process and all below it: what each has used so far, and the most memory that they were seen with, in MB."""

    root: psutil.Process = field(default_factory=psutil.Process)
    seconds: dict[psutil.Process, float] = field(default_factory=dict)
    own: float = 0.0
    worker: float = 0.0
    together: float = 0.0

    @property
    def cpu_seconds(self) -> float:
        return sum(self.seconds.values())

    def look(self, *, shared: bool = False) -> None:
        together = 0.0
        for process in [self.root, *self.root.children(recursive=True)]:
            try:
                times, held = process.cpu_times(), process.memory_info().rss / MEGABYTE
                # A page that n processes share counts 1/n for each.
                together += process.memory_full_info().pss / MEGABYTE if shared else 0.0
            except psutil.NoSuchProcess:
                continue
            self.seconds[process] = times.user + times.system
            if process == self.root:
                self.seconds[process] = process_time()  # the same, but not in hundredths
                self.own = max(self.own, held)
            else:
                self.worker = max(self.worker, held)
        self.together = max(self.together, together)


def _watch(tree: _Tree, stop: Event, together: bool) -> None:
    for number in count():
        if stop.wait(SECONDS_BETWEEN_LOOKS):
            return
        tree.look(shared=together and number % LOOKS_TOGETHER == 0)


TABLE = "table"


@dataclass(frozen=True)
class Result:
    """A benchmark's outcome.

    Attributes:
        table: For people.
        figures: For programs; the last line on stdout.
        details: Further tables, by name, for the output folder.
        pictures: PNG files by name, for the output folder.
        pages: Pages in Markdown by name, for the output folder.
    """

    table: pd.DataFrame
    figures: dict[str, float]
    details: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write tables as ``NAME.md`` and ``NAME.parquet``, pages as ``NAME.md``, pictures as ``NAME.png``.

        Earlier ones are replaced.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in {TABLE: self.table, **self.details}.items():
            table.to_parquet(folder / f"{name}.parquet")
            (folder / f"{name}.md").write_text(markdown(table), encoding="utf-8")
        for name, page in self.pages.items():
            (folder / f"{name}.md").write_text(page, encoding="utf-8")
        for name, picture in self.pictures.items():
            (folder / f"{name}.png").write_bytes(picture)


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown, its index first and numbers to three decimals."""
    named = table if table.index.name is None else table.reset_index()
    lines = [list(map(str, named.columns)), ["---"] * named.shape[1], *map(_cells, named.to_numpy(object).tolist())]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(row: list[object]) -> list[str]:
    return [f"{value:.3f}" if isinstance(value, float) else str(value) for value in row]
