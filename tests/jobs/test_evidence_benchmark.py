"""What is foreseen and what came, on cells whose effect is known; and the rates by which rules are judged."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from neuronedit_jobs.benchmarks.accuracy.evidence import (
    FAMILIES,
    RULES,
    TWICE,
    by_task,
    draw_samples,
    measure_draw,
    rates,
    spearman,
)
from neuronedit_jobs.benchmarks.accuracy.tasks import DATA, Cells, TransferTask, load_cells

from neuronedit.cells.selection import select

pytestmark = pytest.mark.bench

LINES = ("A", "B", "C", "D", "E")
TASK = TransferTask(
    "the others → E",
    "made",
    source={"dose": "0", "line": [*LINES[:4]]},
    target={"dose": "10", "line": [*LINES[:4]]},
    events={"dose": "0", "line": "E"},
    truth={"dose": "10", "line": "E"},
    sample_column="line",
)

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the datasets of real cells are not at {DATA}")


def made_cells(*rises: float) -> Cells:
    """300 cells of each line before and after a dose that raises the last marker by so much, arcsinh units."""
    generator, n_events = np.random.default_rng(0), 300
    transformed, rows = [], []
    for line, rise in zip(LINES, rises, strict=True):
        for dose, by in (("0", 0.0), ("10", rise)):
            transformed.append(generator.normal([2.0, 2.0, 2.0 + by], 0.5, (n_events, 3)))
            rows += [{"line": line, "dose": dose}] * n_events
    intensities = (5 * np.sinh(np.concatenate(transformed))).astype(np.float32)
    return Cells(Path("made"), pd.DataFrame(rows), intensities, ("CD3", "CD4", "pSTAT1"))


def measured(*rises: float, task: TransferTask = TASK) -> pd.Series:
    drawn = draw_samples(made_cells(*rises), task, 1_000, seed=0)
    return measure_draw("made", task, 0, *drawn).iloc[0]


def test_an_effect_that_all_samples_share_is_foreseen_and_comes() -> None:
    found = measured(1.0, 1.0, 1.0, 1.0, 1.0)
    assert found["samples"] == 4
    assert found["helps"]
    assert found[list(RULES)].all()
    assert found["within"] == 1
    assert found["estimated"] == pytest.approx(found["error"], abs=0.1)


def test_a_sample_that_responds_unlike_those_before_it_is_foreseen_by_no_rule_and_samples_that_differ_by_one() -> None:
    unlike = measured(1.0, 1.0, 1.0, 1.0, -1.0)
    assert not unlike["helps"]
    assert unlike["interval"]  # nothing told of it
    assert unlike["within"] == 0
    differing = measured(1.0, 1.0, -1.0, 0.5, -1.0)
    assert not differing["helps"]
    assert not differing["interval"]
    assert differing["expected"]  # the samples' mean is learned well enough
    assert differing["support"]


def test_one_sample_foresees_nothing_by_samples() -> None:
    one = TransferTask(
        "A → E", "made", {"dose": "0", "line": "A"}, {"dose": "10", "line": "A"}, TASK.events, TASK.truth
    )
    found = measured(1.0, 1.0, 1.0, 1.0, 1.0, task=one)
    assert (found["samples"], found["interval"], found["mean"]) == (1, False, False)
    assert np.isnan(found["within"])
    assert found["expected_error"] < 0.2


def test_rates_are_of_draws_that_help_and_of_draws_that_do_not() -> None:
    draws = pd.DataFrame({"helps": [True, True, True, True, False, False]})
    draws = draws.assign(**{rule: [True, True, True, False, True, False] for rule in RULES})
    found = rates(draws).loc["interval"]
    assert (found["false_alarms"], found["misses"], found["others"], found["helping"]) == (0.5, 0.25, 2, 4)


def test_tables_by_task_are_means_over_draws_and_correlations_are_over_tasks() -> None:
    draws = pd.DataFrame(
        {
            "family": "made",
            "draw": [0, 1, 0, 1],
            "task": ["a", "a", "b", "b"],
            "error": [0.1, 0.3, 0.8, 1.2],
            "estimated": [0.2, 0.2, 0.9, 0.7],
            "within": np.nan,
        }
    )
    assert by_task(draws)["error"].to_dict() == pytest.approx({"a": 0.2, "b": 1.0})
    assert "within" not in by_task(draws)
    assert spearman(draws, "estimated") == pytest.approx(1)


@needs_data
@pytest.mark.parametrize("family", FAMILIES)
def test_each_task_leaves_one_sample_out_and_learns_on_all_others(family: str) -> None:
    tasks = FAMILIES[family]
    assert len({task.name for task in tasks}) == len(tasks)
    cells = load_cells(DATA, tasks[0].dataset)
    known = cells.annotations
    if tasks[0].dataset == TWICE:
        known = known.assign(blood=known["donor"] + " " + known["condition"])
    for task in tasks:
        rows = {role: known[select(known, getattr(task, role))] for role in ("source", "target", "events", "truth")}
        assert min(map(len, rows.values())) >= 200
        samples = {role: set(of[task.sample_column]) for role, of in rows.items()}
        assert samples["source"] == samples["target"]
        assert samples["events"] == samples["truth"]
        assert len(samples["source"]) >= 3
        assert not samples["source"] & samples["events"]
