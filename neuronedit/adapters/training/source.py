"""Training on Ray Train, from the drawn sample, from more events in memory, or from all of them as a stream."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from neuronedit.adapters.files.dataset import EventDataset
from neuronedit.adapters.sampling.populations import draw_populations
from neuronedit.adapters.training.event_stream import EventStream
from neuronedit.adapters.training.places import find_places
from neuronedit.adapters.training.trainer import train_autoencoder
from neuronedit.arrays import Floats, Texts
from neuronedit.cells.draw import SampleConfig
from neuronedit.errors import ConfigError
from neuronedit.fitting.prepare import Prepared
from neuronedit.fitting.train import Ensemble, Train, TrainedNetwork, gather_ensemble
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingDataConfig, TrainingPlan, WorkersConfig
from neuronedit.network.state import EpochLosses

log = logging.getLogger(__name__)

OnEpochs = Callable[[int, Sequence[EpochLosses]], None]
"""Called with an autoencoder's number, from 1, and the losses of ended epochs; in another thread."""


@dataclass(frozen=True)
class TrainingSource:
    """Events to learn from.

    Attributes:
        populations: Standardised markers, (n_events, n_markers) float32 each.
        samples: (n_events,) sample of each event, by population.
        stream: Reads all events if they do not fit in memory; ``populations`` are then for validation only.
        n_events: Number of events to learn from, those held out for validation included, by population.
    """

    populations: Mapping[str, Floats]
    samples: Mapping[str, Texts]
    stream: EventStream | None
    n_events: Mapping[str, int]


def ray_train(
    dataset: EventDataset,
    sample: SampleConfig,
    training_data: TrainingDataConfig,
    workers: WorkersConfig,
    on_epochs: OnEpochs = lambda number, losses: None,
) -> Train:
    """Make a ``Train`` that trains autoencoders with Ray Train (see ``neuronedit.fitting.train``).

    Args:
        dataset: The dataset of the populations.
        sample: The sampling that drew them.
        training_data: Number and memory of the training events.
        workers: Number and devices of workers, and the storage of checkpoints.
        on_epochs: Called with the losses of ended epochs.

    Returns:
        The training, which raises ConfigError if more events are wanted than their memory holds, ClusterError if
        the workers cannot run, ModelError if training diverged, and StorageError if the checkpoints' storage fails.
    """

    def train(prepared: Prepared, network: Architecture, plans: Sequence[TrainingPlan]) -> Ensemble:
        source = training_source(prepared, dataset, sample, training_data)
        trained = _train_each(source, prepared.panel.markers, network, plans, workers, on_epochs)
        return gather_ensemble(trained, plans, source.n_events, streamed=source.stream is not None)

    return train


def training_source(
    prepared: Prepared, dataset: EventDataset, sample: SampleConfig, training_data: TrainingDataConfig
) -> TrainingSource:
    """Gather as many events of each population as the configuration wants, drawn anew or as a stream.

    Args:
        prepared: The drawn sample, and the scaling that was fitted on it.
        dataset: The dataset with further events.
        sample: The sampling that drew the sample.
        training_data: Number of events, and the memory for them.

    Raises:
        ConfigError: So many do not fit into the memory that they may have.
        DataError: A file is damaged.
    """
    wanted, drawn, panel = training_data.events_per_population, prepared.drawn, prepared.panel
    known = TrainingSource(
        prepared.markers, drawn.samples, None, {name: len(events) for name, events in prepared.markers.items()}
    )
    if wanted is None or all(_limited(count, wanted) <= known.n_events[name] for name, count in drawn.counts.items()):
        return known
    n_events = {name: _limited(count, wanted) for name, count in drawn.counts.items()}
    memory_bytes = training_data.memory_mb * 2**20
    n_bytes = sum(n_events.values()) * panel.n_markers * 4
    if n_bytes <= memory_bytes:
        log.info("drawing %d events to train on", sum(n_events.values()))
        larger = sample.model_copy(update={"events_per_population": max(n_events.values())})
        more = draw_populations(dataset, panel, prepared.design, larger)
        scale = prepared.scaling
        populations = {name: scale.standardise(scale.transform(events)) for name, events in more.intensities.items()}
        return TrainingSource(
            populations, more.samples, None, {name: len(events) for name, events in populations.items()}
        )
    if wanted != "all":
        raise ConfigError(
            f"training_data.events_per_population is {wanted}: {sum(n_events.values())} events of {panel.n_markers} "
            f"markers take {-(-n_bytes // 2**20)} MB; expected at most training_data.memory_mb, "
            f"{training_data.memory_mb}. Raise it, take fewer events, or 'all', which are read as a stream."
        )
    log.info("%d MB of events to train on: they are read again in every epoch", -(-n_bytes // 2**20))
    stream = EventStream(
        dataset.filesystem,
        {file.name: file for file in dataset.files},
        panel,
        prepared.design,
        prepared.scaling,
        sample,
        find_places(dataset, prepared.design),
        drawn.priorities,
        memory_bytes,
    )
    return TrainingSource(known.populations, known.samples, stream, n_events)


def _train_each(
    source: TrainingSource,
    markers: tuple[str, ...],
    network: Architecture,
    plans: Sequence[TrainingPlan],
    workers: WorkersConfig,
    on_epochs: OnEpochs,
) -> Iterator[TrainedNetwork]:
    for number, plan in enumerate(plans, start=1):
        trained = train_autoencoder(
            source.populations,
            network,
            plan,
            workers,
            samples=source.samples,
            markers=markers,
            stream=source.stream,
            on_losses=partial(on_epochs, number),
        )
        yield trained.autoencoder, trained.history


def _limited(count: int, wanted: int | str) -> int:
    return count if isinstance(wanted, str) else min(count, wanted)
