"""Events of a review, drawn from a dataset: training pairs, and held-out samples with measured truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neuronedit.adapters.files.dataset import EventDataset
from neuronedit.adapters.sampling.populations import draw_populations
from neuronedit.arrays import Texts
from neuronedit.cells.design import ControlsDesign, Design, EditPair
from neuronedit.cells.draw import DrawnPopulations, SampleConfig
from neuronedit.cells.panel import Panel
from neuronedit.cells.selection import Where, describe
from neuronedit.errors import ConfigError, DataError, listing, nearest_name
from neuronedit.model.edit_model import EditModel
from neuronedit.review.subject import EditSubject, LabelledEvents
from neuronedit.review.transfer.transfer import HELD_OUT, TRAINING_PAIR, Comparison, Kind


@dataclass(frozen=True)
class ReviewEvents:
    """The events of a review.

    Attributes:
        pairs: The model's training pairs, by edit.
        drawn: All populations of the model's design.
        held_out_pairs: Pairs of samples that were measured before and after, by edit; empty where none is named.
        held_out: Their populations.
        comparisons: Those of the training pairs, then those of the held-out ones.
    """

    pairs: Mapping[str, EditPair]
    drawn: DrawnPopulations
    held_out_pairs: Mapping[str, EditPair]
    held_out: DrawnPopulations | None
    comparisons: list[Comparison]

    def most_moving(self, model: EditModel) -> str:
        """The edit with the largest distance from its source to its target."""
        return max(self.pairs, key=lambda name: model.get_edit(name).support.effect)

    def pair_labels(self, column: str | None) -> dict[str, tuple[Texts, Texts]]:
        """Labels of the source's and the target's events in a column, by edit, in the comparisons' order."""
        if column is None:
            return {}
        sides = {name: _sides(self.drawn, pair) for name, pair in self.pairs.items()}
        return {name: (source.labels[column], target.labels[column]) for name, (source, target) in sides.items()}

    def subject(self, model: EditModel, edit: str) -> EditSubject:
        """The subject of an edit's review: source, target, and all drawn events that it is to be applied to.

        Raises:
            ConfigError: The dataset has no events of that edit.
        """
        if edit not in self.pairs:
            raise ConfigError(
                f"edits: the model has no edit {edit!r} with events in this dataset (edits: {listing(self.pairs)}"
                f"{nearest_name(edit, self.pairs)}). Correct the name."
            )
        pair = self.pairs[edit]
        others = {
            name: LabelledEvents(self.drawn.intensities[name], self.drawn.labels[name])
            for name in ("extrapolation", f"extrapolation {edit}")
            if len(self.drawn.intensities.get(name, ()))
        }
        if self.held_out is not None and edit in self.held_out_pairs:
            others["held out"] = _pooled(self.held_out, self.held_out_pairs[edit].source)
        source, target = _sides(self.drawn, pair)
        return EditSubject.from_model(model, edit, source, target, others)


@dataclass(frozen=True)
class HeldOut:
    """Column values of samples with measured truth that no edit was fitted to; empty where there are none.

    Attributes:
        controls: Controls designs: samples measured in every batch.
        source: Pair designs: untreated events to apply the edit to.
        target: Pair designs: their measured treated counterpart.
    """

    controls: Where
    source: Where
    target: Where

    def design(self, design: Design) -> Design | None:
        """The design that puts held-out samples in the place of a model's own; None where none are named.

        Raises:
            ConfigError: They are not of the kind that the model's design has.
        """
        sides = (self.source, self.target)
        if isinstance(design, ControlsDesign):
            if any(sides):
                raise ConfigError(
                    "held_out_source and held_out_target are for pair designs; this model has a controls design. "
                    "Set held_out to the column values of samples that were measured in every batch."
                )
            return design.model_copy(update={"control": self.controls, "extrapolation": {}}) if self.controls else None
        if self.controls or any(sides) != all(sides):
            raise ConfigError(
                "this model has a pair design: set both held_out_source (events to edit) and held_out_target (their "
                "measured counterpart), or neither; held_out is for controls designs."
            )
        update = {"source": self.source, "target": self.target, "extrapolation": {}}
        return design.model_copy(update=update) if all(sides) else None


def draw_review(
    model: EditModel,
    dataset: EventDataset,
    held_out: HeldOut,
    sample: SampleConfig,
    panel: Panel | None = None,
    label_columns: Sequence[str] = (),
    cell_type: str | None = None,
) -> ReviewEvents:
    """Draw the model's training pairs and, where the configuration names them, held-out comparisons.

    Args:
        model: The model, whose design chooses the events.
        dataset: The dataset of these events.
        held_out: The samples that are held out.
        sample: Number of events and seed.
        panel: The markers to draw; by default the model's.
        label_columns: Columns with labels of an event, to read beside the markers.
        cell_type: The one of them that names an event's cell type, for the comparisons; None where there is none.

    Raises:
        DataError: A population has too few events in this dataset.
        ConfigError: The choice of held-out samples does not fit the model's design, or its edits were fitted on them.
    """
    held_out_design = held_out.design(model.design)
    panel = panel or model.panel
    drawn = draw_populations(dataset, panel, model.design, sample, label_columns)
    pairs = {pair.name: pair for pair in model.design.edits(drawn.counts) if pair.name in model.edits}
    comparisons = [
        _comparison(
            _title(pair, model.design), TRAINING_PAIR, name, *_sides(drawn, pair), *_sides(drawn, pair), cell_type
        )
        for name, pair in pairs.items()
    ]
    if held_out_design is None:
        return ReviewEvents(pairs, drawn, {}, None, comparisons)
    others = draw_populations(dataset, panel, held_out_design, sample, label_columns)
    try:
        held_out_pairs = {pair.name: pair for pair in held_out_design.edits(others.counts) if pair.name in pairs}
    except DataError as error:
        raise DataError(f"held-out events: {error}") from error
    _check_unseen(drawn, pairs, others, held_out_pairs)
    comparisons += [
        _comparison(
            _title(pair, held_out_design), HELD_OUT, name, *_sides(drawn, pairs[name]), *_sides(others, pair), cell_type
        )
        for name, pair in held_out_pairs.items()
    ]
    return ReviewEvents(pairs, drawn, held_out_pairs, others, comparisons)


def _check_unseen(
    drawn: DrawnPopulations,
    pairs: Mapping[str, EditPair],
    others: DrawnPopulations,
    held_out_pairs: Mapping[str, EditPair],
) -> None:
    """Check that no held-out event is one that its edit was fitted on: it would measure nothing."""
    for name, pair in held_out_pairs.items():
        learned = np.concatenate([drawn.priorities[of] for of in (*pairs[name].source, *pairs[name].target)])
        for population in (*pair.source, *pair.target):
            seen = int(np.isin(others.priorities[population], learned).sum())  # each event has a priority of its own
            if seen:
                raise ConfigError(
                    f"held-out events: {seen} of {len(others.priorities[population])} of the {population!r} to hold "
                    f"out are among those that the edit {name!r} was fitted on; expected samples that it has not seen. "
                    "Correct their column values, or train without them."
                )


def _title(pair: EditPair, design: Design) -> str:
    """Name a comparison by its events, e.g. ``day2 → day1, role = control``."""
    if isinstance(design, ControlsDesign):
        return f"{pair.name} → {design.reference}, {describe(design.control)}"
    return f"{describe(design.source)} → {describe(design.target)}"


def _comparison(
    name: str,
    kind: Kind,
    edit: str,
    source: LabelledEvents,
    target: LabelledEvents,
    events: LabelledEvents,
    truth: LabelledEvents,
    cell_type: str | None,
) -> Comparison:
    return Comparison(
        name,
        kind,
        edit,
        source.intensities,
        target.intensities,
        events.intensities,
        truth.intensities,
        events.labels[cell_type] if cell_type else None,
        truth.labels[cell_type] if cell_type else None,
    )


def _sides(drawn: DrawnPopulations, pair: EditPair) -> tuple[LabelledEvents, LabelledEvents]:
    return _pooled(drawn, pair.source), _pooled(drawn, pair.target)


def _pooled(drawn: DrawnPopulations, names: tuple[str, ...]) -> LabelledEvents:
    """Pool equally many events of each population, so that none of them is repeated."""
    smallest = min(len(drawn.intensities[name]) for name in names)
    intensities = np.concatenate([drawn.intensities[name][:smallest] for name in names]).astype(np.float32)
    labels = [drawn.labels[name] for name in names]
    columns = {column: np.concatenate([each[column][:smallest] for each in labels]) for column in labels[0]}
    return LabelledEvents(intensities, columns)
