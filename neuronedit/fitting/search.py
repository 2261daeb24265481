"""Search for the network's settings: each is tried on populations left out of source and target.

Only a plan that edits neurons can be tried: others do not depend on the network.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from neuronedit.arrays import Float32s, Texts
from neuronedit.cells.design import MIN_POPULATION_EVENTS
from neuronedit.edits.folds import Fold, left_out_folds
from neuronedit.edits.learnable import hidden_columns, hide
from neuronedit.edits.left_out import WHOLE, blended_error, drawn_for_trials, try_plans
from neuronedit.edits.operators.table import Fitting
from neuronedit.edits.pair_events import PairEvents
from neuronedit.edits.plans import EditConfig, Plan
from neuronedit.edits.spikes import Spikes
from neuronedit.errors import ConfigError, DataError, ModelError, listing
from neuronedit.fitting.prepare import Prepared
from neuronedit.fitting.search_result import SearchConfig, SearchResult, SearchSetting, SearchTrial, settings
from neuronedit.fitting.train import TASK_REMEDY, RunAll, one_after_another, train_network
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.state import kept_epoch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeftOutEvents:
    """One edit's events, and the folds that leave some of them out in turn.

    Attributes:
        source: (n_source, n_markers) float32, standardised.
        target: (n_target, n_markers) float32, standardised.
        folds: A fold for each population (stratum) that is large enough.
        fitting: The settings by which plans are fitted.
    """

    source: Float32s
    target: Float32s
    folds: tuple[Fold, ...]
    fitting: Fitting

    @classmethod
    def from_events(cls, events: PairEvents, zeros: Float32s, n_percentiles: int, seed: int) -> "LeftOutEvents":
        """Spread the zeros of an edit's events, draw at most as many as trials are made on, and make the folds."""
        hidden = hidden_columns(events.unlearnable, len(zeros))
        pair = hide(events.source, hidden), hide(events.target, hidden)
        spikes = Spikes.find(*pair, zeros)
        kept = [drawn_for_trials(len(population), seed) for population in pair]
        source, target = (spikes.spread_evenly(population)[rows] for population, rows in zip(pair, kept, strict=True))
        folds = tuple(left_out_folds(source, target, seed))
        return cls(source, target, folds, events.fitting(n_percentiles, seed).subset(*kept))


def searched_plan(edit: EditConfig, tried: Sequence[SearchSetting]) -> Plan:
    """Give the plan to try.

    Raises:
        ConfigError: The plan edits markers only, or a layer that some network would not have.

    Example:
        >>> plan = searched_plan(EditConfig(preset="paper"), [SearchSetting(Architecture(), TrainingPlan())])
        >>> [str(step) for step in plan]
        ['code step']
    """
    if not any(step.latent for step in edit.plan):
        raise ConfigError(
            "search: the edit's plan edits markers only, which is the same whatever the network; expected a plan that "
            "edits neurons. Choose another edit.preset, or remove [search]."
        )
    for step in edit.plan:
        for setting in tried:
            step.places(setting.architecture)
    return edit.plan


def check_folds(left_out: Mapping[str, LeftOutEvents]) -> dict[str, LeftOutEvents]:
    """Keep the edits that have populations to leave out.

    Raises:
        DataError: None has.

    Example:
        >>> import numpy as np
        >>> cells, half = np.zeros((2, 1), np.float32), np.array([True, False])
        >>> one, none = (LeftOutEvents(cells, cells, folds, Fitting()) for folds in ((Fold(half, half),), ()))
        >>> list(check_folds({"day2": one, "day3": none}))
        ['day2']
    """
    usable = {name: events for name, events in left_out.items() if events.folds}
    if not usable:
        raise DataError(
            f"search: of no edit ({listing(left_out)}) can a population be left out and scored; expected strata of at "
            f"least {MIN_POPULATION_EVENTS} events in source and target, beside as many others. Raise "
            "sample.events_per_population, add events, or remove [search]."
        )
    return usable


def search_network(
    prepared: Prepared,
    search: SearchConfig,
    network: Architecture,
    training: TrainingPlan,
    run_all: RunAll = one_after_another,
    on_trial: Callable[[int, SearchTrial], None] = lambda number, trial: None,
) -> SearchResult:
    """Try all settings on populations left out of source and target.

    Args:
        prepared: The populations to learn from.
        search: The settings to try.
        network: The layers, unless these are searched.
        training: The training plan, unless its settings are searched.
        run_all: Runs tasks, one for each trial.
        on_trial: Called with each trial's number, from 1, and the trial.

    Raises:
        ConfigError: The edit's plan does not depend on the network, or edits a layer that a network lacks.
        DataError: No edit has a population that can be left out, or no effect.
        ModelError: All trials failed.

    Example:
        Of a code of one neuron and one of three, the wider tells apart what three markers say:

        >>> from neuronedit.fitting.prepare import prepare
        >>> from neuronedit.model.example import example_cells, example_model
        >>> model, pair = example_model(), {"source": example_cells(), "target": example_cells(1, treated=1.0)}
        >>> prepared = prepare(pair, model.panel, model.design, EditConfig(preset="paper"))
        >>> plan = TrainingPlan(epochs=5, minibatch=64, learning_rate=0.01)
        >>> found = search_network(prepared, SearchConfig(code=(1, 3)), Architecture(hidden=(), code=3), plan)
        >>> found.best.setting.architecture.code
        3
    """
    tried = settings(search, network, training)
    plan = searched_plan(prepared.edit, tried)
    zeros, n_percentiles = prepared.scaling.zeros, prepared.edit.n_percentiles
    left_out = check_folds(
        {
            name: LeftOutEvents.from_events(events, zeros, n_percentiles, training.seed)
            for name, events in prepared.events.items()
        }
    )
    log.info("search: %d trials of %s", len(tried), " → ".join(map(str, plan)))
    attempt = partial(_attempt, prepared.markers, left_out, plan, prepared.drawn.samples)
    trials = []
    for trial in run_all(attempt, {f"tried {setting}": setting for setting in tried}, TASK_REMEDY):
        if trial.failure:
            log.warning("search: %s failed. %s", trial.setting, trial.failure)
        trials.append(trial)
        on_trial(len(trials), trial)
    result = SearchResult(tuple(trials))
    log.info("%s", result.sentence)
    return result


def _attempt(
    populations: Mapping[str, Float32s],
    left_out: Mapping[str, LeftOutEvents],
    plan: Plan,
    samples: Mapping[str, Texts],
    setting: SearchSetting,
) -> SearchTrial:
    """Try a setting; if its training fails, return a trial with the reason, so that the others go on."""
    try:
        return try_setting(setting, populations, left_out, plan, samples)
    except ModelError as error:
        n_markers = next(iter(populations.values())).shape[1]
        return SearchTrial(setting, setting.n_weights(n_markers), failure=str(error))


def try_setting(
    setting: SearchSetting,
    populations: Mapping[str, Float32s],
    left_out: Mapping[str, LeftOutEvents],
    plan: Plan,
    samples: Mapping[str, Texts] | None = None,
) -> SearchTrial:
    """Train a network, and fit every edit without each population in turn.

    Args:
        setting: The setting to try.
        populations: Standardised, (n_events, n_markers) float32 each.
        left_out: Events and folds, by edit.
        plan: The steps.
        samples: (n_events,) sample of each event, by population, if they are known.

    Raises:
        ModelError: Training diverged, or a plan could not be fitted.

    Example:
        >>> from neuronedit.model.example import example_cells, example_model
        >>> model, pair = example_model(), {"source": example_cells(), "target": example_cells(1, treated=1.0)}
        >>> markers = {name: model.standardised(cells) for name, cells in pair.items()}
        >>> left_out = LeftOutEvents.from_events(PairEvents(*markers.values()), model.scaling.zeros, 21, seed=0)
        >>> setting = SearchSetting(Architecture(hidden=(), code=3), TrainingPlan(epochs=5, minibatch=64))
        >>> trial = try_setting(setting, markers, {"pair": left_out}, EditConfig(preset="paper").plan)
        >>> list(trial.errors), trial.n_weights
        (['pair'], 24)
    """
    training, n_markers = setting.training, next(iter(populations.values())).shape[1]
    network, history = train_network(populations, setting.architecture, training, samples=samples)
    errors = {}
    for edit, events in left_out.items():
        trials = try_plans(network, {WHOLE: plan}, events.source, events.target, events.folds, events.fitting)
        errors[edit] = blended_error(trials, {WHOLE: 1.0}, events.fitting.seed)
    return SearchTrial(
        setting, setting.n_weights(n_markers), kept_epoch(history, training.patience).validation_loss, errors
    )
