import sys

import numpy as np
import pytest
from neuronedit_jobs.benchmarks.accuracy.joint_baselines import cluster_map, joint_baselines, linear_transport
from neuronedit_jobs.benchmarks.accuracy.methods import METHODS, NETWORKS

from neuronedit.edits.baselines import quantile_map
from neuronedit.errors import ConfigError, DataError


def events(n_events: int, seed: int) -> np.ndarray:
    return np.abs(np.random.default_rng(seed).normal(3, 1, (n_events, 3))).astype(np.float32)


def test_every_baseline_keeps_shape_and_type_and_leaves_its_inputs_alone() -> None:
    arrays = (events(200, 1), events(150, 2) + 1, events(80, 3))
    for array in arrays:
        array.setflags(write=False)
    for baseline in joint_baselines(seed=0).values():
        predicted = baseline(*arrays)
        assert predicted.shape == (80, 3)
        assert predicted.dtype == np.float32


def test_no_two_methods_share_a_name() -> None:
    assert len({*METHODS, *NETWORKS}) == len(METHODS) + len(NETWORKS)


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


def test_without_the_extra_the_linear_transport_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ot.gaussian", None)
    with pytest.raises(
        ConfigError,
        match=r"^linear transport: expected POT, found no module 'ot\.gaussian'\. Install neuronedit\[benchmark",
    ):
        linear_transport(events(20, 1), events(20, 2), events(20, 3))
