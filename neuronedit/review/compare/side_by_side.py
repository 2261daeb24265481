"""Two models compared: their differences, and the results of both on the same events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from neuronedit.arrays import Float32s
from neuronedit.cells.panel import Panel
from neuronedit.cells.transforms import common_unit, transform_markers
from neuronedit.edits.baselines import NO_EDIT, QUANTILE_MAP, quantile_map
from neuronedit.errors import ModelError, listing
from neuronedit.measures.distances import DECISIVE, DECISIVE_NAMES, FLOOR
from neuronedit.measures.halves import HalfDistances, halved_distances
from neuronedit.model.edit_model import EditModel
from neuronedit.model.gates import Tone
from neuronedit.review.compare.contender import Contender, differences, gates_of_both, notes
from neuronedit.review.transfer.transfer import HELD_OUT, Comparison
from neuronedit.review.transfer.verdict import Relation, decisive_kind, distance_words, relate


@dataclass(frozen=True)
class SideBySide:
    """The comparison of two models: its tables and notes.

    Attributes:
        names: The names of both.
        decisions: Of both reviews, each with its colour.
        gates: A row for each gate of either: gate, first, second.
        differences: Unlike values by subject (facts, settings, scalars): columns what, first, second.
        methods: A row for each comparison and method: comparison, kind, method, each score of ``metrics.DECISIVE``
            (emd, energy), and the standard error of the second model's score less it (emd_less_error, …).
        markers: A row for each comparison and marker, EMDs to the truth: comparison, kind, marker, before,
            quantile_map, first, second, floor; the marker that the models differ most in first.
        useless: For each comparison, the models that are not better than doing nothing there by both distances.
        notes: Sentences that a reader of the tables must know.
        unit: Of distances.
    """

    names: tuple[str, str]
    decisions: tuple[tuple[str, Tone], tuple[str, Tone]]
    gates: pd.DataFrame
    differences: Mapping[str, pd.DataFrame]
    methods: pd.DataFrame
    markers: pd.DataFrame
    useless: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]
    unit: str

    def relations(self) -> dict[str, Relation]:
        """How the second does beside the first, for each comparison."""
        first, second = self.names
        return {name: relate(scores, second, first) for name, scores in self._by_comparison()}

    def verdicts(self) -> dict[str, str]:
        """For each comparison, how the second does beside the first by each distance, and both beside doing nothing."""
        (first, second), told = self.names, {}
        for name, scores in self._by_comparison():
            words = distance_words(scores, second, first)
            distances = ", ".join(
                f"{metric.title} {scores[metric.name][first]:.3f} → {scores[metric.name][second]:.3f} "
                f"({words[metric.title]})"
                for metric in DECISIVE
            )
            relation = _words(relate(scores, second, first), first)
            told[name] = f"{second} is {relation}: {distances}. {_beside_nothing(self.useless[name], self.names)}"
        return told

    @property
    def headline(self) -> str:
        """How the second does beside the first over the comparisons that count, and where neither is of use."""
        kind, (first, second) = decisive_kind(self.methods), self.names
        relations, decisive = self.relations(), self._decisive()
        found = [relations[name] for name in decisive]
        counts = [f"{_words(relation, first)} on {found.count(relation)}" for relation in dict.fromkeys(found)]
        kinds = "held-out comparison" if kind == HELD_OUT else kind
        neither = [name for name in decisive if len(self.useless[name]) == len(self.names)]
        useless = f" Neither is better than doing nothing on {'; '.join(neither)}." if neither else ""
        return f"Of {len(found)} {kinds}{'s' * (len(found) > 1)}, {second} is {', '.join(counts)}.{useless}"

    @property
    def tone(self) -> Tone:
        """``green`` where the second is better and of use wherever it counts; ``red`` where it is worse."""
        relations, decisive = self.relations(), self._decisive()
        found = {relations[name] for name in decisive}
        if "worse than" in found or all(len(self.useless[name]) == len(self.names) for name in decisive):
            return "red"
        useless = any(self.names[1] in self.useless[name] for name in decisive)
        return "green" if found == {"better than"} and not useless else "amber"

    def _decisive(self) -> list[str]:
        """Names of the comparisons that count: held-out ones, or training pairs where there are none."""
        chosen = self.methods[self.methods["kind"] == decisive_kind(self.methods)]
        return list(map(str, chosen["comparison"].unique()))

    def _by_comparison(self) -> list[tuple[str, pd.DataFrame]]:
        groups = self.methods.groupby("comparison", sort=False)
        return [(str(name), rows.set_index("method")) for name, rows in groups]

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
        >>> from neuronedit.review.compare.contender import example_contenders
        >>> from neuronedit.review.transfer.transfer import example_comparison
        >>> compared = compare_models(*example_contenders(), [example_comparison()], example_model().panel)
        >>> compared.headline
        'Of 1 held-out comparison, two is no different from one on 1.'
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
        (first.decision, second.decision),
        gates_of_both(first, second),
        differences(first, second),
        pd.concat([_method_rows(each, found, second.name) for each, found in measured], ignore_index=True),
        pd.concat([_marker_rows(each, found, shared, models) for each, found in measured], ignore_index=True),
        {each.name: tuple(name for name in models if _useless(found, name)) for each, found in measured},
        tuple(notes(first, second, comparisons, shared)),
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
        rows.append({"method": method, **_scores(found, halves[second], method)})
    return pd.DataFrame(rows).assign(comparison=comparison.name, kind=comparison.kind)


def _marker_rows(
    comparison: Comparison, halves: Mapping[str, HalfDistances], markers: Sequence[str], models: tuple[str, str]
) -> pd.DataFrame:
    columns = {"before": NO_EDIT, "quantile_map": QUANTILE_MAP, "first": models[0], "second": models[1], "floor": FLOOR}
    emds = {column: halves[method].mean.emd for column, method in columns.items()}
    rows = pd.DataFrame({"comparison": comparison.name, "kind": comparison.kind, "marker": markers, **emds})
    apart = (rows["first"] - rows["second"]).abs()
    return rows.loc[apart.sort_values(ascending=False, kind="stable").index]


def _useless(halves: Mapping[str, HalfDistances], name: str) -> bool:
    """Whether a model is not better than doing nothing by both distances."""
    rows = pd.DataFrame({method: _scores(found, halves[name], method) for method, found in halves.items()}).T
    return relate(rows, name, NO_EDIT) != "better than"


def _scores(found: HalfDistances, judged: HalfDistances, method: str) -> dict[str, float]:
    """A method's distances, and the standard errors of the judged one's less these; the floor has none."""
    less = {} if method == FLOOR else judged.less(found).errors
    return {**found.mean.scores, **{f"{name}_less_error": error for name, error in less.items()}}


def _beside_nothing(useless: Sequence[str], names: Sequence[str]) -> str:
    if not useless:
        return "Both are better than doing nothing."
    if len(useless) == len(names):
        return "Neither is better than doing nothing."
    return f"{useless[0]} is not better than doing nothing."


def _words(relation: str, other: str) -> str:
    return f"{relation} {other}" if relation != "mixed against" else f"better than {other} by one distance only"
