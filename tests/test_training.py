import numpy as np
import pytest
import torch

from neuronedit.autoencoder import Architecture, Autoencoder
from neuronedit.errors import ConfigError, ModelError
from neuronedit.training import EpochLosses, TrainingPlan, balanced_minibatches, train

SMALL = Architecture(hidden=(8,), code=3)


def populations(seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(2, 5))
    return {
        name: (generator.normal(size=(n_events, 2)) @ mixing).astype(np.float32)
        for name, n_events in (("source", 300), ("target", 150), ("extrapolation", 60))
    }


def trained(**settings: object) -> tuple[Autoencoder, list[EpochLosses]]:
    network, losses = Autoencoder(5, SMALL, seed=1), []
    train(network, populations(), TrainingPlan(minibatch=30, **settings), on_epoch=losses.append)
    return network, losses


def test_every_minibatch_has_equally_many_events_of_each_population() -> None:
    sizes = [1000, 17, 230]
    for indices in balanced_minibatches(sizes, 90, np.random.default_rng(0)):
        population = np.searchsorted(np.cumsum(sizes), indices, side="right")
        assert np.bincount(population).tolist() == [30, 30, 30]


def test_an_epoch_goes_through_the_largest_population_and_repeats_small_ones_evenly() -> None:
    sizes = [120, 10]
    indices = np.concatenate(list(balanced_minibatches(sizes, 20, np.random.default_rng(0))))
    counts = np.bincount(indices, minlength=130)
    assert counts[:120].max() == 1
    assert np.ptp(counts[120:]) <= 1


def test_the_loss_falls() -> None:
    _, losses = trained(epochs=40)
    assert losses[-1].validation_loss < 0.2 * losses[0].validation_loss
    assert [loss.epoch for loss in losses] == list(range(1, 41))


def test_a_seed_reproduces_the_weights_bit_for_bit() -> None:
    first, second, other = (trained(epochs=3, seed=seed)[0].state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_workers_slices_add_up_to_the_whole_minibatchs_gradient() -> None:
    network = Autoencoder(5, SMALL)
    events = torch.from_numpy(populations()["source"][:31])

    def gradient(part: torch.Tensor, weight: float) -> torch.Tensor:
        network.zero_grad()
        (torch.nn.functional.mse_loss(network(part), part) * weight).backward()
        return network.layers[0].weight.grad.clone()

    # Workers average: each weighs its slice by n_workers · slice / minibatch, as the training step does.
    slices = [events[rank::2] for rank in range(2)]
    averaged = sum(gradient(part, len(part) * 2 / 31) for part in slices) / 2
    torch.testing.assert_close(averaged, gradient(events, 1.0), atol=1e-6, rtol=1e-5)


def test_a_minibatch_smaller_than_the_workers_is_refused() -> None:
    message = (
        r"training\.minibatch is 30; expected at least 33: one event of each of 3 populations for each of 11 workers"
    )
    with pytest.raises(ConfigError, match=message):
        train(Autoencoder(5, SMALL), populations(), TrainingPlan(minibatch=30), n_workers=11)


def test_a_loss_that_is_not_finite_stops_training() -> None:
    with pytest.raises(ModelError, match=r"Training diverged in epoch 1: the loss is .*Lower training\.learning_rate"):
        trained(epochs=5, learning_rate=1e20)
