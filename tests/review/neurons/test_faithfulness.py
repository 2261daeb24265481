"""How much of an edit is kept when only a few neurons are edited."""

from dataclasses import replace

import numpy as np
import pytest
from neuronedit_jobs.benchmarks.review.planted import N_NEURONS

from neuronedit.review.neurons.conductance import Conductance, edit_conductance
from neuronedit.review.neurons.faithfulness import CONDUCTANCE, EMD, RANDOM, Faithfulness, faithfulness
from neuronedit.review.subject import EditSubject


@pytest.fixture(scope="module")
def planted(planted_edit: EditSubject, planted_conductance: Conductance) -> Faithfulness:
    return faithfulness(planted_edit, planted_conductance, seed=0)


@pytest.fixture(scope="module")
def trained(trained_edit: EditSubject, trained_conductance: Conductance) -> Faithfulness:
    return faithfulness(trained_edit, trained_conductance, seed=0)


def test_one_of_the_two_planted_neurons_keeps_three_quarters_and_two_random_ones_less_than_half(
    planted: Faithfulness,
) -> None:
    at_two = list(planted.counts).index(2)
    assert planted.kept[RANDOM][at_two] < 0.5
    # One of the two does half of the shift: of its squares three quarters.
    assert planted.kept_by(1) == pytest.approx(0.75, abs=0.02)


def test_the_neurons_of_most_conductance_keep_no_less_than_those_of_the_largest_emd(trained: Faithfulness) -> None:
    few = trained.counts <= 16
    assert trained.kept[CONDUCTANCE][few].mean() >= trained.kept[EMD][few].mean()


@pytest.mark.parametrize("which", ["planted", "trained"])
def test_all_neurons_keep_the_whole_edit_in_any_order(which: str, request: pytest.FixtureRequest) -> None:
    found: Faithfulness = request.getfixturevalue(which)
    assert found.counts[0] == 1
    assert found.counts[-1] == N_NEURONS
    assert [found.kept[order][-1] for order in (CONDUCTANCE, EMD, RANDOM)] == [1, 1, 1]


def test_of_an_edit_that_does_nothing_nothing_can_be_kept(planted_edit: EditSubject) -> None:
    sample = planted_edit.sample(100, seed=0)
    still = replace(sample, edited=sample.source.activations)
    assert np.isnan(faithfulness(still, edit_conductance(still), seed=0).kept_by(4))
