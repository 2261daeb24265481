"""From drawn populations to a model: scaling, the autoencoder (by Ray Train), the edits."""

import logging
from collections.abc import Mapping
from typing import Any

import neuronedit
from neuronedit.adapters.parquet import EventDataset
from neuronedit.adapters.populations import DrawnPopulations
from neuronedit.adapters.ray_train import train_autoencoder
from neuronedit.job_configs import TrainConfig
from neuronedit.model import EditModel, fit_edits
from neuronedit.panel import Panel
from neuronedit.scaling import fit_scaling
from neuronedit.training import EpochLosses

log = logging.getLogger(__name__)


def fit_model(
    config: TrainConfig, panel: Panel, drawn: DrawnPopulations, dataset: EventDataset
) -> tuple[EditModel, list[EpochLosses]]:
    """Train the autoencoder on all populations with equal weight, then fit every edit of the design.

    Raises:
        DataError: A population has too few events.
        ClusterError: The workers cannot run.
        ModelError: Training diverged.
    """
    pairs = config.design.edits(drawn.counts)
    scaling = fit_scaling(drawn.intensities.values(), panel.cofactors)
    populations = {name: scaling.standardise(scaling.arcsinh(events)) for name, events in drawn.intensities.items()}
    log.info("training on %d events of %d populations", sum(map(len, populations.values())), len(populations))
    autoencoder, losses = train_autoencoder(populations, config.autoencoder, config.training, config.workers)
    log.info("trained %d epochs: validation loss %.4f", losses[-1].epoch, losses[-1].validation_loss)
    edits = fit_edits(
        autoencoder,
        populations,
        pairs,
        config.edit.steps,
        n_percentiles=config.edit.n_percentiles,
        seed=config.training.seed,
    )
    facts = _facts(config, drawn, dataset, losses)
    return EditModel(panel, scaling, autoencoder, edits, config.design, facts), losses


def _facts(
    config: TrainConfig, drawn: DrawnPopulations, dataset: EventDataset, losses: list[EpochLosses]
) -> Mapping[str, Any]:
    return {
        "neuronedit": neuronedit.__version__,
        "data": {
            "uri": dataset.uri,
            "files": len(dataset.files),
            "events": dataset.n_events,
            "sha256": dataset.digest(),
        },
        "events": drawn.counts,
        "events_drawn": {name: len(events) for name, events in drawn.intensities.items()},
        # A model fitted without X is a different claim from one fitted with X.
        "extrapolation_seen": any(name.startswith("extrapolation") for name in drawn.counts),
        "sample": config.sample.model_dump(),
        "training": config.training.model_dump(),
        "validation_loss": losses[-1].validation_loss,
    }
