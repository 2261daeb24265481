import numpy as np
import pytest

from jobs.benchmarks.train import ONE_WORKER, PLAIN, TWO_BARE, TWO_WORKERS, Row, draw, figures
from jobs.benchmarks.train_loops import Events, Trained, bare_ddp, plain_loop
from neuronedit.autoencoder import Architecture
from neuronedit.training_plan import TrainingPlan


def rows(ray_loss: float) -> dict[str, Row]:
    return {
        PLAIN: Row(Trained(10.0, 9.0, 0.5)),
        TWO_BARE: Row(Trained(6.0, 11.0, 0.5)),
        ONE_WORKER: Row(Trained(11.0, 10.0, ray_loss), 8.0),
        TWO_WORKERS: Row(Trained(8.0, 14.0, 0.5), 9.0),
    }


def test_the_figures_are_ratios_of_speed_and_what_starting_takes() -> None:
    assert figures(rows(0.505)) == pytest.approx(
        {
            "ray_over_plain": 0.9,
            "two_workers_over_bare_ddp": 0.75,
            "startup_s": 8.0,
            "loss_over_plain": 1.01,
            "time_to_as_accurate": 1.1,
        }
    )


def test_no_time_is_told_to_a_model_that_is_not_as_accurate() -> None:
    assert "time_to_as_accurate" not in figures(rows(0.52))


@pytest.mark.slow
def test_the_bare_loops_come_to_the_same_model() -> None:
    populations = draw(600)
    events = Events(*np.split(np.concatenate([*populations.values()]), [500]))
    plan, architecture = TrainingPlan(epochs=4, minibatch=100, learning_rate=1e-2), Architecture(hidden=(16,), code=8)
    alone, together = plain_loop(events, plan, architecture), bare_ddp(events, plan, architecture)
    assert together.loss == pytest.approx(alone.loss, rel=1e-5)  # sums in another order
    assert alone.loss < float(np.square(events.validation).mean())
