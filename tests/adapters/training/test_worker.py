"""The loop that workers run, without Ray: what it goes on from, what it tells, and what ends it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from neuronedit.adapters.training import trainer as ray_train
from neuronedit.adapters.training.worker import Task
from neuronedit.errors import ClusterError, ConfigError, ModelError, StorageError
from neuronedit.network.plan import TrainingPlan, WorkersConfig
from neuronedit.network.state import EpochLosses
from tests.adapters import trainers
from tests.adapters.trainers import Weights, flip_byte, run
from tests.adapters.training_here import After, Died, without_ray
from tests.disasters import enlarge, small_disk
from tests.fixtures import ARCHITECTURE
from tests.s3_server import Bucket, Fault

Result = tuple[Weights, tuple[EpochLosses, ...]]


@pytest.fixture(scope="module")
def undisturbed() -> Result:
    return trainers.undisturbed()


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "storage"


def check(trained: Result, expected: Result) -> None:
    """The same bits, as one worker gives them."""
    assert trained[1] == expected[1]
    assert all(np.array_equal(array, expected[0][name]) for name, array in trained[0].items())


def dies_once(*, damages: bool = False) -> After:
    """A worker that dies after epoch 5, the first time; before that it may damage the newest checkpoint."""
    died: list[int] = []

    def after(task: Task, epoch: int) -> None:
        if epoch == 5 and not died:
            died.append(epoch)
            if damages:
                flip_byte(Path(task.checkpoints.folder.path) / "epoch-000004" / "state.safetensors")
            raise Died("died")

    return after


def dies(task: Task, epoch: int) -> None:
    raise Died("died")


def test_one_worker_computes_what_the_core_computes(storage: Path, undisturbed: Result) -> None:
    with without_ray():
        check(run(storage), undisturbed)


@pytest.mark.parametrize("n_workers", [2, 4])
def test_several_workers_have_the_losses_of_one(storage: Path, undisturbed: Result, n_workers: int) -> None:
    with without_ray() as record:
        weights, history = run(storage, count=n_workers)
    assert record.starts == [n_workers]
    # The workers' gradients and losses are summed in float32, in another order than one worker adds them up.
    for found, expected in zip(history, undisturbed[1], strict=True):
        assert found.train_loss == pytest.approx(expected.train_loss, rel=1e-5)
        assert found.validation_loss == pytest.approx(expected.validation_loss, rel=1e-5)
    for name, array in undisturbed[0].items():
        assert np.allclose(array, weights[name], atol=1e-4), name


def test_a_worker_that_dies_after_epoch_5_goes_on_from_epoch_4_with_the_same_bits(
    storage: Path, undisturbed: Result
) -> None:
    told: list[EpochLosses] = []
    with without_ray(dies_once()) as record:
        check(run(storage, told.extend), undisturbed)
    assert record.epochs == [1, 2, 3, 4, 5, 5, 6]
    assert told == list(undisturbed[1]), "an epoch that is trained twice is told once"


def test_a_damaged_checkpoint_costs_the_epochs_since_the_one_before_and_is_told(
    storage: Path, undisturbed: Result, caplog: pytest.LogCaptureFixture
) -> None:
    with without_ray(dies_once(damages=True)) as record:
        check(run(storage), undisturbed)
    assert record.epochs == [1, 2, 3, 4, 5, 3, 4, 5, 6]
    (warning,) = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING]
    assert "epoch-000004/state.safetensors: damaged" in warning
    assert warning.endswith("Instead, training goes on from epoch-000002.")


def test_workers_that_always_die_end_the_job_after_so_many_starts(storage: Path) -> None:
    with (
        without_ray(dies) as record,
        pytest.raises(
            ClusterError,
            match=r"(?s)^Ray Train's workers failed: died\. No model was registered; see the workers' logs\. The same "
            r"command goes on from the last checkpoint in .*/neuronedit-\w{16}\.$",
        ),
    ):
        run(storage, max_failures=1)
    assert record.epochs == [1, 1], "two starts"


def test_training_that_diverges_is_the_users_error_and_not_tried_again(storage: Path) -> None:
    wild = TrainingPlan(epochs=3, minibatch=128, learning_rate=1e30)
    samples = {name: np.full(len(events), f"sample of {name}") for name, events in trainers.populations().items()}
    with (
        without_ray() as record,
        pytest.raises(
            ModelError,
            match=r"^Training diverged in epoch 1, step \d of 4: the loss is (nan|inf)\. Its minibatch has events of "
            r"'A' \(samples 'sample of A'\), 'B' \(samples 'sample of B'\)",
        ),
    ):
        ray_train.train_autoencoder(
            trainers.populations(), ARCHITECTURE, wild, WorkersConfig(count=2, storage=str(storage)), samples=samples
        )
    assert record.starts == [2]


def test_a_minibatch_too_small_for_the_workers_ends_all_of_them(storage: Path) -> None:
    tiny = TrainingPlan(epochs=1, minibatch=3)
    with without_ray(), pytest.raises(ConfigError, match=r"^training\.minibatch is 3; expected at least 4: one event"):
        ray_train.train_autoencoder(
            trainers.populations(), ARCHITECTURE, tiny, WorkersConfig(count=2, storage=str(storage))
        )


def test_a_driver_that_died_is_gone_on_from_and_then_nothing_is_left_to_train(
    storage: Path, undisturbed: Result, caplog: pytest.LogCaptureFixture
) -> None:
    with without_ray(dies_once()), pytest.raises(ClusterError):
        run(storage, max_failures=0)
    told: list[EpochLosses] = []
    with caplog.at_level(logging.INFO), without_ray() as record:
        check(run(storage, told.extend), undisturbed)
        assert record.epochs == [5, 6], "not from zero"
        assert "going on after epoch 4" in caplog.text
        assert told == list(undisturbed[1]), "a new run's curves are whole"
        caplog.clear()
        check(run(storage, told.extend), undisturbed)
    assert "trained before, and the weights are taken from there as they are" in caplog.text
    assert len(record.starts) == 1, "nothing was trained again"
    assert told == 2 * list(undisturbed[1])
    (folder,) = storage.iterdir()
    assert [path.name for path in folder.glob("epoch-*")] == ["epoch-000006"], "the end alone is kept"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Room for one checkpoint, not for two."""
    with small_disk(tmp_path / "disk", kilobytes=24) as folder:
        yield folder


def test_a_full_disk_is_told_at_once_and_the_same_call_with_room_goes_on(disk: Path, undisturbed: Result) -> None:
    storage = disk / "storage"
    with (
        without_ray() as record,
        pytest.raises(
            StorageError,
            match=r"^The checkpoint after epoch 4 cannot be written; .*: no room is left \(.*No space left on",
        ),
    ):
        run(storage, count=2)
    assert record.starts == [2], "all workers end, and none is started again"
    (folder,) = storage.iterdir()
    assert [path.name for path in folder.glob("epoch-*")] == ["epoch-000002"], "the old one is intact"
    enlarge(disk)
    with without_ray() as record:
        _, history = run(storage, count=2)
    assert record.epochs == [3, 4, 5, 6], "no epoch before the checkpoint was repeated"
    assert [loss.validation_loss for loss in history] == pytest.approx(
        [loss.validation_loss for loss in undisturbed[1]], rel=1e-5
    )


@pytest.mark.s3
def test_checkpoints_on_s3_that_a_failing_store_cuts_short_are_gone_on_from(
    s3: Bucket, undisturbed: Result, caplog: pytest.LogCaptureFixture
) -> None:
    s3.server.inject(Fault("AccessDenied", kinds=("PUT",), key="epoch-000004/"))
    message = r"^The checkpoint after epoch 4 cannot be written; earlier ones are as they"
    with without_ray(), pytest.raises(StorageError, match=message):
        run(s3.uri("storage"))
    (newest,) = {key.split("/")[2] for key in s3.keys("storage") if "/epoch-" in key}
    assert newest == "epoch-000002"
    s3.server.inject(Fault("InternalError", every=5))
    with caplog.at_level(logging.INFO), without_ray():
        check(run(s3.uri("storage")), undisturbed)
    assert "going on after epoch 2" in caplog.text
