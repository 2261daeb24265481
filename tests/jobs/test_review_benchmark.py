"""The benchmark of the review; its 25 checks are run one by one in ``tests/review/test_checks.py``."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from neuronedit_jobs.benchmarks.accuracy.methods import Effort
from neuronedit_jobs.benchmarks.accuracy.tasks import TransferTask
from neuronedit_jobs.benchmarks.review import run as review
from neuronedit_jobs.benchmarks.review.checks import Check, Measure
from neuronedit_jobs.benchmarks.review.run import DRAWN, run, summarise
from neuronedit_jobs.benchmarks.review.verdicts import decisions_by_truth, judge_edit, measure_verdicts

from neuronedit.cells.design import PairDesign
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.cells.panel import Panel
from neuronedit.edits.plans import EditConfig
from neuronedit.fitting.fit import fit_model
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan

pytestmark = pytest.mark.bench

CHECKS = [
    Check(1, "A", (Measure("x", 1.0, most=2),), 0.1),
    Check(2, "B", (Measure("y", 1.0, least=2),), 0.1),
    Check(3, "C", (), 0.1, "not measured: captum is not installed"),
]
COSTS = pd.DataFrame({"part": ["conductance", DRAWN], "cpu_s": [1.0, 2.0]})
VERDICTS = pd.DataFrame(
    {
        "transfers": [True, True, False, False],
        "tone": ["green", "amber", "red", "amber"],
        "advice": ["use", "measure first", "do not use", "measure first"],
        "level": ["estimated", "unknown", "unknown", "unknown"],
        "truth": ["helps", "helps", "harms", "useless"],
        "after": ["use", "use", "do not use", "do not use"],
    },
    index=list("abcd"),
).rename_axis("task")

TASK = TransferTask("A→B", "made", {"batch": "A"}, {"batch": "B"}, {"batch": "A"}, {"x": 1})
TINY = Effort(200, 0, 1, Architecture(hidden=(8,), code=4), TrainingPlan(epochs=2, minibatch=64))


def test_figures_count_the_checks_that_pass_and_the_tasks_that_are_warned_of() -> None:
    figures = summarise(CHECKS, COSTS, 4.5, VERDICTS).figures
    assert figures == {
        "checks": 3,
        "checks_passed": 1,
        "seconds": 4.5,
        "cpu_seconds": 3,
        "negatives_warned": 1,
        "positives_warned": 0.5,
    }
    assert set(summarise(CHECKS, COSTS, 4.5, pd.DataFrame()).figures) == {
        "checks", "checks_passed", "seconds", "cpu_seconds"
    }  # fmt: skip


def test_the_page_has_all_checks_costs_and_verdicts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(review, "check_all", lambda problems: CHECKS)
    monkeypatch.setattr(review, "measure_cost", lambda n_events: (COSTS, 4.5))
    monkeypatch.setattr(review, "measure_verdicts", lambda tasks, data, effort: VERDICTS)
    run(quick=True).write(tmp_path)
    page = (tmp_path / "review-checks.md").read_text()
    assert "1 of 3 checks pass." in page
    assert "| 2 | B | y 1 | ≥ 2 | **no** | 0.100 |" in page
    assert "| 3 | C | not measured: captum is not installed |  | **no** | 0.100 |" in page
    assert "2,000 events" in page
    assert "4 s on the clock of" in page
    told = "2 of 2 tasks whose effect does not transfer (1 red); 1 of 2 tasks whose effect transfers (0 red)"
    assert f"Amber or red: {told}." in page
    assert "| d | False | amber |" in page
    before, _, after = page.partition("With the truth held out:")
    assert "| measure first, unknown | 1 | 1 | 0 |" in before
    assert "| do not use | 0 | 1 | 1 |" in after


def test_decisions_are_counted_by_what_the_truth_says() -> None:
    before, after = decisions_by_truth(VERDICTS), decisions_by_truth(VERDICTS, "after")
    assert before.loc["measure first, unknown"].to_dict() == {"helps": 1, "useless": 1, "harms": 0}
    assert after.loc["use"].to_dict() == {"helps": 2, "useless": 0, "harms": 0}


def test_a_decision_needs_no_truth_and_the_truth_stands_beside_it() -> None:
    generator = np.random.default_rng(0)
    intensities = generator.lognormal(2, 1, (800, 5)).astype(np.float32)
    sides = {"source": intensities[:200], "target": 3 * intensities[200:400]}
    drawn = DrawnPopulations(sides, {side: len(events) for side, events in sides.items()})
    events, panel = intensities[400:600], Panel(tuple("abcde"), (5.0,) * 5)
    model = fit_model(
        drawn,
        panel,
        PairDesign.of_arrays(),
        network=TINY.architecture,
        training=TINY.training,
        edit=EditConfig(preset="quantile-map"),
    ).model
    true, other = 3 * intensities[600:], intensities[600:] / 9
    row, again = (judge_edit(TASK, model, drawn, events, truth, 0).iloc[0] for truth in (true, other))
    told = ["advice", "tone", "level", "because", "auroc", "reach", "mix"]
    pd.testing.assert_series_equal(row[told], again[told], check_names=False)
    assert (row["advice"], row["level"]) in [("measure first", "unknown"), ("do not use", "unknown")]
    assert (row["truth"], again["truth"], again["after"]) == ("helps", "harms", "do not use")


def test_tasks_whose_dataset_is_missing_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert measure_verdicts([TASK], tmp_path, TINY).empty
    assert caplog.messages == [f"no verdicts on tasks of made, which is not in {tmp_path}"]
