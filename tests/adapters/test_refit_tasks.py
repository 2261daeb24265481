from dataclasses import replace

import pytest
import torch

from neuronedit.adapters.refit_tasks import model_refits
from neuronedit.errors import ModelError
from neuronedit.model import EditModel
from neuronedit.refitting import refit
from tests.synthetic_cells import GAINS, intensities

pytestmark = pytest.mark.ray


def populations(rng) -> dict:
    return {f"control {batch}": intensities(200, gain, rng) for batch, gain in GAINS.items()}


def test_refits_are_the_ensembles_others_and_those_trained_in_tasks(
    ray_cluster: None, pair_model: EditModel, rng
) -> None:
    model = replace(
        pair_model,
        autoencoders=(pair_model.autoencoder, pair_model.autoencoder),
        facts={"training": {"epochs": 1, "minibatch": 64}},
    )
    events = populations(rng)
    others, trained = model_refits(model, events, 1)
    assert others is pair_model.autoencoder
    expected = refit(model, events, 0)
    for name, weights in trained.state_dict().items():
        # Sums in another order, where a task has another number of threads.
        torch.testing.assert_close(weights, expected.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_a_refit_that_diverges_ends_the_job_as_its_own_error(ray_cluster: None, pair_model: EditModel, rng) -> None:
    wild = replace(pair_model, facts={"training": {"epochs": 1, "learning_rate": 1e30}})
    with pytest.raises(ModelError, match="Training diverged"):
        model_refits(wild, populations(rng), 1)


def test_without_refits_no_task_is_started(pair_model: EditModel) -> None:
    assert model_refits(pair_model, {}, 0) == ()
