"""From drawn populations to a model: scaling, the autoencoders (by Ray Train), the edits (Ray tasks)."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import neuronedit
from neuronedit.adapters.edit_tasks import EditFitting, fit_edits
from neuronedit.adapters.parquet import EventDataset
from neuronedit.adapters.populations import DrawnPopulations
from neuronedit.adapters.ray_train import train_autoencoder
from neuronedit.adapters.search import chosen_config, search_network
from neuronedit.adapters.training_source import TrainingSource, training_source
from neuronedit.autoencoder import Autoencoder
from neuronedit.edit import Edit
from neuronedit.job_configs import TrainConfig
from neuronedit.loss_history import EpochLosses, kept_epoch
from neuronedit.model import EditModel
from neuronedit.pair_events import PairEvents
from neuronedit.panel import Panel
from neuronedit.percentiles import FloatArray
from neuronedit.scaling import fit_scaling
from neuronedit.training_record import TrainingRecord, population_records

log = logging.getLogger(__name__)


def fit_model(
    config: TrainConfig,
    panel: Panel,
    drawn: DrawnPopulations,
    dataset: EventDataset,
    on_losses: Callable[[int, Sequence[EpochLosses]], None] = lambda number, losses: None,
) -> tuple[EditModel, Sequence[EpochLosses]]:
    """Train the autoencoders on all populations with equal weight, then fit every edit of the design.

    Args:
        config: Of the job.
        panel: The markers.
        drawn: Events of each population.
        dataset: Where they are from.
        on_losses: Is told of each autoencoder's epochs as they end, in another thread; autoencoders count from 1.

    Returns:
        The model, and the losses of its first autoencoder.

    Raises:
        DataError: A population has too few events, or a source shares no cell type with its target.
        ConfigError: More events are to be trained on than their memory holds.
        ClusterError: The workers cannot run.
        ModelError: Training diverged.
        StorageError: The checkpoints' storage fails, or is full.
    """
    pairs = config.design.edits(drawn.counts)
    if config.edit.inverse:
        pairs = [*pairs, *(pair.inverse for pair in pairs)]
    scaling = fit_scaling(drawn.intensities.values(), panel.cofactors)
    populations = {name: scaling.standardise(scaling.arcsinh(events)) for name, events in drawn.intensities.items()}
    # Pooled and matched first: a mix that cannot be matched is told before anything is trained.
    cell_types = drawn.column(config.edit.population_column)
    events = {pair.name: PairEvents.pool(pair, populations, cell_types) for pair in pairs}
    if config.edit.match_composition:
        events = {name: found.matched(config.training.seed) for name, found in events.items()}
    found = search_network(config, populations, events, scaling.zeros, drawn.samples) if config.search.enabled else None
    config = chosen_config(config, found) if found else config
    source = training_source(config, panel, dataset, drawn, scaling)
    log.info("training on %d events of %d populations", sum(source.n_events.values()), len(populations))
    autoencoders, losses = _train_ensemble(config, panel, source, on_losses)
    edits = fit_edits(autoencoders, events, EditFitting(config.edit, scaling.zeros, config.training.seed))
    facts = _facts(config, drawn, dataset)
    facts |= {"events_trained_on": dict(source.n_events), "streamed": source.stream is not None}
    facts |= {"extrapolation": judge_extrapolations(edits, populations)}
    record = TrainingRecord(
        populations=population_records(drawn.intensities, dataset.uri),
        goal=pairs[0].target,
        sample=config.sample,
        training=config.training,
        validation_loss=tuple(kept_epoch(history, config.training.patience).validation_loss for history in losses),
        edit=config.edit,
    )
    facts |= record.facts() | ({"search": found.facts()} if found else {})
    return EditModel(panel, scaling, autoencoders, edits, config.design, facts), losses[0]


def _train_ensemble(
    config: TrainConfig,
    panel: Panel,
    source: TrainingSource,
    on_losses: Callable[[int, Sequence[EpochLosses]], None],
) -> tuple[tuple[Autoencoder, ...], list[Sequence[EpochLosses]]]:
    autoencoders: list[Autoencoder] = []
    losses: list[Sequence[EpochLosses]] = []
    for number in range(1, config.ensemble + 1):
        plan = config.training.model_copy(update={"seed": config.training.seed + number - 1})
        trained = train_autoencoder(
            source.populations,
            config.autoencoder,
            plan,
            config.workers,
            samples=source.samples,
            markers=panel.markers,
            stream=source.stream,
            on_losses=partial(on_losses, number),
        )
        log.info(
            "autoencoder %d of %d, trained %d epochs: validation loss %.4f",
            number,
            config.ensemble,
            trained.history[-1].epoch,
            kept_epoch(trained.history, plan.patience).validation_loss,
        )
        autoencoders.append(trained.autoencoder)
        losses.append(trained.history)
    return tuple(autoencoders), losses


def judge_extrapolations(edits: Mapping[str, Edit], populations: Mapping[str, FloatArray]) -> dict[str, dict[str, Any]]:
    """For each edit, whether it can be expected to hold for the events named as its extrapolation."""
    judged = {}
    for name, edit in edits.items():
        events = populations.get("extrapolation", populations.get(f"extrapolation {name}"))
        if events is not None and len(events):
            found = edit.support.judge(events)
            expected = edit.choice.expected_error(found.unsupported) if edit.choice else float("nan")
            judged[name] = {
                **asdict(found),
                "flagged": found.flagged,
                "sentence": found.sentence,
                "expected_error": expected if math.isfinite(expected) else None,  # JSON has no NaN
            }
            log.log(logging.WARNING if found.flagged else logging.INFO, "edit %s: %s", name, found.sentence)
    return judged


def _facts(config: TrainConfig, drawn: DrawnPopulations, dataset: EventDataset) -> dict[str, Any]:
    return {
        "neuronedit": neuronedit.__version__,
        "data": data_facts(dataset),
        "events": drawn.counts,
        "events_drawn": {name: len(events) for name, events in drawn.intensities.items()},
        "rank_error": drawn.rank_errors,
        # A model fitted without X is a different claim from one fitted with X.
        "extrapolation_seen": any(name.startswith("extrapolation") for name in drawn.counts),
        "match_composition": config.edit.match_composition,
    }


def data_facts(dataset: EventDataset) -> dict[str, Any]:
    """Which data a model was fitted on."""
    return {
        "uri": dataset.uri,
        "files": len(dataset.files),
        "events": dataset.n_events,
        "sha256": dataset.digest(),
    }
