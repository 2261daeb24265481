import copy

import numpy as np
import pytest
import torch

from neuronedit.autoencoder import Architecture, Autoencoder
from neuronedit.baselines import (
    LATENT_MEAN,
    MEAN_SHIFT,
    NO_EDIT,
    QUANTILE_MAP,
    baselines,
    cluster_map,
    joint_baselines,
    linear_transport,
    mean_shift,
    network_baselines,
    quantile_map,
)
from neuronedit.design import PairDesign
from neuronedit.errors import DataError
from neuronedit.metrics import emd
from neuronedit.model import EditModel
from neuronedit.panel import Panel
from neuronedit.scaling import fit_scaling


def events(n_events: int, seed: int) -> np.ndarray:
    return np.abs(np.random.default_rng(seed).normal(3, 1, (n_events, 3))).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> EditModel:
    """A model whose autoencoder is the identity: one linear layer to the code, one back."""
    panel = Panel(("CD3", "CD4", "CD8"), (5.0,) * 3)
    scaling = fit_scaling([np.sinh(events(1000, 0)) * 5], panel.cofactors)
    autoencoder = Autoencoder(3, Architecture(hidden=(), code=3))
    for layer in autoencoder.layers:
        torch.nn.init.eye_(layer.weight)
    return EditModel(panel, scaling, (autoencoder,), {}, PairDesign(source={"c": "a"}, target={"c": "b"}))


def test_every_baseline_keeps_shape_and_type_and_leaves_its_inputs_alone(model: EditModel) -> None:
    arrays = (events(200, 1), events(150, 2) + 1, events(80, 3))
    for array in arrays:
        array.setflags(write=False)
    for baseline in (baselines(model) | joint_baselines(seed=0)).values():
        predicted = baseline(*arrays)
        assert predicted.shape == (80, 3)
        assert predicted.dtype == np.float32


def test_the_groups_share_no_name(model: EditModel) -> None:
    groups = (baselines(model), joint_baselines(0), network_baselines(0))
    assert len(set().union(*groups)) == sum(map(len, groups)) == 8


def test_equal_source_and_target_change_nothing_but_the_latent_mean(model: EditModel) -> None:
    source, other = events(200, 1), events(80, 3)
    for name in (NO_EDIT, MEAN_SHIFT, QUANTILE_MAP):
        assert (baselines(model)[name](source, source, other) == other).all()


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
    np.testing.assert_allclose(baselines(model)[LATENT_MEAN](*arrays), mean_shift(*arrays), atol=1e-4)


def test_the_latent_mean_decodes_what_it_moves(model: EditModel) -> None:
    blank = copy.deepcopy(model)
    torch.nn.init.zeros_(blank.autoencoder.layers[-1].weight)
    predicted = baselines(blank)[LATENT_MEAN](events(100, 0), events(100, 1), events(80, 2))
    np.testing.assert_array_equal(predicted, np.broadcast_to(model.scaling.means, (80, 3)))


def two_kinds(n_events: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two kinds of cell, 10 apart in the first marker; and which one each event is."""
    kind = np.random.default_rng(seed).integers(0, 2, n_events)
    return events(n_events, seed) + np.float32([10, 0, 0]) * kind[:, None], kind


def test_the_cluster_map_finds_a_shift_for_each_kind_of_cell() -> None:
    (source, kind), (other, other_kind) = two_kinds(2_000, 1), two_kinds(500, 2)
    shifts = np.float32([[1, 0, -2], [0, 3, 1]])
    moved = cluster_map(source, source + shifts[kind], other, n_clusters=2)
    # A quantile map of all events would smear the shifts of the second and the third marker over both kinds.
    np.testing.assert_allclose(moved, other + shifts[other_kind], atol=1e-4)  # float32


def test_a_cluster_that_is_too_small_is_moved_by_the_map_of_all_events() -> None:
    (source, kind), (other, _) = two_kinds(2_000, 1), two_kinds(500, 2)
    few = np.r_[source[kind == 0], source[kind == 1][:40]]
    target = few + np.float32([0, 1, 0])
    moved, of_all = cluster_map(few, target, other, n_clusters=2), quantile_map(few, target, other)
    lacking = other[:, 0] > 8
    assert lacking.any()
    np.testing.assert_array_equal(moved[lacking], of_all[lacking])


def test_the_cluster_map_changes_nothing_where_source_and_target_are_equal() -> None:
    source, other = two_kinds(500, 1)[0], two_kinds(80, 2)[0]
    assert (cluster_map(source, source, other) == other).all()


def test_the_linear_transport_finds_an_affine_map_without_rotation() -> None:
    """Of all maps between the two Gaussians, the symmetric positive one is the cheapest."""
    source, other = events(2_000, 1), events(80, 2)
    matrix, offset = np.array([[2, 0.5, 0], [0.5, 1, -0.3], [0, -0.3, 0.5]]), [1, 0, -2]
    moved = linear_transport(source, (source @ matrix + offset).astype(np.float32), other)
    # POT adds 1e-6 to the variances.
    np.testing.assert_allclose(moved, other @ matrix + offset, atol=1e-4)


def test_the_linear_transport_is_the_identity_where_source_and_target_are_equal() -> None:
    source, other = events(500, 1), events(80, 2)
    source[:, 2] = 0  # a dead marker has no variance
    np.testing.assert_allclose(linear_transport(source, source, other), other, atol=1e-4)  # float32


def test_a_linear_transport_that_is_not_finite_is_refused() -> None:
    target = events(150, 2)
    target[0, 0] = np.nan
    with pytest.raises(DataError, match=r"^linear transport: the map from 200 source to 150 target events is not fin"):
        linear_transport(events(200, 1), target, events(80, 3))
