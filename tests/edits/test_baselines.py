import copy

import numpy as np
import pytest
import torch

from neuronedit.cells.design import PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.cells.scaling import fit_scaling
from neuronedit.edits.baselines import (
    LATENT_MEAN,
    MEAN_SHIFT,
    NO_EDIT,
    QUANTILE_MAP,
    Baseline,
    baselines,
    mean_shift,
    quantile_map,
)
from neuronedit.measures.distances import emd
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Architecture, Autoencoder


def events(n_events: int, seed: int) -> np.ndarray:
    return np.abs(np.random.default_rng(seed).normal(3, 1, (n_events, 3))).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> EditModel:
    """A model whose autoencoder is the identity: one linear layer to the code, one back."""
    panel = Panel(("CD3", "CD4", "CD8"), (5.0,) * 3)
    scaling = fit_scaling([np.sinh(events(1000, 0)) * 5], panel.transforms)
    autoencoder = Autoencoder(3, Architecture(hidden=(), code=3))
    for layer in autoencoder.layers:
        torch.nn.init.eye_(layer.weight)
    return EditModel(panel, scaling, (autoencoder,), {}, PairDesign(source={"c": "a"}, target={"c": "b"}))


def simple(model: EditModel) -> dict[str, Baseline]:
    return baselines(model.autoencoder, model.scaling)


def test_every_baseline_keeps_shape_and_type_and_leaves_its_inputs_alone(model: EditModel) -> None:
    arrays = (events(200, 1), events(150, 2) + 1, events(80, 3))
    for array in arrays:
        array.setflags(write=False)
    for baseline in simple(model).values():
        predicted = baseline(*arrays)
        assert predicted.shape == (80, 3)
        assert predicted.dtype == np.float32


def test_equal_source_and_target_change_nothing_but_the_latent_mean(model: EditModel) -> None:
    source, other = events(200, 1), events(80, 3)
    for name in (NO_EDIT, MEAN_SHIFT, QUANTILE_MAP):
        assert (simple(model)[name](source, source, other) == other).all()


def test_the_mean_shift_adds_the_difference_of_means() -> None:
    source, other, shift = events(200, 1), events(80, 3), np.float32([1, 0, -2])
    np.testing.assert_allclose(mean_shift(source, source + shift, other), other + shift, atol=1e-5)


def test_the_quantile_map_makes_the_source_like_the_target_in_every_marker() -> None:
    source, target = events(2000, 1), events(2000, 2) ** 2
    assert (emd(source, target) > 5).all()
    # 101 percentiles of 2,000 events: what is left is the bend of the tail within its last percentile.
    assert (emd(quantile_map(source, target, source), target) < 0.05).all()


def test_the_quantile_map_holds_its_shift_beyond_the_source() -> None:
    source = events(500, 1)
    beyond = np.array([source.max(axis=0) + 100, source.min(axis=0) - 100])
    shifted = quantile_map(source, source * 2, beyond) - beyond
    np.testing.assert_allclose(shifted, [source.max(axis=0), source.min(axis=0)], atol=1e-4)  # float32 at 100


def test_the_latent_mean_is_the_mean_shift_where_the_autoencoder_is_the_identity(model: EditModel) -> None:
    arrays = (events(1000, 0), events(1000, 1) ** 2, events(80, 2))
    # The same sum, standardised and back, in float32.
    np.testing.assert_allclose(simple(model)[LATENT_MEAN](*arrays), mean_shift(*arrays), atol=1e-4)


def test_the_latent_mean_decodes_what_it_moves(model: EditModel) -> None:
    blank = copy.deepcopy(model)
    torch.nn.init.zeros_(blank.autoencoder.layers[-1].weight)
    predicted = simple(blank)[LATENT_MEAN](events(100, 0), events(100, 1), events(80, 2))
    np.testing.assert_array_equal(predicted, np.broadcast_to(model.scaling.means, (80, 3)))
