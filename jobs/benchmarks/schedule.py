"""How long many files take on many cores: a simulation of how Ray Data hands them out."""

import heapq
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from neuronedit.adapters.work_items import MAX_TASKS

Seconds = npt.NDArray[np.float64]


def tasks_of(files: Seconds) -> Seconds:
    """Seconds of each task: each file's own, or those of neighbours that share one: (n_files,) → (n_tasks,)."""
    return np.array([shared.sum() for shared in np.array_split(files, min(len(files), MAX_TASKS))])


def makespan(tasks: Iterable[float], n_cores: int) -> float:
    """Seconds until all tasks are done, each taken in order by the core that is free first."""
    free = [0.0] * n_cores
    for seconds in tasks:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def file_sizes(n_files: int, mean: float, spread: float, seed: int = 0) -> Seconds:
    """Events of each file, lognormal about a mean: (n_files,).

    Args:
        n_files: How many.
        mean: Events of a file.
        spread: Standard deviation of the logarithm.
        seed: Draws them.
    """
    drawn = np.random.default_rng(seed).lognormal(0, spread, n_files)
    return drawn / drawn.mean() * mean
