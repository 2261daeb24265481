"""Samples left out in turn: the errors that an edit leaves on each, and the interval that the next is expected in.

Errors are 1 + (score − no edit) / (no edit − noise floor): 0 is noise, 1 is doing nothing. Where there is less to
correct than the noise floor itself, the floor stands for it: a tiny gap would make an error of any size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final, Literal

import numpy as np
from pydantic import Field
from scipy.stats import t

from neuronedit.config import Config
from neuronedit.errors import listing
from neuronedit.measures.distances import DECISIVE, DECISIVE_NAMES, Distance

CONFIDENCE: Final = 0.95
"""Of the interval that a new sample's error is expected in."""


def errors_left(edited: Distance, no_edit: Distance, floor: Distance) -> dict[str, float]:
    """Give the errors that an edit leaves, from distances to the truth.

    Example:
        >>> near, far, noise = (Distance(np.array([emd]), {"energy": emd}) for emd in (0.3, 1.1, 0.1))
        >>> {name: round(error, 2) for name, error in errors_left(near, far, noise).items()}
        {'emd': 0.2, 'energy': 0.2}
    """
    scores, nothing, noise = edited.scores, no_edit.scores, floor.scores
    return {
        name: 1 + (scores[name] - nothing[name]) / (max(nothing[name] - noise[name], noise[name]) or 1.0)
        for name in DECISIVE_NAMES
    }


@dataclass(frozen=True)
class Interval:
    """An interval that the error of a new sample is expected in.

    Attributes:
        mean: Of the samples' errors.
        spread: Their standard deviation.
        low: The lower end.
        high: The upper end.
    """

    mean: float
    spread: float
    low: float
    high: float


def interval_of_next(errors: Sequence[float]) -> Interval:
    """Give the interval that the next sample's error is expected in, if samples are drawn alike: mean ± t·s·√(1 + 1/k).

    t is Student's with k − 1 degrees of freedom. Two samples bound next to nothing (15.6 standard deviations), three
    little (5.0), eight much (2.5). Each sample is also among those that the others' edits are fitted on, so errors are
    not quite independent.

    Args:
        errors: Of k samples, at least 2.

    Source: Hahn & Meeker 1991, Statistical Intervals, section 4.7.

    Example:
        >>> found = interval_of_next([0.2, 0.3, 0.4])
        >>> round(found.mean, 2), round(found.low, 2), round(found.high, 2)
        (0.3, -0.2, 0.8)
    """
    n_samples, mean, spread = len(errors), float(np.mean(errors)), float(np.std(errors, ddof=1))
    half = float(t.ppf((1 + CONFIDENCE) / 2, n_samples - 1)) * spread * sqrt(1 + 1 / n_samples)
    return Interval(mean, spread, mean - half, mean + half)


class LeftOutUnit(Config):
    """One sample, or kind of cell, that an edit was fitted without, and then applied to."""

    name: str
    n_events: int
    n_truth: int
    edit: dict[str, float]
    quantile_map: dict[str, float]


class LeftOut(Config):
    """Samples, or kinds of cell, that were left out of source and target, each compared with its own target.

    The edit alone is fitted without them: its autoencoders have seen all of them.
    """

    column: str
    units: tuple[LeftOutUnit, ...] = ()
    unscored: dict[str, str] = Field(default_factory=dict)
    why_none: str = ""

    @property
    def known(self) -> bool:
        """Whether there are several, so that they tell something of the next."""
        return len(self.units) > 1

    def interval(self, metric: str) -> Interval:
        """The interval that the edit's next error is expected in, by one metric of ``DECISIVE``."""
        return interval_of_next([unit.edit[metric] for unit in self.units])

    def mean(self, method: Literal["edit", "quantile_map"]) -> float:
        """The mean error of the edit or of the per-marker quantile map, over units and metrics."""
        return float(np.mean([list(getattr(unit, method).values()) for unit in self.units]))

    @property
    def proven(self) -> bool:
        """Whether the next error is expected to be less than that of doing nothing, by all metrics."""
        return self.known and all(self.interval(metric).high < 1 for metric in DECISIVE_NAMES)

    @property
    def scalars(self) -> dict[str, float]:
        """Numbers for MLflow: how many units, the errors' means, spreads and upper ends, the quantile map's means."""
        if not self.known:
            return {}
        found = {"n": float(len(self.units))}
        for metric in DECISIVE_NAMES:
            interval = self.interval(metric)
            found |= {metric: interval.mean, f"{metric}_spread": interval.spread, f"{metric}_high": interval.high}
            found[f"{metric}_quantile_map"] = float(np.mean([unit.quantile_map[metric] for unit in self.units]))
        return found

    @property
    def sentence(self) -> str:
        """Tell the errors to a person, beside doing nothing and the quantile map."""
        intervals = [self.interval(metric) for metric in DECISIVE_NAMES]
        found = self.scalars
        titles = [metric.title for metric in DECISIVE]
        left = " and ".join(
            f"{max(each.mean, 0):.2f} of the {title}" for each, title in zip(intervals, titles, strict=True)
        )
        by_map = " and ".join(f"{found[f'{metric}_quantile_map']:.2f}" for metric in DECISIVE_NAMES)
        highest = " and ".join(f"{each.high:.2f}" for each in intervals)
        better = (
            "and doing nothing is better in the mean" if self.mean("edit") >= 1 else "so doing nothing may be better"
        )
        doubt = "" if self.proven else f", {better}"
        few = "; two bound next to nothing" if len(self.units) == 2 else ""
        unscored = f"; {listing(self.unscored)} could not be scored" if self.unscored else ""
        return (
            f"fitted without each of {len(self.units)} ({self.column}: {listing(unit.name for unit in self.units)}) in "
            f"turn, the edit leaves {left} (0 is noise, 1 is doing nothing; the per-marker quantile map {by_map}); for "
            f"a new one up to {highest} must be expected ({CONFIDENCE:.0%}){few}{doubt}{unscored}"
        )
