"""Methods that the accuracy benchmark compares: simple ones, and edits of one autoencoder by several plans.

The default edit is also asked for its flags before any truth is seen, over many draws of the tasks' events.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s
from neuronedit.cells.design import PAIR_EDIT, PairDesign
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.cells.panel import Panel
from neuronedit.cells.scaling import fit_scaling
from neuronedit.cells.transforms import Arcsinh
from neuronedit.edits.baselines import LATENT_MEAN, MEAN_SHIFT, NO_EDIT, QUANTILE_MAP, Baseline, baselines
from neuronedit.edits.plans import EditConfig
from neuronedit.edits.support import Support
from neuronedit.errors import NeuroneditError
from neuronedit.fitting.fit import fit_model
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan

from .joint_baselines import CLUSTER_MAP, LINEAR_TRANSPORT, joint_baselines
from .matching_networks import GAN, MMD_RESNET, network_baselines
from .tasks import Populations, TransferTask, draw, load_cells

logger = logging.getLogger(__name__)

DEFAULT_NAME = "neuronedit: default"
"""The plan that a design which names none gets, as it is served: by the student."""

TEACHER_NAME = "neuronedit: default, by its teacher"
STRATA_NAME = "neuronedit: strata"

PLANS: Mapping[str, EditConfig] = {
    DEFAULT_NAME: EditConfig(),
    "neuronedit: paper (code, step, plain)": EditConfig(preset="paper", serve="teacher"),
    "neuronedit: neurons, then markers": EditConfig(preset="neurons-then-markers", serve="teacher"),
    STRATA_NAME: EditConfig(preset="strata", serve="teacher"),
    "neuronedit: transport": EditConfig(preset="transport", serve="teacher"),
    "neuronedit: neurons-strata": EditConfig(preset="neurons-strata", serve="teacher"),
}
"""The edits that are measured, by name; each is an edit of the same model."""

PAIRS = ((TEACHER_NAME, STRATA_NAME), (DEFAULT_NAME, TEACHER_NAME))
"""Methods compared task by task: the plan with and without its step on neurons, the student and its teacher."""

METHODS = (NO_EDIT, MEAN_SHIFT, QUANTILE_MAP, LATENT_MEAN, CLUSTER_MAP, LINEAR_TRANSPORT, *PLANS, TEACHER_NAME)

NETWORKS = (MMD_RESNET, GAN)
"""Measured where the effort allows for it."""


@dataclass(frozen=True)
class Effort:
    """How much work a run takes on.

    Attributes:
        n_events: At most so many of each population.
        n_simulated: Number of events of each population of the simulated task.
        n_seeds: Each draws its own events, weights and halves of the truth.
        architecture: The autoencoder's layers.
        training: How long it is trained.
        networks: Whether the networks that turn source into target are measured, with one seed: they take most of
            the time.
    """

    n_events: int
    n_simulated: int
    n_seeds: int
    architecture: Architecture
    training: TrainingPlan
    networks: bool = False

    def measures_networks(self, seed: int) -> bool:
        """Whether they are measured with this seed: the first one's time is enough."""
        return self.networks and seed == 0


@dataclass(frozen=True)
class Forecast:
    """The forecast for an edit by the default plan, before any truth is seen.

    Attributes:
        expected_error: On the events to be edited; 0 is the noise floor, 1 that of doing nothing.
        left_out_error: On populations left out of source and target.
        neurons: By how much the steps that edit neurons lower that error.
        unsupported: Share of the events with nothing like them in the source.
        flagged: Whether the edit should not be trusted on these events.
    """

    expected_error: float
    left_out_error: float
    neurons: float
    unsupported: float
    flagged: bool


def forecast(model: EditModel, events: Float32s) -> Forecast:
    """Forecast the default edit on raw events, (n_events, n_markers), without their truth."""
    edit = model.edits[DEFAULT_NAME]
    assert edit.errors is not None
    found = edit.support.judge(model.standardised(events))
    expected = edit.expected_error(found.unsupported)
    return Forecast(
        expected,
        edit.errors.left_out,
        edit.errors.neurons_contribution,
        found.unsupported,
        found.flagged or not expected < 1,
    )


def predict(model: EditModel, populations: Populations, seed: int, effort: Effort) -> dict[str, Float32s]:
    """Edit the events by every method: (n_events, n_markers) float32, arcsinh units, by method."""
    source, target, events = (
        model.scaling.transform(population)
        for population in (populations.source, populations.target, populations.events)
    )
    methods = baselines(model.autoencoder, model.scaling) | joint_baselines(seed)
    if effort.measures_networks(seed):
        methods |= network_baselines(seed)
    simple = {name: attempt(name, method, source, target, events) for name, method in methods.items()}
    edited = {plan: model.apply(populations.events, plan) for plan in PLANS}
    edited[TEACHER_NAME] = model.served_by("teacher").apply(populations.events, DEFAULT_NAME)
    return simple | {name: model.scaling.transform(cells) for name, cells in edited.items()}


def attempt(name: str, method: Baseline, source: Float32s, target: Float32s, events: Float32s) -> Float32s:
    """Edit the events by a method; if it fails, log the reason and return NaN, so that the others go on."""
    try:
        return method(source, target, events)
    except NeuroneditError as error:
        logger.warning("%s gave nothing: %s", name, error)
        return np.full_like(events, np.nan)


def fit_populations(populations: Populations, cofactor: float, seed: int, effort: Effort) -> EditModel:
    """One autoencoder, trained on source, target and events with equal weight, and an edit for each plan."""
    n_markers = populations.source.shape[1]
    panel = Panel(tuple(f"marker {number}" for number in range(1, n_markers + 1)), (cofactor,) * n_markers)
    named = {"source": populations.source, "target": populations.target, "extrapolation": populations.events}
    return fit_plans(PLANS, named, panel, seed, effort.architecture, effort.training)


def fit_plans(
    plans: Mapping[str, EditConfig],
    intensities: Mapping[str, Float32s],
    panel: Panel,
    seed: int,
    architecture: Architecture,
    training: TrainingPlan,
) -> EditModel:
    """One autoencoder, trained on all populations with equal weight, and an edit for each plan, by its name.

    Args:
        plans: By name.
        intensities: Raw, (n_events, n_markers) each; edits lead from ``source`` to ``target``, others are trained on.
        panel: The markers.
        seed: Seed of weights, minibatches and draws.
        architecture: The autoencoder's layers.
        training: How long it is trained.
    """
    drawn = DrawnPopulations(dict(intensities), {name: len(events) for name, events in intensities.items()})
    fitted = fit_model(
        drawn,
        panel,
        PairDesign.of_arrays(),
        network=architecture,
        training=training.model_copy(update={"seed": seed}),
        edit=EditConfig(preset="quantile-map"),
    )
    edits = {name: fitted.with_edit(edit).model.edits[PAIR_EDIT] for name, edit in plans.items()}
    return replace(fitted.model, edits=edits)


def measure_flags(tasks: Sequence[TransferTask], data: Path, n_events: int, n_seeds: int) -> pd.DataFrame:
    """A row for each task: transfers, flagged (the share of seeds), and the means of what the flag rests on.

    It rests on the support alone: no edit is fitted, and the truth is not read. Its columns: auroc and reach, see
    ``Extrapolation``.
    """
    cells = {dataset: load_cells(data, dataset) for dataset in sorted({task.dataset for task in tasks})}
    rows = []
    for task in tasks:
        for seed in range(n_seeds):
            populations, _ = draw(cells[task.dataset], task, n_events, seed)
            rows.append({"task": task.name, "transfers": task.transfers, **_judge(populations, task.cofactor, seed)})
    return pd.DataFrame(rows).groupby("task", sort=False).mean()


def _judge(populations: Populations, cofactor: float, seed: int) -> dict[str, float]:
    scaling = fit_scaling(vars(populations).values(), [Arcsinh(cofactor)] * populations.source.shape[1])
    source, target, events = (
        scaling.standardise(scaling.transform(intensities)) for intensities in vars(populations).values()
    )
    found = Support.fit(source, target, seed).judge(events)
    return {"flagged": float(found.flagged), "auroc": found.auroc, "reach": found.reach}
