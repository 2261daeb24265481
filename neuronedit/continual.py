"""Continued training on new events; *replay*, which shows the old ones again, keeps it from forgetting them."""

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
    """New populations beside at most ``n_events`` of each old one, whose events come in random order."""
    return {**{name: events[:n_events] for name, events in old.items()}, **new}


def continue_training(
    autoencoder: Autoencoder,
    populations: Mapping[str, FloatArray],
    plan: TrainingPlan,
    samples: Mapping[str, Texts] | None = None,
) -> tuple[Autoencoder, tuple[EpochLosses, ...]]:
    """Train a copy of an autoencoder further.

    Args:
        autoencoder: Where to start; it stays as it is.
        populations: Standardised, (n_events, n_markers) float32 each, with equal weight.
        plan: Epochs, minibatch, learning rate, seed.
        samples: By population, (n_events,) the sample of each event, where they are known.

    Returns:
        The copy, frozen, and the losses of its epochs.

    Raises:
        ModelError: The loss is not finite.
    """
    network = copy.deepcopy(autoencoder).train().requires_grad_(True)
    losses = train(network, InMemory.of(populations, plan, samples=samples), plan)
    return network.eval().requires_grad_(False), losses
