"""Two models compared: their differences, and the results of both on the same events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from neuronedit.arrays import Float32s
from neuronedit.cells.panel import Panel
from neuronedit.cells.transforms import common_unit, transform_markers
from neuronedit.edits.baselines import NO_EDIT, QUANTILE_MAP, quantile_map
from neuronedit.errors import ModelError, listing
from neuronedit.measures.distances import DECISIVE_NAMES, FLOOR
from neuronedit.measures.halves import HalfDistances, halved_distances
from neuronedit.model.edit_model import EditModel
from neuronedit.review.page.model_facts import model_facts
from neuronedit.review.transfer.transfer import HELD_OUT, Comparison
from neuronedit.review.transfer.verdict import changes, relate


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
        methods: A row for each comparison and method: comparison, kind, method, each score of ``metrics.DECISIVE``
            (emd, energy), and the standard error of the second model's score less it (emd_less_error, …).
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
            scores = rows.set_index("method")
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
    """The first panel's markers, then those that the second has besides.

    Example:
        >>> joint = joint_panel(Panel(("CD3", "CD4"), (5.0, 5.0)), Panel(("CD4", "CD8"), (150.0, 150.0)))
        >>> joint.markers, [transform.cofactor for transform in joint.transforms]
        (('CD3', 'CD4', 'CD8'), [5.0, 5.0, 150.0])
    """
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

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.transfer.transfer import example_comparison
        >>> models = (Contender(name, example_model(), {}, {}, {}) for name in ("models:/pair/1", "models:/pair/2"))
        >>> compare_models(*models, [example_comparison()], example_model().panel).verdicts()
        {'other cells': 'models:/pair/2 is no different from models:/pair/1 (EMD ...
    """
    shared = _shared_markers(first, second)
    both = [each for each in comparisons if each.edit in first.model.edits and each.edit in second.model.edits]
    if not both:
        raise ModelError(
            f"{first.name} and {second.name} share no edit that could be compared: edits {listing(first.model.edits)} "
            f"and {listing(second.model.edits)}. Compare models of the same design."
        )
    models = (first.name, second.name)
    measured = [(each, _measure(first, second, each, panel, shared, seed)) for each in both]
    return SideBySide(
        models,
        _differences(first, second),
        pd.concat([_method_rows(each, found, second.name) for each, found in measured], ignore_index=True),
        pd.concat([_marker_rows(each, found, shared, models) for each, found in measured], ignore_index=True),
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
) -> dict[str, HalfDistances]:
    """Distances to the truth on halves by method, the noise floor last."""
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
    return halved_distances(predictions, truth, seed)


def _edited(model: EditModel, comparison: Comparison, panel: Panel, shared: Sequence[str]) -> Float32s:
    """Edit the events with one model: → (n_events, n_shared) raw intensities."""
    own = [panel.markers.index(marker) for marker in model.panel.markers]
    edited = model.apply(comparison.events[:, own], comparison.edit)
    return edited[:, [model.panel.markers.index(marker) for marker in shared]]


def _method_rows(comparison: Comparison, halves: Mapping[str, HalfDistances], second: str) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for method, found in halves.items():
        less = {} if method == FLOOR else halves[second].less(found).errors
        errors = {f"{name}_less_error": error for name, error in less.items()}
        rows.append({"method": method, **found.mean.scores, **errors})
    return pd.DataFrame(rows).assign(comparison=comparison.name, kind=comparison.kind)


def _marker_rows(
    comparison: Comparison, halves: Mapping[str, HalfDistances], markers: Sequence[str], models: tuple[str, str]
) -> pd.DataFrame:
    columns = {"before": NO_EDIT, "quantile_map": QUANTILE_MAP, "first": models[0], "second": models[1], "floor": FLOOR}
    emds = {column: halves[method].mean.emd for column, method in columns.items()}
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
