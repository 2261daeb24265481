"""The settings of an edit's step, and the operators that it may name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

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
from neuronedit.edits.operators.strata import Labels, StrataShift, n_strata_for
from neuronedit.edits.operators.trained import train_shifts
from neuronedit.edits.operators.transport import TransportShift
from neuronedit.network.autoencoder import CODE, VISIBLE, Architecture, Autoencoder
from neuronedit.network.chunks import activations


@dataclass(frozen=True)
class LayerEvents:
    """A layer of an autoencoder, with the events that its shift is fitted on.

    Attributes:
        autoencoder: Trained; frozen from here on.
        layer: The layer's name.
        source_markers: (n_events, n_markers) float32, standardised, as the steps before leave them.
        target_markers: (n_events, n_markers) float32, standardised.
    """

    autoencoder: Autoencoder
    layer: str
    source_markers: Float32s = field(repr=False)
    target_markers: Float32s = field(repr=False)

    @cached_property
    def source(self) -> Float32s:
        """The source's activations, (n_events, n_neurons) float32."""
        return activations(self.autoencoder, self.source_markers, self.layer)

    @cached_property
    def target(self) -> Float32s:
        """The target's activations, (n_events, n_neurons) float32."""
        return activations(self.autoencoder, self.target_markers, self.layer)


@dataclass(frozen=True)
class Operator:
    """A way to shift a layer's activations from a source to a target.

    Attributes:
        meaning: In a few words, for the settings' help.
        fit: Gives a shift of each layer from the step, the layers with their events, and how steps are fitted.
        restore: Gives the shift again from the step and the arrays that ``Shift.arrays`` named.
        options: The step's fields that the operator reads, counts named ``n_…``.
    """

    meaning: str
    fit: "Callable[[EditStep, Sequence[LayerEvents], Fitting], Sequence[Shift]]"
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


def _each(
    fit: "Callable[[EditStep, LayerEvents, Fitting], Shift]",
) -> "Callable[[EditStep, Sequence[LayerEvents], Fitting], list[Shift]]":
    """Fit each layer by itself."""
    return lambda step, layers, fitting: [fit(step, events, fitting) for events in layers]


OPERATORS: Mapping[str, Operator] = {
    "step": Operator(
        "the paper's bins",
        _each(lambda step, events, fitting: percentile_shift(events.source, events.target, fitting, "step")),
        lambda step, arrays: PercentileShift.from_arrays(arrays, "step"),
    ),
    "linear": Operator(
        "the same, interpolated",
        _each(lambda step, events, fitting: percentile_shift(events.source, events.target, fitting)),
        lambda step, arrays: PercentileShift.from_arrays(arrays, "linear"),
    ),
    "neighbours": Operator(
        "follows the kind of cell, by the nearest source events",
        _each(
            lambda step, events, fitting: NeighbourShift.fit(
                percentile_shift(events.source, events.target, fitting), events.source, step.n_neighbours, fitting.seed
            )
        ),
        lambda step, arrays: NeighbourShift.from_arrays(arrays, step.n_neighbours),
        ("n_neighbours",),
    ),
    "strata": Operator(
        "the same, by soft clusters of aligned events",
        _each(
            lambda step, events, fitting: StrataShift.fit(
                percentile_shift(events.source, events.target, fitting),
                events.source,
                events.target,
                step.n_strata or n_strata_for(events.source, events.target),
                fitting.seed,
                target_weights=fitting.target_weights,
                labels=fitting.labels,
            )
        ),
        lambda step, arrays: StrataShift.from_arrays(arrays),
        ("n_strata",),
    ),
    "transport": Operator(
        "the mean shift and a small network that leads the source onto the target",
        _each(
            lambda step, events, fitting: TransportShift.fit(
                events.source, events.target, fitting.seed, fitting.target_weights
            )
        ),
        lambda step, arrays: TransportShift.from_arrays(arrays),
    ),
    "trained": Operator(
        "by descent, so that decoded events meet the target in all markers jointly; not of the markers themselves",
        lambda step, layers, fitting: train_shifts(
            [(events.autoencoder, events.layer) for events in layers],
            layers[0].source_markers,
            layers[0].target_markers,
            fitting.seed,
            target_weights=fitting.target_weights,
            still=fitting.unmoved,
        ),
        lambda step, arrays: PercentileShift.from_arrays(arrays, "linear"),
    ),
}
"""All operators, by the name that settings and models have for them."""

if TYPE_CHECKING:
    OperatorName = str
else:
    OperatorName = Literal[tuple(OPERATORS)]


class EditStep(Config):
    """Settings of one step: the layer or layers, the operator, the form.

    Example:
        >>> EditStep(layer=("encoder.2", "decoder.2"), operator="trained").layers
        ('encoder.2', 'decoder.2')
    """

    layer: str | tuple[str, ...] = Field(
        CODE,
        description="visible (the markers), encoder.1, …, encoder (the last of these), code, decoder.1, …, decoder; a "
        "list of layers edits each by itself, and takes the mean of their changes",
    )
    operator: OperatorName = Field(
        "linear", description="; ".join(f"{name}: {operator.meaning}" for name, operator in OPERATORS.items())
    )
    form: Literal["residual", "plain"] = Field(
        "residual",
        description="residual: add the decoded change to the event; plain: take the decoder's output (the paper)",
    )
    n_neighbours: int = Field(50, ge=1, description="source events whose shifts are averaged (operator neighbours)")
    n_strata: int | None = Field(
        None,
        ge=1,
        description="kinds of cell told apart (operator strata); by default as many as the events allow, from 4 to 24",
    )
    from_events: int = Field(
        0, ge=0, description="the step is left out where source or target has fewer events than this"
    )

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that the step edits."""
        return (self.layer,) if isinstance(self.layer, str) else self.layer

    def __str__(self) -> str:
        return f"{' and '.join(self.layers)} {self.operator}"

    def places(self, architecture: Architecture) -> dict[str, str]:
        """Give the names of the layers in a network, by where their arrays stand in a model's file.

        Raises:
            ConfigError: The network has no such layer.

        Example:
            >>> from neuronedit.network.autoencoder import Architecture
            >>> EditStep(layer="encoder").places(Architecture())
            {'': 'encoder.2'}
            >>> EditStep(layer=("encoder", "decoder")).places(Architecture())
            {'encoder.2.': 'encoder.2', 'decoder.2.': 'decoder.2'}
        """
        layers = dict.fromkeys(map(architecture.layer_named, self.layers))
        return {f"{layer}." if len(layers) > 1 else "": layer for layer in layers}

    def facts(self) -> dict[str, Any]:
        """Give the settings as JSON values; ``from_events`` only where it is set: models of before do not have it."""
        return self.model_dump(mode="json", exclude=None if self.from_events else {"from_events"})

    @property
    def latent(self) -> bool:
        """Tell whether the step edits neurons other than the markers themselves."""
        return self.layers != (VISIBLE,)

    @model_validator(mode="after")
    def _markers_are_not_trained(self) -> Self:
        if self.operator == "trained" and not self.latent:
            raise ValueError("the operator 'trained' shifts neurons; expected a hidden layer, found visible")
        return self

    @field_validator("layer")
    @classmethod
    def _layers_apart(cls, layer: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(layer, str):
            return layer
        if not layer or len(set(layer)) < len(layer) or VISIBLE in layer:
            raise ValueError(
                f"expected one layer, or a list of hidden layers, each once; found {list(layer)}. The markers "
                "(visible) are a step of their own"
            )
        return layer if len(layer) > 1 else layer[0]


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
