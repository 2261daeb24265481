"""Quality control of a transform: each group's and marker's values before and after, and their distance to a reference.

A group is the events that the same edits apply to: those of one ``batch_id``, or all.
"""

import math
import re
from typing import Any, Final

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s
from neuronedit.cells.design import INVERSE, PAIR_EDIT
from neuronedit.model.edit_model import EditModel
from neuronedit.model.quality.counting import NOT_FINITE
from neuronedit.model.quality.cumulative import Cumulative
from neuronedit.model.quality.tally import AFTER, BEFORE, Counts, Tally
from neuronedit.model.route import Route

PERCENTS: Final = (1, 5, 25, 50, 75, 95, 99)
"""The quantiles in the quality table."""

RESOLUTION: Final = 0.03
"""The largest error of an EMD on real cells, standard deviations: bins and percentiles spread events evenly.

A target with far outliers has a larger error, half a hundredth of its range at most, but the same before and after.
"""

MOMENTS: Final = {"before": BEFORE, "after": AFTER}

MAX_NAME = 150
"""Characters of a group's name in a metric's name, at most; MLflow allows 250 in all."""


def edits_of(group: str, model: EditModel, route: Route) -> tuple[str, ...]:
    """List the edits that a group's events get, in order; empty if the events pass unedited.

    Example:
        >>> from neuronedit.model.example import example_batches
        >>> [edits_of(day, example_batches(), Route()) for day in ("day1", "day2")]
        [('day1',), ()]
    """
    if route.edits:
        return route.edits
    if model.batch_column is None:
        return (PAIR_EDIT,)
    return (group,) if group in model.edits and group != model.reference else ()


def target_of(group: str, model: EditModel, route: Route) -> Float32s | None:
    """Find the percentiles that a group's events should end at, (n_percentiles, n_markers); None if there are none.

    They are the target's percentiles of the last edit. The reference group, which passes unedited, has the target that
    all edits share; if targets were weighted to each source's mix of cell types they differ, and it has none.

    Example:
        >>> from neuronedit.model.example import example_batches
        >>> [target_of(day, example_batches(), Route()) is not None for day in ("day1", "day2", "day3")]
        [True, True, False]
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

    Example:
        >>> from neuronedit.model.example import example_batches, example_cells
        >>> model, tally = example_batches(), Tally(example_batches().scaling.zeros)
        >>> before, after = (model.standardised(example_cells(seed=2, treated=rise)) for rise in (0.0, 1.0))
        >>> tally.observe("day1", before, after)
        >>> quality_table(tally, model, Route()).set_index("marker")["emd_before"].round(1).to_dict()
        {'CD3': 0.0, 'CD4': 0.0, 'pSTAT1': 1.0}
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
    scored, beyond = counts.scored
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
