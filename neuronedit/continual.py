"""Continued training on new events; *replay* of old events keeps the network from forgetting them."""

import copy
from collections.abc import Mapping

from neuronedit.autoencoder import Autoencoder
from neuronedit.loss_history import EpochLosses
from neuronedit.minibatches import InMemory
from neuronedit.percentiles import FloatArray
from neuronedit.training import train
from neuronedit.training_plan import TrainingPlan
from neuronedit.validation_split import Texts


def replayed(old: Mapping[str, FloatArray], new: Mapping[str, FloatArray], n_events: int) -> dict[str, FloatArray]:
    """Add up to ``n_events`` of each old population, whose events are in random order, to the new populations.

    A new population replaces an old one of the same name.

    Example:
        >>> replayed({"old": [1, 2, 3, 4]}, {"new": [5, 6]}, n_events=3)
        {'old': [1, 2, 3], 'new': [5, 6]}
    """
    return {**{name: events[:n_events] for name, events in old.items()}, **new}


def continue_training(
    autoencoder: Autoencoder,
    populations: Mapping[str, FloatArray],
    plan: TrainingPlan,
    samples: Mapping[str, Texts] | None = None,
) -> tuple[Autoencoder, tuple[EpochLosses, ...]]:
    """Train a copy of an autoencoder further.

    Args:
        autoencoder: The start; it stays as it is.
        populations: (n_events, n_markers) float32 each, standardised, with equal weight, by name.
        plan: Epochs, minibatch, learning rate, seed.
        samples: (n_events,) name of each event's sample, by population, if they are known.

    Returns:
        The copy, frozen, and the losses of its epochs.

    Raises:
        ModelError: The loss is not finite.
    """
    network = copy.deepcopy(autoencoder).train().requires_grad_(True)
    losses = train(network, InMemory.from_populations(populations, plan, samples=samples), plan)
    return network.eval().requires_grad_(False), losses
