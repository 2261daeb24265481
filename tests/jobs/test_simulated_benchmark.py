import numpy as np
import pytest
from neuronedit_jobs.benchmarks.accuracy.simulated import N_TYPES, SimulatedTask, score, simulate


@pytest.fixture(scope="module")
def task() -> SimulatedTask:
    return simulate(2_000, seed=5)


def arcsinh(intensities: np.ndarray) -> np.ndarray:
    return np.arcsinh(intensities / 5)


def test_without_a_batch_effect_every_event_is_its_own_counterfactual() -> None:
    task = simulate(500, seed=3, batch_effect=0)
    np.testing.assert_array_equal(task.populations.events, task.counterfactuals)


def test_a_counterfactual_is_the_same_cell_in_another_staining(task: SimulatedTask) -> None:
    """Staining is monotone in each marker and type: it keeps the order of cells, whatever their treatment."""
    for number in range(N_TYPES):
        chosen = task.types == number
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
    lacking = task.types[:400] == N_TYPES - 1
    assert lacking.any()
    assert nearest[lacking].min() > np.median(nearest[~lacking])


def test_the_same_seed_draws_the_same_cells(task: SimulatedTask) -> None:
    np.testing.assert_array_equal(simulate(2_000, seed=5).counterfactuals, task.counterfactuals)
    assert not np.array_equal(simulate(2_000, seed=6).counterfactuals, task.counterfactuals)


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
    for number in range(N_TYPES):
        for treated in (False, True):
            chosen = (task.types == number) & (task.treated == treated)
            wiped[chosen] -= wiped[chosen].mean(axis=0)
    assert score(task, wiped)["effect_slope"] == pytest.approx(0, abs=1e-4)  # float32 means
