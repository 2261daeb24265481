"""The search for the network's settings: trials side by side as Ray tasks, each a run within the training's run.

A plain sweep: Ray Tune would train each trial in actors and a results folder of its own, its callbacks are refused by
Ray Train, and its schedulers stop trials early by a loss that is not what is chosen by.
"""

import logging
from collections.abc import Mapping

import mlflow
import numpy as np
import ray

from neuronedit.adapters.task_results import task_result
from neuronedit.auto import Plan
from neuronedit.errors import ModelError
from neuronedit.job_configs import TrainConfig
from neuronedit.pair_events import PairEvents
from neuronedit.percentiles import FloatArray
from neuronedit.search import LeftOutEvents, check_folds, network_plans, try_setting
from neuronedit.search_result import SearchResult, SearchTrial
from neuronedit.search_setting import SearchSetting, settings
from neuronedit.validation_split import Texts

log = logging.getLogger(__name__)


def search_network(
    config: TrainConfig,
    populations: Mapping[str, FloatArray],
    events: Mapping[str, PairEvents],
    zeros: FloatArray,
    samples: Mapping[str, Texts],
) -> SearchResult:
    """Try all settings, as many at a time as the cluster has cores free, and log each trial as a nested run.

    Args:
        config: The job's.
        populations: Standardised, (n_events, n_markers) float32 each.
        events: Of each edit.
        zeros: (n_markers,) what zero intensity is when standardised.
        samples: By population, (n_events,) the sample of each event.

    Raises:
        ConfigError: The edit's plan does not depend on the network, or edits a layer that a network lacks.
        DataError: No edit has a population that can be left out, or no effect.
        ModelError: All trials failed.
        ClusterError: A worker was lost.
    """
    tried = settings(config.search, config.autoencoder, config.training)
    plans = network_plans(config.edit, tried)
    left_out = check_folds(
        {
            name: LeftOutEvents.of(of, zeros, config.edit.n_percentiles, config.training.seed)
            for name, of in events.items()
        }
    )
    log.info("search: %d trials of %s", len(tried), ", ".join(plans))
    shared = ray.put((dict(populations), left_out, dict(samples)))
    tasks = [_try_setting.remote(setting, shared, plans) for setting in tried]
    n_markers = len(zeros)
    trials = []
    for number, (setting, task) in enumerate(zip(tried, tasks, strict=True), start=1):
        trials.append(_trial(setting, task, n_markers))
        _log_trial(trials[-1], number)
    result = SearchResult(tuple(trials))
    log.info("%s", result.sentence)
    _log_result(result)
    return result


def chosen_config(config: TrainConfig, result: SearchResult) -> TrainConfig:
    """The job's settings with those that were chosen."""
    setting = result.best.setting
    return config.model_copy(update={"autoencoder": setting.architecture, "training": setting.training})


_REMEDY = "No model was registered: run again, or lower sample.events_per_population if memory ran out."


def _trial(setting: SearchSetting, task: "ray.ObjectRef[SearchTrial]", n_markers: int) -> SearchTrial:
    try:
        trial: SearchTrial = task_result(task, f"tried {setting}", _REMEDY)
    except ModelError as error:
        log.warning("search: %s failed. %s", setting, error)
        return SearchTrial(setting, setting.n_weights(n_markers), failure=str(error))
    return trial


@ray.remote(num_cpus=1)  # type: ignore[untyped-decorator]  # Ray is untyped
def _try_setting(
    setting: SearchSetting,
    shared: tuple[Mapping[str, FloatArray], Mapping[str, LeftOutEvents], Mapping[str, Texts]],
    plans: Mapping[str, Plan],
) -> SearchTrial:
    populations, left_out, samples = shared
    return try_setting(setting, populations, left_out, plans, samples)


def _log_trial(trial: SearchTrial, number: int) -> None:
    row = trial.row()
    with mlflow.start_run(run_name=f"trial {number}", nested=True, log_system_metrics=False):
        mlflow.log_params({name: row[name] for name in ("hidden", "code", "weight_decay", "noise", "n_weights")})
        found = {"validation_loss": trial.reconstruction, "left_out_error": trial.error}
        mlflow.log_metrics({name: value for name, value in found.items() if np.isfinite(value)})
        if trial.failure:
            mlflow.set_tag("failure", trial.failure)
            mlflow.end_run("FAILED")


def _log_result(result: SearchResult) -> None:
    chosen = result.best.row()
    mlflow.log_params({f"chosen.{name}": chosen[name] for name in ("hidden", "code", "weight_decay", "noise")})
    mlflow.log_metrics({"search/left_out_error": result.best.error, "search/trials": len(result.trials)})
    mlflow.log_text(result.table().to_csv(index=False), "search.csv")
