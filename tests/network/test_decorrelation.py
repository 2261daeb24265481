import pytest
import torch

from neuronedit.network.learner import correlations, penalty

EVENTS = torch.randn((2_000, 3), generator=torch.Generator().manual_seed(0))


def test_neurons_that_all_say_the_same_cost_one_however_many_they_are():
    code = EVENTS[:, :1] * torch.tensor([[1.0, -2.0, 3.0, 0.5]])
    for said in (code, code[:, :2]):
        assert penalty(said).item() == pytest.approx(1, rel=1e-4)  # epsilon takes 1e-6 of a variance


def test_independent_neurons_cost_what_chance_gives():
    assert penalty(EVENTS).item() < 3 / 2_000**0.5  # three standard errors of r


def test_the_tree_takes_the_strongest_correlations():
    # Neurons 0 and 1 are joined by 0.8, 1 and 2 by 0.6; that of 0 and 2, 0.48, is no edge.
    a, b, c = torch.linalg.qr(EVENTS - EVENTS.mean(0))[0].T
    chain = torch.stack([a, 0.8 * a + 0.6 * b, 0.6 * (0.8 * a + 0.6 * b) + 0.8 * c], 1) * 40
    assert penalty(chain).item() == pytest.approx((0.8 + 0.6) / 2, rel=1e-3)


def test_a_dead_neuron_correlates_with_none_and_leaves_the_gradient_finite():
    code = torch.cat([EVENTS[:, :1], torch.zeros(2_000, 1)], 1).requires_grad_()
    penalty(code).backward()
    assert correlations(code)[0, 1].item() == 0
    assert code.grad.isfinite().all()


def test_going_down_the_gradient_parts_two_neurons():
    mixed = torch.stack([EVENTS[:, 0], EVENTS[:, 0] + EVENTS[:, 1]], 1).requires_grad_()
    before = penalty(mixed)
    before.backward()
    assert penalty(mixed - 100 * mixed.grad) < before


def test_one_neuron_alone_costs_nothing():
    code = EVENTS[:, :1].clone().requires_grad_()
    penalty(code).backward()
    assert penalty(code).item() == 0
    assert not code.grad.any()
