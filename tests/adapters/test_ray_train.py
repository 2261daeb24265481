import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from neuronedit.adapters import ray_train
from neuronedit.adapters.ray_session import check_workers, free_slots
from neuronedit.adapters.ray_train import train_autoencoder
from neuronedit.autoencoder import Autoencoder
from neuronedit.errors import ClusterError, ModelError
from neuronedit.job_configs import WorkersConfig
from neuronedit.loss_history import EpochLosses
from neuronedit.minibatches import InMemory
from neuronedit.scaling import fit_scaling
from neuronedit.training import train
from neuronedit.training_plan import TrainingPlan
from tests.fixtures import ARCHITECTURE, PLAN
from tests.synthetic_cells import MARKERS

pytestmark = [pytest.mark.ray, pytest.mark.slow]

Trained = tuple[Autoencoder, list[EpochLosses]]


@pytest.fixture(autouse=True, scope="module")
def _ray(ray_cluster: None) -> None:
    pass


@pytest.fixture(scope="module")
def populations(cells_once: Path) -> dict[str, np.ndarray]:
    """Unequal in size, so that minibatches do not divide evenly."""
    raw = {}
    for batch_id in "AC":
        table = pq.read_table(cells_once / f"{batch_id}-control.parquet")
        raw[batch_id] = np.column_stack([table.column(marker).to_numpy() for marker in MARKERS])
    scaling = fit_scaling(raw.values(), [5.0] * len(MARKERS))
    return {name: scaling.standardise(scaling.arcsinh(events)) for name, events in raw.items()}


@pytest.fixture(scope="module")
def one_worker(populations: Mapping[str, np.ndarray]) -> Trained:
    return train_autoencoder(populations, ARCHITECTURE, PLAN, WorkersConfig(count=1))


def weights(trained: Trained) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in trained[0].state_dict().items()}


def test_one_worker_twice_gives_the_same_bits(populations: Mapping[str, np.ndarray], one_worker: Trained) -> None:
    again = train_autoencoder(populations, ARCHITECTURE, PLAN, WorkersConfig(count=1))
    assert again[1] == one_worker[1]
    assert all(np.array_equal(array, weights(one_worker)[name]) for name, array in weights(again).items())


def test_one_worker_computes_what_the_core_computes(populations: Mapping[str, np.ndarray], one_worker: Trained) -> None:
    alone = Autoencoder(len(MARKERS), ARCHITECTURE, PLAN.seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the worker: more threads add up in another order
    losses = list(train(alone, InMemory.of(populations, PLAN), PLAN))
    torch.set_num_threads(threads)
    assert one_worker[1] == losses
    assert all(np.array_equal(array, weights(one_worker)[name]) for name, array in weights((alone, losses)).items())


def test_two_workers_have_the_losses_of_one(
    populations: Mapping[str, np.ndarray], one_worker: Trained, tmp_path: Path
) -> None:
    two = train_autoencoder(populations, ARCHITECTURE, PLAN, WorkersConfig(count=2, storage=str(tmp_path / "shared")))
    # The workers' gradients and losses are summed in float32, in another order than one worker adds them up.
    for found, expected in zip(two[1], one_worker[1], strict=True):
        assert found.train_loss == pytest.approx(expected.train_loss, rel=1e-5)
        assert found.validation_loss == pytest.approx(expected.validation_loss, rel=1e-5)
    for name, array in weights(two).items():
        assert np.allclose(array, weights(one_worker)[name], atol=1e-4), name
    assert list((tmp_path / "shared").rglob("autoencoder.safetensors"))


def test_a_trained_autoencoder_is_frozen_and_its_losses_fall(one_worker: Trained) -> None:
    autoencoder, losses = one_worker
    assert not autoencoder.training
    assert not any(parameter.requires_grad for parameter in autoencoder.parameters())
    assert [loss.epoch for loss in losses] == [1, 2, 3]
    assert losses[-1].validation_loss < losses[0].validation_loss


def test_diverging_training_is_the_models_error_not_rays(populations: Mapping[str, np.ndarray]) -> None:
    wild = TrainingPlan(epochs=3, minibatch=128, learning_rate=1e30)
    with pytest.raises(
        ModelError,
        match=r"^Training diverged in epoch 1, step 2 of \d+: the loss is (nan|inf)\. Its minibatch has events of "
        r"'A' \(samples unknown\), 'C' \(samples unknown\); the most extreme is .* standard deviations of marker "
        r"number \d+ in population '[AC]'\. Lower training\.learning_rate, or look for extreme intensities there\.$",
    ):
        train_autoencoder(populations, ARCHITECTURE, wild, WorkersConfig(count=1))


def test_a_worker_that_dies_is_a_cluster_error(
    populations: Mapping[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_train, "_train_worker", _die)
    with pytest.raises(
        ClusterError, match=r"(?s)^Ray Train's workers failed: .*died.*\. No model was registered; see the"
    ):
        train_autoencoder(populations, ARCHITECTURE, PLAN, WorkersConfig(count=1))


def test_more_workers_than_the_cluster_takes_are_refused_at_once(populations: Mapping[str, np.ndarray]) -> None:
    assert free_slots() == 2
    with pytest.raises(
        ClusterError,
        match=r"^3 workers need 4 CPU \(one stays free for Ray Data\); the cluster has 3\. Lower workers\.count, or",
    ):
        train_autoencoder(populations, ARCHITECTURE, PLAN, WorkersConfig(count=3))


@pytest.mark.skipif(torch.cuda.is_available(), reason="the cluster has a GPU")
def test_gpus_that_the_cluster_lacks_are_told() -> None:
    with pytest.raises(ClusterError, match=r"^1 workers with a GPU each; the cluster has 0 GPU\. Lower workers\.count"):
        check_workers(1, use_gpu=True)


def _die(config: dict[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
