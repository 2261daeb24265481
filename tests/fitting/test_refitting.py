from dataclasses import replace

import pytest
import torch

from neuronedit.errors import ModelError
from neuronedit.fitting.fit import model_refits, refit

TRAINING = {"epochs": 2, "minibatch": 64, "seed": 4, "accumulate": 1}  # "accumulate": older models record it


@pytest.fixture
def model(make_model, cells):
    torch.set_num_threads(1)
    return make_model({"source": cells(seed=1), "target": cells(seed=2, gain=2.0)}, facts={"training": TRAINING})


def test_a_refit_is_trained_as_the_model_was_from_a_seed_that_it_did_not_have(model, cells):
    populations = {"source": cells(seed=1), "target": cells(seed=2, gain=2.0)}
    first, again, second = (refit(model, populations, number) for number in (0, 0, 1))
    assert first.architecture == model.autoencoder.architecture
    weights = [network.state_dict()["layers.0.weight"] for network in (first, again, second, model.autoencoder)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3])
    assert not first.training
    assert not any(of.requires_grad for of in first.parameters())


def test_a_refit_that_diverges_is_told(make_model, cells):
    wild = make_model(
        {"source": cells(seed=1), "target": cells(seed=2)}, facts={"training": TRAINING | {"learning_rate": 1e30}}
    )
    with pytest.raises(ModelError, match="Training diverged in epoch"):
        refit(wild, {"source": cells(seed=1)}, 0)


def test_refits_are_the_ensembles_others_and_those_trained_anew(model, cells):
    ensemble = replace(model, autoencoders=(model.autoencoder, model.autoencoder))
    others, trained = model_refits(ensemble, {"source": cells(seed=1)}, 1)
    assert others is model.autoencoder
    expected = refit(ensemble, {"source": cells(seed=1)}, 0)
    assert torch.equal(trained.state_dict()["layers.0.weight"], expected.state_dict()["layers.0.weight"])
    assert model_refits(model, {}, 0) == ()
