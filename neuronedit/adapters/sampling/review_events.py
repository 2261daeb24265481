"""Events of a review, drawn from a dataset: training pairs, and held-out samples with measured truth."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neuronedit.adapters.files.dataset import EventDataset
from neuronedit.adapters.sampling.populations import draw_populations
from neuronedit.arrays import Float32s
from neuronedit.cells.design import ControlsDesign, Design, EditPair, PairDesign
from neuronedit.cells.draw import DrawnPopulations, SampleConfig
from neuronedit.cells.panel import Panel
from neuronedit.cells.selection import Where, describe
from neuronedit.errors import ConfigError, DataError, listing, nearest_name
from neuronedit.model.edit_model import EditModel
from neuronedit.review.neurons.context import LabelColumns
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

    @property
    def populations(self) -> dict[str, Float32s]:
        """All populations by name, (n_events, n_markers) raw intensities: the design's, and those held out."""
        held_out = self.held_out.intensities if self.held_out else {}
        return {**self.drawn.intensities, **{f"{name}, held out": each for name, each in held_out.items()}}

    def most_moving(self, model: EditModel) -> str:
        """The edit with the largest distance from its source to its target."""
        return max(self.pairs, key=lambda name: model.get_edit(name).support.effect)

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

    def to_judge(self, design: Design, populations: Mapping[str, Float32s]) -> dict[str, Float32s]:
        """Leave out the populations that a design names to be edited where these very events are held out.

        Args:
            design: The model's.
            populations: All of the design, by name.
        """
        named = self.controls if isinstance(design, ControlsDesign) else self.source
        measured = bool(named) and named == design.extrapolation
        return {name: each for name, each in populations.items() if not (measured and name.startswith("extrapolation"))}

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
    labels: LabelColumns | None = None,
) -> ReviewEvents:
    """Draw the model's training pairs and, where the configuration names them, held-out comparisons.

    Args:
        model: The model, whose design chooses the events.
        dataset: The dataset of these events.
        held_out: The samples that are held out.
        sample: Number of events and seed.
        panel: The markers to draw; by default the model's.
        labels: Columns that say something of an event, to read beside the markers; by default none.

    Raises:
        DataError: A population has too few events in this dataset.
        ConfigError: The choice of held-out samples does not fit the model's design, or its edits were fitted on them.
    """
    held_out_design = held_out.design(model.design)
    panel, labels = panel or model.panel, labels or LabelColumns()
    cell_type = labels.cell_type
    drawn = draw_populations(dataset, panel, model.design, sample, labels.names)
    pairs = {pair.name: pair for pair in model.design.edits(drawn.counts) if pair.name in model.edits}
    comparisons = [
        _comparison(
            _title(pair, model.design),
            TRAINING_PAIR,
            name,
            *_sides(drawn, pair),
            *_sides(drawn, pair),
            cell_type,
            _cells(pair, model.design, model.design),
        )
        for name, pair in pairs.items()
    ]
    if held_out_design is None:
        return ReviewEvents(pairs, drawn, {}, None, comparisons)
    others = draw_populations(dataset, panel, held_out_design, sample, labels.names)
    try:
        held_out_pairs = {pair.name: pair for pair in held_out_design.edits(others.counts) if pair.name in pairs}
    except DataError as error:
        raise DataError(f"held-out events: {error}") from error
    _check_unseen(drawn, pairs, others, held_out_pairs)
    comparisons += [
        _comparison(
            _title(pair, held_out_design),
            HELD_OUT,
            name,
            *_sides(drawn, pairs[name]),
            *_sides(others, pair),
            cell_type,
            _cells(pair, held_out_design, model.design),
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
    """Name a comparison by its events, e.g. ``day2 → day1, role = control`` or ``drug = no → yes, cell_type = nk``."""
    if isinstance(design, ControlsDesign):
        return f"{pair.name} → {design.reference}, {describe(design.control)}"
    source, target = (_unlike(*sides) for sides in ((design.source, design.target), (design.target, design.source)))
    both = {column: value for column, value in design.source.items() if column not in source}
    led_to = describe(target)
    if source.keys() == target.keys() and len(source) == 1:
        led_to = led_to.removeprefix(f"{next(iter(source))} = ")
    return f"{describe(source)} → {led_to}{f', {describe(both)}' if both else ''}"


def _cells(pair: EditPair, design: Design, learned: Design) -> str:
    """Name the events to be edited, e.g. ``cell_type = igm+`` or ``day2 (role = control)``.

    Of a pair design's, the columns are named by which they differ from those that the edit was learned on.
    """
    if isinstance(design, ControlsDesign):
        return f"{pair.name} ({describe(design.control)})"
    assert isinstance(learned, PairDesign)
    return describe(_unlike(design.source, learned.source) or design.source)


def _unlike(where: Where, other: Where) -> Where:
    """The columns of a choice that another has not, or with other values."""
    return {column: value for column, value in where.items() if other.get(column) != value}


def _comparison(
    name: str,
    kind: Kind,
    edit: str,
    source: LabelledEvents,
    target: LabelledEvents,
    events: LabelledEvents,
    truth: LabelledEvents,
    cell_type: str | None,
    cells: str,
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
        cells,
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
