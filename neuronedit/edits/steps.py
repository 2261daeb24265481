"""One step of an edit: a shift of one layer's neurons, decoded to a change of the markers; and all operators."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from torch import Tensor

from neuronedit.arrays import Arrays, Float32s, Floats, Masks
from neuronedit.config import Config
from neuronedit.edits.operators.neighbours import NeighbourShift
from neuronedit.edits.operators.percentiles import (
    N_PERCENTILES,
    Interpolation,
    PercentileShift,
    Shift,
    percentiles,
)
from neuronedit.edits.operators.strata import Labels, StrataShift
from neuronedit.edits.operators.transport import TransportShift
from neuronedit.network.autoencoder import CODE, VISIBLE, Autoencoder
from neuronedit.network.chunks import Activations, activations, in_chunks


@dataclass(frozen=True)
class Operator:
    """A way to shift a layer's activations from a source to a target.

    Attributes:
        meaning: In a few words, for the settings' help.
        fit: Gives the shift from the step, the activations of source and target, (n_events, n_neurons) float32 each,
            and how steps are fitted.
        restore: Gives the shift again from the step and the arrays that ``Shift.arrays`` named.
        options: The step's fields that the operator reads, counts named ``n_…``.
    """

    meaning: str
    fit: "Callable[[EditStep, Float32s, Float32s, Fitting], Shift]"
    restore: "Callable[[EditStep, Arrays], Shift]"
    options: tuple[str, ...] = ()


def percentile_shift(
    source: Float32s, target: Float32s, fitting: "Fitting", interpolation: Interpolation = "linear"
) -> PercentileShift:
    """Fit the shift of each neuron by itself, from all events of source and target, (n_events, n_neurons) each.

    Example:
        >>> import torch
        >>> cells = torch.tensor([[0.0], [1.0], [4.0]])
        >>> percentile_shift(cells.numpy(), cells.numpy() * 3, Fitting(n_percentiles=3)).shift_at(cells).tolist()
        [[0.0], [2.0], [8.0]]
    """
    return PercentileShift.fit(
        percentiles(source, fitting.n_percentiles),
        percentiles(target, fitting.n_percentiles, fitting.target_weights),
        interpolation,
    )


OPERATORS: Mapping[str, Operator] = {
    "step": Operator(
        "the paper's bins",
        lambda step, source, target, fitting: percentile_shift(source, target, fitting, "step"),
        lambda step, arrays: PercentileShift.from_arrays(arrays, "step"),
    ),
    "linear": Operator(
        "the same, interpolated",
        lambda step, source, target, fitting: percentile_shift(source, target, fitting),
        lambda step, arrays: PercentileShift.from_arrays(arrays, "linear"),
    ),
    "neighbours": Operator(
        "follows the kind of cell, by the nearest source events",
        lambda step, source, target, fitting: NeighbourShift.fit(
            percentile_shift(source, target, fitting), source, step.n_neighbours, fitting.seed
        ),
        lambda step, arrays: NeighbourShift.from_arrays(arrays, step.n_neighbours),
        ("n_neighbours",),
    ),
    "strata": Operator(
        "the same, by soft clusters of aligned events",
        lambda step, source, target, fitting: StrataShift.fit(
            percentile_shift(source, target, fitting),
            source,
            target,
            step.n_strata,
            fitting.seed,
            target_weights=fitting.target_weights,
            labels=fitting.labels,
        ),
        lambda step, arrays: StrataShift.from_arrays(arrays),
        ("n_strata",),
    ),
    "transport": Operator(
        "the mean shift and a small network that leads the source onto the target",
        lambda step, source, target, fitting: TransportShift.fit(source, target, fitting.seed, fitting.target_weights),
        lambda step, arrays: TransportShift.from_arrays(arrays),
    ),
}
"""All operators, by the name that settings and models have for them."""

if TYPE_CHECKING:
    OperatorName = str
else:
    OperatorName = Literal[tuple(OPERATORS)]


class EditStep(Config):
    """Settings of one step: the layer, the operator, the form."""

    layer: str = Field(CODE, description="visible (the markers), encoder.1, …, code, decoder.1, …")
    operator: OperatorName = Field(
        "linear", description="; ".join(f"{name}: {operator.meaning}" for name, operator in OPERATORS.items())
    )
    form: Literal["residual", "plain"] = Field(
        "residual",
        description="residual: add the decoded change to the event; plain: take the decoder's output (the paper)",
    )
    n_neighbours: int = Field(50, ge=1, description="source events whose shifts are averaged (operator neighbours)")
    n_strata: int = Field(4, ge=1, description="kinds of cell told apart (operator strata)")

    @property
    def latent(self) -> bool:
        """Tell whether the step edits neurons other than the markers themselves."""
        return self.layer != VISIBLE


@dataclass(frozen=True)
class Fitting:
    """Everything that fitting a step needs besides its events.

    Attributes:
        n_percentiles: Evenly spaced from 0 to 100.
        seed: Draws landmarks, minibatches, and where searches start.
        target_weights: (n_target,) weights of the target events; equal by default.
        labels: The kinds of cell of source and target events, for ``strata``; found in the events by default.
        unmoved: Columns of markers that the edit puts back as they were: plans are not judged by them.
    """

    n_percentiles: int = N_PERCENTILES
    seed: int = 0
    target_weights: Floats | None = field(default=None, repr=False)
    labels: Labels | None = field(default=None, repr=False)
    unmoved: tuple[int, ...] = ()

    def subset(self, source: Masks, target: Masks) -> "Fitting":
        """Restrict weights and labels to the masked events.

        Args:
            source: (n_source,) bool.
            target: (n_target,) bool.
        """
        weights, labels = self.target_weights, self.labels
        return Fitting(
            self.n_percentiles,
            self.seed,
            None if weights is None else weights[target],
            None if labels is None else (labels[0][source], labels[1][target]),
            self.unmoved,
        )


@dataclass(frozen=True)
class FittedStep:
    """A step's settings with the shift that was fitted for them."""

    plan: EditStep
    shift: Shift

    def change(self, autoencoder: Autoencoder, activations: Activations) -> Tensor:
        """Edit one chunk, given its activations: → (n_events, n_markers) float32."""
        layer = self.plan.layer
        before = activations.at_layer(autoencoder, layer)
        after = self.shift.shift_at(before).add_(before)  # a shift is a tensor of its own
        if not self.plan.latent:
            return after
        if self.plan.form == "plain":
            return autoencoder.decode(after, layer)
        change = autoencoder.last_hidden(after, layer).sub_(activations.last_hidden(autoencoder, layer))
        return autoencoder.output_change(change).add_(activations.markers)


def fit_steps(
    autoencoder: Autoencoder,
    plan: Sequence[EditStep],
    source: Float32s,
    target: Float32s,
    fitting: Fitting | None = None,
) -> tuple[FittedStep, ...]:
    """Fit each step of a plan on the source as the steps before it leave it, against the target.

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
        before, after = (activations(autoencoder, population, step.layer) for population in (source, target))
        fitted = FittedStep(step, OPERATORS[step.operator].fit(step, before, after, fitting or Fitting()))
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
