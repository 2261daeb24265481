from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch

from neuronedit.adapters.cluster.session import check_workers, free_slots
from neuronedit.adapters.training import trainer as ray_train
from neuronedit.adapters.training.trainer import TrainedAutoencoder, own_storage, train_autoencoder
from neuronedit.errors import ClusterError, StorageError
from neuronedit.network.plan import WorkersConfig
from tests.adapters.trainers import PLAN, populations, run, weights_of
from tests.adapters.training_here import without_ray
from tests.fixtures import ARCHITECTURE

pytestmark = pytest.mark.ray


@pytest.fixture(autouse=True, scope="module")
def _ray(ray_cluster: None) -> None:
    pass


@pytest.fixture(scope="module")
def by_ray(tmp_path_factory: pytest.TempPathFactory) -> TrainedAutoencoder:
    storage = tmp_path_factory.mktemp("by ray")
    config = WorkersConfig(storage=str(storage), checkpoint_epochs=2, count=2)
    return train_autoencoder(populations(), ARCHITECTURE, PLAN, config)


@pytest.mark.faults
def test_two_workers_of_ray_train_compute_what_two_processes_compute(
    tmp_path: Path, by_ray: TrainedAutoencoder
) -> None:
    with without_ray():
        weights, history = run(tmp_path, count=2)
    assert by_ray.history == history
    assert all(np.array_equal(array, weights[name]) for name, array in weights_of(by_ray.autoencoder).items())


@pytest.mark.faults
def test_a_trained_autoencoder_is_frozen_its_losses_fall_and_its_time_is_told(by_ray: TrainedAutoencoder) -> None:
    assert not by_ray.autoencoder.training
    assert not any(parameter.requires_grad for parameter in by_ray.autoencoder.parameters())
    assert [loss.epoch for loss in by_ray.history] == [1, 2, 3, 4, 5, 6]
    assert by_ray.history[-1].validation_loss < by_ray.history[0].validation_loss
    assert 0 < by_ray.loop_seconds < by_ray.seconds
    assert 0 < by_ray.start_seconds < by_ray.seconds - by_ray.loop_seconds
    assert by_ray.loop_cpu_seconds > 0


def test_more_workers_than_the_cluster_takes_are_refused_at_once(tmp_path: Path) -> None:
    assert free_slots() == 2
    with pytest.raises(
        ClusterError,
        match=r"^3 workers need 4 CPU \(one stays free for Ray Data\); the cluster has 3\. Lower workers\.count, or",
    ):
        run(tmp_path, count=3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the cluster has a GPU")
def test_gpus_that_the_cluster_lacks_are_told() -> None:
    with pytest.raises(ClusterError, match=r"^1 workers with a GPU each; the cluster has 0 GPU\. Lower workers\.count"):
        check_workers(1, use_gpu=True)


def test_a_cluster_of_several_nodes_needs_a_storage_that_all_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes: Callable[[], list[dict[str, Any]]] = ray.nodes
    monkeypatch.setattr(ray_train.ray, "nodes", lambda: nodes() * 2)
    with pytest.raises(
        ClusterError,
        match=r"^workers\.storage is not set and the cluster has several nodes; checkpoints need a folder or URI that "
        r"all nodes reach\. Set workers\.storage\.$",
    ):
        train_autoencoder(populations(), ARCHITECTURE, PLAN, WorkersConfig())


def test_a_place_where_no_checkpoint_can_be_written_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "storage").write_text("a file")
    with pytest.raises(
        StorageError,
        match=r"Checkpoints are kept there: name another place with workers\.storage, or allow this one\.$",
    ):
        run(tmp_path / "storage")


def test_checkpoints_are_kept_in_the_users_cache_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert own_storage() == tmp_path / "neuronedit" / "training"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert own_storage() == tmp_path / ".cache" / "neuronedit" / "training"
