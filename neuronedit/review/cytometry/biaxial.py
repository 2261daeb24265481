"""Biaxial plots: two markers against each other before the edit, after it, and in the truth."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuronedit.arrays import Float32s, Float64s, Int64s
from neuronedit.cells.names import comparable
from neuronedit.cells.panel import Panel
from neuronedit.measures.distances import beside_halves, emd, random_halves
from neuronedit.measures.pairs import energy_distance
from neuronedit.model.edit_model import EditModel
from neuronedit.review.charts import BLACK, SEQUENTIAL, SMALL, tidy
from neuronedit.review.cytometry.stages import Stages
from neuronedit.review.labels.positivity import Positivity
from neuronedit.review.part import Drawing, Part, finite_scalars
from neuronedit.review.transfer.transfer import Transfer

Pair = tuple[int, int]

WELL_KNOWN: Final = (
    ("CD3", "CD19"),
    ("CD4", "CD8"),
    ("CD14", "CD16"),
    ("CD20", "CD3"),
    ("CD45RA", "CCR7"),
    ("CD56", "CD16"),
)
"""Pairs by which cytometrists tell cell types apart, the first ones first."""

ALSO_CALLED: Final[Mapping[str, tuple[str, ...]]] = {
    "CD3": ("cd3e", "cd3d"),
    "CD8": ("cd8a", "cd8b"),
    "CD16": ("fcgr3a",),
    "CD20": ("ms4a1",),
    "CCR7": ("cd197",),
    "CD56": ("ncam", "ncam1"),
}

N_PAIRS: Final = 4
N_LINEAGE: Final = 2
"""Pairs shown, and those of them that tell cell types apart."""

N_MOVED: Final = 8
"""Markers that the edit moves furthest, among whose pairs those are looked for that it changes most."""

MAX_PAIR_EVENTS: Final = 2_000
"""Events that energy distances of pairs are computed from, at most: tens of pairs are compared."""

N_BINS: Final = 56
RANGE: Final = (0.1, 99.9)
"""Bins along either axis, and percentiles of all three populations that an axis spans."""

N_COLOURS: Final = 16
FAINTEST: Final = 0.12
"""Shades of density, and the one of bins with single events, which would be white beside a spike at zero."""


@dataclass(frozen=True)
class PairDistances:
    """Energy distances of two markers jointly to the truth, squared form, transformed units.

    Attributes:
        before: Of the events before the edit.
        edited: Of the edited events.
        floor: Between two halves of the truth.
    """

    before: float
    edited: float
    floor: float


def lineage_pairs(panel: Panel) -> list[Pair]:
    """Find the well-known pairs of markers that a panel has, by their names.

    Where the panel says which markers tell cell types apart, both must do so.

    Example:
        >>> lineage_pairs(Panel(("CD8a", "pSTAT1", "170Er_CD3", "cd4", "CD19 (HIB19)"), (5.0,) * 5))
        [(2, 4), (3, 0)]
    """
    lineage = [column for column, name in enumerate(panel.markers) if panel.roles.get(name) == "lineage"]
    columns = lineage or list(range(panel.n_markers))
    names = [panel.markers[column] for column in columns]
    found = [[_find(marker, names) for marker in pair] for pair in WELL_KNOWN]
    return [(columns[x], columns[y]) for x, y in found if x is not None and y is not None and x != y]


def biaxial_part(model: EditModel, transfer: Transfer, seed: int = 0) -> Part:
    """Show pairs of markers before and after the edit beside the truth: well-known ones, and those changed most.

    Args:
        model: Its panel names the markers.
        transfer: The comparison.
        seed: Draws events for distances, and halves the truth.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.cytometry.stages import example_transfer
        >>> biaxial_part(example_model(), example_transfer()).tables["biaxial"][["x", "y"]].values.tolist()
        [['CD4', 'pSTAT1'], ['CD3', 'pSTAT1'], ['CD3', 'CD4']]
    """
    stages, markers = Stages.of(transfer), model.panel.markers
    known = lineage_pairs(model.panel)[:N_LINEAGE]
    moved = np.argsort(-emd(stages.before, stages.edited), kind="stable")[:N_MOVED]
    candidates = [pair for pair in combinations(sorted(map(int, moved)), 2) if pair[::-1] not in known]
    distances = {pair: _pair_distances(stages, pair, seed) for pair in dict.fromkeys([*known, *candidates])}
    changed = sorted(candidates, key=lambda pair: -abs(distances[pair].edited - distances[pair].before))
    pairs = list(dict.fromkeys([*known, *_disjoint(changed), *changed]))[:N_PAIRS]
    table = pd.DataFrame(
        [
            {
                "x": markers[x],
                "y": markers[y],
                "chosen": "tells cell types apart" if (x, y) in known else "changed most",
                "before": distances[x, y].before,
                "edited": distances[x, y].edited,
                "floor": distances[x, y].floor,
            }
            for x, y in pairs
        ],
        columns=["x", "y", "chosen", "before", "edited", "floor"],
    )
    finding = _read(table)
    drawing = Drawing(
        "biaxial",
        lambda: _figure(stages, pairs, markers, _gates(model, transfer.truth, pairs, seed)),
        f"Biaxial plots before, edited and in the truth. {finding}",
        f"{finding} Dotted lines are gates found in the truth, numbers the share of events in each quadrant.",
    )
    return Part(
        "biaxial",
        "Pairs of markers",
        "cytometry",
        finding,
        {"biaxial": table},
        (drawing,) if pairs else (),
        finite_scalars(
            {"biaxial_energy_before": float(table["before"].mean()), "biaxial_energy": float(table["edited"].mean())}
        ),
    )


def _find(marker: str, names: Sequence[str]) -> int | None:
    """The place of a marker among names: one that is its whole name, before one that holds it as a word."""
    wanted = {marker.casefold(), *ALSO_CALLED.get(marker, ())}
    words = [re.split(r"[^0-9a-z]+", comparable(name).casefold()) for name in names]
    whole = [place for place, parts in enumerate(words) if "".join(parts) in wanted]
    held = [place for place, parts in enumerate(words) if wanted.intersection(parts)]
    return next(iter([*whole, *held]), None)


def _disjoint(pairs: Sequence[Pair]) -> list[Pair]:
    """The first pairs that have no marker in common: one marker that moves far changes all its pairs."""
    found: list[Pair] = []
    for pair in pairs:
        if not set(pair).intersection(marker for other in found for marker in other):
            found.append(pair)
    return found


def _pair_distances(stages: Stages, pair: Pair, seed: int) -> PairDistances:
    chosen = stages.of_markers(np.array(pair))
    truth = _drawn(chosen.truth, seed)
    before, edited = (
        float(np.mean([energy_distance(*each, seed) for each in beside_halves(_drawn(events, seed), truth, seed)]))
        for events in (chosen.before, chosen.edited)
    )
    return PairDistances(before, edited, energy_distance(*random_halves(truth, seed), seed))


def _drawn(events: Float32s, seed: int) -> Float32s:
    if len(events) <= MAX_PAIR_EVENTS:
        return events
    return events[np.random.default_rng(seed).permutation(len(events))[:MAX_PAIR_EVENTS]]


def _gates(model: EditModel, truth: Float32s, pairs: Sequence[Pair], seed: int) -> dict[int, float]:
    """Thresholds of positive events of the pairs' markers, transformed units; those without one are left out."""
    columns: Int64s = np.unique(np.array(pairs, dtype=np.int64))
    scaling = model.scaling
    thresholds: Float64s = Positivity.fit(scaling.standardise(truth)[:, columns], seed).thresholds
    values = thresholds * scaling.spreads[columns] + scaling.means[columns]
    return {int(column): float(value) for column, value in zip(columns, values, strict=True) if np.isfinite(value)}


def _figure(stages: Stages, pairs: Sequence[Pair], markers: Sequence[str], gates: Mapping[int, float]) -> Figure:
    """Two pairs in a row, each of three populations side by side on the same axes."""
    n_rows = -(-len(pairs) // 2)
    figure = Figure(figsize=(12, 0.3 + 2.3 * n_rows), layout="constrained")
    beside = figure.subfigures(n_rows, min(2, len(pairs)), squeeze=False, wspace=0.03).flat
    for part, (x, y) in zip(beside, pairs, strict=False):
        chosen = {name: events[:, [x, y]] for name, events in stages.named.items()}
        low, high = np.percentile(np.concatenate(list(chosen.values())), RANGE, axis=0)
        margin = 0.04 * (high - low) + 1e-6
        bounds = [(low[axis] - margin[axis], high[axis] + margin[axis]) for axis in (0, 1)]
        shares = [
            np.histogram2d(events[:, 0], events[:, 1], bins=N_BINS, range=np.array(bounds))[0] / len(events)
            for events in chosen.values()
        ]
        # Square roots: a rare population is seen beside a dense one.
        top = np.sqrt(np.percentile(np.concatenate([share[share > 0] for share in shares]), 99))
        row = part.subplots(1, 3, sharex=True, sharey=True)
        for axes, name, share in zip(row, chosen, shares, strict=True):
            axes.imshow(
                np.where(share > 0, np.maximum(np.sqrt(share), FAINTEST * top), 0).T,
                origin="lower",
                extent=(*bounds[0], *bounds[1]),
                aspect="auto",
                cmap=SEQUENTIAL.resampled(N_COLOURS),
                vmin=0,
                vmax=top,
                interpolation="none",  # an SVG then holds the bins, not the pixels
            )
            _quadrants(axes, chosen[name], gates.get(x), gates.get(y))
            axes.set_title(name, fontsize=SMALL + 1, pad=3)
            axes.set_xlabel(markers[x], fontsize=SMALL + 1)
            axes.locator_params(nbins=4)
            tidy(axes)
        row[0].set_ylabel(markers[y], fontsize=SMALL + 1)
    return figure


def _quadrants(axes: Axes, events: Float32s, x_gate: float | None, y_gate: float | None) -> None:
    """Draw the gates that there are, and write the share of events in each corner where there are both."""
    if x_gate is not None:
        axes.axvline(x_gate, color=BLACK, lw=0.7, ls=":")
    if y_gate is not None:
        axes.axhline(y_gate, color=BLACK, lw=0.7, ls=":")
    if x_gate is None or y_gate is None:
        return
    right, upper = events[:, 0] > x_gate, events[:, 1] > y_gate
    for on_right, above in ((False, False), (False, True), (True, False), (True, True)):
        axes.text(
            0.98 if on_right else 0.02,
            0.97 if above else 0.03,
            f"{np.mean((right == on_right) & (upper == above)):.1%}",
            transform=axes.transAxes,
            ha="right" if on_right else "left",
            va="top" if above else "bottom",
            fontsize=SMALL,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.8},
        )


def _read(table: pd.DataFrame) -> str:
    if table.empty:
        return "The panel has one marker, and no pair to show."
    most = table.iloc[int((table["edited"] - table["before"]).abs().argmax())]
    better = "nearer to" if most["edited"] < most["before"] else "further from"
    return (
        f"Of the pairs shown, the edit changes {most['x']} and {most['y']} most, {better} the truth: their joint "
        f"energy distance to it is {most['before']:.3f} before and {most['edited']:.3f} after (noise floor "
        f"{most['floor']:.3f})."
    )
