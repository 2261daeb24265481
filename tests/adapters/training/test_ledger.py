"""What the driver makes of what workers tell."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from neuronedit.adapters.training.ledger import followed_training
from neuronedit.errors import ModelError
from neuronedit.network.state import EpochLosses
from tests.adapters.training_here import actors_here

LOSSES = tuple(EpochLosses(epoch, 1 / epoch, 2 / epoch) for epoch in range(1, 7))


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with actors_here():
        yield


def wait_until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_epochs_are_passed_on_as_they_end_each_once_over_a_workers_death(caplog: pytest.LogCaptureFixture) -> None:
    told: list[EpochLosses] = []
    with caplog.at_level(logging.INFO), followed_training(6, 100, told.extend) as (ledger, catch_up):
        ledger.begin.remote((), 2, ())
        for losses in LOSSES[:4]:
            ledger.add.remote(losses)
        wait_until(lambda: len(told) == 4)
        ledger.begin.remote(LOSSES[:2], 1, ("epoch-000003 is damaged. Instead, training goes on from epoch-000002.",))
        for losses in LOSSES[2:5]:
            ledger.add.remote(losses)
        wait_until(lambda: len(told) == 5)
        wait_until(lambda: "epoch 5 of 6, 1 worker, loss 0.2000, validation loss 0.4000, 500 of 600 " in caplog.text)
    catch_up(LOSSES)
    assert told == list(LOSSES)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["epoch-000003 is damaged. Instead, training goes on from epoch-000002."]


def test_losses_that_cannot_be_passed_on_now_are_passed_on_later(caplog: pytest.LogCaptureFixture) -> None:
    told: list[EpochLosses] = []

    def busy_at_first(losses: Sequence[EpochLosses]) -> None:
        if "not logged yet" not in caplog.text:
            raise ModelError("MLflow does not answer.")
        told.extend(losses)

    with followed_training(6, 100, busy_at_first) as (ledger, _):
        ledger.begin.remote((), 1, ())
        ledger.add.remote(LOSSES[0])
        wait_until(lambda: told == [LOSSES[0]])
    assert "losses up to epoch 1 are not logged yet: MLflow does not answer." in caplog.text
