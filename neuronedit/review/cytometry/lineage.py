"""Lineage markers, which tell cell types apart: does an edit move them within a cell type without a reason?"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuronedit.arrays import Float64s
from neuronedit.cells.design import PairDesign
from neuronedit.measures.distances import emd
from neuronedit.model.edit_model import EditModel
from neuronedit.model.gates import Tone
from neuronedit.review.charts import BLACK, BLUE, GREY, ORANGE, SMALL, VERMILLION, tidy
from neuronedit.review.cytometry.stages import (
    ALL_EVENTS,
    MIN_TYPE_EVENTS,
    N_DECIMALS,
    Nearness,
    Stages,
    known_types,
    nearness,
    types_known,
)
from neuronedit.review.part import Drawing, Part, finite_scalars
from neuronedit.review.transfer.transfer import HELD_OUT, Transfer

MAX_MOVED: Final = 0.2
"""How far a lineage marker may move within a cell type unasked, and further than the learned pair differs."""

MAX_SHOWN: Final = 24
"""Rows of the figure at most: those that move furthest; the table has all."""

COLUMNS: Final = [
    *("marker", "cell_type", "n_events", "moved", "pair", "pair_within"),
    *("before", "edited", "floor", "tone"),
]

LINEAGE: Final = "lineage"

MISTAKEN: Final = "By lineage markers cells are gated: after the edit, some of these may be taken for another type."

N_NAMED: Final = 3
"""Markers named in the sentence."""

SHOWN_AS: Final[Mapping[Tone, tuple[str, str, str]]] = {
    "green": ("moved by", BLUE, "o"),
    "amber": ("moved, no truth", ORANGE, "D"),
    "red": ("moved without a reason", VERMILLION, "X"),
}
"""Label, colour and symbol of each tone in the figure."""


@dataclass(frozen=True)
class LineageFinding:
    """Whether an edit moves lineage markers that it should leave.

    Attributes:
        tone: Red: it moves one without a reason; amber: no marker is guarded, or one could not be judged; else green.
        sentence: Names the markers and cell types, with their numbers.
        table: A row for each lineage marker and cell type (or all events): marker, cell_type, n_events, moved (EMD from
            before to edited), pair (EMD between source and target that the edit was learned from), pair_within (the
            cell type, or all events), the EMDs to the truth before and edited and their floor, and tone.
    """

    tone: Tone
    sentence: str
    table: pd.DataFrame


def find_lineage(
    model: EditModel, transfer: Transfer, learned: Transfer | None = None, seed: int = 0
) -> LineageFinding:
    """Judge how far the edit moves each lineage marker within each cell type.

    It is red where the edit moves a marker by more than ``MAX_MOVED`` and, if the truth is held out, the marker ends
    further from the truth by more than the noise floor; in a training pair, if it moves more than ``MAX_MOVED`` further
    than source and target differ.

    Args:
        model: Its panel says which markers are of a lineage.
        transfer: The comparison.
        learned: The training pair of the same edit, whose cell types may be known; None where there is none.
        seed: Splits the truth.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.cytometry.stages import example_transfer
        >>> find_lineage(example_model(), example_transfer()).sentence
        'No lineage marker is guarded: write lineage in the column role of panel.csv for the markers that tell ...'
    """
    guarded = [name for name in model.panel.markers if model.panel.roles.get(name) == LINEAGE]
    if not guarded:
        return LineageFinding(
            "amber",
            "No lineage marker is guarded: write lineage in the column role of panel.csv for the markers that tell "
            "cell types apart, and state for those that may change within one.",
            pd.DataFrame(columns=COLUMNS),
        )
    table = _table(model, guarded, transfer, learned if transfer.comparison.kind == HELD_OUT else transfer, seed)
    tones = set(table["tone"])
    tone: Tone = "red" if "red" in tones else "amber" if "amber" in tones else "green"
    return LineageFinding(tone, _read(table, transfer, model.panel.unit) + _how_sure(model, transfer), table)


def lineage_part(model: EditModel, transfer: Transfer, found: LineageFinding) -> Part:
    """Show how far the edit moves lineage markers within cell types.

    Args:
        model: Gives the unit of the markers.
        transfer: The comparison.
        found: See ``find_lineage``.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.cytometry.stages import example_transfer
        >>> model, transfer = example_model(), example_transfer()
        >>> lineage_part(model, transfer, find_lineage(model, transfer)).drawings
        ()
    """
    shown = found.table.loc[found.table["moved"].nlargest(MAX_SHOWN).index] if len(found.table) else found.table
    drawing = Drawing(
        "lineage",
        lambda: _figure(shown, model.panel.unit),
        f"Shift of each lineage marker within each cell type. {found.sentence}",
        f"How far the edit moves lineage markers of {transfer.comparison.name}, beside the difference that it was "
        "learned from.",
    )
    return Part(
        "lineage",
        "Lineage markers",
        "cytometry",
        f"{found.tone.capitalize()}: {found.sentence}",
        {"lineage": found.table.round(N_DECIMALS)} if len(found.table) else {},
        (drawing,) if len(found.table) else (),
        finite_scalars(
            {
                "lineage_red": float((found.table["tone"] == "red").sum()),
                "lineage_moved_max": float(found.table["moved"].max()) if len(found.table) else float("nan"),
            }
        ),
        MISTAKEN if found.tone == "red" else "",
    )


def _table(
    model: EditModel, guarded: list[str], transfer: Transfer, learned: Transfer | None, seed: int
) -> pd.DataFrame:
    columns = np.array([model.panel.markers.index(name) for name in guarded])
    tables = []
    for name, stages in _strata(transfer).items():
        own = stages.of_markers(columns)
        moved = emd(own.before, own.edited)
        near = nearness(own, seed) if len(own.truth) >= MIN_TYPE_EVENTS else None
        pair, within = _pair_difference(model, name, transfer, learned)
        values = {"moved": moved, "pair": pair[columns], "pair_within": within, "n_events": len(own.before)}
        distances = {key: getattr(near, key, np.nan) for key in ("before", "edited", "floor")}
        tones = _tones(moved, pair[columns], near, held_out=transfer.comparison.kind == HELD_OUT)
        tables.append(pd.DataFrame({"marker": guarded, "cell_type": name, **values, **distances, "tone": tones}))
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def _strata(transfer: Transfer) -> dict[str, Stages]:
    """The stages of each cell type with enough events, though the truth may lack it; of all events without types."""
    stages = Stages.of(transfer)
    if not types_known(transfer):
        return {ALL_EVENTS: stages}
    of_events, of_truth = known_types(transfer)
    names = sorted(name for name, count in Counter(of_events).items() if count >= MIN_TYPE_EVENTS)
    return {
        name: Stages(stages.before[of_events == name], stages.edited[of_events == name], stages.truth[of_truth == name])
        for name in names
    } or {ALL_EVENTS: stages}


def _pair_difference(model: EditModel, name: str, transfer: Transfer, learned: Transfer | None) -> tuple[Float64s, str]:
    """How far source and target of the edit differ within a cell type, or over all events where that is not known."""
    own = _strata(learned).get(name) if learned and name != ALL_EVENTS else None
    if own and len(own.truth) >= MIN_TYPE_EVENTS:
        return emd(own.before, own.truth), name
    source, target = (
        model.scaling.transform(events) for events in (transfer.comparison.source, transfer.comparison.target)
    )
    return emd(source, target), ALL_EVENTS


def _tones(moved: Float64s, pair: Float64s, near: Nearness | None, *, held_out: bool) -> list[Tone]:
    far = moved > MAX_MOVED
    if near is None:
        return ["amber" if each else "green" for each in far]
    unasked = near.worse if held_out else moved - pair > MAX_MOVED
    return ["red" if each else "green" for each in far & unasked]


def _read(table: pd.DataFrame, transfer: Transfer, unit: str) -> str:
    for tone, verb in (("red", "moves"), ("amber", "moves, and no truth of these cells says whether it should,")):
        found = table[table["tone"] == tone].sort_values("moved", ascending=False, kind="stable")
        if len(found):
            said = ", ".join(_read_row(row, transfer.comparison.kind) for _, row in found.head(N_NAMED).iterrows())
            more = f", and {len(found) - N_NAMED} more" if len(found) > N_NAMED else ""
            return f"The edit {verb} lineage markers within their cells: {said}{more} ({unit})."
    most = table.iloc[int(table["moved"].argmax())]
    return (
        f"The edit moves none of {table['marker'].nunique()} lineage markers without a reason: it moves "
        f"{most['marker']} in {most['cell_type']} most, by {most['moved']:.2f} {unit}, and source and target differ "
        f"there by {most['pair']:.2f}."
    )


def _read_row(row: pd.Series, kind: str) -> str:
    reason = (
        f"{row['before']:.2f} from the truth before, {row['edited']:.2f} after"
        if kind == HELD_OUT and np.isfinite(row["before"])
        else f"source and target differ by {row['pair']:.2f}"
    )
    return f"{row['marker']} in {row['cell_type']} by {row['moved']:.2f} ({reason})"


def _how_sure(model: EditModel, transfer: Transfer) -> str:
    if types_known(transfer) or not isinstance(model.design, PairDesign):
        return ""
    return " Cell types are not known, and another mix of cells looks like a moved marker: labels.cell_type makes sure."


def _figure(table: pd.DataFrame, unit: str) -> Figure:
    figure = Figure(figsize=(8, 1.3 + 0.22 * len(table)), layout="constrained")
    axes, heights = figure.subplots(), np.arange(len(table))
    axes.axvline(MAX_MOVED, color=BLACK, lw=0.9, ls="--", label=f"{MAX_MOVED} {unit}")
    axes.scatter(table["pair"], heights, marker="|", s=110, lw=1.8, color=GREY, label="source and target differ by")
    for tone, (label, colour, marker) in SHOWN_AS.items():
        own = (table["tone"] == tone).to_numpy()
        if own.any():
            axes.scatter(table["moved"][own], heights[own], s=36, color=colour, marker=marker, label=label, zorder=3)
    axes.set_yticks(heights, [f"{row.marker} in {row.cell_type}" for row in table.itertuples()], fontsize=SMALL)
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"EMD between the events before and after the edit ({unit})", fontsize=9)
    axes.grid(axis="x", color="#DDDDDD", lw=0.6)
    tidy(axes)
    figure.legend(loc="outside upper right", ncols=5, fontsize=SMALL, frameon=False)
    return figure
