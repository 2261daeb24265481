import numpy as np
import pytest
from neuronedit_jobs.benchmarks.accuracy.simulated import FEW_TYPES, MANY_TYPES, SimulatedTask, World, score, simulate

pytestmark = pytest.mark.bench

WORLDS = pytest.mark.parametrize("world", [FEW_TYPES, MANY_TYPES], ids=["few types", "many types"])


@pytest.fixture(scope="module", params=[FEW_TYPES, MANY_TYPES], ids=["few types", "many types"])
def task(request: pytest.FixtureRequest) -> SimulatedTask:
    return simulate(2_000, seed=5, world=request.param)


def arcsinh(intensities: np.ndarray) -> np.ndarray:
    return np.arcsinh(intensities / 5)


@WORLDS
def test_without_a_batch_effect_every_event_is_its_own_counterfactual(world: World) -> None:
    task = simulate(500, seed=3, batch_effect=0, world=world)
    np.testing.assert_array_equal(task.populations.events, task.counterfactuals)


def test_a_counterfactual_is_the_same_cell_in_another_staining(task: SimulatedTask) -> None:
    """Staining is monotone in each marker and type: it keeps the order of cells, whatever their treatment."""
    for chosen in task.of_type:
        before, after = task.populations.events[chosen], task.counterfactuals[chosen]
        order = np.argsort(before, axis=0, kind="stable")
        seen = np.take_along_axis(before, order, axis=0) > 0
        sorted_after = np.take_along_axis(after, order, axis=0)
        for marker in range(before.shape[1]):
            values = sorted_after[seen[:, marker], marker]
            assert (np.diff(values) >= -1e-3 * values[1:]).all()  # float32: near saturation neighbours become equal


def test_the_controls_lack_the_last_type_and_the_events_do_not(task: SimulatedTask) -> None:
    """An event of the lacking type is further from all of its batch's control than events of other types are."""
    control, events = (arcsinh(of) for of in (task.populations.source, task.populations.events))
    nearest = np.array([np.linalg.norm(control - event, axis=1).min() for event in events[:400]])
    lacking = task.of_type[-1][:400]
    assert lacking.any()
    assert nearest[lacking].min() > np.median(nearest[~lacking])


@WORLDS
def test_the_same_seed_draws_the_same_cells(world: World) -> None:
    first, same, other = (simulate(200, seed, world=world).counterfactuals for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_the_cells_of_few_types_are_those_of_earlier_versions() -> None:
    """Scores in the documents were measured on them."""
    task = simulate(300, seed=3)
    assert task.types[:8].tolist() == [9, 0, 3, 3, 0, 1, 5, 4]
    np.testing.assert_allclose(task.counterfactuals[0, :4], [5.837787, 0, 3.531829, 5.031503], rtol=1e-6)
    populations = vars(task.populations).values()
    sums = [events.sum(dtype=np.float64) for events in (*populations, task.counterfactuals)]
    np.testing.assert_allclose(sums, [348471.4656, 321315.7266, 360487.6590, 332359.3163], rtol=1e-9)


def test_kin_types_are_alike_in_their_markers_and_in_their_staining() -> None:
    """So that the type that controls lack can be learned of from its family."""
    families = MANY_TYPES.families
    assert (families[:-1] == families[-1]).sum() >= 2
    task = simulate(20_000, seed=1, world=MANY_TYPES)
    before, truth = arcsinh(task.populations.events), arcsinh(task.counterfactuals)
    centres, shifts = (
        np.stack([of[chosen & ~task.treated].mean(axis=0) for chosen in task.of_type])
        for of in (before, truth - before)
    )
    pairs = np.triu(np.ones((len(families), len(families)), dtype=bool), 1)
    kin = families[:, None] == families
    of_levels, of_shifts = (
        np.median(apart[pairs & kin]) / np.median(apart[pairs & ~kin])
        for of in (centres, shifts)
        for apart in [np.linalg.norm(of[:, None] - of, axis=2)]
    )
    # Kin have the level of a marker in common if neither has its own; no type has one in common with others.
    assert of_levels == pytest.approx(np.sqrt(1 - (1 - MANY_TYPES.own_markers) ** 2), abs=0.1)
    assert of_shifts < of_levels - 0.1  # that markers alike are stained alike would not do it


def test_some_of_many_types_are_rare_and_every_type_has_a_staining_of_its_own() -> None:
    task = simulate(20_000, seed=1, world=MANY_TYPES)
    shares = np.bincount(task.types, minlength=MANY_TYPES.n_types) / len(task.types)
    assert (shares > 0).all()
    assert (shares <= 0.012).sum() >= 2
    assert abs(task.treated.mean() - 0.5) < 0.02
    before, truth = arcsinh(task.populations.events), arcsinh(task.counterfactuals)
    shifts = np.stack([(truth - before)[chosen].mean(axis=0) for chosen in task.of_type])
    of_marker = shifts.mean(axis=0)
    assert (shifts - of_marker).std() > 0.8 * of_marker.std()


def test_shifts_of_many_types_are_small_beside_the_distances_between_them() -> None:
    task = simulate(5_000, seed=1, world=MANY_TYPES)
    before, truth = arcsinh(task.populations.events), arcsinh(task.counterfactuals)
    centres, moved = (np.stack([events[chosen].mean(axis=0) for chosen in task.of_type]) for events in (before, truth))
    distances = np.linalg.norm(centres[:, None] - centres, axis=2)
    nearest = np.where(distances > 0, distances, np.inf).min(axis=1)
    assert np.median(np.linalg.norm(moved - centres, axis=1) / nearest) < 0.5


def test_the_counterfactuals_themselves_score_perfectly(task: SimulatedTask) -> None:
    perfect = score(task, arcsinh(task.counterfactuals))
    assert perfect.pop("auc") <= 0.5
    assert perfect == pytest.approx(
        {"gap_closed": 1, "gap_closed_by_type": 1, "rmse_ratio": 0, "rmse_ratio_lacking": 0, "effect_slope": 1}
    )


def test_doing_nothing_closes_no_gap(task: SimulatedTask) -> None:
    nothing = score(task, arcsinh(task.populations.events))
    assert (nothing["gap_closed"], nothing["rmse_ratio"], nothing["rmse_ratio_lacking"]) == (0, 1, 1)


def test_an_edit_that_wipes_out_the_treatment_has_slope_0(task: SimulatedTask) -> None:
    wiped = arcsinh(task.counterfactuals)
    for of_type in task.of_type:
        for treated in (False, True):
            chosen = of_type & (task.treated == treated)
            wiped[chosen] -= wiped[chosen].mean(axis=0)
    assert score(task, wiped)["effect_slope"] == pytest.approx(0, abs=1e-4)  # float32 means


def test_a_type_that_was_not_drawn_is_left_out_of_the_scores() -> None:
    world = World(n_types=4, rare_shares=(1e-9,))
    task = simulate(200, seed=2, world=world)
    assert not task.of_type[2].any()
    assert score(task, arcsinh(task.counterfactuals))["gap_closed_by_type"] == 1
