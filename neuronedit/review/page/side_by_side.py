"""Two models compared: their differences, and the results of both on the same events.

A comparison of two models as one self-contained HTML file, and as a folder with its tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuronedit.arrays import Float32s
from neuronedit.cells.panel import Panel
from neuronedit.cells.tables import write_csv
from neuronedit.cells.transforms import common_unit, transform_markers
from neuronedit.edits.baselines import NO_EDIT, QUANTILE_MAP, quantile_map
from neuronedit.errors import ModelError, listing
from neuronedit.measures.distances import DECISIVE_NAMES, FLOOR, Distance, distance_to_truth, noise_floor
from neuronedit.model.edit_model import EditModel
from neuronedit.review.charts import BLUE, GREY, ORANGE
from neuronedit.review.page.html import page_template
from neuronedit.review.page.model_facts import model_facts
from neuronedit.review.page.transfer import HELD_OUT, Comparison
from neuronedit.review.page.verdict import changes, relate
from neuronedit.review.part import Drawing


@dataclass(frozen=True)
class Contender:
    """One of the two models, with the facts of its registry and its run.

    Attributes:
        name: ``models:/NAME/VERSION`` or a folder.
        model: Loaded.
        settings: Settings of its training, by ``section.key``; empty where they are not known.
        gates: Each gate's text; empty where it was not reviewed.
        scalars: Numbers of its review; empty where it was not reviewed.
    """

    name: str
    model: EditModel
    settings: Mapping[str, str]
    gates: Mapping[str, str]
    scalars: Mapping[str, float]


@dataclass(frozen=True)
class SideBySide:
    """The comparison of two models: its tables and notes.

    Attributes:
        names: The names of both.
        differences: Unlike values by subject (facts, settings, gates, scalars): columns what, first, second.
        methods: A row for each comparison and method: comparison, kind, method, and each score of
            ``metrics.DECISIVE`` (emd, energy).
        markers: A row for each comparison and marker, EMDs to the truth: comparison, kind, marker, before,
            quantile_map, first, second, floor; the marker that the models differ most in first.
        notes: Sentences that a reader of the tables must know.
        unit: Of distances.
    """

    names: tuple[str, str]
    differences: Mapping[str, pd.DataFrame]
    methods: pd.DataFrame
    markers: pd.DataFrame
    notes: tuple[str, ...]
    unit: str

    def verdicts(self) -> dict[str, str]:
        """One sentence for each comparison: how the second does beside the first."""
        first, second = self.names
        told = {}
        for comparison, rows in self.methods.groupby("comparison", sort=False):
            scores = rows.set_index("method")[DECISIVE_NAMES].astype(float)
            relation = _words(relate(scores, second, first), first)
            told[str(comparison)] = f"{second} is {relation} ({changes(scores, first, second)})."
        return told

    def scalars(self) -> dict[str, float]:
        """Means over the held-out comparisons, or over the training pairs where there is none, for MLflow."""
        held_out = self.methods[self.methods["kind"] == HELD_OUT]
        means = (self.methods if held_out.empty else held_out).groupby("method")[DECISIVE_NAMES].mean()
        roles = {"first": self.names[0], "second": self.names[1], "no_edit": NO_EDIT, "floor": FLOOR}
        return {
            f"{score}_{role}": float(means[score][name]) for role, name in roles.items() for score in DECISIVE_NAMES
        }


def joint_panel(first: Panel, second: Panel) -> Panel:
    """The first panel's markers, then those that the second has besides."""
    own = dict(zip(first.markers, first.transforms, strict=True))
    further = zip(second.markers, second.transforms, strict=True)
    joint = own | {marker: transform for marker, transform in further if marker not in own}
    return Panel(list(joint), list(joint.values()))


def compare_models(
    first: Contender, second: Contender, comparisons: Sequence[Comparison], panel: Panel, seed: int = 0
) -> SideBySide:
    """Apply both models to the same events, and list their differences.

    Args:
        first: The model whose design chose the events.
        second: The other.
        comparisons: Events with their truth; those of edits that only one model has are left out.
        panel: The comparisons' columns: the markers of both models. Distances are on those that both have,
            in transformed units of the panel's transforms.
        seed: Halves the truth and draws events.

    Raises:
        ModelError: It is the same model twice, or they share no marker or no edit.
    """
    shared = _shared_markers(first, second)
    both = [each for each in comparisons if each.edit in first.model.edits and each.edit in second.model.edits]
    if not both:
        raise ModelError(
            f"{first.name} and {second.name} share no edit that could be compared: edits {listing(first.model.edits)} "
            f"and {listing(second.model.edits)}. Compare models of the same design."
        )
    measured = [_measure(first, second, each, panel, shared, seed) for each in both]
    return SideBySide(
        (first.name, second.name),
        _differences(first, second),
        pd.concat([_method_rows(each, found) for each, found in zip(both, measured, strict=True)], ignore_index=True),
        pd.concat(
            [
                _marker_rows(each, found, shared, first.name, second.name)
                for each, found in zip(both, measured, strict=True)
            ],
            ignore_index=True,
        ),
        tuple(_notes(first, second, comparisons, shared)),
        common_unit(panel.transforms[panel.markers.index(marker)] for marker in shared),
    )


def _shared_markers(first: Contender, second: Contender) -> list[str]:
    if first.name == second.name:
        raise ModelError(f"{first.name} is compared with itself. Name two models.")
    shared = [marker for marker in first.model.panel.markers if marker in second.model.panel.markers]
    if not shared:
        raise ModelError(
            f"{first.name} and {second.name} share no marker: {listing(first.model.panel.markers)} and "
            f"{listing(second.model.panel.markers)}. Compare models of the same panel."
        )
    return shared


def _measure(
    first: Contender, second: Contender, comparison: Comparison, panel: Panel, shared: Sequence[str], seed: int
) -> dict[str, Distance]:
    """Distances to the truth by method, the noise floor last."""
    columns = [panel.markers.index(marker) for marker in shared]
    transforms = [panel.transforms[column] for column in columns]
    source, target, events, truth = (
        transform_markers(population[:, columns], transforms)
        for population in (comparison.source, comparison.target, comparison.events, comparison.truth)
    )
    predictions = {NO_EDIT: events, QUANTILE_MAP: quantile_map(source, target, events)}
    for each in (first, second):
        edited = _edited(each.model, comparison, panel, shared)
        predictions[each.name] = transform_markers(edited, transforms)
    distances = {name: distance_to_truth(predicted, truth, seed) for name, predicted in predictions.items()}
    return distances | {FLOOR: noise_floor(truth, seed)}


def _edited(model: EditModel, comparison: Comparison, panel: Panel, shared: Sequence[str]) -> Float32s:
    """Edit the events with one model: → (n_events, n_shared) raw intensities."""
    own = [panel.markers.index(marker) for marker in model.panel.markers]
    edited = model.apply(comparison.events[:, own], comparison.edit)
    return edited[:, [model.panel.markers.index(marker) for marker in shared]]


def _method_rows(comparison: Comparison, distances: Mapping[str, Distance]) -> pd.DataFrame:
    rows = [
        {"comparison": comparison.name, "kind": comparison.kind, "method": method, **distance.scores}
        for method, distance in distances.items()
    ]
    return pd.DataFrame(rows)


def _marker_rows(
    comparison: Comparison, distances: Mapping[str, Distance], markers: Sequence[str], first: str, second: str
) -> pd.DataFrame:
    columns = {"before": NO_EDIT, "quantile_map": QUANTILE_MAP, "first": first, "second": second, "floor": FLOOR}
    emds = {column: distances[method].emd for column, method in columns.items()}
    rows = pd.DataFrame({"comparison": comparison.name, "kind": comparison.kind, "marker": markers, **emds})
    apart = (rows["first"] - rows["second"]).abs()
    return rows.loc[apart.sort_values(ascending=False, kind="stable").index]


def _differences(first: Contender, second: Contender) -> dict[str, pd.DataFrame]:
    subjects = {
        "facts": (model_facts(first.model), model_facts(second.model)),
        "settings": (first.settings, second.settings),
        "gates": (first.gates, second.gates),
        "scalars": (first.scalars, second.scalars),
    }
    return {subject: _unlike(*pair) for subject, pair in subjects.items()}


def _unlike(first: Mapping[str, object], second: Mapping[str, object]) -> pd.DataFrame:
    rows = [
        {"what": what, "first": first.get(what), "second": second.get(what)}
        for what in dict.fromkeys([*first, *second])
        if first.get(what) != second.get(what)
    ]
    return pd.DataFrame(rows, columns=["what", "first", "second"])


def _notes(first: Contender, second: Contender, comparisons: Sequence[Comparison], shared: Sequence[str]) -> list[str]:
    notes = []
    only = [
        f"{marker} ({each.name})"
        for each, other in ((first, second), (second, first))
        for marker in each.model.panel.markers
        if marker not in other.model.panel.markers
    ]
    if only:
        notes.append(f"Distances are on the {len(shared)} markers that both models have, without {', '.join(only)}.")
    edits = sorted({each.edit for each in comparisons if each.edit not in second.model.edits})
    if edits:
        notes.append(f"{second.name} has no edit for {', '.join(edits)}: not compared.")
    if first.model.design != second.model.design:
        notes.append(
            f"The designs differ. The events are those that {first.name}'s design chooses: a training pair is one of "
            f"{first.name}, and may be new to {second.name}."
        )
    return notes


def _words(relation: str, other: str) -> str:
    return f"{relation} {other}" if relation != "mixed against" else f"better than {other} by one distance only"


COMPARE_PAGE = "compare.html"

SUBJECTS = {
    "facts": "The models",
    "settings": "Settings of their training",
    "gates": "Gates",
    "scalars": "Numbers of their reviews",
}


def render_comparison(compared: SideBySide) -> str:
    """Render the page: the second model beside the first on the same events, by marker, and their differences."""
    return page_template("compare.html.j2").render(
        compared=compared,
        verdicts=compared.verdicts(),
        sections=[
            (str(name), rows, compared.markers[compared.markers["comparison"] == name], _drawing(compared, str(name)))
            for name, rows in compared.methods.groupby("comparison", sort=False)
        ],
        subjects=SUBJECTS,
    )


def write_comparison(compared: SideBySide, folder: Path) -> None:
    """Write ``compare.html`` and the tables as CSV into an existing folder."""
    (folder / COMPARE_PAGE).write_text(render_comparison(compared), encoding="utf-8")
    tables = {"methods": compared.methods, "markers": compared.markers, **compared.differences}
    for name, table in tables.items():
        write_csv(table, folder / f"{name}.csv")


def _drawing(compared: SideBySide, comparison: str) -> Drawing:
    rows = compared.markers[compared.markers["comparison"] == comparison]
    furthest = rows.iloc[0]
    nearer = int((rows["second"] < rows["first"]).sum())
    return Drawing(
        "markers",
        lambda: side_by_side_figure(rows, compared.names, compared.unit),
        f"Dots: every marker's EMD to the truth by both models, {comparison}",
        f"{compared.names[1]} is nearer to the truth on {nearer} of {len(rows)} markers; the models differ most on "
        f"{furthest['marker']} ({furthest['first']:.3f} and {furthest['second']:.3f}).",
    )


def side_by_side_figure(rows: pd.DataFrame, names: tuple[str, str], unit: str) -> Figure:
    """Draw each marker's EMD without edit, by either model, and its noise floor, from one comparison's rows."""
    figure = Figure(figsize=(8, 1.2 + 0.22 * len(rows)), layout="constrained")
    axes = figure.subplots()
    heights = np.arange(len(rows))[::-1]
    axes.hlines(heights, rows["first"], rows["second"], color=GREY, lw=1)
    axes.plot(rows["before"], heights, "|", color=ORANGE, ms=9, label="without edit")
    axes.plot(rows["floor"], heights, "|", color="black", ms=9, label="noise floor")
    axes.plot(rows["first"], heights, "o", color="white", mec=GREY, ms=6, label=names[0])
    axes.plot(rows["second"], heights, "o", color=BLUE, ms=5, label=names[1])
    axes.set_yticks(heights, list(rows["marker"]), fontsize=8)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"EMD to the measured truth, {unit}", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return figure
