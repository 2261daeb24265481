"""Workers, nodes and drivers that are killed, checkpoints that are damaged, a disk that is full.

Training comes to what it comes to undisturbed.
"""

import json
import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from neuronedit.adapters import ray_train
from neuronedit.errors import ClusterError, ModelError, StorageError
from neuronedit.loss_history import EpochLosses
from neuronedit.training_plan import TrainingPlan
from neuronedit.workers_config import WorkersConfig
from tests.adapters import trainers
from tests.adapters.trainers import Weights, epochs_trained, run, workers_counted
from tests.disasters import enlarge, small_disk, start_driver, wait_for
from tests.fixtures import ARCHITECTURE
from tests.s3_server import Bucket, Fault

pytestmark = [pytest.mark.ray, pytest.mark.slow]

DRIVER = """
import sys
from pathlib import Path
from neuronedit.adapters import ray_session, ray_train
from neuronedit.job_configs import RayConfig
from tests.adapters import trainers
ray_train.train_worker = trainers.slow
with ray_session.ray_session(RayConfig(num_cpus=1)):
    trainers.run(Path(sys.argv[1]))
"""

TWO_NODES = """
import json, sys, threading, time
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from neuronedit.adapters import ray_train
from tests.adapters import trainers
storage = Path(sys.argv[1])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
ray_train.train_worker = trainers.slow

def lose_node():
    while not list(storage.glob("*/epoch-000002/state.json")):
        time.sleep(0.05)
    cluster.remove_node(nodes[1], allow_graceful=False)

thread = threading.Thread(target=lose_node)
thread.start()
weights, history = trainers.run(storage, count=4, min_count=1)
thread.join()
print(json.dumps([loss.validation_loss for loss in history]))
ray.shutdown()
cluster.shutdown()
"""


@pytest.fixture(autouse=True, scope="module")
def _ray(ray_cluster: None) -> None:
    pass


@pytest.fixture(scope="module")
def undisturbed() -> tuple[Weights, tuple[EpochLosses, ...]]:
    return trainers.undisturbed()


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "storage"


def check(trained: tuple[Weights, tuple[EpochLosses, ...]], expected: tuple[Weights, tuple[EpochLosses, ...]]) -> None:
    """The same bits, as one worker gives them."""
    assert trained[1] == expected[1]
    assert all(np.array_equal(array, expected[0][name]) for name, array in trained[0].items())


def test_a_worker_killed_after_epoch_5_goes_on_from_epoch_4_with_the_same_bits(
    storage: Path, undisturbed: tuple[Weights, tuple[EpochLosses, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_train, "train_worker", trainers.dies_once)
    told: list[EpochLosses] = []
    check(run(storage, told.extend), undisturbed)
    assert int((storage.parent / "died.txt").read_text()) != os.getpid()
    assert epochs_trained(storage) == [1, 2, 3, 4, 5, 5, 6]
    assert told == list(undisturbed[1]), "an epoch that is trained twice is told once"


def test_one_of_two_workers_killed_goes_on_with_the_losses_of_an_undisturbed_run(
    storage: Path, undisturbed: tuple[Weights, tuple[EpochLosses, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_train, "train_worker", trainers.dies_once)
    _, history = run(storage, count=2)
    assert epochs_trained(storage) == [1, 2, 3, 4, 5, 5, 6]
    # Two workers' gradients are summed in another order than one worker adds them up.
    for found, expected in zip(history, undisturbed[1], strict=True):
        assert found.train_loss == pytest.approx(expected.train_loss, rel=1e-5)
        assert found.validation_loss == pytest.approx(expected.validation_loss, rel=1e-5)


def test_a_damaged_checkpoint_costs_the_epochs_since_the_one_before_and_is_told(
    storage: Path,
    undisturbed: tuple[Weights, tuple[EpochLosses, ...]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(ray_train, "train_worker", trainers.damages_and_dies_once)
    check(run(storage), undisturbed)
    assert epochs_trained(storage) == [1, 2, 3, 4, 5, 3, 4, 5, 6]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "epoch-000004/state.safetensors: damaged" in warning
    assert warning.endswith("Instead, training goes on from epoch-000002.")


def test_workers_that_always_die_end_the_job_after_so_many_starts(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_train, "train_worker", trainers.dies)
    with pytest.raises(
        ClusterError,
        match=r"(?s)^Ray Train's workers failed: .*died.*\. No model was registered; see the workers' logs\. The same "
        r"command goes on from the last checkpoint in .*/neuronedit-\w{16}\.$",
    ):
        run(storage, max_failures=1)
    assert epochs_trained(storage) == [1, 1], "two starts"


def test_training_that_diverges_is_the_users_error_and_not_tried_again(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_train, "train_worker", trainers.counts_starts)
    wild = TrainingPlan(epochs=3, minibatch=128, learning_rate=1e30)
    samples = {name: np.full(len(events), f"sample of {name}") for name, events in trainers.populations().items()}
    with pytest.raises(
        ModelError,
        match=r"^Training diverged in epoch 1, step \d of 4: the loss is (nan|inf)\. Its minibatch has events of "
        r"'A' \(samples 'sample of A'\), 'B' \(samples 'sample of B'\)",
    ):
        ray_train.train_autoencoder(
            trainers.populations(), ARCHITECTURE, wild, WorkersConfig(count=2, storage=str(storage)), samples=samples
        )
    assert (storage.parent / "starts.txt").read_text().split() == ["1", "1"], "each of the two workers, once"


def test_a_killed_driver_and_the_same_call_go_on_with_the_same_bits_and_then_nothing_is_left_to_train(
    storage: Path,
    undisturbed: tuple[Weights, tuple[EpochLosses, ...]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    driver = start_driver(DRIVER, storage)
    try:
        wait_for(lambda: list(storage.glob("*/epoch-000002/state.json")), driver)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    time.sleep(2)  # its worker notices that it is gone
    trained_before = epochs_trained(storage)
    monkeypatch.setattr(ray_train, "train_worker", trainers.noting)
    told: list[EpochLosses] = []
    with caplog.at_level(logging.INFO):
        check(run(storage, told.extend), undisturbed)
        trained = epochs_trained(storage)[len(trained_before) :]
        assert trained in ([3, 4, 5, 6], [5, 6]), "not from zero"
        assert f"going on after epoch {trained[0] - 1}" in caplog.text
        assert told == list(undisturbed[1]), "a new run's curves are whole"
        caplog.clear()
        check(run(storage), undisturbed)
    assert "trained before, and the weights are taken from there as they are" in caplog.text
    assert len(epochs_trained(storage)) == len(trained_before) + len(trained), "nothing was trained again"
    (folder,) = storage.iterdir()
    assert [path.name for path in folder.glob("epoch-*")] == ["epoch-000006"], "the end alone is kept"


def test_a_lost_node_costs_workers_and_no_training(
    storage: Path, undisturbed: tuple[Weights, tuple[EpochLosses, ...]]
) -> None:
    driver = start_driver(TWO_NODES, storage)
    try:
        out, err = driver.communicate(timeout=400)
    finally:
        driver.kill()
    assert driver.returncode == 0, err.decode()
    trained, n_workers = epochs_trained(storage), workers_counted(storage)
    assert trained.count(1) == 1, "not from zero"
    assert trained[-1] == 6
    assert n_workers[0] == 4
    assert 1 <= n_workers[-1] <= 3, "it went on with those that are left"
    # Workers' gradients are summed in another order than one worker adds them up.
    assert json.loads(out.decode().splitlines()[-1]) == pytest.approx(
        [loss.validation_loss for loss in undisturbed[1]], rel=1e-5
    )


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Room for one checkpoint, not for two."""
    with small_disk(tmp_path / "disk", kilobytes=24) as folder:
        yield folder


def test_a_full_disk_is_told_at_once_and_the_same_call_with_room_goes_on(
    disk: Path, undisturbed: tuple[Weights, tuple[EpochLosses, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_train, "train_worker", trainers.noting)
    storage = disk / "storage"
    with pytest.raises(
        StorageError, match=r"^The checkpoint after epoch 4 cannot be written; .*: no room is left \(.*No space left on"
    ):
        run(storage, count=2)
    (folder,) = storage.iterdir()
    assert [path.name for path in folder.glob("epoch-*")] == ["epoch-000002"], "the old one is intact"
    enlarge(disk)
    _, history = run(storage, count=2)
    assert epochs_trained(storage) == [1, 2, 3, 3, 4, 5, 6], "epoch 4 ended with its checkpoint; nothing was repeated"
    assert [loss.validation_loss for loss in history] == pytest.approx(
        [loss.validation_loss for loss in undisturbed[1]], rel=1e-5
    )


def test_checkpoints_on_s3_that_a_failing_store_cuts_short_are_gone_on_from(
    s3: Bucket, undisturbed: tuple[Weights, tuple[EpochLosses, ...]], caplog: pytest.LogCaptureFixture
) -> None:
    s3.server.inject(Fault("AccessDenied", kinds=("PUT",), key="epoch-000004/"))
    with pytest.raises(
        StorageError, match=r"^The checkpoint after epoch 4 cannot be written; earlier ones are as they"
    ):
        run(s3.uri("storage"))
    (newest,) = {key.split("/")[2] for key in s3.keys("storage") if "/epoch-" in key}
    assert newest == "epoch-000002"
    s3.server.inject(Fault("InternalError", every=5))
    with caplog.at_level(logging.INFO):
        check(run(s3.uri("storage")), undisturbed)
    assert "going on after epoch 2" in caplog.text
