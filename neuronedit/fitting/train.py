"""Training of a model's autoencoders: the interface, and its implementation in this process."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from neuronedit.arrays import Float32s, Texts
from neuronedit.fitting.prepare import Prepared
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.minibatches import InMemory
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.state import EpochLosses, kept_epoch
from neuronedit.network.training import train

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

TASK_REMEDY = "No model was registered: run again, or lower sample.events_per_population if memory ran out."
"""The remedy named in messages on lost tasks of a training."""


class RunAll(Protocol):
    """Calls a function once for each item; hands back results in the items' order, each as soon as it is there."""

    def __call__(
        self, function: Callable[[Item], Result], items: Mapping[str, Item], remedy: str = ""
    ) -> Iterator[Result]:
        """Run all tasks.

        Args:
            function: The function to call; data that all tasks share is bound to it (``functools.partial``).
            items: The items, by the task's deed in the past tense, for messages: ``fitted the edit 'B'``.
            remedy: The remedy if a task is lost, for the message.
        """


def one_after_another(
    function: Callable[[Item], Result], items: Mapping[str, Item], remedy: str = ""
) -> Iterator[Result]:
    """Run tasks in this process, which cannot lose any (see ``RunAll``).

    Example:
        >>> list(one_after_another(len, {"counted 'CD4'": "CD4", "counted 'CD45'": "CD45"}))
        [3, 4]
    """
    return map(function, items.values())


TrainedNetwork = tuple[Autoencoder, tuple[EpochLosses, ...]]
"""An autoencoder, frozen, and the losses of all its epochs."""


@dataclass(frozen=True)
class Ensemble:
    """Autoencoders that were trained on the same populations.

    Attributes:
        autoencoders: The autoencoders, frozen.
        losses: The losses of each, by epoch.
        n_events: Number of events that they learned from, those held out for validation included, by population.
        streamed: Whether events were read again in every epoch, instead of being held in memory.
    """

    autoencoders: tuple[Autoencoder, ...]
    losses: tuple[tuple[EpochLosses, ...], ...]
    n_events: Mapping[str, int]
    streamed: bool = False


Train = Callable[[Prepared, Architecture, Sequence[TrainingPlan]], Ensemble]
"""A function that trains an autoencoder by each plan, on all events of the populations or on others like them."""


def train_here(prepared: Prepared, network: Architecture, plans: Sequence[TrainingPlan]) -> Ensemble:
    """Train autoencoders in this process, on the populations as they are.

    Args:
        prepared: The populations, which weigh the same, whatever their size.
        network: The autoencoders' layers.
        plans: The training plan of each.

    Raises:
        ModelError: Training diverged.

    Example:
        >>> import numpy as np
        >>> from neuronedit import PairDesign, Panel
        >>> from neuronedit.fitting.prepare import prepare
        >>> cells = np.random.default_rng(0).lognormal(3.0, 0.5, (100, 1))
        >>> pair = prepare({"source": cells, "target": cells}, Panel(("CD4",), (5.0,)), PairDesign.of_arrays())
        >>> train_here(pair, Architecture(hidden=(8,), code=2), [TrainingPlan(epochs=1)]).n_events
        {'source': 100, 'target': 100}
    """
    n_events = {name: len(events) for name, events in prepared.markers.items()}
    trained = (
        train_network(
            prepared.markers, network, plan, samples=prepared.drawn.samples, marker_names=prepared.panel.markers
        )
        for plan in plans
    )
    return gather_ensemble(trained, plans, n_events)


def gather_ensemble(
    trained: Iterable[TrainedNetwork],
    plans: Sequence[TrainingPlan],
    n_events: Mapping[str, int],
    *,
    streamed: bool = False,
) -> Ensemble:
    """Gather autoencoders as they come, and log how well each does (see ``Ensemble``).

    Example:
        >>> trained = Autoencoder(2, Architecture(hidden=(8,), code=2)), (EpochLosses(1, 0.5, 0.6),)
        >>> ensemble = gather_ensemble([trained], [TrainingPlan(epochs=1)], {"source": 100, "target": 80})
        >>> len(ensemble.autoencoders), ensemble.losses[0][-1].validation_loss
        (1, 0.6)
    """
    log.info("training on %d events of %d populations", sum(n_events.values()), len(n_events))
    autoencoders, losses = [], []
    for number, ((autoencoder, history), plan) in enumerate(zip(trained, plans, strict=True), start=1):
        log.info(
            "autoencoder %d of %d, trained %d epochs: validation loss %.4f",
            number,
            len(plans),
            history[-1].epoch,
            kept_epoch(history, plan.patience).validation_loss,
        )
        autoencoders.append(autoencoder)
        losses.append(history)
    return Ensemble(tuple(autoencoders), tuple(losses), n_events, streamed)


def train_network(
    populations: Mapping[str, Float32s],
    network: Architecture,
    plan: TrainingPlan,
    *,
    samples: Mapping[str, Texts] | None = None,
    marker_names: Sequence[str] = (),
) -> TrainedNetwork:
    """Train one autoencoder in this process.

    Args:
        populations: Standardised, (n_events, n_markers) float32 each; they weigh the same.
        network: The autoencoder's layers.
        plan: The training plan; its seed draws the weights, too.
        samples: (n_events,) sample of each event, by population, if they are known.
        marker_names: Names of the markers, for messages.

    Raises:
        ModelError: Training diverged.

    Example:
        >>> import numpy as np
        >>> cells, layers = {"cells": np.ones((100, 3), np.float32)}, Architecture(hidden=(8,), code=2)
        >>> autoencoder, (first, last) = train_network(cells, layers, TrainingPlan(epochs=2, minibatch=32))
        >>> autoencoder.training, last.validation_loss < first.validation_loss
        (False, True)
    """
    n_markers = next(iter(populations.values())).shape[1]
    autoencoder = Autoencoder(n_markers, network, plan.seed)
    losses = train(
        autoencoder, InMemory.from_populations(populations, plan, samples=samples, markers=marker_names), plan
    )
    return autoencoder.eval().requires_grad_(False), losses
