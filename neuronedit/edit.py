"""The edit: an ordered list of layers, each with the shift of its neurons from source to target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from neuronedit.autoencoder import CODE, VISIBLE, Autoencoder, tensor
from neuronedit.config import Config
from neuronedit.neighbours import NeighbourShift
from neuronedit.percentiles import N_PERCENTILES, Arrays, FloatArray, Interpolation, PercentileShift, Shift, percentiles
from neuronedit.strata import StrataShift

CHUNK = 4096
"""Events per pass through the network: few enough to stay in the processor's cache."""


class EditStep(Config):
    """How one layer is edited."""

    layer: str = Field(CODE, description="visible (the markers), encoder.1, …, code, decoder.1, …")
    operator: Literal["step", "linear", "neighbours", "strata"] = Field(
        "linear",
        description="step: the paper's bins; linear: the same, interpolated; neighbours: follows the kind of cell, "
        "by the nearest source events; strata: the same, by soft clusters of aligned events",
    )
    form: Literal["residual", "plain"] = Field(
        "residual",
        description="residual: add the decoded change to the event; plain: take the decoder's output (the paper)",
    )
    n_neighbours: int = Field(50, ge=1, description="source events whose shifts are averaged (operator neighbours)")
    n_strata: int = Field(4, ge=1, description="kinds of cell told apart (operator strata)")


DEFAULT_PLAN = (EditStep(layer=CODE), EditStep(layer=VISIBLE))
"""Edit the code, then the markers themselves: the network supplies context, the markers exact marginals."""

Preset = Literal["paper", "quantile-map", "neurons-then-markers", "strata"]

PRESETS: Mapping[str, tuple[EditStep, ...]] = {
    "paper": (EditStep(layer=CODE, operator="step", form="plain"),),
    "quantile-map": (EditStep(layer=VISIBLE),),
    "neurons-then-markers": DEFAULT_PLAN,
    "strata": (EditStep(layer=VISIBLE, operator="strata"),),
}
"""Plans by name: Amodio et al. 2018; each marker by itself; the default; each marker within each kind of cell."""


@dataclass(frozen=True)
class FittedStep:
    """One layer's plan with the shift fitted for it."""

    plan: EditStep
    shift: Shift

    def apply(self, autoencoder: Autoencoder, markers: FloatArray) -> FloatArray:
        """Edit standardised markers: (n_events, n_markers) → (n_events, n_markers) float32."""
        edited = np.empty_like(markers)
        for start in range(0, len(markers), CHUNK):
            chunk = slice(start, start + CHUNK)
            edited[chunk] = self._apply_chunk(autoencoder, markers[chunk])
        return edited

    @torch.inference_mode()
    def _apply_chunk(self, autoencoder: Autoencoder, markers: FloatArray) -> FloatArray:
        before = autoencoder.encode(tensor(markers), self.plan.layer)
        after = before + torch.from_numpy(self.shift.at(before.numpy()))
        decoded: FloatArray = autoencoder.decode(after, self.plan.layer).numpy()
        if self.plan.form == "plain":
            return decoded
        # An edit that shifts nothing decodes to the same bits twice, so nothing at all is added.
        return markers + (decoded - autoencoder.decode(before, self.plan.layer).numpy())


@dataclass(frozen=True)
class Edit:
    """A fitted transformation source → target; it means nothing for another autoencoder's weights."""

    name: str
    steps: tuple[FittedStep, ...]

    def apply(self, autoencoder: Autoencoder, markers: FloatArray) -> FloatArray:
        """Edit standardised markers, step after step: (n_events, n_markers) → (n_events, n_markers) float32."""
        for step in self.steps:
            markers = step.apply(autoencoder, markers)
        return markers


def fit_edit(
    name: str,
    autoencoder: Autoencoder,
    plan: Sequence[EditStep],
    source: FloatArray,
    target: FloatArray,
    *,
    n_percentiles: int = N_PERCENTILES,
    seed: int = 0,
) -> Edit:
    """Fit each step of a plan on the source as the steps before it leave it, against the target.

    Args:
        name: The edit's name: the batch that it leads to the reference, or ``pair``.
        autoencoder: Trained; frozen from here on.
        plan: The layers to edit, in order.
        source: (n_events, n_markers) float32, standardised.
        target: (n_events, n_markers) float32, standardised.
        n_percentiles: Evenly spaced percentiles from 0 to 100.
        seed: Draws the landmarks of ``neighbours``, and where the search for ``strata`` starts.

    Raises:
        ConfigError: A step names a layer that the autoencoder does not have.
    """
    steps: list[FittedStep] = []
    for step in plan:
        fitted = _fit_step(autoencoder, step, source, target, n_percentiles, seed)
        source = fitted.apply(autoencoder, source)
        steps.append(fitted)
    return Edit(name, tuple(steps))


def activations(autoencoder: Autoencoder, markers: FloatArray, layer: str) -> FloatArray:
    """Activations of a layer, in chunks: (n_events, n_markers) → (n_events, n_neurons) float32."""
    with torch.inference_mode():
        chunks = [autoencoder.encode(chunk, layer) for chunk in tensor(markers).split(CHUNK)]
        return np.asarray(torch.cat(chunks).numpy())


def restore_shift(step: EditStep, arrays: Arrays) -> Shift:
    """The shift that a step had when it was saved, from the arrays that it named."""
    match step.operator:
        case "neighbours":
            return NeighbourShift.from_arrays(arrays, step.n_neighbours)
        case "strata":
            return StrataShift.from_arrays(arrays)
        case "step" | "linear":
            return PercentileShift.from_arrays(arrays, step.operator)


def _fit_step(
    autoencoder: Autoencoder,
    step: EditStep,
    source: FloatArray,
    target: FloatArray,
    n_percentiles: int,
    seed: int,
) -> FittedStep:
    before = activations(autoencoder, source, step.layer)
    after = activations(autoencoder, target, step.layer)
    return FittedStep(step, _fit_shift(step, before, after, n_percentiles, seed))


def _fit_shift(step: EditStep, before: FloatArray, after: FloatArray, n_percentiles: int, seed: int) -> Shift:
    interpolation: Interpolation = "step" if step.operator == "step" else "linear"
    shift = PercentileShift.fit(percentiles(before, n_percentiles), percentiles(after, n_percentiles), interpolation)
    match step.operator:
        case "neighbours":
            return NeighbourShift.fit(shift, before, step.n_neighbours, seed)
        case "strata":
            return StrataShift.fit(shift, before, after, step.n_strata, seed)
        case "step" | "linear":
            return shift
