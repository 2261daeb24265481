import torch

from neuronedit.competition import warning, winners


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
