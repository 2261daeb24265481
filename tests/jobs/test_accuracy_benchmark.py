import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from neuronedit_jobs.benchmarks.accuracy import methods
from neuronedit_jobs.benchmarks.accuracy.methods import (
    DEFAULT_NAME,
    METHODS,
    NETWORKS,
    PAIRS,
    Effort,
    attempt,
    fit_populations,
    forecast,
    measure_flags,
    predict,
)
from neuronedit_jobs.benchmarks.accuracy.run import QUICK_TASKS, measure_task
from neuronedit_jobs.benchmarks.accuracy.summary import N_SPLITS, SPLIT_COLUMNS
from neuronedit_jobs.benchmarks.accuracy.tasks import (
    DATA,
    FIRST_TASKS,
    TASKS,
    Cells,
    Populations,
    TransferTask,
    draw,
    draw_rows,
    load_cells,
)

from neuronedit.cells.design import MIN_POPULATION_EVENTS
from neuronedit.cells.selection import select
from neuronedit.edits.baselines import MEAN_SHIFT, NO_EDIT, QUANTILE_MAP
from neuronedit.edits.support import MAX_REACH, NEW_KIND
from neuronedit.errors import DataError, ModelError
from neuronedit.measures.distances import FLOOR
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan
from tests.jobs.conftest import Command

pytestmark = pytest.mark.bench

TINY = Effort(200, 200, 1, Architecture(hidden=(8,), code=4), TrainingPlan(epochs=1, minibatch=64))

TASK = TransferTask("A→B", "made", {"batch": "A", "role": "c"}, {"batch": "B", "role": "c"}, {"batch": "A"}, {"x": 1})

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the datasets of real cells are not at {DATA}")


def arcsinh(intensities: np.ndarray) -> np.ndarray:
    return np.arcsinh(intensities / 5)


# --- tasks


def test_there_are_22_positive_and_6_negative_tasks_of_different_names() -> None:
    assert [task.transfers for task in FIRST_TASKS] == [True] * 18 + [False] * 3
    assert [task.transfers for task in TASKS[len(FIRST_TASKS) :]] == [True] * 4 + [False] * 3
    assert TASKS[: len(FIRST_TASKS)] == FIRST_TASKS
    assert len({task.name for task in TASKS}) == len(TASKS)


@needs_data
@pytest.mark.parametrize("dataset", sorted({task.dataset for task in TASKS}))
def test_every_task_finds_four_populations_that_share_no_event(dataset: str) -> None:
    cells = load_cells(DATA, dataset)
    assert cells.intensities.shape == (len(cells.annotations), len(cells.markers))
    assert np.isfinite(cells.intensities).all()
    # Linear intensities: on the arcsinh scale, no instrument's range reaches 100.
    assert cells.intensities.max() > 100
    for task in (task for task in TASKS if task.dataset == dataset):
        chosen = [select(cells.annotations, where) for where in (task.source, task.target, task.events, task.truth)]
        assert min(mask.sum() for mask in chosen) >= MIN_POPULATION_EVENTS
        assert np.sum(chosen, axis=0).max() == 1, task.name
        populations, truth = draw(cells, task, 100, seed=0)
        assert {len(events) for events in (*vars(populations).values(), truth)} == {100}


@needs_data
def test_a_column_names_the_samples_that_source_and_target_both_hold() -> None:
    several = [task for task in TASKS if task.sample_column]
    assert [task.name for task in several] == [task.name for task in TASKS if "7 lines" in task.name]
    for task in several:
        cells = load_cells(DATA, task.dataset)
        rows = dict(zip(("source", "target", "events", "truth"), draw_rows(cells, task, 4_000, seed=0), strict=True))
        samples = {role: set(cells.annotations[task.sample_column].iloc[chosen]) for role, chosen in rows.items()}
        assert samples["source"] == samples["target"]
        assert len(samples["source"]) == 7
        assert samples["events"] == samples["truth"]
        assert not samples["source"] & samples["events"]


def test_the_rows_that_are_drawn_are_those_of_the_populations() -> None:
    cells = made_cells(np.random.default_rng(0).lognormal(2, 1, (800, 3)).astype(np.float32))
    populations, truth = draw(cells, TASK, 150, seed=1)
    rows = draw_rows(cells, TASK, 150, seed=1)
    for chosen, events in zip(rows, (*vars(populations).values(), truth), strict=True):
        np.testing.assert_array_equal(cells.intensities[chosen], events)


def test_a_missing_dataset_is_told_with_the_option_that_mends_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cytonorm_ptlg/cells.parquet: not found\. .* with --data FOLDER\.$"):
        load_cells(tmp_path, "cytonorm_ptlg")


def test_a_dataset_without_a_populations_events_is_refused() -> None:
    cells = made_cells(np.zeros((400, 3), dtype=np.float32))
    task = TransferTask("A→C", "made", TASK.source, {"batch": "C"}, TASK.events, TASK.truth)
    with pytest.raises(DataError, match=r"^made: 0 events where batch = C \(A→C, target\); expected at least 50\."):
        draw(cells, task, 100, seed=0)


def made_cells(intensities: np.ndarray) -> Cells:
    """Four populations one after another, as ``TASK`` chooses them."""
    of = np.repeat(np.arange(4), len(intensities) // 4)
    columns = {"batch": np.array(list("ABAB"))[of], "role": np.array(list("ccvv"))[of], "x": (of == 3).astype(int)}
    task_columns = pd.DataFrame(columns)
    return Cells(Path("made"), task_columns, intensities, ("a", "b", "c"))


# --- methods


def predictions_of(populations: Populations, seed: int, effort: Effort) -> dict[str, np.ndarray]:
    return predict(fit_populations(populations, 5.0, seed, effort), populations, seed, effort)


def test_what_the_truth_holds_changes_no_prediction() -> None:
    generator = np.random.default_rng(0)
    intensities = generator.lognormal(2, 1, (800, 3)).astype(np.float32)
    corrupted = intensities.copy()
    corrupted[600:] = generator.lognormal(6, 2, (200, 3))
    (seen, truth), (seen_again, other) = (draw(made_cells(of), TASK, 150, seed=1) for of in (intensities, corrupted))
    assert not np.array_equal(truth, other)
    first, second = (predictions_of(populations, 1, TINY) for populations in (seen, seen_again))
    assert set(first) == set(METHODS)
    for method in METHODS:
        np.testing.assert_array_equal(first[method], second[method])


def test_a_source_that_equals_the_target_leaves_events_to_the_residual_plans_bit_for_bit() -> None:
    intensities = np.random.default_rng(0).lognormal(2, 1, (400, 3)).astype(np.float32)
    control, events = intensities[:200], intensities[200:]
    predictions = predictions_of(Populations(control, control, events), 0, TINY)
    for method in (NO_EDIT, MEAN_SHIFT, QUANTILE_MAP, DEFAULT_NAME):
        np.testing.assert_array_equal(predictions[method], arcsinh(events))


def test_every_method_and_the_noise_floor_are_measured() -> None:
    intensities = np.random.default_rng(0).lognormal(2, 1, (800, 3)).astype(np.float32)
    populations, truth = draw(made_cells(intensities), TASK, 200, seed=0)
    peer = {"peer": np.full_like(populations.events, np.nan)}
    table = measure_task(TASK, 0, populations, truth, TINY, peer).set_index("method")
    assert set(table.index) == {*METHODS, "peer", FLOOR}
    finite = np.isfinite(table[["emd", "energy"]])
    assert finite.drop(index="peer").all(axis=None)
    assert not finite.loc["peer"].any()
    for column in SPLIT_COLUMNS.values():
        assert set(table[column].drop(index=FLOOR).map(len)) == {N_SPLITS}


def test_the_forecast_stands_beside_the_default_s_scores_and_needs_no_truth() -> None:
    generator = np.random.default_rng(0)
    intensities = generator.lognormal(2, 1, (800, 3)).astype(np.float32)
    intensities[200:400] *= 3
    populations, truth = draw(made_cells(intensities), TASK, 200, seed=0)
    table = measure_task(TASK, 0, populations, truth, TINY, {}).set_index("method")
    expected = forecast(fit_populations(populations, 5.0, 0, TINY), populations.events)
    assert table.loc[DEFAULT_NAME, "expected_error"] == pytest.approx(expected.expected_error)
    assert not table.loc[DEFAULT_NAME, "flagged"]
    assert table["flagged"].isna().sum() == len(table) - 1


def test_networks_are_measured_where_the_effort_allows_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def network(source: np.ndarray, target: np.ndarray, events: np.ndarray) -> np.ndarray:
        return events + 1

    monkeypatch.setattr(methods, "network_baselines", lambda seed: dict.fromkeys(NETWORKS, network))
    intensities = np.random.default_rng(0).lognormal(2, 1, (400, 3)).astype(np.float32)
    populations = Populations(intensities[:100], intensities[100:200], intensities[200:])
    predictions = predictions_of(populations, 0, replace(TINY, networks=True))
    assert set(predictions) == {*METHODS, *NETWORKS}
    np.testing.assert_array_equal(predictions[NETWORKS[0]], arcsinh(populations.events) + 1)


def test_a_method_that_fails_gives_nan_and_the_reason_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def diverges(source: np.ndarray, target: np.ndarray, events: np.ndarray) -> np.ndarray:
        raise ModelError("the loss is nan")

    events = np.zeros((5, 3), dtype=np.float32)
    given = attempt("GAN", diverges, events, events, events)
    assert given.shape == (5, 3)
    assert np.isnan(given).all()
    assert caplog.messages == ["GAN gave nothing: the loss is nan"]


# --- flags


@needs_data
def test_effects_that_do_not_transfer_are_flagged_and_others_are_not() -> None:
    table = measure_flags([TASKS[0], TASKS[13], *TASKS[18:20]], DATA, n_events=1_000, n_seeds=1)
    assert table["flagged"].tolist() == [0, 0, 1, 1]
    assert (table["flagged"] == ((table["auroc"] >= NEW_KIND) & (table["reach"] > MAX_REACH))).all()


# --- the command


def test_missing_data_ends_the_command_with_one_message(command: Command, tmp_path: Path) -> None:
    done = command("jobs/benchmark.py", "accuracy", "--quick", "--data", str(tmp_path), "--output", str(tmp_path / "o"))
    assert done.returncode == 2
    assert done.stderr.startswith("benchmark.py accuracy: ")
    assert "--data FOLDER" in done.stderr
    assert "Traceback" not in done.stderr


@needs_data
def test_the_quick_benchmark_measures_all_methods(command: Command, tmp_path: Path) -> None:
    done = command("jobs/benchmark.py", "accuracy", "--quick", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert {"share_of_tasks_at_least_quantile_map", "gap_closed", "gap_closed_per_type", "cell_rmse_ratio"} <= set(
        figures
    )
    assert 0 < figures["r_emd"] < 1
    assert 0 < figures["r_energy"] < 1
    assert figures["effect_slope"] == pytest.approx(1, abs=0.15)  # 1,000 events
    assert figures["spurious_shift_ratio"] < 0.2
    assert figures["positives_flagged"] == 0
    assert "negatives_flagged" not in figures  # there is none among them: JSON has no NaN
    # All quick tasks are of the first datasets.
    assert figures["r_emd_all"] == figures["r_emd"]
    at_least, within = (figures[f"share_of_tasks_{rule}_quantile_map"] for rule in ("at_least", "within"))
    assert at_least <= within <= 1
    assert figures["many_types_gap_closed_per_type"] < figures["gap_closed_per_type"]
    emd = pd.read_parquet(tmp_path / "emd.parquet")
    assert list(emd.columns) == [*METHODS, FLOOR]
    assert list(emd.index) == [task.name for task in QUICK_TASKS]
    assert set(pd.read_parquet(tmp_path / "simulated.parquet").index) == set(METHODS)
    assert len(pd.read_parquet(tmp_path / "simulated_by_seed.parquet")) == len(METHODS)
    assert set(pd.read_parquet(tmp_path / "many_types.parquet").index) == set(METHODS)
    assert len(pd.read_parquet(tmp_path / "paired.parquet")) == 2 * len(PAIRS)
    assert pd.read_parquet(tmp_path / "left_out.parquet")["tasks"].tolist()[-1] == len(QUICK_TASKS)
