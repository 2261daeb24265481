import numpy as np
import pytest
import torch
from neuronedit_jobs import benchmark
from neuronedit_jobs.benchmarks.speed.event_files import NEURONS
from neuronedit_jobs.benchmarks.speed.gpu import JOB, KERNEL, ON_CORES, PRECISIONS, RAY, TRAINING, Row, figures
from neuronedit_jobs.benchmarks.speed.gpu_limits import LeastWork, Limits, edit_work, median_seconds, training_work
from neuronedit_jobs.benchmarks.speed.gpu_rates import drawn, held, whole_training
from neuronedit_jobs.benchmarks.speed.train import draw

from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan

pytestmark = pytest.mark.bench

CPU = torch.device("cpu")


def test_the_least_work_of_an_event_is_what_can_be_counted_by_hand() -> None:
    # 40 → 10 → 5 → 10 → 40: 450 weights to encode with, and as many to decode.
    architecture = Architecture(hidden=(10,), code=5)
    assert edit_work(architecture) == LeastWork(320, 2 * 3 * 450)
    # Once there, and back once for the weights and, but for the markers, once for the activations.
    assert training_work(architecture) == LeastWork(168, 2 * (3 * 900 - 400))


def test_a_limit_is_that_of_the_memory_or_of_the_arithmetic() -> None:
    limits = Limits(1e6, {"float32": 1e6, "bfloat16": 1e9})
    assert limits.events_per_s(LeastWork(100, 1_000)) == 1_000
    assert limits.events_per_s(LeastWork(100, 1_000), "bfloat16") == 10_000


def test_limits_are_measured() -> None:
    limits = Limits.of(CPU, n_copied=2**16, n_product=64)
    assert limits.bytes_per_s > 1e6
    assert set(limits.flops_per_s) == set(PRECISIONS)
    assert all(rate > 1e6 for rate in limits.flops_per_s.values())


def test_the_first_time_is_not_counted() -> None:
    calls: list[str] = []
    assert median_seconds(calls.append, CPU, "done", repeats=3) >= 0
    assert len(calls) == 4


def test_events_drawn_on_a_device_are_like_those_of_the_files() -> None:
    found, expected = drawn(40_000, CPU), draw(40_000)
    for name, events in expected.items():
        # Of 20,000 values each: a standard error of 0.01 or less.
        np.testing.assert_allclose(found[name].mean(dim=0), events.mean(axis=0), atol=0.05)
        np.testing.assert_allclose(found[name].std(dim=0), events.std(axis=0), atol=0.05)


def test_training_on_held_events_learns() -> None:
    plan = TrainingPlan(epochs=1, minibatch=256)
    minibatches = held(drawn(4_000, CPU), plan)
    assert minibatches.sizes == {"source": 1_800, "target": 1_800}
    assert {len(events) for events in minibatches.validation.values()} == {200}
    assert whole_training(minibatches, plan).loss < 1  # what a network that gives nothing has


def test_the_figures_are_rates_and_shares_of_the_limits() -> None:
    rows = {
        f"{KERNEL}, {NEURONS}": Row(20.0, 100.0),
        f"{JOB}, {ON_CORES}": Row(2.0),
        f"{JOB}, 4 actors": Row(5.0),
        f"{JOB}, 8 actors": Row(4.0),
        f"{TRAINING}, float32": Row(30.0, 120.0, 90.0),
        f"{TRAINING}, bfloat16": Row(60.0, 600.0, 45.0),
        RAY: Row(15.0),
    }
    assert figures(rows, Limits(3e12, {"float32": 5e13, "bfloat16": 8e14})) == pytest.approx(
        {
            "copied_tb_per_s": 3.0,
            "float32_tflop_per_s": 50.0,
            "bfloat16_tflop_per_s": 800.0,
            "edit_events_per_s": 20.0,
            "edit_over_limit": 0.2,
            "transform_events_per_s": 5.0,
            "transform_over_cores": 2.5,
            "train_events_per_s_float32": 30.0,
            "train_events_per_s_bfloat16": 60.0,
            "train_over_limit_float32": 0.25,
            "train_over_limit_bfloat16": 0.1,
            "minutes_to_train": 1.5,
            "ray_train_over_loop": 0.5,
        }
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_machine_without_a_gpu_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["gpu", "--quick"]) == 2
    assert "benchmark.py gpu: There is no device 'cuda': torch" in capsys.readouterr().err
