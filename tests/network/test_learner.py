import copy

import numpy as np
import pytest
import torch
from torch import nn

from neuronedit.network.autoencoder import CODE, Architecture, Autoencoder
from neuronedit.network.learner import Learner, correlations, penalty
from neuronedit.network.minibatches import Minibatch
from neuronedit.network.plan import TrainingPlan

EVENTS = torch.from_numpy(np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32))
NETWORK = Autoencoder(5, Architecture(hidden=(8,), code=3), seed=0)


def step(network, events, size, rank=0, n_workers=1, **settings):
    """A worker's step on its slice; the network keeps the gradients."""
    learner = Learner.from_network(network, TrainingPlan(**settings), rank, n_workers)
    return learner.step(Minibatch(events, size), torch.Generator().manual_seed(1))


def gradients(events, size, rank=0, n_workers=1, **settings):
    network = copy.deepcopy(NETWORK)
    step(network, events, size, rank, n_workers, **settings)
    return [weights.grad for weights in network.parameters()]


def test_the_loss_and_its_gradient_are_those_written_out():
    network = nn.Linear(2, 2, bias=False)
    events = torch.tensor([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]])
    weights = network.weight.detach().clone()
    loss = step(network, events, 3)
    errors = events @ weights.T - events
    # Mean over 6 numbers of their squared errors; float32.
    torch.testing.assert_close(loss, (errors**2).sum() / 6)
    torch.testing.assert_close(network.weight.grad, (2 / 6) * errors.T @ events)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_first_step_is_adams(decay):
    network = nn.Linear(2, 2, bias=False)
    before = network.weight.detach().clone()
    step(network, torch.tensor([[1.0, 2.0]]), 1, learning_rate=0.01, weight_decay=decay)
    # Adam's first step has the size of the rate, whatever the gradient's (Kingma and Ba 2015); AdamW's decay is apart
    # from it. Epsilon takes 1e-8 of it.
    expected = before * (1 - 0.01 * decay) - 0.01 * network.weight.grad.sign()
    torch.testing.assert_close(network.weight.detach(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"noise": 0.5}])
@pytest.mark.parametrize("n_workers", [2, 3])
def test_workers_slices_average_to_the_whole_minibatchs_gradient(n_workers, settings):
    # 7 events: slices differ by one event, and must still weigh by their size.
    whole = gradients(EVENTS, 7, **settings)
    slices = [gradients(EVENTS[rank::n_workers], 7, rank, n_workers, **settings) for rank in range(n_workers)]
    for expected, *parts in zip(whole, *slices, strict=True):
        # Sums made in another order.
        torch.testing.assert_close(sum(parts) / n_workers, expected, rtol=1e-5, atol=1e-6)


def test_noise_is_on_the_input_and_not_on_what_is_to_be_reconstructed():
    noise = torch.randn((7, 5), generator=torch.Generator().manual_seed(1))
    loss = step(copy.deepcopy(NETWORK), EVENTS, 7, noise=0.5)
    torch.testing.assert_close(loss, nn.functional.mse_loss(NETWORK(EVENTS + 0.5 * noise), EVENTS).detach())


def test_the_decorrelation_penalty_is_on_the_code_and_not_in_the_loss_that_is_told():
    network = Autoencoder(5, Architecture(hidden=(8,), code=4), seed=0)
    code = network.encode(EVENTS, CODE)
    error = nn.functional.mse_loss(network(EVENTS), EVENTS)
    expected = torch.autograd.grad(error + 0.3 * penalty(code), list(network.parameters()))
    loss = step(network, EVENTS, 7, decorrelation=0.3)
    torch.testing.assert_close(loss, error.detach())
    for weights, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(weights.grad, gradient)


def test_bfloat16_is_near_float32():
    exact, rough = (gradients(EVENTS, 7, precision=precision) for precision in ("float32", "bfloat16"))
    for expected, found in zip(exact, rough, strict=True):
        assert found.dtype == torch.float32
        assert not torch.equal(found, expected)
        assert (found - expected).norm() < 0.05 * expected.norm()  # bfloat16 has 8 bits: 0.4 % per product


CODES = torch.randn((2_000, 3), generator=torch.Generator().manual_seed(0))


def test_neurons_that_all_say_the_same_cost_one_however_many_they_are():
    code = CODES[:, :1] * torch.tensor([[1.0, -2.0, 3.0, 0.5]])
    for said in (code, code[:, :2]):
        assert penalty(said).item() == pytest.approx(1, rel=1e-4)  # epsilon takes 1e-6 of a variance


def test_independent_neurons_cost_what_chance_gives():
    assert penalty(CODES).item() < 3 / 2_000**0.5  # three standard errors of r


def test_the_tree_takes_the_strongest_correlations():
    # Neurons 0 and 1 are joined by 0.8, 1 and 2 by 0.6; that of 0 and 2, 0.48, is no edge.
    a, b, c = torch.linalg.qr(CODES - CODES.mean(0))[0].T
    chain = torch.stack([a, 0.8 * a + 0.6 * b, 0.6 * (0.8 * a + 0.6 * b) + 0.8 * c], 1) * 40
    assert penalty(chain).item() == pytest.approx((0.8 + 0.6) / 2, rel=1e-3)


def test_a_dead_neuron_correlates_with_none_and_leaves_the_gradient_finite():
    code = torch.cat([CODES[:, :1], torch.zeros(2_000, 1)], 1).requires_grad_()
    penalty(code).backward()
    assert correlations(code)[0, 1].item() == 0
    assert code.grad.isfinite().all()


def test_going_down_the_gradient_parts_two_neurons():
    mixed = torch.stack([CODES[:, 0], CODES[:, 0] + CODES[:, 1]], 1).requires_grad_()
    before = penalty(mixed)
    before.backward()
    assert penalty(mixed - 100 * mixed.grad) < before


def test_one_neuron_alone_costs_nothing():
    code = CODES[:, :1].clone().requires_grad_()
    penalty(code).backward()
    assert penalty(code).item() == 0
    assert not code.grad.any()
