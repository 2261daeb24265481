"""Markers by cell type: how far each is from the truth, and how many events are positive, before and after an edit."""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from neuronedit.measures.distances import made_worse
from neuronedit.model.edit_model import EditModel
from neuronedit.review.charts import MAX_MARKERS, ROW_HEIGHT, SEQUENTIAL, SMALL, VERMILLION, heat
from neuronedit.review.cytometry.stages import N_DECIMALS, TypedStages, nearness, split_by_type
from neuronedit.review.labels.positivity import Positivity
from neuronedit.review.part import Drawing, Part, finite_scalars
from neuronedit.review.transfer.transfer import Transfer

MAX_TYPES: Final = 24
"""Cell types shown at most; the table has all."""

POSITIVES = ["positive_before", "positive_edited", "positive_truth"]

MIN_SHARE: Final = 0.2
"""The least difference of shares that has the full colour: chance alone must not look like a finding."""


def by_type_part(model: EditModel, transfer: Transfer, seed: int = 0) -> Part:
    """Compare each marker of each cell type with the truth: the EMD, and the share of positive events.

    Args:
        model: Its scaling standardises markers; its panel names them.
        transfer: The comparison, whose cell types are known.
        seed: Splits the truth.

    Raises:
        DataError: Cell types are not known, or none has enough events.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.cytometry.stages import example_transfer
        >>> by_type_part(example_model(), example_transfer()).reading
        'The edit brings 4 of 12 markers within a cell type nearer to the truth, and none further away (by more ...'
    """
    typed = split_by_type(transfer)
    table = _table(model, typed, transfer, seed)
    worst = table.iloc[int(table["edited"].argmax())]
    scalars = {
        "by_type_worse": float(table["worse"].sum()),
        "by_type_emd_before": float(table["before"].mean()),
        "by_type_emd": float(table["edited"].mean()),
        "by_type_emd_max": float(worst["edited"]),
    }
    return Part(
        "by_type",
        "Markers within each cell type",
        "cytometry",
        _read(table) + typed.said_left_out,
        {"by_type": table.round(N_DECIMALS)},
        tuple(_drawings(table, model.panel.unit)),
        finite_scalars(scalars),
    )


def _drawings(table: pd.DataFrame, unit: str) -> Iterator[Drawing]:
    """Heatmaps of the distances and, where markers have positive events, of the differences of their shares."""
    stages = ["before", "edited"]
    furthest = _read_furthest(table)
    yield Drawing(
        "by_type",
        lambda: _two_heatmaps(
            _shown(table, stages), f"EMD to the truth ({unit})", marked=_shown(table, stages, "worse")["edited"]
        ),
        f"Heatmaps of marker by cell type, before and edited. {furthest}",
        furthest,
    )
    two_sided = table.dropna(subset=POSITIVES)
    if len(two_sided):
        changes = two_sided.assign(
            **{stage: two_sided[f"positive_{stage}"] - two_sided["positive_truth"] for stage in stages}
        )
        differs = _read_positives(two_sided)
        yield Drawing(
            "positives",
            lambda: _two_heatmaps(_shown(changes, stages), "share of positive events − the truth's", diverging=True),
            f"Heatmaps of marker by cell type, before and edited. {differs}",
            differs,
        )


def _table(model: EditModel, typed: TypedStages, transfer: Transfer, seed: int) -> pd.DataFrame:
    standardise = model.scaling.standardise
    # One gate for all cell types and stages, as one would draw it in the truth.
    gates = Positivity.fit(standardise(transfer.truth), seed)
    tables = []
    for name, stages in typed.each.items():
        found = nearness(stages, seed)
        shares = {
            f"positive_{stage}": np.where(gates.two_sided, gates.positive(standardise(events)).mean(axis=0), np.nan)
            for stage, events in stages.named.items()
        }
        columns = {
            "cell_type": name,
            "marker": model.panel.markers,
            "before": found.before,
            "edited": found.edited,
            "floor": found.floor,
            "worse": found.worse,
            **shares,
            "n_events": len(stages.before),
            "n_truth": len(stages.truth),
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def _shown(table: pd.DataFrame, columns: list[str], value: str = "") -> dict[str, pd.DataFrame]:
    """Pivot some columns, or one ``value``, to cell types by markers: those with the largest values in the columns."""
    size = table[columns].abs().max(axis=1)
    kept = table
    for key, limit in (("cell_type", MAX_TYPES), ("marker", MAX_MARKERS)):
        largest = size.groupby(table[key], sort=False).max().nlargest(limit)
        kept = kept[kept[key].isin(largest.index)]
    rows, markers = kept["cell_type"].unique(), kept["marker"].unique()
    return {
        column: kept.pivot(index="cell_type", columns="marker", values=value or column).loc[rows, markers]
        for column in columns
    }


def _two_heatmaps(
    tables: Mapping[str, pd.DataFrame], label: str, *, diverging: bool = False, marked: pd.DataFrame | None = None
) -> Figure:
    """Draw tables of the same rows and columns above one another, in one scale of colours; the last has marks."""
    first = next(iter(tables.values()))
    largest = max(float(table.abs().to_numpy().max()) for table in tables.values())
    largest = max(largest, MIN_SHARE) if diverging else largest or 1.0
    panel = max(0.35, ROW_HEIGHT * len(first))
    figure = Figure(figsize=(11, 1.3 + len(tables) * (panel + 0.3)), layout="constrained")
    grid = figure.subplots(len(tables), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (title, table) in zip(grid, tables.items(), strict=True):
        values = table.to_numpy(dtype=float)
        if diverging:
            image = heat(axes, values, list(table.columns), largest)
        else:
            # Square roots: one marker that is far off would make all others white.
            scale = PowerNorm(0.5, vmin=0, vmax=largest)
            image = axes.imshow(values, aspect="auto", cmap=SEQUENTIAL, norm=scale, interpolation="nearest")
        axes.set_yticks(range(len(table)), list(table.index), fontsize=SMALL)
        axes.set_xticks(range(table.shape[1]), list(table.columns), fontsize=SMALL, rotation=90)
        axes.set_title(title, fontsize=SMALL + 1, loc="left", pad=3)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    if marked is not None and marked.to_numpy().any():
        rows, columns = np.nonzero(marked.to_numpy(dtype=bool))
        grid[-1].scatter(columns, rows, marker="x", s=26, lw=1.6, color=VERMILLION)
        grid[-1].set_title(
            f"{title} (×: further from the truth, by more than the noise floor)", fontsize=SMALL + 1, loc="left", pad=3
        )
    bar = figure.colorbar(image, ax=list(grid), shrink=0.9, pad=0.01, aspect=30)
    bar.set_label(label, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    return figure


def _read(table: pd.DataFrame) -> str:
    n_better = int(made_worse(*(table[name].to_numpy() for name in ("before", "edited", "floor"))).sum())
    n_worse = int(table["worse"].sum())
    names = [f"{row.marker} in {row.cell_type}" for row in _worst(table).itertuples()]
    further = f"{n_worse} further away" if n_worse else "none further away"
    return (
        f"The edit brings {n_better} of {len(table)} markers within a cell type nearer to the truth, and {further} "
        f"(by more than the noise floor){': most ' + ', '.join(names) if names else ''}."
    )


def _worst(table: pd.DataFrame, n_named: int = 3) -> pd.DataFrame:
    worse = table[table["worse"]]
    return worse.loc[(worse["edited"] - worse["before"]).nlargest(n_named).index]


def _read_furthest(table: pd.DataFrame) -> str:
    furthest = table.iloc[int(table["edited"].argmax())]
    return (
        f"The mean EMD to the truth is {table['before'].mean():.2f} before and {table['edited'].mean():.2f} after the "
        f"edit (noise floor {table['floor'].mean():.2f}); furthest from it after the edit is {furthest['marker']} in "
        f"{furthest['cell_type']}: {furthest['before']:.2f} before, {furthest['edited']:.2f} after."
    )


def _read_positives(table: pd.DataFrame) -> str:
    left = (table["positive_edited"] - table["positive_truth"]).abs()
    most = table.iloc[int(left.argmax())]
    return (
        f"The share of positive events differs most from the truth's in {most['marker']} of {most['cell_type']}: "
        f"{most['positive_before']:.0%} before, {most['positive_edited']:.0%} edited, "
        f"{most['positive_truth']:.0%} in the truth."
    )
