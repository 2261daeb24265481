import pickle

import numpy as np
import pytest
import torch

from neuronedit.edits.operators.lookup import BLOCK, N_BINS, Lookup, mean_by_search
from neuronedit.edits.operators.percentiles import PercentileShift
from neuronedit.network.autoencoder import tensor
from tests.arrays import of_arrays

FLOAT32 = 2e-6
"""Values of order 1 and slopes, each kept in float32, where NumPy's are float64."""


def slow(interpolation, knots, values, activations):
    found = np.empty(activations.shape)
    for neuron in range(activations.shape[1]):
        if interpolation == "linear":
            found[:, neuron] = np.interp(activations[:, neuron], knots[:, neuron], values[:, neuron])
        else:
            bins = np.searchsorted(knots[:, neuron], activations[:, neuron], side="right") - 1
            found[:, neuron] = values[np.clip(bins, 0, None), neuron]
    return found


def tables(rng, n_knots):
    """Knots as populations have them: smooth, in a spike with a long tail, tied, and all equal."""
    knots = np.stack(
        [
            rng.normal(size=n_knots),
            np.where(rng.random(n_knots) < 0.7, rng.normal(size=n_knots) / 1000, 50 * rng.random(n_knots)),
            np.round(rng.normal(size=n_knots)),
            np.full(n_knots, 3.0),
        ],
        axis=1,
    )
    knots = np.sort(knots, axis=0).astype(np.float32)
    values = rng.normal(size=knots.shape).astype(np.float32)
    for neuron in range(knots.shape[1]):  # as PercentileShift.fit leaves them: equal knots have equal values
        values[:, neuron] = values[np.searchsorted(knots[:, neuron], knots[:, neuron]), neuron]
    return knots, values


def activations_about(knots, rng, n_events=3000):
    between = rng.uniform(knots.min(axis=0) - 1, knots.max(axis=0) + 1, (n_events, knots.shape[1]))
    return np.concatenate([between, rng.normal(size=between.shape) / 500, knots]).astype(np.float32)


@pytest.mark.parametrize("interpolation", ["step", "linear"])
@pytest.mark.parametrize("n_knots", [1, 2, 5, 21, 101, 1001])
def test_values_agree_with_numpys(rng, interpolation, n_knots):
    knots, values = tables(rng, n_knots)
    activations = activations_about(knots, rng)
    found = of_arrays(Lookup.from_knots([knots], [values], interpolation).value_at, activations)
    np.testing.assert_allclose(found, slow(interpolation, knots, values, activations), atol=FLOAT32)


@pytest.mark.parametrize("interpolation", ["step", "linear"])
def test_at_a_knot_and_beyond_the_ends_the_value_is_exact(rng, interpolation):
    knots, values = tables(rng, 101)
    lookup = Lookup.from_knots([knots], [values], interpolation)
    assert (of_arrays(lookup.value_at, knots) == values).all()
    assert (of_arrays(lookup.value_at, knots[:1] - 1) == values[0]).all()
    assert (of_arrays(lookup.value_at, knots[-1:] + 1) == values[-1]).all()
    assert (of_arrays(lookup.value_at, np.full((1, 4), -np.inf, np.float32)) == values[0]).all()
    assert (of_arrays(lookup.value_at, np.full((1, 4), np.inf, np.float32)) == values[-1]).all()


@pytest.mark.parametrize("gap", [1e-45, 1e-38, 1e-30])
def test_knots_that_nearly_touch_are_told_apart(gap):
    knots = np.array([[0], [gap], [1]], dtype=np.float32)
    values = np.array([[5], [-5], [7]], dtype=np.float32)
    found = of_arrays(
        Lookup.from_knots([knots], [values], "linear").value_at, np.array([[-1], [0], [gap], [1]], np.float32)
    )
    assert found[:, 0].tolist() == [5, 5, -5, 7]


def test_all_knots_in_one_bin_are_searched(rng):
    dense = rng.random(5 * N_BINS) / N_BINS
    knots = np.sort(np.append(dense, [1000])).astype(np.float32)[:, None]
    values = rng.normal(size=knots.shape).astype(np.float32)
    events = rng.permutation(knots)
    np.testing.assert_array_equal(
        of_arrays(Lookup.from_knots([knots], [values], "step").value_at, events), slow("step", knots, values, events)
    )


def test_shares_weigh_the_tables(rng):
    made = [tables(rng, 101) for _ in range(3)]
    activations = activations_about(made[0][0], rng)
    shares = rng.dirichlet([1, 1, 1], len(activations)).astype(np.float32)
    shares[::3] = [0, 1, 0]
    found = of_arrays(Lookup.from_knots(*zip(*made, strict=True), "linear").mean_at, activations, shares)
    expected = sum(shares[:, [i]] * slow("linear", *table, activations) for i, table in enumerate(made))
    np.testing.assert_allclose(found, expected, atol=FLOAT32)


def test_an_events_bits_do_not_depend_on_the_events_beside_it(rng):
    made = [tables(rng, 101) for _ in range(3)]
    lookup = Lookup.from_knots(*zip(*made, strict=True), "linear")
    activations = activations_about(made[0][0], rng)
    assert len(activations) > 2 * BLOCK
    shares = rng.dirichlet([0.1, 0.1, 0.1], len(activations)).astype(np.float32)
    whole = of_arrays(lookup.mean_at, activations, shares)
    for size in (1, 7, 1000):
        parts = (slice(start, start + size) for start in range(0, len(activations), size))
        cut = np.concatenate([of_arrays(lookup.mean_at, activations[part], shares[part]) for part in parts])
        assert cut.tobytes() == whole.tobytes()


def test_a_table_does_not_travel_with_its_shift(rng):
    shift = PercentileShift(*tables(rng, 101), "linear")
    bare = len(pickle.dumps(shift))
    before = of_arrays(shift.shift_at, shift.source_percentiles)
    assert len(pickle.dumps(shift)) == bare
    assert of_arrays(pickle.loads(pickle.dumps(shift)).shift_at, shift.source_percentiles).tobytes() == before.tobytes()


def by_search(lookup, activations, shares=None):
    """As a GPU looks up."""
    events = tensor(activations)
    shares = torch.ones(len(events), 1) if shares is None else tensor(shares)
    return mean_by_search(lookup._tensors.beside(events), events, shares).numpy()


@pytest.mark.parametrize("interpolation", ["step", "linear"])
@pytest.mark.parametrize("n_knots", [1, 2, 21, 101, 1001])
def test_a_gpus_search_finds_the_same_bits(rng, interpolation, n_knots):
    knots, values = tables(rng, n_knots)
    beyond = np.array([[-np.inf] * 4, [np.inf] * 4, [-1e30] * 4, [1e30] * 4], np.float32)
    activations = np.concatenate([activations_about(knots, rng), beyond])
    lookup = Lookup.from_knots([knots], [values], interpolation)
    assert (by_search(lookup, activations) == of_arrays(lookup.value_at, activations)).all()


def test_a_gpu_weighs_the_tables_in_the_same_order(rng):
    made = [tables(rng, 101) for _ in range(3)]
    activations = activations_about(made[0][0], rng)
    shares = rng.dirichlet([1, 1, 1], len(activations)).astype(np.float32)
    shares[::3] = [0, 1, 0]
    lookup = Lookup.from_knots(*zip(*made, strict=True), "linear")
    assert (by_search(lookup, activations, shares) == of_arrays(lookup.mean_at, activations, shares)).all()


def test_a_gpu_looks_up_what_is_no_number_in_bounds(rng):
    lookup = Lookup.from_knots(*zip(tables(rng, 21), strict=True), "linear")
    assert np.isnan(by_search(lookup, np.full((3, 4), np.nan, np.float32))).all()
