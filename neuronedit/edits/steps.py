"""The fitted steps of an edit: shifts of layers' neurons, decoded to a change of the markers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from neuronedit.arrays import Float32s
from neuronedit.edits.operators.percentiles import Shift
from neuronedit.edits.operators.table import OPERATORS, EditStep, Fitting, LayerEvents
from neuronedit.network.autoencoder import VISIBLE, Autoencoder
from neuronedit.network.chunks import Activations, in_chunks


@dataclass(frozen=True)
class FittedStep:
    """A step's settings with the shifts that were fitted for them, of one layer or several in one autoencoder.

    Attributes:
        plan: The settings.
        shifts: By layer; the step's change is the mean of those that they make.
    """

    plan: EditStep
    shifts: Mapping[str, Shift]

    def change(self, autoencoder: Autoencoder, activations: Activations) -> Tensor:
        """Edit one chunk, given its activations: → (n_events, n_markers) float32."""
        if not self.plan.latent:
            return self.shifts[VISIBLE].shift_at(activations.markers).add_(activations.markers)
        edited = {
            layer: shift.shift_at(before).add_(before)  # a shift is a tensor of its own
            for layer, shift in self.shifts.items()
            for before in [activations.at_layer(autoencoder, layer)]
        }
        if self.plan.form == "plain":
            return _mean([autoencoder.decode(after, layer) for layer, after in edited.items()])
        changes = [
            autoencoder.last_hidden(after, layer).sub_(activations.last_hidden(autoencoder, layer))
            for layer, after in edited.items()
        ]
        return autoencoder.output_change(_mean(changes)).add_(activations.markers)


def _mean(found: list[Tensor]) -> Tensor:
    first, *others = found
    for other in others:
        first += other
    return first.div_(len(found)) if others else first


def fit_steps(
    autoencoder: Autoencoder,
    plan: Sequence[EditStep],
    source: Float32s,
    target: Float32s,
    fitting: Fitting | None = None,
) -> tuple[FittedStep, ...]:
    """Fit each step of a plan on the source as the steps before it leave it, against the target.

    A step for more events than there are (``from_events``) is left out.

    Args:
        autoencoder: Trained; frozen from here on.
        plan: The layers to edit, in order.
        source: (n_events, n_markers) float32, standardised.
        target: (n_events, n_markers) float32, standardised.
        fitting: Percentiles, seed, weights and labels.

    Raises:
        ConfigError: A step names a layer that the autoencoder does not have.
        ModelError: A step could not be fitted.

    Example:
        >>> import numpy as np
        >>> from neuronedit.network.autoencoder import Architecture
        >>> network, cells = Autoencoder(1, Architecture()), np.array([[0.0], [1.0], [4.0]], np.float32)
        >>> steps = fit_steps(network, [EditStep(layer=VISIBLE)], cells, cells + 2, Fitting(n_percentiles=3))
        >>> apply_steps(steps, network, cells).tolist()
        [[2.0], [3.0], [6.0]]
    """
    steps: list[FittedStep] = []
    for step in plan:
        if min(len(source), len(target)) < step.from_events:
            continue
        layers = [
            LayerEvents(autoencoder, layer, source, target) for layer in step.places(autoencoder.architecture).values()
        ]
        found = OPERATORS[step.operator].fit(step, layers, fitting or Fitting())
        shifts = {events.layer: shift for events, shift in zip(layers, found, strict=True)}
        fitted = FittedStep(step, shifts)
        source = apply_steps((fitted,), autoencoder, source)
        steps.append(fitted)
    return tuple(steps)


def apply_steps(steps: Sequence[FittedStep], autoencoder: Autoencoder, markers: Float32s) -> Float32s:
    """Apply the steps in order to standardised markers: (n_events, n_markers) → (n_events, n_markers) float32.

    Example:
        >>> import numpy as np
        >>> from neuronedit.network.autoencoder import Architecture
        >>> network, cells = Autoencoder(1, Architecture()), np.array([[0.0], [1.0], [4.0]], np.float32)
        >>> (step,) = fit_steps(network, [EditStep(layer=VISIBLE)], cells, cells + 2)
        >>> apply_steps([step, step], network, cells).tolist()
        [[4.0], [5.0], [8.0]]
    """
    return in_chunks(lambda events: edit_chunk(steps, autoencoder, Activations(events)), markers)


def edit_chunk(steps: Sequence[FittedStep], autoencoder: Autoencoder, activations: Activations) -> Tensor:
    """Apply the steps in order to one chunk: → (n_events, n_markers) float32.

    Example:
        >>> import torch
        >>> from neuronedit.network.autoencoder import Architecture
        >>> network, cells = Autoencoder(1, Architecture()), torch.tensor([[0.0], [1.0], [4.0]])
        >>> steps = fit_steps(network, [EditStep(layer=VISIBLE)], cells.numpy(), cells.numpy() + 2)
        >>> edit_chunk(steps, network, Activations(cells)).tolist()
        [[2.0], [3.0], [6.0]]
    """
    for step in steps:
        activations = Activations(step.change(autoencoder, activations))
    return activations.markers


@dataclass(frozen=True)
class Member:
    """One plan, fitted for one autoencoder.

    Attributes:
        plan: The plan's name.
        weight: What its change counts for; an edit's members' weights sum to 1.
        autoencoder: The number of the autoencoder among the model's.
        steps: In order.
    """

    plan: str
    weight: float
    autoencoder: int
    steps: tuple[FittedStep, ...]

    def change(self, autoencoders: Sequence[Autoencoder], activations: Activations) -> Tensor:
        """Edit one chunk, given its activations, as if the weight were 1: → (n_events, n_markers) float32."""
        return edit_chunk(self.steps, autoencoders[self.autoencoder], activations)
