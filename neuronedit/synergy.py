"""Excess over additivity: how much further two treatments together move a marker than the sum of what each does.

On the arcsinh scale, marker by marker: mean(A+B) − mean(A) − mean(B) + mean(control). It is the interaction of a
two-way analysis of variance, and Bliss independence where effects add on this scale.

**What is resampled decides what an interval means.** Events of one sample are not replicates: resampled events tell
how well *these* samples were measured, and leave out that another well would give other means. Where every arm has
replicate samples, resample these. An interval of a *predicted* excess takes the edits as given: it holds neither
their fitting error nor their bias.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field
from scipy import stats

from neuronedit.config import Config

Values = npt.NDArray[np.float64]

SYNERGISTIC: Final = "synergistic"
ANTAGONISTIC: Final = "antagonistic"
ADDITIVE: Final = "additive"
UNDECIDED: Final = "undecided"
CALLS: Final = (SYNERGISTIC, ANTAGONISTIC, ADDITIVE, UNDECIDED)

CHUNK_WEIGHTS = 2_000_000
"""Weights held at once: 16 MB of int64."""


class SynergyRule(Config):
    """When a marker is called synergistic, antagonistic or additive."""

    n_draws: int = Field(1_000, ge=100, description="bootstrap draws")
    level: float = Field(0.95, gt=0.5, lt=1, description="of the intervals, for each marker by itself")
    false_discovery_rate: float = Field(
        0.05, gt=0, lt=1, description="over all markers (Benjamini-Hochberg), of the calls synergistic and antagonistic"
    )
    min_excess: float = Field(
        0.1, gt=0, description="arcsinh units; a smaller excess counts as none, however certain it is"
    )


@dataclass(frozen=True)
class Part:
    """What one arm's events add to an estimate that is the sum of the arms' means.

    Attributes:
        values: (n_events, n_markers) arcsinh units, with the sign that the arm has in the sum.
        samples: (n_events,) the replicate sample of each event; None to resample events.
    """

    values: npt.NDArray[np.floating]
    samples: npt.NDArray[np.int64] | None = None

    def units(self) -> Values:
        """What is resampled, (n_units, n_markers): the events, or the mean of each sample (each weighs the same)."""
        if self.samples is None:
            return self.values.astype(np.float64)
        chosen = [self.samples == sample for sample in np.unique(self.samples)]
        return np.stack([self.values[rows].mean(axis=0, dtype=np.float64) for rows in chosen])

    def mean(self) -> Values:
        """(n_markers,), the mean over units."""
        return self.units().mean(axis=0)


@dataclass(frozen=True)
class Estimate:
    """A sum of means, marker by marker: (n_markers,) float64 each.

    Attributes:
        value: Arcsinh units.
        low: The interval's lower end.
        high: Its upper end.
        p: Two-sided p-value of value = 0.
    """

    value: Values
    low: Values
    high: Values
    p: Values


def resampled_means(units: Values, n_drawn: int, n_draws: int, generator: np.random.Generator) -> Values:
    """Means of ``n_drawn`` units drawn with replacement: (n_units, n_markers) → (n_draws, n_markers).

    A draw is a vector of multinomial weights, so that means are one matrix product.
    """
    n_units, means = len(units), []
    size = max(1, CHUNK_WEIGHTS // n_units)
    for start in range(0, n_draws, size):
        rows = min(size, n_draws - start)
        drawn = generator.integers(0, n_units, (rows, n_drawn)) + n_units * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * n_units).reshape(rows, n_units)
        means.append(weights.astype(np.float64) @ units / n_drawn)
    return np.concatenate(means)


def estimate(parts: Sequence[Part], rule: SynergyRule, seed: int) -> Estimate:
    """The sum of the parts' means, its bootstrap interval and p-value; parts are resampled independently.

    Events: percentile interval; p-value of value / bootstrap standard error, which thousands of events make normal.
    Samples: k − 1 of k are drawn, which makes the variance unbiased; the interval is value ± t × standard error, with
    the degrees of freedom Σ (k − 1) of an analysis of variance, for percentiles of a few samples are far too narrow.
    That assumes that samples of every arm scatter about alike.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile interval); Rao & Wu 1988,
    J. Am. Stat. Assoc. 83(401), section 2 (k − 1 draws).
    """
    generator = np.random.default_rng(seed)
    by_sample = parts[0].samples is not None
    units = [part.units() for part in parts]
    draws = [resampled_means(u, len(u) - by_sample, rule.n_draws, generator) for u in units]
    value = np.sum([u.mean(axis=0) for u in units], axis=0)
    error = np.sqrt(np.sum([drawn.var(axis=0) for drawn in draws], axis=0))
    freedom = sum(len(u) - 1 for u in units) if by_sample else np.inf
    if by_sample:
        reach = stats.t.ppf(0.5 + rule.level / 2, freedom) * error
        low, high = value - reach, value + reach
    else:
        low, high = np.quantile(np.sum(draws, axis=0), [0.5 - rule.level / 2, 0.5 + rule.level / 2], axis=0)
    # A marker that does not vary at all is certain: 0 / 0 is no excess.
    steps = np.divide(np.abs(value), error, out=np.where(value == 0, 0.0, np.inf), where=error > 0)
    return Estimate(value, low, high, 2 * stats.t.sf(steps, freedom))


def excess_table(
    sources: Mapping[str, Sequence[Part]],
    changes: tuple[Values, Values],
    markers: Sequence[str],
    rule: SynergyRule,
    seed: int = 0,
) -> pd.DataFrame:
    """A row for each source of A+B and marker, in the markers' order.

    Columns: source; marker; mean changes from the control in arcsinh units: change_a, change_b, additive (their sum),
    change (of A+B); excess, low, high (arcsinh units), p, q (Benjamini–Hochberg within the source) and call.

    Args:
        sources: ``measured``, and each prediction, with the parts whose means add up to its excess.
        changes: Mean changes by A alone and by B alone, (n_markers,) each.
        markers: (n_markers,) names.
        rule: Intervals and calls.
        seed: The same seed gives the same intervals.
    """
    additive = changes[0] + changes[1]
    tables = []
    for name, parts in sources.items():
        found = estimate(parts, rule, seed)
        q = stats.false_discovery_control(found.p)
        columns = {
            "source": name,
            "marker": list(markers),
            "change_a": changes[0],
            "change_b": changes[1],
            "additive": additive,
            "change": additive + found.value,
            "excess": found.value,
            "low": found.low,
            "high": found.high,
            "p": found.p,
            "q": q,
            "call": call(found, q, additive, rule),
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def call(found: Estimate, q: Values, additive: Values, rule: SynergyRule) -> npt.NDArray[np.object_]:
    """What each marker is, (n_markers,).

    An excess counts if it is at least ``rule.min_excess`` and its q at most ``rule.false_discovery_rate``. It is
    *synergistic* where A+B leaves the marker further from the control than the additive change would, up or down, and
    *antagonistic* where it leaves it less far. *Additive* needs evidence, too: the whole interval within
    ± ``rule.min_excess``. All else is *undecided*.
    """
    counts = (np.abs(found.value) >= rule.min_excess) & (q <= rule.false_discovery_rate)
    less_far = np.abs(additive + found.value) < np.abs(additive)
    within = (found.low > -rule.min_excess) & (found.high < rule.min_excess)
    return np.select(
        [counts & less_far, counts, within], [ANTAGONISTIC, SYNERGISTIC, ADDITIVE], default=UNDECIDED
    ).astype(object)
