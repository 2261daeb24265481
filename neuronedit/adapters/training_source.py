"""What the autoencoder learns from: the drawn sample, more events in memory, or all of them as a stream."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from neuronedit.adapters.event_places import find_places
from neuronedit.adapters.event_stream import EventStream
from neuronedit.adapters.parquet import EventDataset
from neuronedit.adapters.populations import DrawnPopulations, draw_populations
from neuronedit.draw import Texts
from neuronedit.errors import ConfigError
from neuronedit.job_configs import TrainConfig
from neuronedit.panel import Panel
from neuronedit.scaling import FloatArray, Scaling

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSource:
    """Events to learn from.

    Attributes:
        populations: Standardised markers, (n_events, n_markers) float32 each.
        samples: By population, (n_events,) the sample of each.
        stream: Reads all events, where these do not fit in memory; those above then are for validation only.
        n_events: By population, how many there are to learn from, those held out for validation included.
    """

    populations: Mapping[str, FloatArray]
    samples: Mapping[str, Texts]
    stream: EventStream | None
    n_events: Mapping[str, int]


def training_source(
    config: TrainConfig, panel: Panel, dataset: EventDataset, drawn: DrawnPopulations, scaling: Scaling
) -> TrainingSource:
    """Events of each population as many as the configuration wants.

    Raises:
        ConfigError: So many do not fit into the memory that they may have.
        DataError: A file is damaged.
    """
    wanted = config.training_data.events_per_population
    if wanted is None or all(_limited(count, wanted) <= len(drawn.intensities[n]) for n, count in drawn.counts.items()):
        return _in_memory(drawn, scaling)
    n_events = {name: _limited(count, wanted) for name, count in drawn.counts.items()}
    memory_bytes = config.training_data.memory_mb * 2**20
    n_bytes = sum(n_events.values()) * panel.n_markers * 4
    if n_bytes <= memory_bytes:
        log.info("drawing %d events to train on", sum(n_events.values()))
        more = config.sample.model_copy(update={"events_per_population": max(n_events.values())})
        return _in_memory(draw_populations(dataset, panel, config.design, more), scaling)
    if wanted != "all":
        raise ConfigError(
            f"training_data.events_per_population is {wanted}: {sum(n_events.values())} events of {panel.n_markers} "
            f"markers take {-(-n_bytes // 2**20)} MB; expected at most training_data.memory_mb, "
            f"{config.training_data.memory_mb}. Raise it, take fewer events, or 'all', which are read as a stream."
        )
    log.info("%d MB of events to train on: they are read again in every epoch", -(-n_bytes // 2**20))
    known = _in_memory(drawn, scaling)
    stream = EventStream(
        dataset.filesystem,
        {file.name: file for file in dataset.files},
        panel,
        config.design,
        scaling,
        config.sample,
        find_places(dataset, config.design, config.sample),
        drawn.priorities,
        memory_bytes,
    )
    return TrainingSource(known.populations, known.samples, stream, n_events)


def _limited(count: int, wanted: int | str) -> int:
    return count if isinstance(wanted, str) else min(count, wanted)


def _in_memory(drawn: DrawnPopulations, scaling: Scaling) -> TrainingSource:
    populations = {name: scaling.standardise(scaling.arcsinh(events)) for name, events in drawn.intensities.items()}
    n_events = {name: len(events) for name, events in populations.items()}
    return TrainingSource(populations, drawn.samples, None, n_events)
