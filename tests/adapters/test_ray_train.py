import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch

from neuronedit.adapters import ray_train
from neuronedit.adapters.ray_session import check_workers, free_slots
from neuronedit.adapters.ray_train import TrainedAutoencoder, own_storage, train_autoencoder
from neuronedit.errors import ClusterError, StorageError
from neuronedit.workers_config import WorkersConfig
from tests.adapters.trainers import PLAN, populations, run, undisturbed, weights_of
from tests.disasters import start_driver
from tests.fixtures import ARCHITECTURE

pytestmark = [pytest.mark.ray, pytest.mark.slow]

FOUR_WORKERS = """
import json, sys
from pathlib import Path
from neuronedit.adapters import ray_session
from neuronedit.job_configs import RayConfig
from tests.adapters import trainers
with ray_session.ray_session(RayConfig(num_cpus=5)):
    weights, history = trainers.run(Path(sys.argv[1]), count=4)
print(json.dumps([[loss.train_loss, loss.validation_loss] for loss in history]))
"""


@pytest.fixture(autouse=True, scope="module")
def _ray(ray_cluster: None) -> None:
    pass


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory: pytest.TempPathFactory) -> TrainedAutoencoder:
    storage = tmp_path_factory.mktemp("one worker")
    return train_autoencoder(populations(), ARCHITECTURE, PLAN, WorkersConfig(storage=str(storage)))


def test_one_worker_computes_what_the_core_computes(one_worker: TrainedAutoencoder) -> None:
    weights, history = undisturbed()
    assert one_worker.history == history
    assert all(np.array_equal(array, weights[name]) for name, array in weights_of(one_worker.autoencoder).items())


def test_two_workers_have_the_losses_of_one(tmp_path: Path, one_worker: TrainedAutoencoder) -> None:
    weights, history = run(tmp_path, count=2)
    # The workers' gradients and losses are summed in float32, in another order than one worker adds them up.
    for found, expected in zip(history, one_worker.history, strict=True):
        assert found.train_loss == pytest.approx(expected.train_loss, rel=1e-5)
        assert found.validation_loss == pytest.approx(expected.validation_loss, rel=1e-5)
    for name, array in weights_of(one_worker.autoencoder).items():
        assert np.allclose(array, weights[name], atol=1e-4), name


def test_four_workers_have_the_losses_of_one(tmp_path: Path, one_worker: TrainedAutoencoder) -> None:
    driver = start_driver(FOUR_WORKERS, tmp_path)
    try:
        out, err = driver.communicate(timeout=400)
    finally:
        driver.kill()
    assert driver.returncode == 0, err.decode()
    found = json.loads(out.decode().splitlines()[-1])
    expected = [[losses.train_loss, losses.validation_loss] for losses in one_worker.history]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_trained_autoencoder_is_frozen_its_losses_fall_and_its_time_is_told(one_worker: TrainedAutoencoder) -> None:
    assert not one_worker.autoencoder.training
    assert not any(parameter.requires_grad for parameter in one_worker.autoencoder.parameters())
    assert [loss.epoch for loss in one_worker.history] == [1, 2, 3, 4, 5, 6]
    assert one_worker.history[-1].validation_loss < one_worker.history[0].validation_loss
    assert 0 < one_worker.loop_seconds < one_worker.seconds
    assert 0 < one_worker.start_seconds < one_worker.seconds - one_worker.loop_seconds
    assert one_worker.loop_cpu_seconds > 0


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
