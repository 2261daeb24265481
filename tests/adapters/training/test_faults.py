"""Workers, nodes and drivers that are killed amid training by Ray: it comes to what it comes to undisturbed."""

import json
import logging
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from neuronedit.adapters.training import trainer as ray_train
from neuronedit.network.state import EpochLosses
from tests.adapters import trainers
from tests.adapters.trainers import Weights, epochs_trained, nodes_used, run
from tests.disasters import start_driver, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.faults]

DRIVER = """
import sys
from pathlib import Path
from neuronedit.adapters.cluster import session as ray_session
from neuronedit.adapters.training import trainer as ray_train
from neuronedit.adapters.cluster.session import RayConfig
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
from neuronedit.adapters.training import trainer as ray_train
from tests.adapters import trainers
storage = Path(sys.argv[1])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
ray_train.train_worker = trainers.slow

def lose_node():
    while not list(storage.glob("*/epoch-000002/state.json")):
        time.sleep(0.05)
    (node,) = (node for node in nodes if node.node_id == trainers.nodes_used(storage)[0])
    cluster.remove_node(node, allow_graceful=False)

thread = threading.Thread(target=lose_node)
thread.start()
weights, history = trainers.run(storage, count=2)
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


def test_one_of_two_workers_killed_goes_on_with_the_losses_of_an_undisturbed_run(
    storage: Path, undisturbed: tuple[Weights, tuple[EpochLosses, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_train, "train_worker", trainers.dies_once)
    told: list[EpochLosses] = []
    _, history = run(storage, told.extend, count=2)
    assert int((storage.parent / "died.txt").read_text()) != os.getpid()
    assert epochs_trained(storage) == [1, 2, 3, 4, 5, 5, 6]
    assert [losses.epoch for losses in told] == [1, 2, 3, 4, 5, 6], "an epoch that is trained twice is told once"
    # Two workers' gradients are summed in another order than one worker adds them up.
    for found, expected in zip(history, undisturbed[1], strict=True):
        assert found.train_loss == pytest.approx(expected.train_loss, rel=1e-5)
        assert found.validation_loss == pytest.approx(expected.validation_loss, rel=1e-5)


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


def test_a_lost_node_costs_no_training_where_others_have_room(
    storage: Path, undisturbed: tuple[Weights, tuple[EpochLosses, ...]]
) -> None:
    driver = start_driver(TWO_NODES, storage)
    try:
        out, err = driver.communicate(timeout=400)
    finally:
        driver.kill()
    assert driver.returncode == 0, err.decode()
    trained, nodes = epochs_trained(storage), nodes_used(storage)
    assert trained.count(1) == 1, "not from zero"
    assert trained[-1] == 6
    assert nodes[0] != nodes[-1], "it went on elsewhere"
    # Two workers' gradients are summed in another order than one worker adds them up.
    assert json.loads(out.decode().splitlines()[-1]) == pytest.approx(
        [loss.validation_loss for loss in undisturbed[1]], rel=1e-5
    )
