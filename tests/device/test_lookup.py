import numpy as np
import pytest
import torch

from neuronedit.device.lookup import DeviceLookup
from neuronedit.lookup import Lookup
from tests.test_lookup import activations_about, tables

CPU = torch.device("cpu")


@pytest.mark.parametrize("interpolation", ["step", "linear"])
@pytest.mark.parametrize("n_knots", [1, 2, 21, 101, 1001])
def test_values_have_the_bits_that_the_processor_gives(rng, interpolation, n_knots):
    knots, values = tables(rng, n_knots)
    beyond = np.array([[-np.inf] * 4, [np.inf] * 4, [-1e30] * 4, [1e30] * 4], np.float32)
    activations = np.concatenate([activations_about(knots, rng), beyond])
    lookup = Lookup.of([knots], [values], interpolation)
    found = DeviceLookup(lookup, CPU).at(torch.from_numpy(activations)).numpy()
    assert (found == lookup.at(activations)).all()


def test_shares_weigh_the_tables_in_the_same_order(rng):
    made = [tables(rng, 101) for _ in range(3)]
    activations = activations_about(made[0][0], rng)
    shares = rng.dirichlet([1, 1, 1], len(activations)).astype(np.float32)
    shares[::3] = [0, 1, 0]
    lookup = Lookup.of(*zip(*made, strict=True), "linear")
    found = DeviceLookup(lookup, CPU).mean_at(torch.from_numpy(activations), torch.from_numpy(shares)).numpy()
    assert (found == lookup.mean_at(activations, shares)).all()


def test_what_is_no_number_is_looked_up_in_bounds(rng):
    lookup = DeviceLookup(Lookup.of(*zip(tables(rng, 21), strict=True), "linear"), CPU)
    assert lookup.at(torch.full((3, 4), torch.nan)).isnan().all()
