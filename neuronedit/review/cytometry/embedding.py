"""A linear embedding of events before and after an edit and of the truth, and where comparisons' centroids meet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuronedit.arrays import Float32s, Float64s, Texts
from neuronedit.errors import DataError
from neuronedit.measures.pairs import equally_many
from neuronedit.model.edit_model import EditModel
from neuronedit.review.charts import BLACK, BLUE, COLOURS, GREY, SMALL, tidy
from neuronedit.review.cytometry.stages import Stages
from neuronedit.review.part import Drawing, Part, finite_scalars
from neuronedit.review.transfer.transfer import Transfer

MAX_FITTED: Final = 5_000
"""Events of either population that axes are fitted on, at most."""

MAX_POINTS: Final = 2_000
"""Events drawn in each panel, at most."""

MAX_COMPARISONS: Final = 12
"""Comparisons whose centroids are drawn, at most: those that are furthest from their truth before the edit."""

SYMBOLS: Final = ("o", "s")
"""Of the first six comparisons, and of the others, which have the same colours."""


@dataclass(frozen=True)
class Axes2:
    """Two axes along which events vary most.

    Attributes:
        centre: (n_markers,) float64, standardised.
        loadings: (n_markers, 2) float64, orthonormal columns; the largest part of each is positive.
        explained: (2,) float64, the share of the variance along each.
    """

    centre: Float64s
    loadings: Float64s
    explained: Float64s

    @classmethod
    def fit(cls, events: Float32s) -> Self:
        """Fit principal components: (n_events, n_markers), standardised.

        Raises:
            DataError: There is one marker, or the events do not vary.
        """
        centre = events.mean(axis=0, dtype=np.float64)
        centred = events - centre
        if events.shape[1] < 2 or not centred.any():
            raise DataError("An embedding needs two markers, and events that differ. Leave it out for this panel.")
        _, singular, axes = np.linalg.svd(centred, full_matrices=False)
        loadings = axes[:2].T
        # The sign of a singular vector is arbitrary, and differs between libraries.
        largest = loadings[np.abs(loadings).argmax(axis=0), [0, 1]]
        return cls(centre, loadings * np.sign(largest), singular[:2] ** 2 / (singular**2).sum())

    def project(self, events: Float32s) -> Float64s:
        """Give the places of events: (n_events, n_markers) standardised → (n_events, 2)."""
        return np.asarray((events - self.centre) @ self.loadings)

    def labels(self, markers: Sequence[str]) -> list[str]:
        """Name each axis by the share that it explains and the two markers that weigh most in it."""
        return [
            f"PC {axis + 1} ({self.explained[axis]:.0%} of the variance; "
            + ", ".join(
                f"{markers[marker]} {'+' if self.loadings[marker, axis] > 0 else '−'}"
                for marker in np.argsort(-np.abs(self.loadings[:, axis]), kind="stable")[:2]
            )
            + ")"
            for axis in (0, 1)
        ]


def embedding_part(model: EditModel, transfer: Transfer, seed: int = 0) -> Part:
    """Show the events before and after the edit and the truth in the two axes along which they vary most.

    The axes are principal components, fitted on as many events before the edit as of the truth.

    Args:
        model: Its scaling standardises markers.
        transfer: The comparison.
        seed: Draws events.

    Raises:
        DataError: There is one marker, or the events do not vary.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.cytometry.stages import example_transfer
        >>> embedding_part(example_model(), example_transfer()).reading
        "In the two axes of the embedding (67% of the variance), the centroid of the events is 1.14 standard ..."
    """
    axes, places = _embed(model, [transfer], MAX_FITTED, seed)
    found = places[0]
    distances = _distances(found)
    finding = (
        f"In the two axes of the embedding ({axes.explained.sum():.0%} of the variance), the centroid of the events is "
        f"{distances[0]:.2f} standard deviations of the truth from the truth's before the edit, and {distances[1]:.2f} "
        "after it."
    )
    comparison, generator = transfer.comparison, np.random.default_rng(seed)
    order = [generator.permutation(len(events))[:MAX_POINTS] for events in (found.before, found.truth)]
    drawn = Stages(found.before[order[0]], found.edited[order[0]], found.truth[order[1]])
    of_events, of_truth = (
        None if types is None else types[kept]
        for types, kept in zip((comparison.event_types, comparison.truth_types), order, strict=True)
    )
    drawing = Drawing(
        "embedding",
        lambda: _figure(drawn, (of_events, of_events, of_truth), axes.labels(model.panel.markers)),
        f"Events before, edited and of the truth in two principal components. {finding}",
        finding,
    )
    loadings = pd.DataFrame({"marker": model.panel.markers, "pc_1": axes.loadings[:, 0], "pc_2": axes.loadings[:, 1]})
    scalars = {
        "embedding_centroid_before": distances[0],
        "embedding_centroid": distances[1],
        "embedding_explained": float(axes.explained.sum()),
    }
    return Part(
        "embedding",
        "Embedding",
        "cytometry",
        finding,
        {"embedding": loadings},
        (drawing,),
        finite_scalars(scalars),
    )


def centroids_part(model: EditModel, transfers: Sequence[Transfer], seed: int = 0) -> Part:
    """Show where the centroid of each comparison's events goes, and the centroid of its truth, in axes that all share.

    Args:
        model: Its scaling standardises markers.
        transfers: All comparisons.
        seed: Draws events.

    Raises:
        DataError: There is no comparison, one marker, or the events do not vary.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.cytometry.stages import example_transfer
        >>> table = centroids_part(example_model(), [example_transfer()]).tables["centroids"]
        >>> table[["comparison", "kind"]].values.tolist(), bool(table["edited"][0] < table["before"][0])
        ([['other cells', 'held out']], True)
    """
    if not transfers:
        raise DataError("Centroids of comparisons need at least one. Name events that the model's design can choose.")
    axes, places = _embed(model, transfers, max(MAX_FITTED // len(transfers), 100), seed)
    rows = []
    for transfer, found in zip(transfers, places, strict=True):
        before, edited = _distances(found)
        centroids = {
            f"{stage}_{axis}": value
            for stage, events in found.named.items()
            for axis, value in zip(("pc_1", "pc_2"), events.mean(axis=0), strict=True)
        }
        named = {"comparison": transfer.comparison.name, "kind": transfer.comparison.kind}
        rows.append({**named, "before": before, "edited": edited, **centroids})
    table = pd.DataFrame(rows)
    finding = _read_centroids(table)
    shown = table.loc[sorted(table["before"].nlargest(MAX_COMPARISONS).index)]
    drawing = Drawing(
        "centroids",
        lambda: _centroid_figure(shown, axes.labels(model.panel.markers)),
        f"Arrows from each comparison's centroid before the edit to the one after it, and the truth's. {finding}",
        f"{finding} Axes are {axes.explained.sum():.0%} of the variance.",
    )
    scalars = {"centroids_before": float(table["before"].mean()), "centroids_edited": float(table["edited"].mean())}
    return Part(
        "centroids",
        "Centroids of all comparisons",
        "cytometry",
        finding,
        {"centroids": table},
        (drawing,),
        finite_scalars(scalars),
    )


def _embed(model: EditModel, transfers: Sequence[Transfer], limit: int, seed: int) -> tuple[Axes2, list[Stages]]:
    """Fit axes on equally many events before the edits and of the truths, and give the places of all events."""
    standardise = model.scaling.standardise
    standardised = [
        Stages(*(standardise(events) for events in Stages.of(transfer).named.values())) for transfer in transfers
    ]
    pooled = [events for stages in standardised for events in equally_many(stages.before, stages.truth, limit, seed)]
    axes = Axes2.fit(np.concatenate(pooled))
    return axes, [
        Stages(*(axes.project(events).astype(np.float32) for events in stages.named.values()))
        for stages in standardised
    ]


def _distances(places: Stages) -> tuple[float, float]:
    """Distances of the centroids before and after the edit to the truth's, in the truth's standard deviations."""
    spreads = places.truth.std(axis=0)
    gaps = [
        np.linalg.norm((events.mean(axis=0) - places.truth.mean(axis=0)) / np.where(spreads > 0, spreads, 1))
        for events in (places.before, places.edited)
    ]
    return float(gaps[0]), float(gaps[1])


def _figure(stages: Stages, types: Sequence[Texts | None], labels: Sequence[str]) -> Figure:
    figure = Figure(figsize=(11, 4.3), layout="constrained")
    grid = figure.subplots(1, 3, sharex=True, sharey=True)
    colours = _colours([each for each in types if each is not None])
    for axes, (name, events), of_events in zip(grid, stages.named.items(), types, strict=True):
        known = [BLUE] * len(events) if of_events is None else [colours.get(type_, GREY) for type_ in of_events]
        axes.scatter(*events.T, s=4, c=known, linewidths=0, antialiased=False, rasterized=True)
        centroid = stages.truth.mean(axis=0)
        axes.scatter(*centroid, marker="+", s=130, lw=1.8, color=BLACK, zorder=4, label="centroid of the truth")
        if events is not stages.truth:
            axes.scatter(
                *events.mean(axis=0),
                marker="o",
                s=42,
                lw=1.8,
                facecolor="none",
                edgecolor=BLACK,
                zorder=5,
                label="centroid of the events",
            )
        axes.set_title(name, fontsize=SMALL + 1, pad=3)
        tidy(axes)
    for name, colour in colours.items():
        grid[0].scatter([], [], s=24, color=colour, label=name)
    if len({type_ for each in types if each is not None for type_ in each}) > len(colours):
        grid[0].scatter([], [], s=24, color=GREY, label="other types")
    figure.supxlabel(labels[0], fontsize=9)
    figure.supylabel(labels[1], fontsize=9)
    handles, names = grid[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=5, fontsize=SMALL, frameon=False)
    return figure


def _colours(types: Sequence[Texts]) -> dict[str, str]:
    """A colour for each of the most common cell types."""
    if not types:
        return {}
    names, counts = np.unique(np.concatenate(types).astype(str), return_counts=True)
    common = names[np.argsort(-counts, kind="stable")][: len(COLOURS)]
    return {str(name): colour for name, colour in zip(common, COLOURS, strict=False)}


def _centroid_figure(table: pd.DataFrame, labels: Sequence[str]) -> Figure:
    figure = Figure(figsize=(9, 4.8), layout="constrained")
    axes = figure.subplots()
    for number, (_, row) in enumerate(table.iterrows()):
        _centroid(axes, row, COLOURS[number % len(COLOURS)], SYMBOLS[number // len(COLOURS) % len(SYMBOLS)])
    axes.set_xlabel(labels[0], fontsize=9)
    axes.set_ylabel(labels[1], fontsize=9)
    axes.grid(color="#EEEEEE", lw=0.6)
    axes.margins(0.12)
    tidy(axes)
    for label, marker, colour in (("before", "o", "none"), ("edited", "o", GREY), ("truth", "X", BLACK)):
        axes.scatter([], [], marker=marker, s=40, facecolor=colour, edgecolor=BLACK, lw=0.8, label=label)
    figure.legend(loc="outside right upper", fontsize=SMALL, frameon=False)
    return figure


def _centroid(axes: Axes, row: pd.Series, colour: str, symbol: str) -> None:
    before, edited, truth = ((row[f"{stage}_pc_1"], row[f"{stage}_pc_2"]) for stage in ("before", "edited", "truth"))
    axes.annotate("", edited, before, arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.4, "shrinkA": 4})
    axes.scatter(*before, marker=symbol, s=42, facecolor="none", edgecolor=colour, lw=1.5, zorder=3)
    # Comparisons may have the same truth, whose cross then lies on the others'.
    axes.plot(*zip(edited, truth, strict=True), color=colour, lw=1.2, ls=":")
    axes.scatter(*truth, marker="X", s=70, facecolor=BLACK, edgecolor="white", lw=0.8, zorder=4)
    axes.scatter(*edited, marker=symbol, s=30, color=colour, zorder=5, label=row["comparison"])


def _read_centroids(table: pd.DataFrame) -> str:
    furthest = table.iloc[int(table["edited"].argmax())]
    n_nearer = int((table["edited"] < table["before"]).sum())
    return (
        f"The centroids of {n_nearer} of {len(table)} comparisons end nearer to their truth: in the mean "
        f"{table['before'].mean():.2f} standard deviations away before the edit and {table['edited'].mean():.2f} after "
        f"it; furthest is {furthest['comparison']}, {furthest['before']:.2f} before and {furthest['edited']:.2f} after."
    )
