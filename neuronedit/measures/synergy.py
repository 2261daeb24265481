"""Excess over additivity: how much further two treatments together move a marker than the sum of both effects.

In transformed units, marker by marker: mean(A+B) − mean(A) − mean(B) + mean(control). It is the interaction of a
two-way analysis of variance, and Bliss independence if effects add on this scale.

**The meaning of an interval depends on the units that are resampled.** Events of one sample are not replicates:
resampled events tell how well *these* samples were measured, and leave out that another well would give other means.
If every arm has replicate samples, resample these. An interval of a *predicted* excess takes the edits as given: it
holds neither their fitting error nor their bias.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from pydantic import Field
from scipy import stats

from neuronedit.arrays import Float64s, Floats, Int64s, Texts
from neuronedit.config import Config

SYNERGISTIC: Final = "synergistic"
ANTAGONISTIC: Final = "antagonistic"
ADDITIVE: Final = "additive"
UNDECIDED: Final = "undecided"
CALLS: Final = (SYNERGISTIC, ANTAGONISTIC, ADDITIVE, UNDECIDED)

CHUNK_WEIGHTS = 2_000_000
"""Bootstrap weights in memory at once: 16 MB of int64."""


class SynergyRule(Config):
    """The rule by which a marker is called synergistic, antagonistic or additive."""

    n_draws: int = Field(1_000, ge=100, description="bootstrap draws")
    level: float = Field(0.95, gt=0.5, lt=1, description="of the intervals, for each marker by itself")
    false_discovery_rate: float = Field(
        0.05, gt=0, lt=1, description="over all markers (Benjamini-Hochberg), of the calls synergistic and antagonistic"
    )
    min_excess: float = Field(
        0.1, gt=0, description="transformed units; a smaller excess counts as none, however certain it is"
    )


@dataclass(frozen=True)
class Term:
    """One arm's events in an estimate that is the sum of the arms' means.

    Attributes:
        values: (n_events, n_markers) transformed units, with the sign that the arm has in the sum.
        samples: (n_events,) number of each event's replicate sample; None to resample events.

    Example:
        >>> Term(np.array([[1.0], [3.0], [9.0]]), samples=np.array([0, 0, 1])).units().tolist()
        [[2.0], [9.0]]
    """

    values: Floats
    samples: Int64s | None = None

    def units(self) -> Float64s:
        """The units to resample, (n_units, n_markers) float64: events, or each sample's mean (each weighs the same)."""
        if self.samples is None:
            return self.values.astype(np.float64)
        chosen = [self.samples == sample for sample in np.unique(self.samples)]
        return np.stack([self.values[rows].mean(axis=0, dtype=np.float64) for rows in chosen])

    def mean(self) -> Float64s:
        """The mean over units, (n_markers,) float64."""
        return self.units().mean(axis=0)


@dataclass(frozen=True)
class Estimate:
    """A sum of means, marker by marker: (n_markers,) float64 each.

    Attributes:
        value: The sum, transformed units.
        low: The interval's lower end, transformed units.
        high: The interval's upper end, transformed units.
        p: Two-sided p-value of value = 0.
    """

    value: Float64s
    low: Float64s
    high: Float64s
    p: Float64s


def resampled_means(units: Float64s, n_drawn: int, n_draws: int, generator: np.random.Generator) -> Float64s:
    """Draw ``n_drawn`` units with replacement, many times, and average: (n_units, n_markers) → (n_draws, n_markers).

    A draw is a vector of multinomial weights, so that means are one matrix product.

    Example:
        >>> resampled_means(np.ones((5, 2)), n_drawn=5, n_draws=3, generator=np.random.default_rng(0)).tolist()
        [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    n_units, means = len(units), []
    size = max(1, CHUNK_WEIGHTS // n_units)
    for start in range(0, n_draws, size):
        rows = min(size, n_draws - start)
        drawn = generator.integers(0, n_units, (rows, n_drawn)) + n_units * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * n_units).reshape(rows, n_units)
        means.append(weights.astype(np.float64) @ units / n_drawn)
    return np.concatenate(means)


def estimate(parts: Sequence[Term], rule: SynergyRule, seed: int) -> Estimate:
    """Estimate the sum of the parts' means, with bootstrap interval and p-value; parts are resampled independently.

    Events: percentile interval; p-value of value / bootstrap standard error, which thousands of events make normal.
    Samples: k − 1 of k are drawn, which makes the variance unbiased; the interval is value ± t × standard error, with
    the degrees of freedom Σ (k − 1) of an analysis of variance, for percentiles of a few samples are far too narrow.
    That assumes that samples scatter about equally in every arm.

    Args:
        parts: The arms, all with samples or all without.
        rule: Number of draws and the interval's level.
        seed: Another seed draws other units.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile interval); Rao & Wu 1988,
    J. Am. Stat. Assoc. 83(401), section 2 (k − 1 draws).

    Example:
        >>> found = estimate([Term(np.full((50, 1), 3.0)), Term(np.full((50, 1), -1.0))], SynergyRule(), seed=0)
        >>> found.value.tolist(), found.p.tolist()
        ([2.0], [0.0])
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
    sources: Mapping[str, Sequence[Term]],
    changes: tuple[Float64s, Float64s],
    markers: Sequence[str],
    rule: SynergyRule,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate and call every excess: a row for each source of A+B and marker, in the markers' order.

    Columns: source; marker; mean changes from the control in transformed units: change_a, change_b, additive (their
    sum), change (of A+B); excess, low, high (transformed units), p, q (Benjamini–Hochberg within the source) and call.

    Args:
        sources: The parts whose means add up to the excess, by source: ``measured``, and each prediction's name.
        changes: Mean changes by A alone and by B alone, (n_markers,) each, transformed units.
        markers: (n_markers,) names.
        rule: Intervals and calls.
        seed: The same seed gives the same intervals.

    Example:
        >>> none, one = np.zeros(1), np.ones((50, 1))
        >>> table = excess_table({"measured": [Term(one), Term(one)]}, (none, none), ["CD3"], SynergyRule())
        >>> table[["marker", "excess", "call"]].values.tolist()
        [['CD3', 2.0, 'synergistic']]
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


def call(found: Estimate, q: Float64s, additive: Float64s, rule: SynergyRule) -> Texts:
    """Call each marker, (n_markers,) texts: one of ``CALLS``.

    An excess counts if it is at least ``rule.min_excess`` and its q at most ``rule.false_discovery_rate``. It is
    *synergistic* where A+B leaves the marker further from the control than the additive change would, up or down, and
    *antagonistic* where it leaves it less far. *Additive* needs evidence, too: the whole interval within
    ± ``rule.min_excess``. All else is *undecided*.

    Args:
        found: The excess.
        q: (n_markers,) q-values of the excess.
        additive: (n_markers,) sum of the mean changes by A alone and by B alone, transformed units.
        rule: The thresholds.

    Example:
        >>> excess = np.array([1.0, -1.0, 0.0])
        >>> found = Estimate(excess, excess - 0.05, excess + 0.05, np.zeros(3))
        >>> call(found, np.zeros(3), additive=np.ones(3), rule=SynergyRule()).tolist()
        ['synergistic', 'antagonistic', 'additive']
    """
    counts = (np.abs(found.value) >= rule.min_excess) & (q <= rule.false_discovery_rate)
    less_far = np.abs(additive + found.value) < np.abs(additive)
    within = (found.low > -rule.min_excess) & (found.high < rule.min_excess)
    return np.select(
        [counts & less_far, counts, within], [ANTAGONISTIC, SYNERGISTIC, ADDITIVE], default=UNDECIDED
    ).astype(object)
