"""One step of an edit: the shift of one layer's neurons, decoded to what it does to the markers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field
from torch import Tensor

from neuronedit.arrays import Arrays, Float32s, Floats, Masks
from neuronedit.config import Config
from neuronedit.edits.operators.neighbours import NeighbourShift
from neuronedit.edits.operators.percentiles import N_PERCENTILES, PercentileShift, Shift, percentiles
from neuronedit.edits.operators.strata import Labels, StrataShift
from neuronedit.edits.operators.transport import TransportShift
from neuronedit.network.autoencoder import CODE, VISIBLE, Autoencoder
from neuronedit.network.chunks import Activations, activations, in_chunks


class EditStep(Config):
    """How one layer is edited."""

    layer: str = Field(CODE, description="visible (the markers), encoder.1, …, code, decoder.1, …")
    operator: Literal["step", "linear", "neighbours", "strata", "transport"] = Field(
        "linear",
        description="step: the paper's bins; linear: the same, interpolated; neighbours: follows the kind of cell, "
        "by the nearest source events; strata: the same, by soft clusters of aligned events; transport: the mean "
        "shift and a small network that leads the source onto the target",
    )
    form: Literal["residual", "plain"] = Field(
        "residual",
        description="residual: add the decoded change to the event; plain: take the decoder's output (the paper)",
    )
    n_neighbours: int = Field(50, ge=1, description="source events whose shifts are averaged (operator neighbours)")
    n_strata: int = Field(4, ge=1, description="kinds of cell told apart (operator strata)")

    @property
    def latent(self) -> bool:
        """Whether it edits neurons other than the markers themselves."""
        return self.layer != VISIBLE


@dataclass(frozen=True)
class Fitting:
    """How steps are fitted.

    Attributes:
        n_percentiles: Evenly spaced from 0 to 100.
        seed: Draws landmarks, minibatches, and where searches start.
        target_weights: (n_target,) what each target event counts for; all alike by default.
        labels: The kinds of cell of source and target events, for ``strata``; found in the events by default.
    """

    n_percentiles: int = N_PERCENTILES
    seed: int = 0
    target_weights: Floats | None = field(default=None, repr=False)
    labels: Labels | None = field(default=None, repr=False)

    def of(self, source: Masks, target: Masks) -> "Fitting":
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
        )


@dataclass(frozen=True)
class FittedStep:
    """One layer's plan with the shift fitted for it."""

    plan: EditStep
    shift: Shift

    def edit(self, autoencoder: Autoencoder, activations: Activations) -> Tensor:
        """Edit events by what the network makes of them: → (n_events, n_markers) float32."""
        layer = self.plan.layer
        before = activations.at_layer(autoencoder, layer)
        after = before + self.shift.at(before)
        if not self.plan.latent:
            return after
        if self.plan.form == "plain":
            return autoencoder.decode(after, layer)
        change = autoencoder.last_hidden(after, layer) - activations.last_hidden(autoencoder, layer)
        return activations.markers + autoencoder.output_change(change)


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
        fitting: How.

    Raises:
        ConfigError: A step names a layer that the autoencoder does not have.
        ModelError: A step could not be fitted.
    """
    steps: list[FittedStep] = []
    for step in plan:
        before, after = (activations(autoencoder, population, step.layer) for population in (source, target))
        fitted = FittedStep(step, _fit_shift(step, before, after, fitting or Fitting()))
        source = apply_steps((fitted,), autoencoder, source)
        steps.append(fitted)
    return tuple(steps)


def apply_steps(steps: Sequence[FittedStep], autoencoder: Autoencoder, markers: Float32s) -> Float32s:
    """Edit standardised markers, step after step: (n_events, n_markers) → (n_events, n_markers) float32."""
    return in_chunks(lambda events: edit_chunk(steps, autoencoder, Activations(events)), markers)


def edit_chunk(steps: Sequence[FittedStep], autoencoder: Autoencoder, activations: Activations) -> Tensor:
    """Apply the steps in order to one chunk: → (n_events, n_markers) float32."""
    for step in steps:
        activations = Activations(step.edit(autoencoder, activations))
    return activations.markers


def restore_shift(step: EditStep, arrays: Arrays) -> Shift:
    """The shift that a step had when it was saved, from the arrays that it named."""
    match step.operator:
        case "neighbours":
            return NeighbourShift.from_arrays(arrays, step.n_neighbours)
        case "strata":
            return StrataShift.from_arrays(arrays)
        case "transport":
            return TransportShift.from_arrays(arrays)
        case "step" | "linear":
            return PercentileShift.from_arrays(arrays, step.operator)


def _fit_shift(step: EditStep, before: Float32s, after: Float32s, fitting: Fitting) -> Shift:
    weights, seed = fitting.target_weights, fitting.seed
    if step.operator == "transport":
        return TransportShift.fit(before, after, seed, weights)
    shift = PercentileShift.fit(
        percentiles(before, fitting.n_percentiles),
        percentiles(after, fitting.n_percentiles, weights),
        "step" if step.operator == "step" else "linear",
    )
    match step.operator:
        case "neighbours":
            return NeighbourShift.fit(shift, before, step.n_neighbours, seed)
        case "strata":
            return StrataShift.fit(
                shift, before, after, step.n_strata, seed, target_weights=weights, labels=fitting.labels
            )
        case "step" | "linear":
            return shift
