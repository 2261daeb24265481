import copy

import numpy as np
import pytest
import torch
from torch import nn

from neuronedit.autoencoder import Architecture, Autoencoder
from neuronedit.errors import ConfigError, ModelError
from neuronedit.training import EpochLosses, TrainingPlan, _train_step, balanced_minibatches, train


@pytest.fixture
def populations(rng):
    """Two populations on a plane in five markers: easy for a code of three."""
    plane = rng.normal(size=(2, 5))
    return {name: (rng.normal(size=(n, 2)) @ plane).astype(np.float32) for name, n in (("S", 300), ("T", 60))}


def trained(populations, **settings):
    network = Autoencoder(5, Architecture(hidden=(8,), code=3), seed=0)
    losses: list[EpochLosses] = []
    train(network, populations, TrainingPlan(**{"epochs": 3, "minibatch": 64, **settings}), on_epoch=losses.append)
    return network, losses


@pytest.mark.parametrize("sizes", [(1000, 10, 300), (7, 7), (1, 500), (40,)])
def test_every_minibatch_has_equally_many_events_of_each_population(sizes, rng):
    starts = np.concatenate([[0], np.cumsum(sizes)])
    minibatches = list(balanced_minibatches(sizes, 90, rng))
    for indices in minibatches:
        counts = np.histogram(indices, starts)[0]
        assert (counts == round(90 / len(sizes))).all()


def test_no_event_comes_again_before_all_of_its_population_have_come(rng):
    seen = np.bincount(np.concatenate(list(balanced_minibatches((60, 20), 20, rng))), minlength=80)
    assert set(seen[:60]) <= {0, 1}
    assert set(seen[60:]) == {2}  # 4 minibatches of 10 from 20 events


def test_an_epoch_draws_as_many_events_as_there_are(rng):
    minibatches = list(balanced_minibatches((130, 70), 20, rng))
    assert sum(map(len, minibatches)) == 200


def test_a_minibatch_smaller_than_the_populations_has_one_event_of_each(rng):
    assert {len(indices) for indices in balanced_minibatches((5, 5, 5), 1, rng)} == {3}


def test_a_run_is_reproducible_bit_for_bit(populations):
    first, first_losses = trained(populations)
    second, second_losses = trained(populations)
    assert first_losses == second_losses
    for name, weights in first.state_dict().items():
        assert torch.equal(weights, second.state_dict()[name])


def test_another_seed_draws_other_minibatches(populations):
    assert trained(populations, seed=1)[1] != trained(populations, seed=2)[1]


def test_the_loss_falls_on_easy_data(populations):
    _, losses = trained(populations, epochs=30, learning_rate=1e-2)
    assert [result.epoch for result in losses] == list(range(1, 31))
    assert losses[-1].train_loss < 0.1 * losses[0].train_loss
    assert losses[-1].validation_loss < 0.1 * losses[0].validation_loss


def test_a_step_follows_the_gradient_written_out():
    network = nn.Linear(2, 2, bias=False)
    events = torch.tensor([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]])
    weights = network.weight.detach().clone()
    loss = _train_step(network, torch.optim.SGD(network.parameters(), lr=0.1), events, 3, 1)
    errors = events @ weights.T - events
    # Mean over 6 numbers of their squared errors; float32.
    torch.testing.assert_close(loss, (errors**2).sum() / 6)
    torch.testing.assert_close(network.weight.detach(), weights - 0.1 * (2 / 6) * errors.T @ events)


@pytest.mark.parametrize("n_workers", [2, 3])
def test_workers_slices_average_to_the_whole_minibatchs_gradient(n_workers, rng):
    # 7 events: slices differ by one event, and must still weigh by their size.
    events = torch.from_numpy(rng.normal(size=(7, 5)).astype(np.float32))
    network = Autoencoder(5, Architecture(hidden=(8,), code=3), seed=0)

    def gradients(rows, workers):
        worker = copy.deepcopy(network)
        _train_step(worker, torch.optim.SGD(worker.parameters(), lr=0.0), rows, len(events), workers)
        return [weights.grad for weights in worker.parameters()]

    whole = gradients(events, 1)
    slices = [gradients(events[rank::n_workers], n_workers) for rank in range(n_workers)]
    for expected, *parts in zip(whole, *slices, strict=True):
        # Sums made in another order.
        torch.testing.assert_close(sum(parts) / n_workers, expected, rtol=1e-5, atol=1e-6)


def test_every_population_weighs_the_same_in_the_validation_loss():
    # A network of zeros: its loss on a population is the mean square of the population.
    network = Autoencoder(5, Architecture(hidden=(), code=1), seed=0)
    for weights in network.parameters():
        nn.init.zeros_(weights)
    populations = {"S": np.full((1000, 5), 1, np.float32), "T": np.full((20, 5), 3, np.float32)}
    losses = []
    train(network, populations, TrainingPlan(epochs=1, minibatch=5000, learning_rate=1e-12), on_epoch=losses.append)
    # (1 + 9) / 2, whatever the sizes; a step of 1e-12 moves it by less than float32 shows.
    assert losses[0].validation_loss == pytest.approx(5, rel=1e-6)


def test_a_loss_that_is_not_a_number_stops_training(populations):
    populations["T"][3, 2] = np.nan
    with pytest.raises(
        ModelError,
        match=r"Training diverged in epoch 1: the loss is nan \(populations: S, T\)\. "
        r"Lower training.learning_rate, or look for extreme intensities",
    ):
        trained(populations)


def test_populations_of_one_event_can_be_trained_on(populations):
    _, losses = trained({"S": populations["S"], "T": populations["T"][:1]})
    assert len(losses) == 3


def test_training_leaves_the_events_as_they_were(populations):
    before = populations["S"].copy()
    trained(populations)
    assert (populations["S"] == before).all()


@pytest.mark.filterwarnings("error")
def test_read_only_events_as_ray_hands_them_out_are_trained_on_without_a_warning(populations):
    for events in populations.values():
        events.setflags(write=False)
    trained(populations, epochs=1)


def test_a_minibatch_smaller_than_the_workers_is_refused():
    populations = {name: np.zeros((60, 4), np.float32) for name in "abc"}
    network = Autoencoder(4, Architecture(hidden=(4,), code=2))
    with pytest.raises(ConfigError, match=r"minibatch is 30; expected at least 33: one event of each of 3 populations"):
        train(network, populations, TrainingPlan(minibatch=30), n_workers=11)
