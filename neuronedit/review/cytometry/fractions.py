"""Fractions of cell types before and after an edit, as events are assigned to the types that they then look like."""

from collections.abc import Mapping, Set
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuronedit.arrays import Float32s, Masks, Texts
from neuronedit.errors import DataError
from neuronedit.model.edit_model import EditModel
from neuronedit.review.charts import BLACK, BLUE, GREY, SMALL, VERMILLION, tidy
from neuronedit.review.cytometry.stages import MIN_TYPE_EVENTS, Stages, known_types
from neuronedit.review.part import Drawing, Part, finite_scalars
from neuronedit.review.transfer.transfer import Transfer

MAX_TYPES: Final = 30
"""Cell types shown at most; the table has all."""

TOLD_APART: Final = 0.7
"""The share of the truth's events that must get their own label for fractions to be relied on."""

POORLY: Final = "The markers tell these cell types apart poorly, so that their fractions are not to be relied on"


def assign_types(labelled: Float32s, types: Texts, events: Float32s) -> Texts:
    """Assign events to the cell types of labelled ones, by linear discriminant analysis.

    Args:
        labelled: (n_labelled, n_markers) of at least two types.
        types: (n_labelled,) their cell types.
        events: (n_events, n_markers).

    Source: Abdelaal et al. 2019, Cytometry A 95(7): it assigns cells of mass cytometry as well as deep networks do.

    Example:
        >>> labelled = np.array([[0.0], [1.0], [9.0], [10.0]], dtype=np.float32)
        >>> assign_types(labelled, np.array(["B", "B", "T", "T"], dtype=object), labelled[::-1]).tolist()
        ['T', 'T', 'B', 'B']
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    # Shrinkage: a marker that no event of a type has makes its covariances singular.
    classifier = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(
        labelled.astype(np.float64), types.astype(str)
    )
    return classifier.predict(events.astype(np.float64)).astype(object)


def fractions_part(model: EditModel, transfer: Transfer, seed: int = 0) -> Part:
    """Compare the fractions of cell types before and after the edit with the truth's.

    A classifier learns the types from the truth's events, and assigns the events before and after the edit, and each
    random half of the truth by the other.

    Args:
        model: Its scaling standardises markers.
        transfer: The comparison, whose cell types are known.
        seed: Halves the truth.

    Raises:
        DataError: Cell types are not known, or the truth has fewer than two with enough events.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.cytometry.stages import example_transfer
        >>> part = fractions_part(example_model(), example_transfer())
        >>> part.tables["fractions"][["cell_type", "label", "edited"]].values.tolist()
        [['B', 0.25, 0.25], ['CD4 T', 0.25, 0.25], ['CD8 T', 0.25, 0.25], ['monocyte', 0.25, 0.25]]
    """
    of_events, of_truth = known_types(transfer)
    names, counts = np.unique(of_truth.astype(str), return_counts=True)
    common = names[counts >= MIN_TYPE_EVENTS]
    if len(common) < 2:
        raise DataError(
            f"comparison {transfer.comparison.name!r}: {len(common)} cell types have {MIN_TYPE_EVENTS} events of the "
            "truth; expected at least two to tell apart. Draw more events, or leave the labels out."
        )
    kept = np.isin(of_truth.astype(str), common)
    types, assigned = of_truth[kept], _assign_stages(model, Stages.of(transfer), of_truth, kept, seed)
    table = _table(common, of_events, types, assigned)
    off = {stage: float((table[stage] - table["truth"]).abs().sum() / 2) for stage in ("before", "edited")}
    own = {stage: float(np.mean(assigned[stage] == of_events)) for stage in ("before", "edited")}
    agreed = float(np.mean(assigned["truth"] == types))
    shown = table.loc[table[["before", "edited", "truth"]].max(axis=1).nlargest(MAX_TYPES).index]
    finding = _read(table, off)
    return Part(
        "fractions",
        "Fractions of cell types",
        "cytometry",
        f"{finding} {_read_own(own, agreed)}{_said_rare({*of_events, *of_truth} - {*common})}",
        {"fractions": table},
        (
            Drawing(
                "fractions",
                lambda: _figure(shown),
                f"Fraction of each cell type before, edited and in the truth. {finding}",
                finding,
            ),
        ),
        finite_scalars(
            {
                "fractions_off_before": off["before"],
                "fractions_off": off["edited"],
                "fractions_own_label": own["edited"],
            }
        ),
        "" if agreed >= TOLD_APART else f"{POORLY} ({agreed:.0%} of the truth's events get their own label).",
    )


def _assign_stages(model: EditModel, stages: Stages, of_truth: Texts, kept: Masks, seed: int) -> dict[str, Texts]:
    """Assign the events of each stage to the types of the truth's ``kept`` events."""
    before, edited, truth = (
        model.scaling.standardise(events) for events in (stages.before, stages.edited, stages.truth[kept])
    )
    types = of_truth[kept]
    return {
        "before": assign_types(truth, types, before),
        "edited": assign_types(truth, types, edited),
        "truth": _assign_halves(truth, types, seed),
    }


def _table(names: Texts, of_events: Texts, of_truth: Texts, assigned: Mapping[str, Texts]) -> pd.DataFrame:
    """A row for each cell type: its share by the events' labels, in each stage as assigned, by the truth's labels."""
    labels = {"label": of_events, **assigned, "truth_label": of_truth}
    shares = {column: [float(np.mean(found == name)) for name in names] for column, found in labels.items()}
    return pd.DataFrame({"cell_type": names, **shares})


def _assign_halves(truth: Float32s, types: Texts, seed: int) -> Texts:
    """Assign each random half of the truth by the other: a classifier flatters the events that it was fitted on."""
    from sklearn.model_selection import StratifiedKFold

    found = types.copy()
    folds = StratifiedKFold(2, shuffle=True, random_state=seed)
    for fitted, assigned in folds.split(truth, types.astype(str)):
        found[assigned] = assign_types(truth[fitted], types[fitted], truth[assigned])
    return found


def _figure(table: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(8, 1.3 + 0.24 * len(table)), layout="constrained")
    axes, heights = figure.subplots(), np.arange(len(table))
    axes.hlines(heights, table["before"], table["edited"], color=GREY, lw=1.2)
    axes.scatter(table["truth"], heights, marker="|", s=150, lw=2, color=BLACK, label="truth", zorder=3)
    axes.scatter(
        table["label"], heights, marker="x", s=26, lw=1.2, color=VERMILLION, label="events' own label", zorder=4
    )
    axes.scatter(table["before"], heights, s=32, facecolor="white", edgecolor=GREY, lw=1.5, label="before", zorder=5)
    axes.scatter(table["edited"], heights, s=32, color=BLUE, label="edited", zorder=6)
    axes.set_yticks(heights, list(table["cell_type"]), fontsize=SMALL)
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel("share of events (a classifier that was fitted on the truth assigns their types)", fontsize=9)
    axes.grid(axis="x", color="#DDDDDD", lw=0.6)
    tidy(axes)
    figure.legend(loc="outside upper right", ncols=4, fontsize=SMALL, frameon=False)
    return figure


def _read(table: pd.DataFrame, off: dict[str, float]) -> str:
    most = table.iloc[int((table["edited"] - table["before"]).abs().argmax())]
    return (
        f"The edit changes the fraction of {most['cell_type']} most: {most['before']:.1%} before, "
        f"{most['edited']:.1%} edited, {most['truth']:.1%} in the truth. All fractions together (half the sum of "
        f"their differences) are {off['before']:.1%} from the truth's before the edit, and {off['edited']:.1%} "
        "after it."
    )


def _read_own(own: dict[str, float], agreed: float) -> str:
    return (
        f"The classifier gives {own['before']:.0%} of the events their own label before the edit and "
        f"{own['edited']:.0%} after it ({agreed:.0%} of the truth's)."
    )


def _said_rare(names: Set[str]) -> str:
    if not names:
        return ""
    return f" No event is assigned to types with fewer than {MIN_TYPE_EVENTS} of the truth: {', '.join(sorted(names))}."
