import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from neuronedit_jobs.benchmarks.accuracy.combinations import (
    KINDS,
    PLANS,
    REAL,
    Effort,
    combine_each_plan,
    draw_real,
    fit_pair,
    measure_foreseen,
)
from neuronedit_jobs.benchmarks.accuracy.tasks import DATA, load_cells
from neuronedit_jobs.benchmarks.accuracy.two_drugs import (
    ADDITIVE,
    N_MARKERS,
    SATURATING,
    SETTINGS,
    SPECIFIC,
    TREATMENTS,
    design,
    measure_calibration,
    measure_repeat,
)

from neuronedit.cells.arms import Arm
from neuronedit.model.predictions import ROUTES
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan
from tests.jobs.conftest import Command

pytestmark = pytest.mark.bench

TINY = Effort(2, 1, 200, Architecture(hidden=(8,), code=4), TrainingPlan(epochs=1, minibatch=64))

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the datasets of real cells are not at {DATA}")


# --- the known interaction


def test_every_marker_is_of_one_kind() -> None:
    assert sorted([*ADDITIVE, *SPECIFIC, *SATURATING]) == list(range(N_MARKERS))
    assert set(KINDS) == {"additive", "specific", "saturating"}


def test_the_true_excess_is_0_where_it_should_be_and_what_the_cells_show_elsewhere() -> None:
    drugs = design(3)
    excess = drugs.true_excess()
    np.testing.assert_allclose(excess[list(ADDITIVE)], 0, atol=1e-12)
    assert (np.abs(excess[list(SPECIFIC)]) > 0.05).all()
    assert (excess[list(SATURATING)] < 0).all()
    drawn = drugs.draw(200_000, 1, 0.0, seed=0)
    means = {arm.name: drawn.transform(arm.intensities).mean(axis=0, dtype=np.float64) for arm in drawn.arms}
    # Spread about 1.2, from four means of 200,000 events: sd 0.0055.
    measured = means["both"] - means["a"] - means["b"] + means["control"]
    np.testing.assert_allclose(measured, excess, atol=0.025)
    for arm, mean in drugs.true_means().items():
        np.testing.assert_allclose(means[arm], mean, atol=0.015)


def test_wells_scatter_as_they_are_asked_to() -> None:
    drawn = design(0).draw(40_000, 20, 0.5, seed=1)
    assert drawn.control.samples is not None
    events = drawn.transform(drawn.control.intensities)
    means = [events[drawn.control.samples == well].mean(axis=0) for well in range(20)]
    # 20 wells x 20 markers: the sd of a standard deviation of 400 values is 3.5 %.
    assert np.std(means, axis=0, ddof=1).mean() == pytest.approx(0.5, rel=0.12)
    assert design(0).draw(100, 1, 0.0, seed=1).control.samples is None


def test_the_same_seed_gives_the_same_experiment() -> None:
    first, again, other = (design(seed).draw(100, 2, 0.1, seed).b.intensities for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert set(TREATMENTS) == {"control", "a", "b", "both"}


# --- calibration


def test_a_repeat_knows_what_is_true() -> None:
    table = measure_repeat(SETTINGS["one well, events resampled"], 20_000, seed=0)
    np.testing.assert_allclose(table["true"], design(0).true_excess())
    # 20,000 events an arm: an excess of 0.1 is six standard errors.
    clear = table[(table["true"].abs() > 0.2) | table["additive_marker"]]
    assert (clear["call"] == clear["true_call"]).mean() > 0.9


def test_calibration_is_told_for_every_setting() -> None:
    table = measure_calibration(6, n_events=200)
    assert list(table.index) == list(SETTINGS)
    assert table["slope"].to_numpy() == pytest.approx(1, abs=0.3)
    by_event, by_well = (table.loc[f"2 wells that scatter by 0.05, {unit} resampled"] for unit in ("events", "wells"))
    assert by_well["coverage"] > by_event["coverage"]
    # 120 intervals, in six experiments: the sd of their share is about 0.03.
    assert table.at["one well, events resampled", "coverage"] == pytest.approx(0.95, abs=0.08)


# --- edits


def test_what_both_treatments_do_changes_no_prediction() -> None:
    experiment = design(0).draw(200, 1, 0.0, seed=0)
    other = replace(experiment, both=Arm("both", experiment.control.intensities[::-1].copy()))
    found, again = (combine_each_plan(of, 0, TINY) for of in (experiment, other))
    for plan in PLANS:
        for source in ROUTES.values():
            left, right = (of[plan].excess.set_index("source").loc[source, "excess"] for of in (found, again))
            np.testing.assert_array_equal(left, right)


def test_every_plan_has_a_model() -> None:
    drawn = design(0).draw(200, 1, 0.0, seed=0)
    models = fit_pair(
        drawn.control.intensities, drawn.a.intensities, drawn.b.intensities, drawn.panel, seed=0, effort=TINY
    )
    assert set(models) == set(PLANS)


def test_foresight_is_told_by_plan_route_and_kind() -> None:
    table = measure_foreseen(TINY)
    assert len(table) == len(PLANS) * len(ROUTES)
    assert table["false_calls"].between(0, 1).all()
    # The trivial plan on the drugs' own markers: saturation is in each drug's marginals, what is specific is not.
    quantile_map = table.loc["quantile-map"].mean()
    assert quantile_map["slope_saturating"] == pytest.approx(1, abs=0.35)  # 200 events
    assert abs(quantile_map["slope_specific"]) < 0.35


# --- real cells


@needs_data
def test_real_arms_have_two_wells_and_share_no_event() -> None:
    cells = load_cells(DATA, "ot_activation_flow")
    for arms in REAL.values():
        experiment = draw_real(cells, arms, 300, seed=0)
        for arm in experiment.arms:
            assert arm.samples is not None
            assert len(np.unique(arm.samples)) == 2
        rows = np.concatenate([arm.intensities for arm in experiment.arms])
        assert len(np.unique(rows, axis=0)) == len(rows)


@needs_data
def test_the_quick_benchmark_measures_everything(command: Command, tmp_path: Path) -> None:
    arguments = ("combinations", "--quick", "--output", str(tmp_path / "out"))
    done = command("jobs/benchmark.py", *arguments)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["coverage_one_well"] == pytest.approx(0.95, abs=0.05)
    assert figures["coverage_2_wells_by_event"] < 0.85
    assert figures["false_calls_one_well"] < 0.1
    assert figures["foreseen_saturating"] == pytest.approx(1, abs=0.3)
    assert {"real_1_r_emd", "real_2_synergistic"} <= set(figures)
    distances = pd.read_parquet(tmp_path / "out" / "distances.parquet")
    assert set(distances["combination"]) == set(REAL)
