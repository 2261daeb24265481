"""The review's 25 checks on cells and networks whose truth is known, its cost, and its verdicts on real tasks."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from neuronedit.autoencoder import Architecture
from neuronedit.training_plan import TrainingPlan

from .checks import Check, check_table
from .methods import Effort
from .result import Result
from .review_checks import check_all
from .review_cost import measure_cost
from .review_page import checks_page
from .review_problems import Problems
from .tasks import DATA, TASKS
from .verdicts import measure_verdicts

EFFORT = Effort(1_500, 0, 1, Architecture(hidden=(100,), code=50), TrainingPlan(epochs=100, minibatch=128))
"""The effort of fits for verdicts, which need less than scores do."""

QUICK_EFFORT = Effort(500, 0, 1, Architecture(hidden=(100,), code=50), TrainingPlan(epochs=100, minibatch=64))
QUICK_TASKS = (TASKS[0], TASKS[18])

N_EVENTS, QUICK_EVENTS = 10_000, 2_000
"""Events of each population of the review whose cost is measured."""


def run(quick: bool, data: Path = DATA) -> Result:
    """Measure every row of the review's specification, what a review costs, and what it says of real tasks.

    Args:
        quick: A review of fewer events, and few tasks with fewer events; the checks are the same.
        data: The datasets; tasks of those that are missing are left out.
    """
    n_events, tasks, effort = (QUICK_EVENTS, QUICK_TASKS, QUICK_EFFORT) if quick else (N_EVENTS, TASKS, EFFORT)
    checks = check_all(Problems())
    costs, seconds = measure_cost(n_events)
    verdicts = measure_verdicts(tasks, data, effort)
    result = summarise(checks, costs, seconds, verdicts)
    page = checks_page(result.table, costs, verdicts, result.figures, n_events, effort.n_events)
    return replace(result, pages={"review-checks": page})


def summarise(checks: Sequence[Check], costs: pd.DataFrame, seconds: float, verdicts: pd.DataFrame) -> Result:
    """The table of checks; costs by part and verdicts by task as further ones, and the figures of all."""
    figures = {
        "checks": float(len(checks)),
        "checks_passed": float(sum(check.passed for check in checks)),
        "seconds": seconds,
        "cpu_seconds": float(costs["cpu_s"].sum()),
    }
    details = {"costs": costs}
    if len(verdicts):
        details["verdicts"] = verdicts
        figures |= _shares(verdicts)
    return Result(check_table(checks), figures, details)


def _shares(verdicts: pd.DataFrame) -> dict[str, float]:
    """The shares of tasks with a warning, amber or red, before truth is seen."""
    warned, transfers = verdicts["tone"] != "green", verdicts["transfers"].astype(bool)
    groups = {"negatives_warned": ~transfers, "positives_warned": transfers}
    return {name: float(warned[chosen].mean()) for name, chosen in groups.items() if chosen.any()}
