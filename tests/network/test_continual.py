"""Continued training, and what replay keeps."""

import pytest
import torch

from neuronedit.fitting.drift import reconstruction_error
from neuronedit.fitting.update import replayed
from neuronedit.network.autoencoder import Autoencoder
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.training import continue_training
from tests.strange_events import MORE, OLD, STRANGE, drift, trained_on_old


@pytest.fixture(scope="module")
def old_network() -> Autoencoder:
    return trained_on_old()


@pytest.fixture(scope="module")
def continued(old_network: Autoencoder) -> dict[str, Autoencoder]:
    """The strange events learned in each way."""
    ways = {"nothing": STRANGE, "replay": replayed(OLD, STRANGE, 600)}
    return {name: continue_training(old_network, populations, MORE)[0] for name, populations in ways.items()}


def test_the_strange_events_are_learned_in_every_way(old_network, continued):
    before = reconstruction_error((old_network,), STRANGE["control C"])
    for name, network in continued.items():
        assert reconstruction_error((network,), STRANGE["control C"]) < 0.3 * before, name


def test_an_old_edit_drifts_less_with_replay_than_with_nothing(old_network, continued):
    assert drift(old_network, continued["replay"]) < 0.75 * drift(old_network, continued["nothing"])


def test_the_start_stays_as_it_is_and_the_copy_is_frozen(old_network):
    before = {name: weights.clone() for name, weights in old_network.state_dict().items()}
    network, losses = continue_training(old_network, STRANGE, TrainingPlan(epochs=1, minibatch=128))
    assert [loss.epoch for loss in losses] == [1]
    assert all(torch.equal(before[name], weights) for name, weights in old_network.state_dict().items())
    assert not any(weights.requires_grad for weights in network.parameters())
    assert not any(torch.equal(before[name], weights) for name, weights in network.state_dict().items())


def test_replay_takes_at_most_so_many_events_of_each_old_population():
    chosen = replayed(OLD, STRANGE, 50)
    assert {name: len(found) for name, found in chosen.items()} == {"control A": 50, "control B": 50, "control C": 600}
