import os

import numpy as np
import pytest
import torch
from torch import nn

from neuronedit.errors import CheckpointError, ModelError
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.minibatches import InMemory
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.state import EpochLosses, TrainingState, best_epoch, finished, kept_epoch, stalled
from neuronedit.network.training import train


@pytest.fixture
def populations(rng):
    """Two populations on a plane in five markers: easy for a code of three."""
    plane = rng.normal(size=(2, 5))
    return {name: (rng.normal(size=(n, 2)) @ plane).astype(np.float32) for name, n in (("S", 300), ("T", 60))}


def trained(populations, samples=None, markers=(), resume=None, on_epoch=lambda epoch: None, **settings):
    plan = TrainingPlan(**{"epochs": 3, "minibatch": 64, **settings})
    network = Autoencoder(5, Architecture(hidden=(8,), code=3), seed=0)
    minibatches = InMemory.from_populations(populations, plan, samples=samples, markers=markers)
    return network, train(network, minibatches, plan, resume=resume, on_epoch=on_epoch)


def same_bits(one, other):
    return all(torch.equal(weights, other.state_dict()[name]) for name, weights in one.state_dict().items())


EVERYTHING = {"epochs": 6, "weight_decay": 0.1, "noise": 0.2, "patience": 4}


@pytest.mark.parametrize("settings", [{}, EVERYTHING, {"precision": "bfloat16", "decorrelation": 0.1}])
def test_a_run_is_reproducible_bit_for_bit(populations, settings):
    (first, first_losses), (second, second_losses) = (trained(populations, **settings) for _ in range(2))
    assert first_losses == second_losses
    assert same_bits(first, second)


@pytest.mark.parametrize("settings", [{"epochs": 6}, EVERYTHING])
@pytest.mark.parametrize("epoch", [1, 6])
def test_a_run_resumed_after_any_epoch_has_the_bits_of_the_undisturbed_one(populations, settings, epoch):
    states = []
    undisturbed, losses = trained(populations, **settings, on_epoch=lambda found: states.append(found.state()))
    stored = TrainingState.parse(states[epoch - 1].files(), "here")
    resumed, again = trained(populations, **settings, resume=stored)
    assert again == losses
    assert same_bits(resumed, undisturbed)


def test_a_state_stays_as_it_was_when_training_goes_on(populations):
    states = []
    trained(populations, on_epoch=lambda epoch: states.append(epoch.state()))
    first, second, _ = (state.weights["layers.0.weight"] for state in states)
    assert not torch.equal(first, second)
    assert [state.epoch for state in states] == [1, 2, 3]


def test_a_state_of_other_settings_is_refused(populations):
    states = []
    trained(populations, on_epoch=lambda epoch: states.append(epoch.state()))
    with pytest.raises(
        CheckpointError,
        match=r"^a state of training after epoch 2 is of other settings: expected those with the SHA-256 \w{64}, found "
        r"\w{64}\. Start anew, or set \[training\] as it was\.$",
    ):
        trained(populations, resume=states[1], learning_rate=0.5)


def test_a_state_of_another_network_is_refused(populations):
    states = []
    trained(populations, on_epoch=lambda epoch: states.append(epoch.state()))
    plan = TrainingPlan(epochs=3, minibatch=64)
    other = Autoencoder(5, Architecture(hidden=(9,), code=3))
    with pytest.raises(
        CheckpointError, match=r"(?s)^a state of training after epoch 1 is of another network \(.*size mismatch.*\)\. "
    ):
        train(other, InMemory.from_populations(populations, plan), plan, resume=states[0])


def test_another_seed_draws_other_minibatches(populations):
    assert trained(populations, seed=1)[1] != trained(populations, seed=2)[1]


@pytest.mark.parametrize("settings", [{}, {"precision": "bfloat16"}, {"decorrelation": 1e-4}])
def test_the_loss_falls_on_easy_data(populations, settings):
    _, losses = trained(populations, epochs=20, learning_rate=2e-2, **settings)
    assert [found.epoch for found in losses] == list(range(1, 21))
    assert losses[-1].train_loss < 0.1 * losses[0].train_loss
    assert losses[-1].validation_loss < 0.1 * losses[0].validation_loss


def test_two_processes_train_the_same_network_as_one(populations, tmp_path):
    # Noise is the event's own wherever it is computed.
    settings = {"noise": 0.1, "weight_decay": 0.1, "patience": 3}
    alone, losses = trained(populations, **settings)
    torch.multiprocessing.spawn(_train_rank, (tmp_path, populations, settings), nprocs=2)
    both = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for name, weights in alone.state_dict().items():
        assert torch.equal(both[0][name], both[1][name])
        torch.testing.assert_close(both[0][name], weights, rtol=1e-4, atol=1e-5)  # sums in another order, 15 steps long
    told = torch.tensor([[found.train_loss, found.validation_loss] for found in losses])
    torch.testing.assert_close(both[0]["losses"], told, rtol=1e-5, atol=0)


def _train_rank(rank, folder, populations, settings):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    plan = TrainingPlan(epochs=3, minibatch=64, **settings)
    network = Autoencoder(5, Architecture(hidden=(8,), code=3), seed=0)
    wrapped = nn.parallel.DistributedDataParallel(network)
    losses = train(wrapped, InMemory.from_populations(populations, plan, rank=rank, n_workers=2), plan)
    told = torch.tensor([[found.train_loss, found.validation_loss] for found in losses])
    torch.save(network.state_dict() | {"losses": told}, folder / f"{rank}.pt")
    torch.distributed.barrier()
    os._exit(0)  # what is asked is on disk; taking down gloo's threads aborts the process now and then (SIGABRT)


def test_an_epoch_tells_its_losses(populations):
    epochs = []
    _, losses = trained(populations, on_epoch=epochs.append)
    assert tuple(epoch.losses for epoch in epochs) == losses


def test_every_population_weighs_the_same_in_the_validation_loss():
    # A network of zeros: its loss on a population is the mean square of the population.
    network = Autoencoder(5, Architecture(hidden=(), code=1), seed=0)
    for weights in network.parameters():
        nn.init.zeros_(weights)
    populations = {"S": np.full((10_000, 5), 1, np.float32), "T": np.full((20, 5), 3, np.float32)}
    plan = TrainingPlan(epochs=1, minibatch=50_000, learning_rate=1e-12, validation_fraction=0.49)
    # (1 + 9) / 2, whatever the sizes; a step of 1e-12 moves it by less than float32 shows.
    assert train(network, InMemory.from_populations(populations, plan), plan)[0].validation_loss == pytest.approx(
        5, rel=1e-6
    )


def test_training_stops_when_the_validation_loss_stalls_and_keeps_the_best_weights(populations):
    # A rate so high that the loss jumps up and down.
    weights = {}
    network, losses = trained(
        populations,
        epochs=60,
        patience=3,
        learning_rate=0.1,
        on_epoch=lambda epoch: weights.update({epoch.losses.epoch: epoch.state().weights}),
    )
    best = min(losses, key=lambda found: found.validation_loss)
    assert len(losses) == best.epoch + 3 < 60
    assert all(torch.equal(found, weights[best.epoch][name]) for name, found in network.state_dict().items())


@pytest.mark.parametrize(
    ("validation", "patience", "stops", "kept"),
    [([3, 2, 1], 2, False, 3), ([1, 2, 3], 2, True, 1), ([1, 1, 1], 2, True, 1), ([1, 2, 3], None, False, 3)],
)
def test_what_follows_from_a_history(validation, patience, stops, kept):
    history = [EpochLosses(epoch, 0.0, loss) for epoch, loss in enumerate(validation, start=1)]
    assert stalled(history, patience) is stops
    assert kept_epoch(history, patience).epoch == kept
    assert best_epoch(history).validation_loss == min(validation)
    assert not stalled([], patience)
    assert finished(history, 3, patience)
    assert finished(history, 4, patience) is stops


def test_a_loss_that_is_not_a_number_stops_training_and_names_the_minibatch(populations):
    # 64 events of T's 54 in each minibatch: the first one has the bad event.
    populations["T"][:, 2] = np.where(np.arange(60) == 17, np.nan, populations["T"][:, 2])
    samples = {"T": np.array([f"t{number % 2}" for number in range(60)], object)}
    with pytest.raises(
        ModelError,
        match=r"^Training diverged in epoch 1, step 1 of 3: the loss is nan\. Its minibatch has events of "
        r"'S' \(samples unknown\), 'T' \(samples 't0', 't1'\); the most extreme is nan standard deviations of marker "
        r"'CD8' in population 'T' of sample 't1'\. Lower training\.learning_rate, or look for extreme intensities",
    ):
        trained(populations, samples, ("CD3", "CD4", "CD8", "CD19", "CD56"), minibatch=128, validation_fraction=0.001)


def test_a_rate_too_high_is_told_in_the_step_after_it_did_harm(populations):
    with pytest.raises(
        ModelError,
        match=r"^Training diverged in epoch 1, step 2 of 6: .*; the most extreme is -?\d\.\d+ standard deviations of "
        r"marker number \d in population '[ST]'\. Lower training\.learning_rate",
    ):
        trained(populations, learning_rate=1e30)


def test_validation_events_that_are_no_numbers_are_told(populations):
    plan = TrainingPlan(epochs=1, minibatch=64)
    minibatches = InMemory.from_populations(populations, plan)
    minibatches.validation["T"][0, 3] = torch.inf
    network = Autoencoder(5, Architecture(hidden=(8,), code=3))
    with pytest.raises(
        ModelError,
        match=r"^Training diverged in epoch 1: the loss of the validation events of 'T' is (nan|inf); the most extreme "
        r"is inf standard deviations of marker number 4 in population 'T'\. Lower training\.learning_rate, or look for",
    ):
        train(network, minibatches, plan)


def test_populations_of_one_event_can_be_trained_on(populations):
    _, losses = trained({"S": populations["S"], "T": populations["T"][:1]})
    assert len(losses) == 3
