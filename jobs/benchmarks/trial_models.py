"""The models whose speed is measured.

Their networks are untrained: what an edit costs depends on the widths of the layers, not on the weights. Their change
differs between the two kinds of cell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from neuronedit.auto import CANDIDATES, Plan
from neuronedit.autoencoder import Architecture, Autoencoder
from neuronedit.design import PAIR_EDIT, PairDesign
from neuronedit.edit import NEURONS_THEN_MARKERS, Edit, fit_edit
from neuronedit.model import EditModel
from neuronedit.model_files import save_model
from neuronedit.panel import Panel
from neuronedit.scaling import Scaling, fit_scaling
from neuronedit.steps import EditStep

from .event_files import COFACTOR, MARKERS, N_MARKERS, FloatArray, intensities

N_LANDMARKS, N_OTHERWISE = 5_000, 1_000
"""Events of source and target each: for ``neighbours``, whose cost grows with the source events that it keeps, more
than it keeps; for all other plans, whose cost does not depend on it, few."""

SHIFTS = (0.3, 0.8)
"""Of the two kinds of cell, arcsinh units."""


@dataclass(frozen=True)
class Trial:
    """A model to be measured.

    Attributes:
        plans: Blended, with equal weights.
        architecture: Of its network.
    """

    plans: tuple[Plan, ...]
    architecture: Architecture = field(default_factory=Architecture)


NEURONS, SMALL, QUANTILE_MAP, DEFAULT = "neurons-then-markers", "small network", "quantile-map", "default"
LINEAR, STRATA, NEIGHBOURS = "code linear", "code strata", "code neighbours"

TRIALS: Mapping[str, Trial] = {
    NEURONS: Trial((NEURONS_THEN_MARKERS,)),
    SMALL: Trial((NEURONS_THEN_MARKERS,), Architecture(hidden=(64,), code=32)),
    QUANTILE_MAP: Trial((CANDIDATES["quantile-map"],)),
    LINEAR: Trial(((EditStep(operator="linear"),),)),
    STRATA: Trial(((EditStep(operator="strata"),),)),
    NEIGHBOURS: Trial(((EditStep(operator="neighbours"),),)),
    DEFAULT: Trial(tuple(CANDIDATES.values())),
}
"""By name. ``default`` blends all candidates of ``auto``: the most that ``auto`` can choose, which mostly takes fewer.
``code …`` edit nothing but the code, by one operator each."""


def save_trials(folder: Path, names: tuple[str, ...] = tuple(TRIALS)) -> None:
    """Fit models and save each in a folder of its name."""
    generator = np.random.default_rng(0)
    source, target = intensities(N_LANDMARKS, generator), intensities(N_LANDMARKS, generator, SHIFTS)
    scaling = fit_scaling([source, target], (COFACTOR,) * N_MARKERS)
    populations = tuple(scaling.standardise(scaling.arcsinh(events)) for events in (source, target))
    for name in names:
        save_model(_model(TRIALS[name], scaling, *populations), folder / name)


def _model(trial: Trial, scaling: Scaling, source: FloatArray, target: FloatArray) -> EditModel:
    autoencoder = Autoencoder(N_MARKERS, trial.architecture).eval().requires_grad_(False)
    edit = _edit((autoencoder,), trial.plans, scaling, source, target)
    design = PairDesign(source={"condition": "a"}, target={"condition": "b"})
    return EditModel(Panel(MARKERS, (COFACTOR,) * N_MARKERS), scaling, (autoencoder,), {PAIR_EDIT: edit}, design)


def _edit(
    autoencoders: tuple[Autoencoder, ...],
    plans: tuple[Plan, ...],
    scaling: Scaling,
    source: FloatArray,
    target: FloatArray,
) -> Edit:
    edits = []
    for plan in plans:
        n_events = N_LANDMARKS if any(step.operator == "neighbours" for step in plan) else N_OTHERWISE
        edits.append(fit_edit(PAIR_EDIT, autoencoders, plan, source[:n_events], target[:n_events], zeros=scaling.zeros))
    members = [replace(member, weight=member.weight / len(plans)) for edit in edits for member in edit.members]
    return replace(edits[0], members=tuple(members))
