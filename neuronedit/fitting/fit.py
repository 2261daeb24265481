"""Fit a model: populations in, model out (scale → pool → match → search → train → fit).

A refit trains a model's autoencoder anew from another seed, to tell what the data decides from what chance does.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import pandas as pd

import neuronedit
from neuronedit.arrays import Float32s
from neuronedit.cells.design import Design
from neuronedit.cells.draw import SampleConfig
from neuronedit.cells.panel import Panel
from neuronedit.edits.plans import EditConfig, check_layers
from neuronedit.fitting.edits import EditFitting, fit_edits
from neuronedit.fitting.evidence import judge_edits
from neuronedit.fitting.prepare import Populations, Prepared, prepare
from neuronedit.fitting.record import TrainingRecord, edit_facts, population_records
from neuronedit.fitting.search import search_network
from neuronedit.fitting.search_result import SearchConfig, SearchResult
from neuronedit.fitting.train import Ensemble, RunAll, Train, one_after_another, train_here
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.minibatches import InMemory
from neuronedit.network.plan import TrainingPlan, without_retired
from neuronedit.network.state import EpochLosses, kept_epoch
from neuronedit.network.training import train

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FittedModel:
    """A model with its training history.

    Attributes:
        model: The model, to be applied, saved or registered.
        losses: The losses of each autoencoder, by epoch.
        prepared: The populations that it learned from.
        training: The training plan of its autoencoders.
        search: The search that chose the network's settings; None if there was none.
    """

    model: EditModel
    losses: tuple[tuple[EpochLosses, ...], ...]
    prepared: Prepared
    training: TrainingPlan
    search: SearchResult | None = None

    @property
    def loss_table(self) -> pd.DataFrame:
        """The losses of the first autoencoder by epoch: epoch, train_loss, validation_loss."""
        return pd.DataFrame([asdict(losses) for losses in self.losses[0]])

    def with_edit(self, edit: EditConfig, run_all: RunAll = one_after_another) -> "FittedModel":
        """Fit the edits in another way, by the same autoencoders: nothing is trained again.

        Args:
            edit: The settings of the edits.
            run_all: Runs tasks, one for each edit.

        Raises:
            ConfigError: A step names a layer that the autoencoders do not have.
            DataError: A source shares no cell type with its target.
        """
        prepared = self.prepared.with_edit(edit, self.training.seed)
        return replace(self, model=_edited(self.model, prepared, self.training.seed, run_all), prepared=prepared)

    def drawn_from(self, data: Mapping[str, Any], sample: SampleConfig) -> "FittedModel":
        """Record the dataset in the model's facts, which an update needs to draw the same events again.

        Args:
            data: Facts of the dataset, its ``uri`` among them.
            sample: The sampling of the events.
        """
        facts = self.model.facts
        record = TrainingRecord(
            populations=population_records(self.prepared.drawn.intensities, data["uri"]),
            goal=facts["goal"],
            sample=sample,
            training=self.training,
            validation_loss=facts["validation_loss"],
            edit=self.prepared.edit,
        )
        recorded = {**facts, "data": dict(data), **record.facts()}
        return replace(self, model=replace(self.model, facts=recorded))


def fit_model(
    populations: Populations,
    panel: Panel,
    design: Design,
    *,
    network: Architecture | None = None,
    training: TrainingPlan | None = None,
    edit: EditConfig | None = None,
    ensemble: int = 1,
    search: SearchConfig | None = None,
    train: Train = train_here,
    run_all: RunAll = one_after_another,
) -> FittedModel:
    """Train autoencoders on all populations with equal weight, then fit every edit of the design.

    Args:
        populations: Raw intensities, (n_events, n_markers) each in the panel's order, by name: ``source``, ``target``
            and, if wanted, ``extrapolation`` for a pair design; the batches' names for a controls design. As
            ``DrawnPopulations`` they may come with samples, which the design's ``sample_column`` names, and labels.
        panel: The markers, with their transforms.
        design: The populations that edits lead from and to.
        network: The autoencoder's layers; by default 200, 100 and 50 neurons.
        training: The training plan; by default 60 epochs.
        edit: The edits' plan and settings; by default ``plans.DEFAULT``.
        ensemble: Number of autoencoders, each trained from a seed of its own; the changes that they make are averaged.
        search: Settings of the network to try first, on populations left out.
        train: Trains the autoencoders; by default in this process.
        run_all: Runs tasks, one for each edit and trial; by default one after another in this process.

    Returns:
        The model, with its training history.

    Raises:
        ConfigError: The edit's plan names a layer that the network does not have.
        DataError: A population is missing, has another shape or too few events, a value is not finite, or a source
            shares no cell type with its target.
        ModelError: Training diverged.

    Example:
        Two markers of 300 cells before and after a treatment that doubles the first:

        >>> import numpy as np
        >>> from neuronedit import Architecture, EditConfig, PairDesign, Panel, TrainingPlan, fit_model
        >>> before = np.random.default_rng(0).lognormal(3.0, 0.5, (300, 2))
        >>> after = np.random.default_rng(1).lognormal(3.0, 0.5, (300, 2)) * [2.0, 1.0]
        >>> fitted = fit_model(
        ...     {"source": before, "target": after},
        ...     Panel(("CD4", "CD8"), (5.0, 5.0)),
        ...     PairDesign.of_arrays(),
        ...     network=Architecture(hidden=(8,), code=2),
        ...     training=TrainingPlan(epochs=2, minibatch=128),
        ...     edit=EditConfig(preset="quantile-map"),
        ... )
        >>> other = np.random.default_rng(2).lognormal(3.0, 0.5, (100, 2))
        >>> edited = fitted.model.apply(other, "pair")
        >>> [round(float(ratio)) for ratio in np.median(edited / other, axis=0)]
        [2, 1]
    """
    network, training = network or Architecture(), training or TrainingPlan()
    prepared = prepare(populations, panel, design, edit, training.seed)
    found = search_network(prepared, search, network, training, run_all) if search and search.enabled else None
    return fit_prepared(prepared, network, training, ensemble=ensemble, search=found, train=train, run_all=run_all)


def fit_prepared(
    prepared: Prepared,
    network: Architecture,
    training: TrainingPlan,
    *,
    ensemble: int = 1,
    search: SearchResult | None = None,
    train: Train = train_here,
    run_all: RunAll = one_after_another,
) -> FittedModel:
    """Train autoencoders on prepared populations, then fit the edits (see ``fit_model``).

    Args:
        prepared: The populations to learn from.
        network: The autoencoder's layers, unless a search chose others.
        training: The training plan, unless a search chose another.
        ensemble: Number of autoencoders.
        search: A search, whose best setting is trained with.
        train: Trains the autoencoders.
        run_all: Runs tasks, one for each edit.

    Raises:
        ConfigError: The edit's plan names a layer that the network does not have.
        ModelError: Training diverged.

    Example:
        >>> import numpy as np
        >>> from neuronedit.cells.design import PairDesign
        >>> cells, edit = np.random.default_rng(0).lognormal(3.0, 0.5, (100, 1)), EditConfig(preset="quantile-map")
        >>> pair = {"source": cells, "target": 2 * cells}
        >>> prepared = prepare(pair, Panel(("CD4",), (5.0,)), PairDesign.of_arrays(), edit)
        >>> fitted = fit_prepared(prepared, Architecture(hidden=(8,), code=2), TrainingPlan(epochs=1))
        >>> round(float(np.median(fitted.model.apply(cells, "pair") / cells)), 1)
        2.0
    """
    if search:
        network, training = search.best.setting.architecture, search.best.setting.training
    check_layers(prepared.edit, network)
    plans = [training.model_copy(update={"seed": training.seed + number}) for number in range(ensemble)]
    trained = train(prepared, network, plans)
    facts = _facts(prepared, training, trained) | ({"search": search.facts()} if search else {})
    unedited = EditModel(prepared.panel, prepared.scaling, trained.autoencoders, {}, prepared.design, facts)
    return FittedModel(_edited(unedited, prepared, training.seed, run_all), trained.losses, prepared, training, search)


def validation_losses(losses: Sequence[Sequence[EpochLosses]], training: TrainingPlan) -> tuple[float, ...]:
    """The validation loss of each autoencoder, in the epoch whose weights it has.

    Example:
        >>> history = [EpochLosses(1, 0.5, 0.6), EpochLosses(2, 0.4, 0.7)]
        >>> validation_losses([history], TrainingPlan(patience=1)), validation_losses([history], TrainingPlan())
        ((0.6,), (0.7,))
    """
    return tuple(kept_epoch(history, training.patience).validation_loss for history in losses)


def _facts(prepared: Prepared, training: TrainingPlan, trained: Ensemble) -> dict[str, Any]:
    drawn = prepared.drawn
    return {
        "neuronedit": neuronedit.__version__,
        **drawn.facts(),
        # A model fitted without X is a different claim from one fitted with X.
        "extrapolation_seen": any(name.startswith("extrapolation") for name in drawn.counts),
        "events_trained_on": dict(trained.n_events),
        "streamed": trained.streamed,
        "training": training.model_dump(mode="json"),
        "validation_loss": list(validation_losses(trained.losses, training)),
    }


def _edited(model: EditModel, prepared: Prepared, seed: int, run_all: RunAll) -> EditModel:
    """Fit the edits of the populations, and put them and their facts into the model."""
    fitting = EditFitting(prepared.edit, prepared.scaling.zeros, seed, model.panel.markers)
    edits = fit_edits(model.autoencoders, prepared.events, fitting, run_all=run_all, markers=prepared.markers)
    facts = {
        "goal": list(prepared.pairs[0].target),
        "match_composition": prepared.edit.match_composition,
        "edit": edit_facts(prepared.edit),
        **judge_edits(edits, prepared, model.autoencoders, seed, run_all),
    }
    return replace(model, edits=edits, facts={**model.facts, **facts})


def model_refits(
    model: EditModel, populations: Mapping[str, Float32s], n_refits: int, run_all: RunAll = one_after_another
) -> tuple[Autoencoder, ...]:
    """Gather autoencoders to compare a model's first with: the others of its ensemble, and newly trained ones.

    Args:
        model: The model under review.
        populations: Raw intensities, (n_events, n_markers) each, of the populations that the model was trained on.
        n_refits: Number of autoencoders to train.
        run_all: Runs tasks, one for each refit.

    Raises:
        ModelError: Training diverged.

    Example:
        >>> from neuronedit.model.example import example_cells, example_model
        >>> refits = model_refits(example_model(), {"source": example_cells(), "target": example_cells(treated=1.0)}, 2)
        >>> [network.architecture == example_model().autoencoder.architecture for network in refits]
        [True, True]
    """
    tasks = {f"trained refit {number}": number - 1 for number in range(1, n_refits + 1)}
    remedy = "Nothing was written: run again, or lower sample.events_per_population if memory ran out."
    trained: list[Autoencoder] = []
    for autoencoder in run_all(partial(refit, model, dict(populations)), tasks, remedy):
        trained.append(autoencoder)
        log.info("refit %d of %d trained", len(trained), n_refits)
    return (*model.autoencoders[1:], *trained)


def refit(model: EditModel, populations: Mapping[str, Float32s], number: int) -> Autoencoder:
    """Train an autoencoder of the model's architecture as the model's own were, from a seed that none of them had.

    Args:
        model: Its facts hold the settings of its training; without them the defaults are taken.
        populations: Raw intensities, (n_events, n_markers) each, of the populations that the model was trained on.
        number: The refit's number, from 0; each has a seed of its own.

    Raises:
        ModelError: Training diverged.

    Example:
        >>> from neuronedit.model.example import example_cells, example_model
        >>> populations = {"source": example_cells(), "target": example_cells(treated=1.0)}
        >>> first, second = (refit(example_model(), populations, number) for number in (0, 1))
        >>> bool((first.layers[0].weight == second.layers[0].weight).any())
        False
    """
    plan = TrainingPlan.model_validate(without_retired(model.facts.get("training", {})))
    plan = plan.model_copy(update={"seed": plan.seed + len(model.autoencoders) + number})
    autoencoder = Autoencoder(model.panel.n_markers, model.autoencoder.architecture, plan.seed)
    standardised = {name: model.standardised(intensities) for name, intensities in populations.items()}
    train(autoencoder, InMemory.from_populations(standardised, plan, markers=model.panel.markers), plan)
    return autoencoder.eval().requires_grad_(False)
