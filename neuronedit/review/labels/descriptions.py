"""Populations by description: whether a layer's neurons tell described cells from others without having seen any.

A head for each marker is fitted on the layer's activations without any of the described cells; the description joins
the heads. The joint head should then score the described cells highest.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from neuronedit.arrays import Float64s, Masks, Texts
from neuronedit.errors import DataError, nearest_name
from neuronedit.review.charts import bar_figure
from neuronedit.review.labels.heads import Cells, Described, Heads, Signs, sides
from neuronedit.review.labels.positivity import MIN_SIDE, Positivity
from neuronedit.review.part import Drawing, Part
from neuronedit.review.subject import EditSubject

TYPICAL = 0.8
"""A type is positive, or negative, for a marker if at least this share of its events is."""

GOOD = 0.95
"""AUROC from which a description counts as expressed."""


def parse(text: str, markers: Sequence[str]) -> dict[str, int]:
    """Read the signs of markers from a description such as ``CD3+ CD56-``; commas separate names with blanks.

    Raises:
        DataError: A marker is unknown, or has no sign.

    Example:
        >>> parse("CD3+ CD56-", ("CD3", "CD56"))
        {'CD3': 1, 'CD56': -1}
    """
    signs = {}
    for word in filter(None, re.split(r"\s*,\s*" if "," in text else r"\s+", text.strip())):
        name, sign = word[:-1].strip(), word[-1]
        if name not in markers or sign not in "+-−":
            raise DataError(
                f"Description {text!r}: found {word!r}; expected a marker of the panel and + or -, such as "
                f"'{markers[0]}+'{nearest_name(name, markers)}."
            )
        signs[name] = 1 if sign == "+" else -1
    return signs


def described_cells(signs: Signs, positive: Masks, markers: Sequence[str]) -> Masks:
    """Mark the cells that a description names, by their gates: (n_events, n_markers) → (n_events,) bool.

    Example:
        >>> positive = np.array([[True, False], [True, True]])
        >>> described_cells({"CD3": 1, "CD56": -1}, positive, ("CD3", "CD56")).tolist()
        [True, False]
    """
    columns = [positive[:, markers.index(marker)] == (sign > 0) for marker, sign in signs.items()]
    return np.asarray(np.logical_and.reduce(columns))


def type_signs(
    labels: Texts, positive: Masks, fitted: Masks, gates: Positivity, markers: Sequence[str]
) -> dict[str, Signs]:
    """Describe each type by the markers that nearly all of its cells have, and those that nearly none has.

    Args:
        labels: (n_events,) types.
        positive: (n_events, n_markers) bool, the gates' result.
        fitted: (n_events,) cells that heads are to be fitted on; they must have both sides of a marker.
        gates: Tell which markers have two sides.
        markers: The panel's.

    Example:
        >>> labels, positive = np.repeat(["B", "T"], 10), np.repeat([[False], [True]], 10, axis=0)
        >>> type_signs(labels, positive, np.full(20, True), Positivity(np.zeros(1)), ("CD3",))
        {'B': {'CD3': -1}, 'T': {'CD3': 1}}
    """
    usable = gates.two_sided & (sides(positive[fitted]).min(axis=0) >= MIN_SIDE)
    found: dict[str, Signs] = {}
    for kind in np.unique(labels):
        shares = positive[labels == kind].mean(axis=0)
        typical = usable & ((shares >= TYPICAL) | (shares <= 1 - TYPICAL))
        found[str(kind)] = {
            marker: 1 if share >= TYPICAL else -1
            for marker, share, told in zip(markers, shares, typical, strict=True)
            if told
        }
    return found


def leave_types_out(cells: Cells, column: str) -> tuple[list[Described], Float64s]:
    """Describe each type by its markers, leave it out of the fit, and look for it.

    Returns:
        The result of each type, in the labels' order; and (n_types,) harmonic means of two shares of cells that are
        told right among all types: of the left-out type and of the others; NaN where nothing can be said.

    Raises:
        DataError: There is no such column.

    Source: the harmonic mean is generalised zero-shot learning's, Xian et al. 2018 (arXiv 1707.00600), equation 12.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> found, harmonic = leave_types_out(Cells.from_subject(example_subject(), seed=0), "type")
        >>> {described.name: described.text for described in found}
        {'B': 'CD3− CD4−', 'CD4 T': 'CD3+ CD4+', 'CD8 T': 'CD3+ CD4−', 'monocyte': 'CD3− CD4+'}
    """
    labels = cells.population.label(column).astype(str)
    found, harmonic = [], []
    for name in np.unique(labels):
        left_out = labels == name
        signs = type_signs(labels, cells.positive, ~left_out, cells.gates, cells.markers)
        heads = cells.heads(~left_out)
        described = cells.express(str(name), signs[str(name)], left_out, heads)
        found.append(described)
        harmonic.append(_harmonic_mean(cells, heads, signs, labels, left_out) if described.head else np.nan)
    return found, np.array(harmonic)


def _harmonic_mean(cells: Cells, heads: Heads, signs: Mapping[str, Signs], labels: Texts, left_out: Masks) -> float:
    told = [name for name, own in signs.items() if own]
    scores = [heads.joined(signs[name]).scores(cells.population.activations) for name in told]
    right = np.array(told)[np.argmax(scores, axis=0)] == labels
    unseen, seen = float(right[left_out].mean()), float(right[~left_out].mean())
    return 2 * unseen * seen / (unseen + seen) if unseen + seen > 0 else 0.0


def descriptions_part(
    subject: EditSubject, column: str | None = None, descriptions: Mapping[str, str] | None = None, seed: int = 0
) -> Part:
    """Row 7: can this layer express the population that is described?

    Args:
        subject: Gives all populations.
        column: The label of cell types, each of which is described by its markers and left out; None: none is.
        descriptions: Texts such as ``CD3+ CD56-``, by name; the described cells are left out of the fit.
        seed: Draws events for the gates.

    Raises:
        DataError: A description names an unknown marker, or not all populations have the column.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> part = descriptions_part(example_subject(), descriptions={"helpers": "CD3+ CD4+"})
        >>> part.tables["descriptions"][["population", "description", "events"]].values.tolist()
        [['helpers', 'CD3+ CD4+', 300]]
    """
    cells = Cells.from_subject(subject, seed)
    found, harmonic = leave_types_out(cells, column) if column else ([], np.empty(0))
    for name, text in (descriptions or {}).items():
        signs = parse(text, cells.markers)
        found.append(cells.express(name, signs, described_cells(signs, cells.positive, cells.markers)))
    harmonic = np.append(harmonic, np.full(len(found) - len(harmonic), np.nan))
    table = _table(found, harmonic, subject.neuron_names)
    bars = table.set_index("population")[["auroc"]]
    drawing = Drawing(
        "descriptions",
        lambda: bar_figure(bars, "AUROC of the described cells, left out of the fit", {"good": GOOD, "chance": 0.5}),
        "Bars: how well the layer tells each described population without having been shown it",
        _read(table),
    )
    return Part(
        "descriptions",
        "Populations by description",
        "neurons",
        _read(table),
        {"descriptions": table},
        (drawing,) if len(table) else (),
        {"described_auroc": float(table["auroc"].min())} if table["auroc"].notna().any() else {},
    )


def _table(found: Sequence[Described], harmonic: Float64s, names: Sequence[str]) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for described, mean in zip(found, harmonic, strict=True):
        leading = list(np.argsort(-np.abs(described.head.importance))[:3]) if described.head else []
        rows.append(
            {
                "population": described.name,
                "description": described.text,
                "events": described.n_events,
                "auroc": described.auroc,
                "harmonic_mean": mean,
                "leading_neurons": ", ".join(names[number] if names else str(number) for number in leading),
                "reason": described.reason,
            }
        )
    columns = ["population", "description", "events", "auroc", "harmonic_mean", "leading_neurons", "reason"]
    return pd.DataFrame(rows, columns=columns)


def _read(table: pd.DataFrame) -> str:
    told = table[table["auroc"].notna()]
    if told.empty:
        return f"Nothing can be said of {len(table)} described populations."
    worst = told.iloc[int(told["auroc"].argmin())]
    silent = f"; of {len(table) - len(told)} nothing can be said" if len(table) > len(told) else ""
    return (
        f"The layer expresses {int((told['auroc'] >= GOOD).sum())} of {len(told)} described populations that it was "
        f"not fitted on (AUROC at least {GOOD}), least of all {worst['population']} ({worst['auroc']:.3f}){silent}."
    )
