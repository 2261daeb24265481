"""Tasks on a cluster: results in order, and each way in which a task can end without one."""

import os
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import ray
import torch
from numpy.testing import assert_array_equal

from neuronedit.adapters.cluster.tasks import run_on_cluster
from neuronedit.cells.design import PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.edits.plans import EditConfig
from neuronedit.errors import ClusterError, DataError, ModelError
from neuronedit.fitting.fit import FittedModel, fit_model, model_refits
from neuronedit.fitting.search_result import SearchConfig
from neuronedit.fitting.train import RunAll, one_after_another
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan
from tests.synthetic_cells import GAINS, intensities

pytestmark = pytest.mark.ray


def times(factor: int, number: int) -> int:
    return factor * number


def fails(kind: str) -> None:
    if kind == "user":
        raise DataError("Composition: source and target share no stratum.")
    if kind == "fault":
        raise ZeroDivisionError
    os._exit(1)


def test_results_come_in_the_order_of_the_items(ray_cluster: None) -> None:
    assert list(run_on_cluster(partial(times, 3), {f"counted {n}": n for n in (5, 1, 4)})) == [15, 3, 12]


def test_without_items_no_cluster_is_needed() -> None:
    assert list(run_on_cluster(fails, {})) == []


def test_a_users_error_comes_back_as_it_was_raised(ray_cluster: None) -> None:
    with pytest.raises(DataError, match=r"^Composition: source and target share no stratum\.$"):
        list(run_on_cluster(fails, {"fitted the edit 'B'": "user"}))


def test_a_fault_of_ours_keeps_its_traceback(ray_cluster: None) -> None:
    with pytest.raises(ray.exceptions.RayTaskError, match="ZeroDivisionError"):
        list(run_on_cluster(fails, {"fitted the edit 'B'": "fault"}))


@pytest.mark.faults
def test_a_worker_that_dies_is_told_with_its_task_and_what_helps(ray_cluster: None) -> None:
    with pytest.raises(ClusterError, match=r"^Ray lost the worker that fitted the edit 'B' \(.*\)\. Run again\.$"):
        list(run_on_cluster(fails, {"fitted the edit 'B'": "death"}, "Run again."))


def searched_and_fitted(run_all: RunAll) -> FittedModel:
    generator = np.random.default_rng(0)
    populations = {name: intensities(300, gain, generator) for name, gain in (("source", 1.0), ("target", 2.0))}
    markers = populations["source"].shape[1]
    return fit_model(
        populations,
        Panel(tuple(f"CD{number}" for number in range(markers)), (5.0,) * markers),
        PairDesign.of_arrays(),
        network=Architecture(hidden=(8,), code=3),
        training=TrainingPlan(epochs=2, minibatch=64),
        edit=EditConfig(preset="neurons-then-markers", serve="teacher", inverse=True),
        search=SearchConfig(code=(2, 4)),
        run_all=run_all,
    )


def test_searches_and_edits_have_the_bits_that_they_have_in_this_process(ray_cluster: None) -> None:
    here, there = searched_and_fitted(one_after_another), searched_and_fitted(run_on_cluster)
    assert here.search == there.search
    events = intensities(100, 1.0, np.random.default_rng(1))
    for name in ("pair", "pair inverse"):
        assert_array_equal(here.model.apply(events, name), there.model.apply(events, name))


def test_refits_have_the_bits_that_they_have_in_this_process(
    ray_cluster: None, pair_model: EditModel, rng: np.random.Generator
) -> None:
    events = {f"control {batch}": intensities(200, gain, rng) for batch, gain in GAINS.items()}
    model = replace(pair_model, facts={"training": {"epochs": 1, "minibatch": 64}})
    (here,), (there,) = (model_refits(model, events, 1, run_all) for run_all in (one_after_another, run_on_cluster))
    for name, weights in here.state_dict().items():
        assert torch.equal(weights, there.state_dict()[name])


def test_a_refit_that_diverges_ends_the_job_as_its_own_error(
    ray_cluster: None, pair_model: EditModel, rng: np.random.Generator
) -> None:
    wild = replace(pair_model, facts={"training": {"epochs": 1, "learning_rate": 1e30}})
    with pytest.raises(ModelError, match="Training diverged"):
        model_refits(wild, {"control A": intensities(200, 1.0, rng)}, 1, run_on_cluster)
