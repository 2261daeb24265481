import numpy as np
import pandas as pd
import pytest
from neuronedit_jobs.benchmarks.accuracy.methods import DEFAULT_NAME, METHODS
from neuronedit_jobs.benchmarks.accuracy.summary import (
    ALL_DATASETS,
    N_SPLITS,
    by_task,
    choose_without,
    compare,
    no_worse,
    split_scores,
    summarise,
)

from neuronedit.edits.baselines import MEAN_SHIFT, NO_EDIT, QUANTILE_MAP
from neuronedit.measures.distances import FLOOR

SCATTER = np.linspace(-0.1, 0.1, N_SPLITS)
"""By how much each split's score differs from the mean, of every method alike."""


def scores(values: dict[str, list[float]], *, transfers: list[bool], n_first: int = 99) -> pd.DataFrame:
    """Scores of methods on tasks 0, 1, …, two of each dataset; methods that are not named do nothing."""
    return pd.DataFrame(
        [
            {
                "task": f"task {i}",
                "dataset": f"dataset {i // 2}",
                "transfers": moves,
                "first": i < n_first,
                "seed": 0,
                "method": method,
                "emd": score,
                "energy": 10 * score,
                "emd_splits": score + SCATTER,
                "energy_splits": 10 * (score + SCATTER),
            }
            for i, moves in enumerate(transfers)
            for method in (*METHODS, FLOOR)
            for score in [values.get(method, values[NO_EDIT])[i]]
        ]
    )


def test_residuals_are_ratios_of_means_over_the_positive_tasks_alone() -> None:
    given = {
        NO_EDIT: [1.1, 3.1, 0.5],
        FLOOR: [0.1, 0.1, 0.1],
        QUANTILE_MAP: [0.6, 0.6, 0.9],
        DEFAULT_NAME: [0.5, 0.7, 0.1],
    }
    summary = summarise(scores(given, transfers=[True, True, False]))
    assert summary.loc[NO_EDIT, "r_emd"] == 1
    assert summary.loc[FLOOR, "r_emd"] == 0
    assert summary.loc[QUANTILE_MAP, "r_emd"] == pytest.approx(0.5 / 2)
    assert summary.loc[QUANTILE_MAP, "r_energy"] == pytest.approx(0.5 / 2)
    assert summary.loc[QUANTILE_MAP, "negatives_r_emd"] == pytest.approx(2)
    assert summary.loc[DEFAULT_NAME, "at_least_quantile_map"] == 0.5


def test_a_task_counts_only_where_both_scores_are_at_least_the_quantile_maps() -> None:
    table = scores({NO_EDIT: [1.0], FLOOR: [0.1], QUANTILE_MAP: [0.5], DEFAULT_NAME: [0.4]}, transfers=[True])
    table.loc[table["method"] == DEFAULT_NAME, "energy"] = 6.0
    assert summarise(table).loc[DEFAULT_NAME, "at_least_quantile_map"] == 0


def test_a_method_that_failed_is_compared_on_its_other_tasks_alone() -> None:
    given = {NO_EDIT: [1.1, 9.0], FLOOR: [0.1, 1.0], QUANTILE_MAP: [0.6, 0.6], DEFAULT_NAME: [0.3, float("nan")]}
    summary = summarise(scores(given, transfers=[True, True]))
    assert summary.loc[DEFAULT_NAME, "r_emd"] == pytest.approx(0.2)
    assert summary.loc[DEFAULT_NAME, "failed"] == 1
    assert summary.loc[DEFAULT_NAME, "at_least_quantile_map"] == 0.5
    assert summary["failed"].sum() == 1


def test_a_method_that_always_failed_keeps_its_place_in_the_tables() -> None:
    given = {NO_EDIT: [1.1], FLOOR: [0.1], QUANTILE_MAP: [0.6], DEFAULT_NAME: [float("nan")]}
    table = scores(given, transfers=[True])
    assert list(by_task(table, "emd").columns) == [*METHODS, FLOOR]
    assert np.isnan(summarise(table).loc[DEFAULT_NAME, "r_emd"])


def test_seeds_are_averaged_before_tasks_are_compared() -> None:
    table = scores({NO_EDIT: [1.0], FLOOR: [0.0]}, transfers=[True])
    both = pd.concat([table, table.assign(seed=1, emd=table["emd"] * 3)])
    assert by_task(both, "emd").loc["task 0", NO_EDIT] == 2


def test_first_tasks_and_all_positive_tasks_stand_beside_each_other() -> None:
    given = {
        NO_EDIT: [1.0, 2.0, 4.0],
        FLOOR: [0.0, 0.0, 0.0],
        DEFAULT_NAME: [0.5, 2.0, 1.0],
        QUANTILE_MAP: [0.6, 0.6, 0.6],
    }
    summary = summarise(scores(given, transfers=[True, True, True], n_first=2)).loc[DEFAULT_NAME]
    assert summary["r_emd"] == pytest.approx(2.5 / 3)
    assert summary["r_emd_all"] == pytest.approx(3.5 / 7)
    assert summary["emd_all"] == pytest.approx(3.5 / 3)
    assert summary["at_least_quantile_map"] == 1 / 2
    assert summary["at_least_quantile_map_all"] == pytest.approx(1 / 3)


# --- within the interval


def with_splits(method: str, baseline: str, differences: np.ndarray, score: str = "emd") -> pd.DataFrame:
    """Scores of one task, in which a method's splits differ from a baseline's by ``differences``."""
    table = scores({NO_EDIT: [1.0], FLOOR: [0.1], QUANTILE_MAP: [0.5], method: [0.5]}, transfers=[True])
    (row,) = table.index[table["method"] == method]
    (beside,) = table[table["method"] == baseline][f"{score}_splits"]
    table.at[row, f"{score}_splits"] = beside + differences
    return table


@pytest.mark.parametrize("score", ["emd", "energy"])
@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        (np.full(N_SPLITS, 0.01), False),
        (np.linspace(-0.01, 0.1, N_SPLITS), True),
        (np.linspace(0.001, 0.1, N_SPLITS), False),
        (np.zeros(N_SPLITS), True),
        (np.full(N_SPLITS, -0.01), True),
    ],
    ids=["always worse", "worse but for the least", "worse in all", "equal", "always better"],
)
def test_a_method_is_worse_where_the_interval_of_its_differences_lies_above_0_in_either_score(
    differences: np.ndarray, expected: bool, score: str
) -> None:
    table = with_splits(DEFAULT_NAME, QUANTILE_MAP, differences, score)
    assert no_worse(table, QUANTILE_MAP).loc["task 0", DEFAULT_NAME] == expected
    assert summarise(table).loc[DEFAULT_NAME, "within_quantile_map"] == expected


def test_differences_are_averaged_over_seeds_split_by_split() -> None:
    worse, better = (with_splits(DEFAULT_NAME, QUANTILE_MAP, np.full(N_SPLITS, by)) for by in (0.01, -0.02))
    for seed, expected in ((better, True), (worse, False)):
        both = pd.concat([worse, seed.assign(seed=1)])
        assert no_worse(both, QUANTILE_MAP).loc["task 0", DEFAULT_NAME] == expected


def test_a_method_that_failed_is_worse_than_the_baseline() -> None:
    table = scores({NO_EDIT: [1.0], FLOOR: [0.1], DEFAULT_NAME: [float("nan")]}, transfers=[True])
    assert not no_worse(table, QUANTILE_MAP).loc["task 0", DEFAULT_NAME]


# --- splits


def test_all_methods_are_scored_on_the_same_splits_and_one_that_failed_has_none() -> None:
    events, truth = (np.random.default_rng(seed).normal(size=(50, 2)).astype(np.float32) for seed in (0, 1))
    found = split_scores({"a": events, "b": events + 0, "c": events * np.nan}, truth, seed=0)
    assert found["a"] == found["b"]
    assert len(set(found["a"]["emd_splits"])) == N_SPLITS
    assert np.isnan(found["c"]["emd_splits"]).all()
    assert np.isnan(found["c"]["energy_splits"]).all()


# --- two methods


def test_two_methods_are_compared_task_by_task_with_an_interval_over_tasks() -> None:
    n = 12
    better = [1 - (0.2 if i % 2 else 0.3) for i in range(n)]
    given = {NO_EDIT: [2.0] * n, FLOOR: [0.0] * n, QUANTILE_MAP: [1.0] * n, DEFAULT_NAME: better}
    row = compare(scores(given, transfers=[True] * n), DEFAULT_NAME, QUANTILE_MAP).loc["emd"]
    assert (row["method"], row["other"]) == (DEFAULT_NAME, QUANTILE_MAP)
    assert row["r_other"] == pytest.approx(0.5)
    assert row["difference"] == pytest.approx(row["r_method"] - row["r_other"]) == pytest.approx(-0.125)
    # A mean of 12 draws of 0.10 or 0.15 has the standard error 0.0072.
    assert -0.125 - 3 * 0.0072 < row["low"] < -0.125 - 0.0072
    assert -0.125 + 0.0072 < row["high"] < -0.125 + 3 * 0.0072
    assert row["share_ahead"] == 1


def test_methods_that_win_half_of_the_tasks_each_have_an_interval_around_0() -> None:
    n = 10
    given = {NO_EDIT: [2.0] * n, FLOOR: [0.0] * n, QUANTILE_MAP: [1.0] * n, DEFAULT_NAME: [0.9, 1.1] * (n // 2)}
    row = compare(scores(given, transfers=[True] * n), DEFAULT_NAME, QUANTILE_MAP).loc["energy"]
    assert row["low"] < 0 < row["high"]
    assert row["difference"] == pytest.approx(0)
    assert row["share_ahead"] == 0.5


def test_only_positive_tasks_and_seeds_that_both_methods_did_are_compared() -> None:
    given = {NO_EDIT: [2.0, 2.0], FLOOR: [0.0, 0.0], QUANTILE_MAP: [1.0, 1.0], DEFAULT_NAME: [0.8, 9.0]}
    first = scores(given, transfers=[True, False])
    second = scores(given | {DEFAULT_NAME: [float("nan"), 9.0], QUANTILE_MAP: [7.0, 1.0]}, transfers=[True, False])
    row = compare(pd.concat([first, second.assign(seed=1)]), DEFAULT_NAME, QUANTILE_MAP).loc["emd"]
    assert row["difference"] == pytest.approx(-0.1)
    assert row["r_other"] == pytest.approx(0.5)


# --- datasets left out


def test_a_plan_is_chosen_without_the_dataset_that_it_is_scored_on() -> None:
    given = {
        NO_EDIT: [1.0] * 6,
        FLOOR: [0.0] * 6,
        DEFAULT_NAME: [0.1, 0.1, 0.5, 0.5, 0.5, 0.5],
        QUANTILE_MAP: [0.4, 0.4, 0.3, 0.3, 0.35, 0.35],
        MEAN_SHIFT: [0.6] * 6,
    }
    table = choose_without(scores(given, transfers=[True] * 6), [DEFAULT_NAME, QUANTILE_MAP], [MEAN_SHIFT])
    # Without dataset 0 the second has 0.325 against 0.5; without 1, 0.375 against 0.3; without 2, 0.35 against 0.3.
    assert table["chosen"].tolist() == [QUANTILE_MAP, DEFAULT_NAME, DEFAULT_NAME, ""]
    assert table["best"].tolist() == [DEFAULT_NAME, QUANTILE_MAP, QUANTILE_MAP, QUANTILE_MAP]
    assert table["r_emd"].tolist() == pytest.approx([0.4, 0.5, 0.5, 1.4 / 3])
    assert table["r_energy"].tolist() == pytest.approx([0.4, 0.5, 0.5, 1.4 / 3])
    assert table[f"r_emd: {MEAN_SHIFT}"].tolist() == pytest.approx([0.6] * 4)
    assert table["tasks"].tolist() == [2, 2, 2, 6]
    assert table.index[-1] == ALL_DATASETS
