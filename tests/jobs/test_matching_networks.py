import numpy as np
import pytest
from neuronedit_jobs.benchmarks.accuracy.matching_networks import GAN_PLAN, MMD_PLAN, MatchingPlan, gan, mmd_resnet

from neuronedit.errors import ModelError
from neuronedit.measures.distances import distance

SHORT = MatchingPlan(steps=300, minibatch=64, hidden=16, learning_rate=0.01)
SHIFT = np.float32([1.5, 0, -1, 0])

BOTH = pytest.mark.parametrize("method", [mmd_resnet, gan])


def events(n_events: int, seed: int) -> np.ndarray:
    """Two kinds of cell, a little apart in the first two markers."""
    generator = np.random.default_rng(seed)
    kind = generator.integers(0, 2, (n_events, 1))
    return (generator.normal(2, 1, (n_events, 4)) + kind * [2, 2, 0, 0]).astype(np.float32)


@BOTH
def test_a_shift_is_learned_and_applied_to_other_events(method) -> None:
    source, target, other = events(600, 1), events(500, 2) + SHIFT, events(400, 3)
    moved, truth = method(source, target, other, SHORT), events(400, 4) + SHIFT
    assert moved.shape == other.shape
    assert moved.dtype == np.float32
    before, after = distance(other, truth), distance(moved, truth)
    assert after.mean_emd < before.mean_emd / 2
    assert after.energy < before.energy / 4


@BOTH
def test_the_same_seed_gives_the_same_bits_and_another_does_not(method) -> None:
    arrays = events(200, 1), events(200, 2) + SHIFT, events(80, 3)
    plans = [SHORT.model_copy(update={"steps": 20, "seed": seed}) for seed in (5, 5, 6)]
    first, again, other = (method(*arrays, plan) for plan in plans)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@BOTH
def test_a_network_starts_near_the_identity(method) -> None:
    """The first step's rate is so small here that the network stays where it started."""
    arrays = events(200, 1), events(200, 2) + SHIFT, events(80, 3)
    moved = method(*arrays, SHORT.model_copy(update={"steps": 1, "learning_rate": 1e-9}))
    # Three blocks of 16 hidden neurons whose weights are some 1e-3, of activations near 1.
    np.testing.assert_allclose(moved, arrays[2], atol=0.05)


@BOTH
def test_read_only_arrays_and_dead_markers_do(method) -> None:
    arrays = events(200, 1), events(150, 2), events(80, 3)
    for array in arrays:
        array[:, 3] = 0
        array.setflags(write=False)
    assert np.isfinite(method(*arrays, SHORT.model_copy(update={"steps": 5}))).all()


@pytest.mark.parametrize(("method", "name"), [(mmd_resnet, "MMD-ResNet"), (gan, "GAN")])
def test_a_training_that_is_not_finite_is_told(method, name: str) -> None:
    source = events(200, 1)
    source[:, 1] = np.nan
    with pytest.raises(ModelError, match=rf"^{name}: the loss is nan in step 1 of 300; expected a finite number\."):
        method(source, events(200, 2), events(80, 3), SHORT)


@pytest.mark.parametrize(("method", "name"), [(mmd_resnet, "MMD-ResNet"), (gan, "GAN")])
def test_events_that_are_not_finite_are_never_returned(method, name: str) -> None:
    other = events(80, 3)
    other[7:9, 0] = np.inf
    with pytest.raises(ModelError, match=rf"^{name}: 2 of 80 events are not finite after the network; expected none\."):
        method(events(200, 1), events(200, 2), other, SHORT.model_copy(update={"steps": 1}))


def test_the_plans_leave_the_seed_to_the_caller() -> None:
    assert (MMD_PLAN.seed, GAN_PLAN.seed) == (0, 0)
