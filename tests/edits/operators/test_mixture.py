import sys

import numpy as np
import pytest

from neuronedit.edits.operators import mixture as mixture_module
from neuronedit.edits.operators.mixture import Mixture, memberships_in_float64
from neuronedit.network.autoencoder import tensor
from tests.arrays import of_arrays


def slow_memberships(event, mixture):
    """Bayes' rule with products of one-dimensional Gaussian densities."""
    shares = []
    for centre, spread, log_weight in zip(mixture.centres, mixture.spreads, mixture.log_weights, strict=True):
        density = np.exp(-(((event - centre) / spread) ** 2) / 2) / (spread * np.sqrt(2 * np.pi))
        shares.append(np.exp(float(log_weight)) * np.prod(density.astype(np.float64)))
    return np.array(shares) / sum(shares)


@pytest.fixture
def populations(rng):
    return [rng.normal(size=(300, 3)).astype(np.float32) + [[0, 5, 0]] * np.array(rng.random((300, 1)) < 0.4)] * 2


def test_memberships_agree_with_bayes_rule_written_out(populations, rng):
    mixture = Mixture.fit(populations, 3, seed=0)
    events = (rng.normal(size=(40, 3)) * 2).astype(np.float32)
    expected = [slow_memberships(event.astype(np.float64), mixture) for event in events]
    # float32 shares up to 1.
    np.testing.assert_allclose(of_arrays(mixture.memberships, events), expected, atol=1e-6)


def test_distances_agree_with_a_sum_over_neurons(populations, rng):
    mixture = Mixture.fit(populations, 3, seed=0)
    events = (rng.normal(size=(2 * mixture_module.BLOCK + 5, 3)) * 9).astype(np.float32)
    expected = [(((event - mixture.centres) / mixture.spreads.astype(float)) ** 2).sum(axis=1) for event in events]
    # Differences of float32 numbers, which here NumPy rounds to float32.
    np.testing.assert_allclose(mixture.distances(events), expected, rtol=1e-5)


def test_a_share_too_small_for_float32_to_add_is_none():
    mixture = Mixture(np.float32([[0], [1]]), np.float32([[1], [1]]), np.float32([0, 0]))
    # At x, the log of the shares' ratio is 1/2 − x; 2^-30 is at x = −20.3.
    shares = of_arrays(mixture.memberships, np.float32([[-20], [-21], [21.2], [22]]))
    assert (shares > 0).tolist() == [[True, True], [True, False], [True, True], [False, True]]


def test_components_are_where_the_kinds_are(populations):
    mixture = Mixture.fit(populations, 2, seed=0)
    low, high = mixture.centres[:, 1].argsort()
    # 300 events with spread 1: centres are known to about 0.1.
    np.testing.assert_allclose(mixture.centres[[low, high], 1], [0, 5], atol=0.4)
    np.testing.assert_allclose(np.exp(mixture.log_weights[[low, high]]), [0.6, 0.4], atol=0.1)


def test_each_event_counts_once_whatever_its_population(rng):
    low = rng.normal(size=(900, 1)).astype(np.float32)
    high = (rng.normal(size=(100, 1)) + 9).astype(np.float32)
    mixture = Mixture.fit([low, high], 2, seed=0)
    # At a distance of nine spreads, hardly an event belongs to both.
    np.testing.assert_allclose(np.sort(np.exp(mixture.log_weights)), [0.1, 0.9], atol=0.005)


def test_there_are_no_more_components_than_events():
    populations = [np.array(events, dtype=np.float32) for events in ([[0], [1]], [[9]])]
    assert Mixture.fit(populations, 5, seed=0).centres.shape == (3, 1)


def test_events_of_a_large_population_are_drawn_by_seed(rng, monkeypatch):
    monkeypatch.setattr(mixture_module, "MAX_MIXTURE_EVENTS", 50)
    population = rng.normal(size=(400, 2)).astype(np.float32)
    first, again, other = (Mixture.fit([population, population], 2, seed).centres for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_a_spike_keeps_the_least_spread(rng):
    events = np.where(rng.random((400, 1)) < 0.5, 0, rng.normal(size=(400, 1)) + 9).astype(np.float32)
    mixture = Mixture.fit([events], 2, seed=0)
    least = mixture_module.MIN_COMPONENT_SPREAD * events.std()
    # The spike's own variance is 0, so that the least is added to nothing.
    np.testing.assert_allclose(mixture.spreads.min(), least, rtol=1e-3)


def test_an_event_far_beyond_all_others_still_belongs_somewhere(populations):
    mixture = Mixture.fit(populations, 2, seed=0)
    shares = of_arrays(mixture.memberships, np.full((1, 3), 1e30, dtype=np.float32))
    np.testing.assert_allclose(shares.sum(), 1, atol=1e-6)


def test_memberships_need_no_scikit_learn(populations, monkeypatch):
    mixture = Mixture.fit(populations, 2, seed=0)
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    assert of_arrays(mixture.memberships, populations[0].astype(np.float32)).shape == (300, 2)


@pytest.mark.parametrize("reach", [np.inf, 3.0, 1e-3])
def test_a_gpu_finds_the_same_memberships(populations, rng, reach):
    mixture = Mixture.fit(populations, 3, seed=0)
    events = np.concatenate([rng.normal(size=(300, 3)) * 9, np.full((1, 3), 1e30)]).astype(np.float32)
    there = memberships_in_float64(mixture._tensors.beside(tensor(events)), tensor(events), reach).numpy()
    here = of_arrays(mixture.memberships, events, reach)
    assert ((there == 0) == (here == 0)).all()
    # Sums in another order, in float64, rounded to float32.
    np.testing.assert_allclose(there, here, rtol=3e-7)
