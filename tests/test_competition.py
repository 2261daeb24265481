import pytest
import torch

from neuronedit.autoencoder import CODE, Architecture, Autoencoder
from neuronedit.competition import warning, winners
from neuronedit.minibatches import InMemory
from neuronedit.steps import EditStep, activations, apply_steps, fit_steps
from neuronedit.training import train
from neuronedit.training_plan import TrainingPlan
from tests.review.planted_network import EDITED_MARKERS, MARKERS, N_MARKERS, SHIFT, planted_cells

ON_TARGET = [MARKERS.index(marker) for marker in EDITED_MARKERS]


def trained(block):
    """The mean change of the markers that the planted edit moves, on events not seen, and the code's active share."""
    source, target, events = planted_cells(2_000, 0), planted_cells(2_000, 1, shift=SHIFT), planted_cells(1_000, 2)
    network = Autoencoder(N_MARKERS, Architecture(hidden=(64,), code=32, competitive=block), 0)
    plan = TrainingPlan(epochs=30, minibatch=256)
    torch.set_num_threads(1)  # small products: on a busy machine a second thread only waits for the first
    train(network, InMemory.of({"S": source.markers, "T": target.markers}, plan), plan)
    network.eval().requires_grad_(False)
    steps = fit_steps(network, (EditStep(),), source.markers, target.markers)
    change = apply_steps(steps, network, events.markers) - events.markers
    return change[:, ON_TARGET].mean(), (activations(network, events.markers, CODE) != 0).mean()


def test_only_the_largest_of_each_block_speaks():
    code = torch.tensor([[1.0, 3.0, -2.0, -1.0], [0.5, 0.5, -0.0, 7.0]])
    assert winners(code, 2).tolist() == [[0, 3, 0, -1], [0.5, 0, 0, 7]]  # of equal ones the first
    assert winners(code, 4).tolist() == [[0, 3, 0, 0], [0, 0, 0, 7]]
    assert torch.equal(winners(code, 1), code)


def test_only_winners_learn():
    code = torch.tensor([[1.0, 3.0, -2.0, -1.0]], requires_grad=True)
    winners(code, 2).sum().backward()
    assert code.grad.tolist() == [[0, 1, 0, 1]]


def test_blocks_of_four_are_warned_of_and_smaller_ones_are_not():
    assert warning(1) == warning(2) == ""
    assert warning(4).startswith("Of every 4 neurons of the code 3 are silent for each event")


def test_an_edit_of_blocks_of_two_moves_what_it_should_within_a_tenth_of_a_plain_code():
    (plain, everywhere), (competing, active) = trained(1), trained(2)
    assert plain == pytest.approx(SHIFT, rel=0.1)
    assert competing == pytest.approx(plain, rel=0.1)
    assert (everywhere, active) == (1, 0.5)
