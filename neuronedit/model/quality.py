"""Quality control of a transform: each group's and marker's values before and after, and their distance to a reference.

A group is the events that the same edits apply to: those of one ``batch_id``, or all.

A marker's cumulative distribution as a line: the share of events up to each value.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuronedit.arrays import Float32s, Float64s, Int64s
from neuronedit.cells.design import INVERSE, PAIR_EDIT
from neuronedit.edits.support import Support
from neuronedit.model.edit_model import EditModel, Observer, Route
from neuronedit.model.tally import AFTER, AT_ZERO, BEFORE, EDGES, N_BINS, NOT_FINITE, Counts, Tally, sampled
from neuronedit.network.autoencoder import tensor


@dataclass(frozen=True)
class Cumulative:
    """A cumulative distribution, straight between its points; several points at one value are a jump.

    Attributes:
        values: (n_points,) ascending, standard deviations from the mean.
        shares: (n_points,) ascending from 0 to 1, the share of events up to each value.
        spike: The share at exact zero intensity, 0 if it was not counted apart.
    """

    values: Float64s
    shares: Float64s
    spike: float = 0.0

    @classmethod
    def from_percentiles(cls, percentiles: Float32s) -> Self:
        """Make the line through evenly spaced percentiles, (n_percentiles,)."""
        return cls(percentiles.astype(np.float64), np.linspace(0, 1, len(percentiles)))

    @classmethod
    def from_counts(cls, counts: Int64s, lowest: float, highest: float, zero: float) -> Self | None:
        """Make the line of one marker's counts in a tally, spreading a bin's events evenly; None without events.

        Args:
            counts: (N_BINS + 2,) int64, see ``Counts.values``.
            lowest: The least value: the first bin that is not empty begins there.
            highest: The greatest value: the last bin that is not empty ends there.
            zero: Zero intensity, standardised.
        """
        total = counts[: AT_ZERO + 1].sum()
        if not total:
            return None
        edges = np.clip([min(lowest, EDGES[0]), *EDGES[1:-1], max(highest, EDGES[-1])], lowest, highest)
        shares = np.concatenate([[0], np.cumsum(counts[:N_BINS])]) / total
        if not counts[AT_ZERO]:
            return cls(edges, shares)
        place = int(np.searchsorted(edges, zero, side="right"))
        below, spike = float(np.interp(zero, edges, shares)), float(counts[AT_ZERO] / total)
        return cls(
            np.concatenate([edges[:place], [zero, zero], edges[place:]]),
            np.concatenate([shares[:place], [below, below + spike], shares[place:] + spike]),
            spike,
        )

    def quantiles(self, levels: npt.ArrayLike) -> Float64s:
        """Find the least value up to which a share of the events lies: (n_levels,) between 0 and 1 → (n_levels,)."""
        levels = np.asarray(levels, dtype=np.float64)
        return self._on(np.searchsorted(self.shares, levels, side="left"), levels)

    def emd(self, other: Self) -> float:
        """Compute the earth mover's distance, standard deviations: the exact area between the two lines.

        Example:
            >>> line = Cumulative.from_percentiles(np.array([0.0, 1.0]))
            >>> line.emd(Cumulative.from_percentiles(np.array([2.0, 3.0])))
            2.0
        """
        levels = np.unique(np.concatenate([self.shares, other.shares]))
        starts, ends = levels[:-1], levels[1:]
        # Between two levels both lines are straight, so the gaps at both ends give the area.
        at_start, at_end = (self._between(starts, place) - other._between(starts, place) for place in (starts, ends))
        far = np.abs(at_start) + np.abs(at_end)
        crossing = (at_start**2 + at_end**2) / np.where(far > 0, 2 * far, 1)
        return float(((ends - starts) * np.where(at_start * at_end < 0, crossing, far / 2)).sum())

    def _between(self, starts: Float64s, levels: Float64s) -> Float64s:
        """Interpolate values at levels, each on the piece that begins at its start or contains it."""
        return self._on(np.searchsorted(self.shares, starts, side="right"), levels)

    def _on(self, ends: Int64s, levels: Float64s) -> Float64s:
        """Interpolate values at levels, each on the piece that ends at the given point."""
        ends = np.clip(ends, 1, len(self.shares) - 1)
        height = self.shares[ends] - self.shares[ends - 1]
        part = np.divide(levels - self.shares[ends - 1], height, out=np.zeros_like(levels), where=height > 0)
        return self.values[ends - 1] + np.clip(part, 0, 1) * (self.values[ends] - self.values[ends - 1])


PERCENTS: Final = (1, 5, 25, 50, 75, 95, 99)
"""The quantiles in the quality table."""

RESOLUTION: Final = 0.03
"""The largest error of an EMD on real cells, standard deviations: bins and percentiles spread events evenly.

A target with far outliers has a larger error, half a hundredth of its range at most, but the same before and after.
"""

MOMENTS: Final = {"before": BEFORE, "after": AFTER}

MAX_NAME = 150
"""Characters of a group's name in a metric's name, at most; MLflow allows 250 in all."""


def observer(tally: Tally, model: EditModel, route: Route) -> Observer:
    """Make the function that a transform calls for each group: it tallies events, and scores the support of a sample.

    Support scores that the transform passes are not computed again.

    Args:
        tally: The tally to add to.
        model: The model that is applied.
        route: The edits that the events get.
    """

    def observe(group: str, before: Float32s, after: Float32s, support: Float32s | None) -> None:
        edits = edits_of(group, model, route)
        if support is None and edits:
            support = _sampled_scores(model.get_edit(edits[0]).support, before)
        tally.observe(group, before, after, support)

    return observe


def edits_of(group: str, model: EditModel, route: Route) -> tuple[str, ...]:
    """List the edits that a group's events get, in order; empty if the events pass unedited."""
    if route.edits:
        return route.edits
    if model.batch_column is None:
        return (PAIR_EDIT,)
    return (group,) if group in model.edits and group != model.reference else ()


def target_of(group: str, model: EditModel, route: Route) -> Float32s | None:
    """Find the percentiles that a group's events should end at, (n_percentiles, n_markers); None if there are none.

    They are the target's percentiles of the last edit. The reference group, which passes unedited, has the target that
    all edits share; if targets were weighted to each source's mix of cell types they differ, and it has none.
    """
    edits = edits_of(group, model, route)
    if edits:
        return model.get_edit(edits[-1]).target_percentiles
    if group != model.reference:
        return None
    first, *others = (edit.target_percentiles for name, edit in model.edits.items() if not name.endswith(INVERSE))
    return first if all(np.array_equal(first, other) for other in others) else None


def quality_table(tally: Tally, model: EditModel, route: Route) -> pd.DataFrame:
    """Tabulate a transform's quality: a row for each group, sorted, and marker, in panel order; transformed units.

    Columns: ``group``, ``marker``, ``events``; ``edited``, the values that were changed; for before and after, with
    that word at their end: ``not_finite`` (a count), ``zero`` (the share of finite values at exact zero), ``lowest``,
    ``q01`` to ``q99``, ``highest``, and ``emd``, the distance to the reference, NaN if there is none; ``worse``,
    whether ``emd`` grew by more than ``RESOLUTION``; ``scored``, the number of the group's events whose support was
    scored, and ``unsupported``, the share of these that the source has nothing like.
    """
    rows = [
        row
        for group, counts in sorted(tally.groups.items())
        for row in _rows(group, counts, target_of(group, model, route), model)
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def manifest_facts(table: pd.DataFrame) -> dict[str, Any]:
    """Summarise each group of a ``quality_table`` as JSON values; unknown numbers are None.

    Example:
        >>> row = {"group": "day1", "events": 9, "scored": 0, "unsupported": math.nan, "not_finite_before": 0}
        >>> row |= {"marker": "CD4", "emd_before": 0.1, "emd_after": 0.4, "worse": True}
        >>> manifest_facts(pd.DataFrame([row]))["day1"]["made_worse"]
        ['CD4']
    """
    return {str(group): _facts(rows) for group, rows in table.groupby("group", sort=False)}


def quality_scalars(table: pd.DataFrame) -> dict[str, float]:
    """Name metrics as MLflow accepts: ``quality/emd_before``, …, and for each group ``quality/GROUP/emd_before``, ….

    Metrics without a group's name are means over the groups that have a reference. Unknown numbers are left out.

    Example:
        >>> rows = {"group": "day1", "emd_before": [1, 2], "emd_after": 0, "unsupported": 0, "not_finite_before": 0}
        >>> quality_scalars(pd.DataFrame(rows))["quality/day1/emd_before"]
        1.5
    """
    scalars: dict[str, float] = {
        f"quality/{name}": float(table.groupby("group")[name].mean().mean()) for name in _SCALARS if len(table)
    }
    taken: set[str] = set()
    for group, rows in table.groupby("group", sort=False):
        slug = _slug(str(group), taken)
        scalars |= {f"quality/{slug}/{name}": float(rows[name].mean()) for name in _SCALARS}
        scalars[f"quality/{slug}/not_finite"] = float(rows["not_finite_before"].sum())
    return {name: value for name, value in scalars.items() if math.isfinite(value)}


_SCALARS = ("emd_before", "emd_after", "unsupported")

_NUMBERS = ("lowest", *(f"q{percent:02d}" for percent in PERCENTS), "highest")

_COLUMNS = [
    *("group", "marker", "events", "edited"),
    *(f"{name}_{moment}" for moment in MOMENTS for name in ("not_finite", "zero", *_NUMBERS, "emd")),
    *("worse", "scored", "unsupported"),
]


def _rows(group: str, counts: Counts, target: Float32s | None, model: EditModel) -> list[dict[str, Any]]:
    scored, beyond = (int(count) for count in counts.support)
    rows = []
    for number, marker in enumerate(model.panel.markers):
        reference = None if target is None else Cumulative.from_percentiles(target[:, number])
        row: dict[str, Any] = {"group": group, "marker": marker, "events": counts.n_events}
        row["edited"] = int(counts.edited[number])
        for name, moment in MOMENTS.items():
            found = _moment(counts, moment, number, reference, model)
            row |= {f"{key}_{name}": value for key, value in found.items()}
        row["worse"] = row["emd_after"] - row["emd_before"] > RESOLUTION * float(model.scaling.spreads[number])
        row |= {"scored": scored, "unsupported": beyond / scored if scored else math.nan}
        rows.append(row)
    return rows


def _moment(
    counts: Counts, moment: int, number: int, reference: Cumulative | None, model: EditModel
) -> dict[str, float]:
    """Compute one marker's columns of the quality table, before or after."""
    values, zero = counts.values[moment, number], float(model.scaling.zeros[number])
    mean, spread = float(model.scaling.means[number]), float(model.scaling.spreads[number])
    found = Cumulative.from_counts(
        values, float(counts.lowest[moment, number]), float(counts.highest[moment, number]), zero
    )
    columns: dict[str, float] = {"not_finite": int(values[NOT_FINITE])}
    if found is None:
        return columns | dict.fromkeys(("zero", *_NUMBERS, "emd"), math.nan)
    quantiles = found.quantiles(np.array([0, *PERCENTS, 100]) / 100) * spread + mean
    columns["zero"] = found.spike
    columns |= dict(zip(_NUMBERS, quantiles.tolist(), strict=True))
    return columns | {"emd": math.nan if reference is None else found.emd(reference) * spread}


def _facts(rows: pd.DataFrame) -> dict[str, Any]:
    first = rows.iloc[0]
    known = rows[rows["emd_after"].notna()]
    worst = known.iloc[int(known["emd_after"].argmax())] if len(known) else None
    not_finite = rows[rows["not_finite_before"] > 0]
    return {
        "events": int(first["events"]),
        "scored": int(first["scored"]),
        "unsupported": _number(first["unsupported"]),
        "emd_before": _number(rows["emd_before"].mean()),
        "emd_after": _number(rows["emd_after"].mean()),
        "worst_marker": None if worst is None else str(worst["marker"]),
        "worst_emd_before": None if worst is None else _number(worst["emd_before"]),
        "worst_emd_after": None if worst is None else _number(worst["emd_after"]),
        "made_worse": [str(marker) for marker in rows.loc[rows["worse"], "marker"]],
        "not_finite": {
            str(marker): int(count)
            for marker, count in zip(not_finite["marker"], not_finite["not_finite_before"], strict=True)
        },
    }


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None


def _slug(group: str, taken: set[str]) -> str:
    """Replace the characters of a group's name that MLflow refuses, and number names that become the same."""
    plain = re.sub(r"[^\w. -]", "_", group)[:MAX_NAME]
    plain = plain if plain.strip(".") else "_"
    slug, number = plain, 2
    while slug in taken:
        slug, number = f"{plain}_{number}", number + 1
    taken.add(slug)
    return slug


def _sampled_scores(support: Support, events: Float32s) -> Float32s:
    scores = np.full(len(events), np.nan, dtype=np.float32)
    chosen = sampled(events) & np.isfinite(events).all(axis=1)
    if chosen.any():
        scores[chosen] = support.scores(tensor(events[chosen])).numpy()
    return scores
