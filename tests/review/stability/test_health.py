import numpy as np
import pytest
from neuronedit_jobs.benchmarks.review.planted import EDITED_NEURONS
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from neuronedit.review.stability.health import Health, health_part, measure_health, neuron_health, spans
from neuronedit.review.stability.neuron_tree import linkage, neuron_tree_figure, read_tree
from neuronedit.review.subject import EditSubject


@pytest.fixture(scope="module")
def planted(few_planted: EditSubject) -> Health:
    return neuron_health(few_planted)


@pytest.fixture
def mixed(rng) -> Health:
    """Twelve neurons that share four causes."""
    return measure_health(rng.normal(size=(3_000, 4)) @ rng.normal(size=(4, 12)) + rng.normal(size=(3_000, 12)))


def test_duplicates_stand_first_in_the_tree_although_their_distance_is_zero(planted):
    tree = planted.tree()
    assert len(tree) == len(planted.alive) - 1
    assert tuple(tree.loc[0, ["first", "second"]]) == EDITED_NEURONS


def test_single_linkage_from_the_tree_is_scipys(mixed):
    distances = 1 - np.abs(mixed.correlations)
    np.fill_diagonal(distances, 0)
    expected = hierarchy.linkage(squareform(distances, checks=False), "single")
    np.testing.assert_allclose(linkage(mixed.tree()), expected, atol=1e-12)


def test_independent_neurons_of_equal_spread_vary_in_as_many_directions(rng):
    # Sampling noise of 32 covariances' squares over 20,000 events lowers the ratio by 32 / 20,000.
    assert measure_health(rng.normal(size=(20_000, 32))).participation == pytest.approx(32, rel=0.005)
    assert measure_health(rng.normal(size=(500, 1)) * [1.0, -2.0, 0.5]).participation == pytest.approx(1)


def test_entropy_is_that_of_the_bins(rng):
    switch = np.repeat([0.0, 1.0], 500)
    found = measure_health(np.column_stack([switch, np.linspace(0, 1, 1_000), np.zeros(1_000)]))
    np.testing.assert_allclose(found.entropies, [1, 5, 0], atol=0.001)  # 1,000 events in 32 bins are not quite even
    np.testing.assert_array_equal(found.active, [0.5, 0.999, 0])


def test_information_sees_what_correlation_does_not(rng):
    half = rng.normal(size=4_000)
    cause = np.concatenate([half, -half])  # so that the quantiles of cause and square are at the same events
    found = measure_health(np.column_stack([cause, cause**2, rng.normal(size=8_000), -cause]))
    assert abs(found.correlations[0, 1]) < 1e-9
    assert found.information[0, 1] == pytest.approx(2, abs=0.02)  # the square knows all but the sign
    assert found.information[0, 3] == pytest.approx(3, abs=0.02)  # a copy knows the bin of eight
    # Without its bias of 49 / (2 x 8,000 ln 2) = 0.0044 bits, chance leaves next to nothing.
    assert found.information[0, 2] < 0.002


def test_the_part_tells_what_was_planted(few_planted):
    part = health_part(few_planted)
    assert part.scalars["dead_neurons"] == 6
    assert part.scalars["duplicate_pairs"] == 1
    assert part.scalars["max_abs_corr"] == pytest.approx(1)
    assert part.scalars["active_share"] == 1
    assert all(np.isfinite(value) for value in part.scalars.values())
    assert part.reading.startswith(
        "6 of 32 neurons are dead (26–31); duplicates: 1 and 25 (the largest correlation is 1.00); the layer varies as "
    )
    assert part.drawings[0].reading.startswith("The closest neurons are 1 and 25 (r 1.00); along the tree the median")
    assert part.warning == ""
    table = part.tables["neuron_health"].set_index("neuron")
    assert table.loc[25, "closest"] == table.loc[25, "informed_by"] == 1


def test_the_dendrogram_names_every_living_neuron_and_marks_the_duplicates(planted):
    axes = neuron_tree_figure(planted.tree()).axes[0]
    names = {label.get_text() for label in axes.get_yticklabels()}
    assert names == {str(neuron) for neuron in planted.alive}
    crosses = axes.collections[-1].get_offsets()
    assert crosses[:, 0] == pytest.approx(0, abs=1e-6)  # one, where the copy is joined


def test_of_a_wide_layer_the_last_to_be_joined_are_shown(rng):
    found = measure_health(rng.normal(size=(400, 100)))
    names = [label.get_text() for label in neuron_tree_figure(found.tree()).axes[0].get_yticklabels()]
    assert len(names) == 64
    assert sum(int(name.strip("()")) if name.startswith("(") else 1 for name in names) == 100


@pytest.mark.parametrize("n_alive", [0, 1])
def test_a_layer_without_two_living_neurons_has_no_tree(rng, n_alive):
    found = measure_health(np.pad(rng.normal(size=(50, n_alive)), ((0, 0), (0, 2))))
    assert found.dead.sum() == 2
    assert found.tree().empty
    assert found.max_abs_corr == 0
    assert read_tree(found.tree()).startswith("Fewer than two neurons are alive")


def test_numbers_that_follow_one_another_are_told_as_spans():
    assert spans([0, 2, 3, 4, 9]) == "0, 2–4, 9"
    assert spans([]) == ""
