"""Update of a model: edits of new batches are added, and its other edits change as little as possible."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from pydantic import Field, PositiveInt

import neuronedit
from neuronedit.arrays import Float32s
from neuronedit.cells.design import ControlsDesign, EditPair
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.cells.selection import describe
from neuronedit.config import Config
from neuronedit.errors import DataError, ModelError, listing
from neuronedit.fitting.drift import EditDrift, Familiarity, edit_drift, reconstruction_error
from neuronedit.fitting.edits import EditFitting, fit_edits
from neuronedit.fitting.evidence import judge_edits
from neuronedit.fitting.fit import validation_losses
from neuronedit.fitting.prepare import Prepared, judge_markers, pair_events, with_inverses
from neuronedit.fitting.record import TrainingRecord, population_records
from neuronedit.fitting.train import RunAll, TrainedNetwork, one_after_another
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Autoencoder
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.state import EpochLosses
from neuronedit.network.training import continue_training

log = logging.getLogger(__name__)

DRIFT_EVENTS = 5_000
"""Largest number of events of an old source on which drift is measured."""

TRAINING_REMEDY = "No model was registered: run again, or lower replay.events_per_population if memory ran out."


class ReplayConfig(Config):
    """When and how the autoencoders learn new events."""

    above: float = Field(
        2.0,
        ge=0,
        description="retrain where the reconstruction error of a new population is more than this many times that of "
        "events held out of the populations that the parent was trained on; 0: always",
    )
    epochs: PositiveInt = Field(20, description="of training on, from the parent's weights, by the parent's plan")
    events_per_population: PositiveInt = Field(
        5_000, description="old events replayed beside the new ones, at most, of each population"
    )


@dataclass(frozen=True)
class Update:
    """A model with the edits of new batches.

    Attributes:
        model: The model with all edits, old and new.
        familiarity: How well the parent's autoencoders reconstruct the new events.
        drifts: The drift of each old edit.
        losses: Losses of the first autoencoder's continued training, by epoch; empty if it was not trained.
        drawn: The populations, old and new.
        new: The names of the new populations.
    """

    model: EditModel
    familiarity: Familiarity
    drifts: tuple[EditDrift, ...]
    losses: tuple[EpochLosses, ...]
    drawn: DrawnPopulations
    new: frozenset[str]

    @property
    def retrained(self) -> bool:
        """Whether the autoencoders learned the new events."""
        return bool(self.losses)

    @property
    def worst_drift(self) -> EditDrift:
        """The drift of the old edit that drifted most."""
        return max(self.drifts, key=lambda drift: drift.relative)

    @property
    def sentence(self) -> str:
        """The decision and the drift, for a person."""
        if not self.retrained:
            return f"{self.familiarity.sentence}; no weight and no old edit has changed"
        worst = self.worst_drift
        share = (
            f"by {worst.relative:.0%} of their own change at most" if np.isfinite(worst.relative) else "without bound"
        )
        return f"{self.familiarity.sentence}; retrained with replay: old edits drifted {share} ({worst.edit!r})"

    def drawn_from(self, data: Mapping[str, Any], parent: Mapping[str, Any]) -> "Update":
        """Record facts of the new events' dataset, its ``uri`` among them, and of the parent in the model's facts."""
        known = self.model.facts["populations"]
        records = population_records(self.drawn.select(self.new).intensities, data["uri"])
        populations = known | {name: record.model_dump(mode="json") for name, record in records.items()}
        facts = {**self.model.facts, "data": dict(data), "parent": dict(parent), "populations": populations}
        return replace(self, model=replace(self.model, facts=facts))


def update_model(
    model: EditModel,
    name: str,
    old: DrawnPopulations,
    new: DrawnPopulations,
    replay: ReplayConfig | None = None,
    run_all: RunAll = one_after_another,
) -> Update:
    """Fit edits for batches that a model does not know.

    Autoencoders that reconstruct the new events well stay as they are. Others are trained on, with old events replayed,
    and old edits are fitted again by the plans that were chosen for them. Panel, scaling and targets never change.

    Args:
        model: A model of a controls design.
        name: The model's name, for messages.
        old: The populations that it was trained on.
        new: Those of the new batches.
        replay: The condition and settings of training on.
        run_all: Runs tasks, one for each autoencoder and edit.

    Raises:
        ModelError: The model has no controls design, or does not tell how it was trained.

    Example:
        >>> from neuronedit.model.example import example_batches, example_cells
        >>> days = [{f"control day{number}": example_cells(number, treated=number - 1)} for number in (1, 2, 3)]
        >>> drawn = [DrawnPopulations(day, dict.fromkeys(day, 400)) for day in days]
        >>> update = update_model(example_batches(), "models:/days/1", drawn[0].merge(drawn[1]), drawn[2])
        >>> list(update.model.edits), update.retrained
        (['day1', 'day3'], False)
    """
    replay = replay or ReplayConfig()
    design, record = check_controls_design(model, name), TrainingRecord.from_facts(model.facts, name)
    drawn = old.merge(new)
    pairs = [replace(pair, target=record.goal) for pair in design.edits(drawn.counts)]
    familiarity = _familiarity(model, record, new, replay.above)
    log.info("update: %s", familiarity.sentence)
    wanted = [pair for pair in with_inverses(pairs, record.edit) if familiarity.strange or pair.name not in model.edits]
    unlearnable = judge_markers(wanted, drawn, model.panel, design, record.edit)
    trained = _train_on(model, record.training, old, new, replay, run_all) if familiarity.strange else []
    updated = _with_edits(model, record, drawn, wanted, unlearnable, trained, run_all)
    drifts = tuple(
        edit_drift(edit, model, updated, _source(old, pairs, edit)[:DRIFT_EVENTS].copy()) for edit in model.edits
    )
    losses = validation_losses([history for _, history in trained], record.training) or record.validation_loss
    facts = {
        **updated.facts,
        **record.model_copy(update={"validation_loss": losses}).facts(),
        **drawn.facts(),
        "neuronedit": neuronedit.__version__,
        "extrapolation_seen": _extrapolation_seen(model, new, trained),
        "update": {
            "retrained": bool(trained),
            "new_edits": [edit for edit in updated.edits if edit not in model.edits],
            "reconstruction_ratio": familiarity.ratios,
            "replay": replay.model_dump(),
            "drift": {drift.edit: drift.facts() for drift in drifts},
        },
    }
    first = trained[0][1] if trained else ()
    return Update(replace(updated, facts=facts), familiarity, drifts, first, drawn, frozenset(new.counts))


def check_controls_design(model: EditModel, name: str) -> ControlsDesign:
    """Check that a model's design takes new batches, and return it.

    Raises:
        ModelError: It is a pair design.

    Example:
        >>> from neuronedit.model.example import example_batches
        >>> check_controls_design(example_batches(), "models:/days/1").reference
        'day2'
    """
    if not isinstance(model.design, ControlsDesign):
        raise ModelError(
            f"{name}: the model has a pair design, whose one edit no batch is added to; expected a controls "
            "design. Train a model of the new pair."
        )
    return model.design


def new_populations(
    populations: Collection[str], record: TrainingRecord, design: ControlsDesign, where: str
) -> set[str]:
    """Name the populations of batches that a model does not know.

    Args:
        populations: The names of the populations found.
        record: The model's training record.
        design: The model's design.
        where: The dataset of the populations found, for the message.

    Raises:
        DataError: There is no new batch.

    Example:
        >>> from neuronedit.model.example import example_batches
        >>> model = example_batches()
        >>> record = TrainingRecord.from_facts(model.facts, "models:/days/1")
        >>> sorted(new_populations(["control day1", "control day3"], record, model.design, "cells/"))
        ['control day3', 'extrapolation day3']
    """
    batches = design.batches(populations)
    new = [batch for batch, controls in batches.items() if controls not in record.populations]
    if not new:
        raise DataError(
            f"{where}: found controls ({describe(design.control)}) of {listing(batches) or 'no batch'} in the column "
            f"{design.batch_column!r}; expected some of a batch that the model does not know yet "
            f"(known: {listing(design.batches(record.populations))}). Check data.path."
        )
    log.info("update: new %s; %d batches of %s are known already", listing(new), len(batches) - len(new), where)
    return {name for batch in new for name in design.populations_of(batch)}


def replayed(old: Mapping[str, Float32s], new: Mapping[str, Float32s], n_events: int) -> dict[str, Float32s]:
    """Add up to ``n_events`` of each old population, whose events are in random order, to the new populations.

    A new population replaces an old one of the same name.

    Example:
        >>> replayed({"old": [1, 2, 3, 4]}, {"new": [5, 6]}, n_events=3)
        {'old': [1, 2, 3], 'new': [5, 6]}
    """
    return {**{name: events[:n_events] for name, events in old.items()}, **new}


def _familiarity(model: EditModel, record: TrainingRecord, new: DrawnPopulations, limit: float) -> Familiarity:
    usual = sum(record.validation_loss) / len(record.validation_loss)
    markers = {name: model.standardised(events) for name, events in new.intensities.items()}
    errors = {name: reconstruction_error(model.autoencoders, events) for name, events in markers.items()}
    return Familiarity(usual, errors, limit)


def _train_on(
    model: EditModel,
    training: TrainingPlan,
    old: DrawnPopulations,
    new: DrawnPopulations,
    replay: ReplayConfig,
    run_all: RunAll,
) -> list[TrainedNetwork]:
    known, arrived = (
        {name: model.standardised(events) for name, events in drawn.intensities.items()} for drawn in (old, new)
    )
    populations = replayed(known, arrived, replay.events_per_population)
    counts = [sum(map(len, events.values())) for events in (populations, arrived)]
    log.info("update: training on, with %d events, %d of them new", *counts)
    tasks = {
        f"trained autoencoder {number}": (
            autoencoder,
            training.model_copy(update={"epochs": replay.epochs, "seed": training.seed + number - 1}),
        )
        for number, autoencoder in enumerate(model.autoencoders, start=1)
    }
    return list(run_all(partial(_continue, populations), tasks, TRAINING_REMEDY))


def _continue(populations: Mapping[str, Float32s], task: tuple[Autoencoder, TrainingPlan]) -> TrainedNetwork:
    autoencoder, plan = task
    return continue_training(autoencoder, populations, plan)


def _with_edits(
    model: EditModel,
    record: TrainingRecord,
    drawn: DrawnPopulations,
    wanted: Sequence[EditPair],
    unlearnable: Mapping[str, Mapping[int, str]],
    trained: Sequence[TrainedNetwork],
    run_all: RunAll,
) -> EditModel:
    """Fit the wanted edits: new ones, and old ones again if the autoencoders have other weights."""
    markers = {name: model.standardised(events) for name, events in drawn.intensities.items()}
    events = pair_events(wanted, markers, drawn, model.panel, record.edit, unlearnable, record.training.seed)
    networks = tuple(autoencoder for autoencoder, _ in trained) or model.autoencoders
    fitting = EditFitting(record.edit, model.scaling.zeros, record.training.seed, model.panel.markers)
    fitted = fit_edits(networks, events, fitting, run_all, markers)
    parts = Prepared(model.panel, model.design, record.edit, drawn, model.scaling, markers, tuple(wanted), events)
    new = judge_edits(fitted, parts, networks, record.training.seed, run_all)
    facts = {**model.facts, **{key: {**model.facts.get(key, {}), **found} for key, found in new.items()}}
    return replace(model, autoencoders=networks, edits={**model.edits, **fitted}, facts=facts)


def _source(drawn: DrawnPopulations, pairs: Sequence[EditPair], edit: str) -> Float32s:
    """The raw events of an edit's source."""
    every = {pair.name: pair for forth in pairs for pair in (forth, forth.inverse)}
    return drawn.intensities[every[edit].source[0]]


def _extrapolation_seen(model: EditModel, new: DrawnPopulations, trained: Sequence[TrainedNetwork]) -> bool:
    unseen = not trained and any(name.startswith("extrapolation") for name in new.counts)
    return bool(model.facts.get("extrapolation_seen")) and not unseen
