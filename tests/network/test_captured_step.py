"""Training steps that a GPU repeats, beside the same steps told one kernel at a time."""

import numpy as np
import pytest
import torch

from neuronedit.network import learner
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.captured_step import WARM_UP, CapturedStep
from neuronedit.network.minibatches import InMemory
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.state import TrainingState
from neuronedit.network.training import train
from tests.gpu import GPU

pytestmark = GPU

SETTINGS = [
    {},
    {"weight_decay": 0.1, "noise": 0.2, "patience": 4},
    {"precision": "bfloat16"},
]


def trained(resume=None, on_epoch=lambda epoch: None, **settings):
    """Six epochs of five or six steps each on a GPU."""
    generator = np.random.default_rng(0)
    plane = generator.normal(size=(2, 5))
    populations = {
        name: (generator.normal(size=(n, 2)) @ plane).astype(np.float32) for name, n in (("S", 300), ("T", 60))
    }
    plan = TrainingPlan(**{"epochs": 6, "minibatch": 64, **settings})
    network = Autoencoder(5, Architecture(hidden=(8,), code=3), seed=0).to("cuda")
    return network, train(
        network, InMemory.from_populations(populations, plan, device="cuda"), plan, resume=resume, on_epoch=on_epoch
    )


def check_same_bits(found, expected):
    torch.testing.assert_close(found.state_dict(), expected.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("settings", SETTINGS)
def test_captured_steps_learn_what_single_kernels_do(monkeypatch, settings):
    captured, losses = trained(**settings)
    monkeypatch.setattr(learner, "CapturedStep", lambda update: update)
    expected, expected_losses = trained(**settings)
    assert losses == expected_losses
    check_same_bits(captured, expected)


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_run_resumed_on_a_gpu_has_the_bits_of_the_undisturbed_one(settings):
    states = []
    undisturbed, losses = trained(**settings, on_epoch=lambda found: states.append(found.state()))
    stored = TrainingState.parse(states[1].files(), "here")
    resumed, again = trained(**settings, resume=stored)
    assert again == losses
    check_same_bits(resumed, undisturbed)


def test_minibatches_of_another_size_are_learned_from_as_well():
    seen = torch.zeros(3, device="cuda")

    def update(events, noise, size):
        seen.add_(events.sum(dim=0) + (0 if noise is None else noise.sum(dim=0)))
        return events.sum() / size

    step = CapturedStep(update)
    sizes = [4] * (WARM_UP + 2) + [3, 4, 2]
    losses = [
        step(torch.full((n, 3), n + i, device="cuda"), torch.ones((n, 3), device="cuda"), 2)
        for i, n in enumerate(sizes)
    ]
    assert [float(loss) for loss in losses] == [n * 3 * (n + i) / 2 for i, n in enumerate(sizes)]
    assert seen.tolist() == [float(sum(n * (n + i + 1) for i, n in enumerate(sizes)))] * 3
