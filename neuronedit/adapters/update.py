"""Adding the edits of new batches to a model, with as little change to those it has as can be."""

import logging
from dataclasses import dataclass, replace
from typing import Any

import neuronedit
from neuronedit.adapters.edit_tasks import EditFitting, fit_edits
from neuronedit.adapters.fit import data_facts, judge_extrapolations
from neuronedit.adapters.parquet import EventDataset
from neuronedit.adapters.past_events import chosen, draw_past, joined
from neuronedit.adapters.populations import DrawnPopulations, draw_populations
from neuronedit.adapters.registry import PinnedModel
from neuronedit.adapters.training_tasks import Trained, train_on
from neuronedit.continual import replayed
from neuronedit.design import ControlsDesign, EditPair, describe
from neuronedit.drift import EditDrift, edit_drift
from neuronedit.errors import DataError, ModelError, listing
from neuronedit.familiarity import Familiarity, reconstruction_error
from neuronedit.loss_history import EpochLosses, kept_epoch
from neuronedit.model import EditModel
from neuronedit.pair_events import PairEvents
from neuronedit.percentiles import FloatArray
from neuronedit.training_record import TrainingRecord, population_records
from neuronedit.update_config import UpdateConfig

log = logging.getLogger(__name__)

DRIFT_EVENTS = 5_000
"""Of each old source, drift is measured on at most as many."""


@dataclass(frozen=True)
class Update:
    """A model with the edits of new batches.

    Attributes:
        model: With all edits, old and new.
        familiarity: How well the parent's autoencoders reconstruct the new events.
        drifts: Of each old edit.
        losses: By epoch of the first autoencoder's training on; empty where it was not trained.
        drawn: All populations, old and new.
    """

    model: EditModel
    familiarity: Familiarity
    drifts: tuple[EditDrift, ...]
    losses: tuple[EpochLosses, ...]
    drawn: DrawnPopulations

    @property
    def retrained(self) -> bool:
        """Whether the autoencoders learned the new events."""
        return bool(self.losses)

    @property
    def worst_drift(self) -> EditDrift:
        """Of the old edit that drifted most."""
        return max(self.drifts, key=lambda drift: drift.relative)

    @property
    def sentence(self) -> str:
        """What was done, for a person."""
        if not self.retrained:
            return f"{self.familiarity.sentence}; no weight and no old edit has changed"
        worst = self.worst_drift
        return (
            f"{self.familiarity.sentence}; retrained with replay: old edits drifted by "
            f"{worst.relative:.0%} of their own change at most ({worst.edit!r})"
        )


def update_model(config: UpdateConfig, parent: PinnedModel, dataset: EventDataset) -> Update:
    """Fit edits for the batches of a dataset that a model does not know.

    The autoencoders stay as they are where they reconstruct the new events well. Otherwise they are trained on, with
    old events replayed; then old edits are fitted again, by the plans that were chosen for them, since percentiles
    mean nothing for other weights. Panel, scaling, and where edits lead stay in any case.

    Raises:
        ModelError: The parent has no controls design, or does not tell how it was trained.
        DataError: There is no new batch, or the parent's events are not where they were.
        ClusterError: A worker was lost.
    """
    model, design = parent.model, _controls_design(parent)
    record = TrainingRecord.from_facts(model.facts, parent.uri)
    arriving = draw_populations(dataset, model.panel, design, record.sample, record.edit.label_columns)
    new = chosen(arriving, _new_populations(arriving, record, design, dataset.uri))
    old = draw_past(model, record, config.parent_data)
    drawn = joined(old, new)
    pairs = [replace(pair, target=record.goal) for pair in design.edits(drawn.counts)]
    familiarity = _familiarity(model, record, new, config.replay.above)
    log.info("update: %s", familiarity.sentence)
    trained = _retrain(config, model, record, old, new) if familiarity.strange else []
    updated = _with_edits(model, record, drawn, pairs, trained)
    drifts = tuple(
        edit_drift(name, model, updated, _source(old, pairs, name)[:DRIFT_EVENTS].copy()) for name in model.edits
    )
    told = {
        "retrained": bool(trained),
        "new_edits": [name for name in updated.edits if name not in model.edits],
        "reconstruction_ratio": familiarity.ratios,
        "replay": config.replay.model_dump(),
        "drift": {drift.edit: drift.facts() for drift in drifts},
    }
    facts = {
        **updated.facts,
        **_facts(record, old, new, trained, dataset),
        "extrapolation_seen": _extrapolation_seen(model, new, trained),
        "parent": {"uri": parent.uri, "sha256": parent.digest},
        "update": told,
    }
    return Update(replace(updated, facts=facts), familiarity, drifts, trained[0][1] if trained else (), drawn)


def _controls_design(parent: PinnedModel) -> ControlsDesign:
    if not isinstance(parent.model.design, ControlsDesign):
        raise ModelError(
            f"{parent.uri}: the model has a pair design, whose one edit no batch is added to; expected a controls "
            "design. Train a model of the new pair."
        )
    return parent.model.design


def _new_populations(arriving: DrawnPopulations, record: TrainingRecord, design: ControlsDesign, uri: str) -> set[str]:
    batches = design.batches(arriving.counts)
    new = [batch for batch, controls in batches.items() if controls not in record.populations]
    if not new:
        raise DataError(
            f"{uri}: found controls ({describe(design.control)}) of {listing(batches) or 'no batch'} in the column "
            f"{design.batch_column!r}; expected some of a batch that the model does not know yet "
            f"(known: {listing(design.batches(record.populations))}). Check data.path."
        )
    log.info("update: new %s; %d batches of %s are known already", listing(new), len(batches) - len(new), uri)
    return {name for batch in new for name in design.populations_of(batch)}


def _familiarity(model: EditModel, record: TrainingRecord, new: DrawnPopulations, limit: float) -> Familiarity:
    usual = sum(record.validation_loss) / len(record.validation_loss)
    markers = {name: model.standardised(events) for name, events in new.intensities.items()}
    errors = {name: reconstruction_error(model.autoencoders, events) for name, events in markers.items()}
    return Familiarity(usual, errors, limit)


def _retrain(
    config: UpdateConfig, model: EditModel, record: TrainingRecord, old: DrawnPopulations, new: DrawnPopulations
) -> list[Trained]:
    known, arrived = (
        {name: model.standardised(events) for name, events in drawn.intensities.items()} for drawn in (old, new)
    )
    plan = record.training.model_copy(update={"epochs": config.replay.epochs})
    populations = replayed(known, arrived, config.replay.events_per_population)
    counts = [sum(map(len, of.values())) for of in (populations, arrived)]
    log.info("update: training on, with %d events, %d of them new", *counts)
    return train_on(model.autoencoders, populations, plan)


def _with_edits(
    model: EditModel, record: TrainingRecord, drawn: DrawnPopulations, pairs: list[EditPair], trained: list[Trained]
) -> EditModel:
    """The model with edits for all batches: those that it had are fitted again only for other weights."""
    markers = {name: model.standardised(events) for name, events in drawn.intensities.items()}
    every = [*pairs, *(pair.inverse for pair in pairs)] if record.edit.inverse else pairs
    wanted = [pair for pair in every if trained or pair.name not in model.edits]
    cell_types = drawn.column(record.edit.population_column)
    events = {pair.name: PairEvents.pool(pair, markers, cell_types) for pair in wanted}
    if record.edit.match_composition:
        events = {name: found.matched(record.training.seed) for name, found in events.items()}
    networks = tuple(autoencoder for autoencoder, _ in trained) or model.autoencoders
    choices = {name: edit.choice for name, edit in model.edits.items() if edit.choice}
    fitting = EditFitting(record.edit, model.scaling.zeros, record.training.seed)
    fitted = fit_edits(networks, events, fitting, choices)
    edits = {**model.edits, **fitted}
    extrapolation = {**model.facts.get("extrapolation", {}), **judge_extrapolations(fitted, markers)}
    return replace(model, autoencoders=networks, edits=edits, facts={**model.facts, "extrapolation": extrapolation})


def _source(drawn: DrawnPopulations, pairs: list[EditPair], edit: str) -> FloatArray:
    """Raw events of an edit's source."""
    every = {pair.name: pair for forth in pairs for pair in (forth, forth.inverse)}
    return drawn.intensities[every[edit].source[0]]


def _facts(
    record: TrainingRecord, old: DrawnPopulations, new: DrawnPopulations, trained: list[Trained], dataset: EventDataset
) -> dict[str, Any]:
    populations = record.populations | population_records(new.intensities, dataset.uri)
    losses = tuple(kept_epoch(losses, record.training.patience).validation_loss for _, losses in trained)
    drawn = joined(old, new)
    return {
        **record.model_copy(
            update={"populations": populations, "validation_loss": losses or record.validation_loss}
        ).facts(),
        "neuronedit": neuronedit.__version__,
        "data": data_facts(dataset),
        "events": drawn.counts,
        "events_drawn": {name: len(events) for name, events in drawn.intensities.items()},
        "rank_error": drawn.rank_errors,
    }


def _extrapolation_seen(model: EditModel, new: DrawnPopulations, trained: list[Trained]) -> bool:
    unseen = not trained and any(name.startswith("extrapolation") for name in new.counts)
    return bool(model.facts.get("extrapolation_seen")) and not unseen
