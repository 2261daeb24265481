"""Captum finds the same: it is the oracle here, and nothing that the review runs."""

import numpy as np
import pytest
import torch
from captum.attr import DeepLift, IntegratedGradients
from neuronedit_jobs.benchmarks.review.checks_of_neurons import N_STEPS, decoder, path
from torch import nn

from neuronedit.review.neurons.conductance import edit_conductance
from neuronedit.review.neurons.logit import TargetHead, attribute_logit
from neuronedit.review.subject import EditSubject

TARGETS = (11, 24)
"""Markers that are compared: Captum takes one at a time."""


@pytest.fixture(scope="module")
def sample(trained_edit: EditSubject) -> EditSubject:
    return trained_edit.sample(40, seed=0)


def test_one_segment_is_captums_deeplift(sample: EditSubject) -> None:
    after, before = path(sample)
    oracle = DeepLift(decoder(sample))
    found = edit_conductance(sample, 1).values
    for target in TARGETS:
        parts = oracle.attribute(after, before, target=target)
        np.testing.assert_allclose(found[:, target], parts.detach().mean(dim=0).numpy(), atol=1e-5)


def test_the_logits_parts_are_captums_for_each_event(sample: EditSubject) -> None:
    after, before = path(sample)
    head = TargetHead.fit(sample)
    logit = nn.Linear(len(head.weights), 1)
    with torch.no_grad():
        logit.weight.copy_(torch.from_numpy(head.weights[None]))
        logit.bias.fill_(head.bias)
    network, conductance = decoder(sample, logit.requires_grad_(False)), edit_conductance(sample)
    by_deeplift = DeepLift(network).attribute(after, before).detach().numpy()
    np.testing.assert_allclose(attribute_logit(sample, head, conductance, 1).values, by_deeplift, atol=1e-5)
    by_integral = IntegratedGradients(network).attribute(
        after, before, n_steps=N_STEPS, method="riemann_middle", internal_batch_size=20_000
    )
    many = attribute_logit(sample, head, conductance, 128).values
    # Captum's sum misses each event's kinks by up to a step's width; the mean over events hides most of it.
    np.testing.assert_allclose(many, by_integral.numpy(), atol=1e-4)
    np.testing.assert_allclose(many.mean(axis=0), by_integral.mean(dim=0).numpy(), atol=1e-5)
