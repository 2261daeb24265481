"""A feature's check: the measured values, their bounds, and the time that they took."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import process_time
from typing import Any

import pandas as pd

from neuronedit.errors import NeuroneditError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measure:
    """A number, and between which bounds it must lie; without bounds it is only told.

    Attributes:
        name: Names the number.
        value: NaN passes no bound.
        least: The lower bound.
        most: The upper bound.
    """

    name: str
    value: float
    least: float = -math.inf
    most: float = math.inf

    @property
    def passed(self) -> bool:
        """Whether it lies there."""
        return self.least <= self.value <= self.most

    @property
    def asked(self) -> str:
        """The bounds; empty where there are none."""
        if self.least == self.most:
            return f"{self.least:g}"
        low, high = math.isfinite(self.least), math.isfinite(self.most)
        if low and high:
            return f"{self.least:.10g} to {self.most:.10g}"
        return f"≥ {self.least:g}" if low else f"≤ {self.most:g}" if high else "(told)"


@dataclass(frozen=True)
class Check:
    """One row of the review's specification.

    Attributes:
        row: Its number.
        feature: Its name.
        measures: The numbers; none where they could not be measured.
        cpu_s: CPU-seconds.
        reason: Why it could not be measured; empty where it could.
    """

    row: int
    feature: str
    measures: tuple[Measure, ...]
    cpu_s: float
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether all was measured, and lies where it must."""
        return bool(self.measures) and all(measure.passed for measure in self.measures)

    def facts(self) -> dict[str, Any]:
        """The check's row of the table of checks."""
        return {
            "row": self.row,
            "feature": self.feature,
            "measured": "; ".join(f"{each.name} {each.value:.3g}" for each in self.measures) or self.reason,
            "asked": "; ".join(measure.asked for measure in self.measures),
            "passed": "yes" if self.passed else "**no**",
            "cpu_s": self.cpu_s,
        }


def take(row: int, feature: str, measure: Callable[[], Sequence[Measure]]) -> Check:
    """Measure one row; where that fails, the reason stands in the check, and the others go on."""
    started = process_time()
    try:
        measures, reason = tuple(measure()), ""
    except (NeuroneditError, ImportError) as error:
        measures, reason = (), f"not measured: {error}"
    check = Check(row, feature, measures, process_time() - started, reason)
    logger.info("row %d, %s: %s (%.1f CPU-seconds)", row, feature, check.facts()["passed"].strip("*"), check.cpu_s)
    return check


def check_table(checks: Sequence[Check]) -> pd.DataFrame:
    """A row for each check, by its number. Columns: feature, measured, asked, passed, cpu_s."""
    return pd.DataFrame([check.facts() for check in checks]).set_index("row").sort_index()
