import torch
from neuronedit_jobs.benchmarks.review.competition import compete, winners

from neuronedit.network.autoencoder import CODE, Architecture, Autoencoder


def test_only_the_largest_of_each_block_is_kept():
    code = torch.tensor([[1.0, 3.0, -2.0, -1.0], [0.5, 0.5, -0.0, 7.0]])
    assert winners(code, 2).tolist() == [[0, 3, 0, -1], [0.5, 0, 0, 7]]  # of equal ones the first
    assert winners(code, 4).tolist() == [[0, 3, 0, 0], [0, 0, 0, 7]]
    assert torch.equal(winners(code, 1), code)


def test_only_winners_learn():
    code = torch.tensor([[1.0, 3.0, -2.0, -1.0]], requires_grad=True)
    winners(code, 2).sum().backward()
    assert code.grad.tolist() == [[0, 1, 0, 1]]


def test_a_code_that_competes_has_its_winners_and_is_decoded_as_it_is(rng):
    markers = torch.from_numpy(rng.normal(size=(6, 5)).astype("float32"))
    plain, competing = (Autoencoder(5, Architecture(hidden=(7,), code=6), seed=0) for _ in range(2))
    compete(competing, 2)
    code = plain.encode(markers, CODE)
    assert torch.equal(competing.encode(markers, CODE), winners(code, 2))
    assert torch.equal(competing.decode(code, CODE), plain.decode(code, CODE))
    assert torch.equal(competing(markers), plain.decode(winners(code, 2), CODE))
