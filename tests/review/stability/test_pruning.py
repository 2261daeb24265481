from dataclasses import replace

import numpy as np
import pytest
import torch
from neuronedit_jobs.benchmarks.review.planted import DEAD, EDITED_NEURONS, N_NEURONS

from neuronedit.review.stability.pruning import Pruning, ablation_figure, prune, pruning_part
from neuronedit.review.subject import EditSubject

LIVING = N_NEURONS - len(DEAD)


@pytest.fixture(scope="module")
def pruned(few_planted: EditSubject) -> Pruning:
    return prune(few_planted, seed=0)


def test_what_closing_a_neuron_costs_is_what_was_planted(pruned, few_planted):
    assert not pruned.rises[list(DEAD)].any()
    # Either duplicate alone writes half of its program into 4 of 40 markers: without it, half of what moves is missing.
    variance = np.concatenate([part.activations[:, 1] for part in (few_planted.source, few_planted.target)]).var()
    assert pruned.rises[list(EDITED_NEURONS)] == pytest.approx(variance / 4 * 4 / 40, rel=0.05)


def test_all_living_neurons_and_no_others_are_suggested(pruned):
    # Neither duplicate is closed: each writes one half of what the program's markers need.
    assert (np.delete(pruned.gates, DEAD) == 1).all()
    assert (np.diff(pruned.errors[: LIVING + 1]) < 0).all()
    assert pruned.errors[LIVING:] == pytest.approx(pruned.errors[-1])


def test_a_closed_neuron_is_held_at_its_mean_and_not_at_zero(few_planted):
    # A dead neuron that always says 5, and is decoded: without it the reconstruction would be off.
    network = few_planted.autoencoder
    moved = type(network)(len(few_planted.marker_names), network.architecture)
    moved.load_state_dict(network.state_dict())
    with torch.no_grad():
        moved.layers[0].bias[DEAD[0]] = 5
        moved.layers[1].weight[:, DEAD[0]] = 1
        moved.layers[1].bias -= 5
    populations = [
        replace(part, activations=part.activations + 5 * (np.arange(N_NEURONS) == DEAD[0]).astype(np.float32))
        for part in (few_planted.source, few_planted.target)
    ]
    places = (replace(few_planted.place, autoencoder=moved),)
    found = prune(replace(few_planted, places=places, source=populations[0], target=populations[1]), seed=0)
    assert tuple(found.closed) == DEAD
    assert found.rises[DEAD[0]] == pytest.approx(0, abs=1e-6)


def test_the_same_seed_gives_the_same_gates(pruned, few_planted):
    again = prune(few_planted, seed=0)
    assert again.gates.tobytes() == pruned.gates.tobytes()
    assert again.errors.tobytes() == pruned.errors.tobytes()


def test_the_part_tells_what_can_go_and_that_duplicates_are_another_matter(few_planted):
    part = pruning_part(few_planted)
    assert part.reading.startswith("Trained gates close 6 of 32 neurons (26–31); 26 suffice for a reconstruction error")
    assert part.scalars == {"closed_neurons": 6, "suggested_width": 26}
    assert "duplicates among them, are each needed" in part.warning
    assert part.drawings[0].reading.startswith("The error falls from 1.")
    assert list(part.tables["pruning"].query("closed")["neuron"]) == list(DEAD)


def test_the_curve_is_drawn_with_the_suggested_width(pruned):
    axes = ablation_figure(pruned.curve(), pruned.suggested_width).axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), pruned.errors)
    assert axes.get_legend().get_texts()[1].get_text() == "suggested width: 26"
