import numpy as np
import pytest
import torch

from neuronedit.edits.operators.transport import TransportShift
from neuronedit.errors import ModelError
from neuronedit.measures.pairs import energy_distance
from tests.arrays import of_arrays


@pytest.fixture
def source(rng) -> np.ndarray:
    return rng.normal(size=(600, 3)).astype(np.float32)


def test_a_constant_shift_is_recovered(source):
    shift = TransportShift.fit(source, source + np.float32([1, -2, 0.5]), seed=0)
    # The network adds noise of its own: a tenth of a standard deviation.
    np.testing.assert_allclose(of_arrays(shift.shift_at, source).mean(axis=0), [1, -2, 0.5], atol=0.1)


def test_the_source_is_led_onto_a_target_that_another_neuron_widened(rng):
    # The target's second neuron follows the first one: no percentile of the second neuron alone can tell.
    source = rng.normal(size=(1500, 2)).astype(np.float32)
    drawn = rng.normal(size=(1500, 2)).astype(np.float32)
    target = np.column_stack([drawn[:, 0], drawn[:, 1] + 2 * drawn[:, 0]])
    shift = TransportShift.fit(source, target, seed=0)
    assert energy_distance(source + of_arrays(shift.shift_at, source), target) < 0.25 * energy_distance(source, target)
    slope = np.polyfit(source[:, 0], of_arrays(shift.shift_at, source)[:, 1], 1)[0]
    # Of all maps the nearest: the symmetric root of the target's covariance [[1, 2], [2, 5]] has 1/√2 there.
    assert slope == pytest.approx(0.71, abs=0.2)


def test_far_from_the_source_the_shift_is_that_of_its_edge(source):
    shift = TransportShift.fit(source, 2 * source + 1, seed=0)
    far = np.full((1, 3), 1e6, np.float32)
    assert (of_arrays(shift.shift_at, far) == of_arrays(shift.shift_at, shift.highest[None])).all()
    assert np.abs(of_arrays(shift.shift_at, far)).max() < 10


def test_a_seed_gives_the_same_bits_on_any_number_of_threads(source):
    before = torch.get_num_threads()
    one = TransportShift.fit(source, source * 2, seed=3)
    torch.set_num_threads(2)
    two = TransportShift.fit(source, source * 2, seed=3)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    assert all((one.arrays()[name] == two.arrays()[name]).all() for name in one.arrays())
    other = TransportShift.fit(source, source * 2, seed=4)
    assert any((one.arrays()[name] != other.arrays()[name]).any() for name in one.arrays())


def test_target_events_count_by_their_weights(rng):
    source = rng.normal(size=(400, 2)).astype(np.float32)
    target = np.concatenate([source + 5, source + 1]).astype(np.float32)
    weights = np.repeat([0.0, 1.0], 400)
    shift = TransportShift.fit(source, target, seed=0, target_weights=weights)
    np.testing.assert_allclose(of_arrays(shift.shift_at, source).mean(axis=0), [1, 1], atol=0.1)


def test_arrays_restore_it(source):
    shift = TransportShift.fit(source, source + 1, seed=0)
    assert (
        of_arrays(TransportShift.from_arrays(shift.arrays()).shift_at, source) == of_arrays(shift.shift_at, source)
    ).all()


def test_divergence_is_told(source):
    target = source.copy()
    target[0, 0] = np.inf
    with pytest.raises(ModelError, match=r"operator 'transport' diverged: its loss is not finite\. Look for extreme"):
        TransportShift.fit(source, target, seed=0)
