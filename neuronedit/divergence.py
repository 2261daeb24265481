"""Divergence of training: a check, whose error names the minibatch, its samples and its most extreme value."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from neuronedit.errors import ModelError, listing
from neuronedit.minibatches import Minibatches, Origin


def check_losses(epoch: int, losses: Tensor, validation: Mapping[str, float], minibatches: Minibatches) -> None:
    """Check that an epoch's losses are finite.

    Call it once an epoch, not at every step: a GPU would have to wait each time. The minibatch is found again by its
    step.

    Args:
        epoch: The epoch's number, from 1.
        losses: (n_steps,) loss of each minibatch, over all workers.
        validation: Validation loss, by population.
        minibatches: The source of the minibatches.

    Raises:
        ModelError: A loss is not finite; the message names epoch, step, populations, samples and the most extreme
            value.
    """
    wrong = torch.nonzero(~torch.isfinite(losses)).flatten().tolist()
    if wrong:
        origin = minibatches.origin(epoch, wrong[0])
        raise ModelError(
            f"Training diverged in epoch {epoch}, step {wrong[0] + 1} of {len(losses)}: the loss is "
            f"{float(losses[wrong[0]])}. Its minibatch has events of {_populations(origin)}; the most extreme is "
            f"{_most_extreme(origin, minibatches.markers)}. "
            "Lower training.learning_rate, or look for extreme intensities there."
        )
    diverged = [name for name, loss in validation.items() if not np.isfinite(loss)]
    if diverged:
        held_out = minibatches.held_out()
        origin = Origin({name: held_out[name] for name in diverged if len(held_out[name])}, {})
        extreme = f"; the most extreme is {_most_extreme(origin, minibatches.markers)}" if origin.events else ""
        raise ModelError(
            f"Training diverged in epoch {epoch}: the loss of the validation events of {listing(diverged)} is "
            f"{validation[diverged[0]]}{extreme}. "
            "Lower training.learning_rate, or look for extreme intensities there."
        )


def _populations(origin: Origin) -> str:
    return ", ".join(f"{name!r} ({_samples(origin, name)})" for name in origin.events)


def _samples(origin: Origin, population: str) -> str:
    if population not in origin.samples:
        return "samples unknown"
    return f"samples {listing(np.unique(origin.samples[population].astype(str)).tolist())}"


def _most_extreme(origin: Origin, markers: Sequence[str]) -> str:
    """Describe the value furthest from the mean, with marker, population and sample; NaN counts as the furthest."""
    sizes = {name: events.abs().nan_to_num(nan=torch.inf) for name, events in origin.events.items()}
    population = max(sizes, key=lambda name: float(sizes[name].max()))
    events = origin.events[population]
    row, marker = divmod(int(sizes[population].argmax()), events.shape[1])
    named = repr(markers[marker]) if markers else f"number {marker + 1}"
    known = f" of sample {origin.samples[population][row]!r}" if population in origin.samples else ""
    return f"{float(events[row, marker]):.3g} standard deviations of marker {named} in population {population!r}{known}"
