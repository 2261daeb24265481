"""The review's 25 checks where the truth is known, the cost of a review, and its verdicts on real tasks, as one page.

Each row of the review's specification has its check. The cost is that of the whole review of one edit: 40 markers, 64
neurons, three populations.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic, process_time

import pandas as pd

from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan
from neuronedit.review.neurons.context import LabelColumns
from neuronedit.review.page.edit_review import review_edit
from neuronedit.review.subject import EditSubject

from ..accuracy.methods import Effort
from ..accuracy.tasks import DATA, FIRST_TASKS, TASKS
from ..measure import Result, markdown
from . import checks_of_networks as networks
from . import checks_of_neurons as neurons
from . import checks_of_populations as populations
from .checks import Check, Measure, check_table, take
from .planted import SHIFT, planted_cells, planted_model, trained_autoencoder
from .review_problems import Problems
from .verdicts import decisions_by_truth, measure_verdicts

ROWS: dict[int, tuple[str, Callable[[Problems], Sequence[Measure]]]] = {
    1: ("Edit conductance", neurons.conductance),
    2: ("Faithfulness curve", neurons.faithfulness_curve),
    3: ("Conductance of the target-vs-source logit", neurons.logit),
    4: ("Activation ladder", neurons.ladder),
    5: ("Preferred cells", neurons.preferred),
    6: ("Neuron names", neurons.names),
    7: ("Population by description", neurons.descriptions),
    8: ("Logical explanations", neurons.explanations),
    9: ("Activation-range associations", neurons.ranges),
    10: ("Confounding verdict", populations.confounding),
    11: ("Composition-matched edit", populations.matching),
    12: ("Extrapolation support", populations.coverage),
    13: ("Activation patterns", populations.patterns),
    14: ("Neuron health", networks.health),
    15: ("Decorrelation penalty", networks.decorrelation),
    16: ("Pruning", networks.pruning),
    17: ("Competitive code", networks.competition),
    18: ("Refit consistency", networks.refits),
    19: ("Cycle consistency", networks.cycles),
    20: ("Joint dependence", neurons.dependence),
    21: ("Receptive-field localisation", neurons.localisation),
    22: ("Donor gap", populations.gap),
    23: ("Next sample to measure", networks.next_to_measure),
    24: ("Sample profiles", populations.profiles),
    25: ("Incremental fit", networks.continual),
}
"""Each row's feature and the function that measures it, by the row's number."""


def check_row(row: int, problems: Problems) -> Check:
    """Measure one row."""
    feature, measure = ROWS[row]
    return take(row, feature, lambda: measure(problems))


def check_all(problems: Problems) -> list[Check]:
    """Measure all rows; the networks that several of them share are trained before, so that no row pays for them."""
    assert problems.trained
    assert problems.refits
    return [check_row(row, problems) for row in ROWS]


WIDE = Architecture(hidden=(200, 100), code=64)

COLUMNS = LabelColumns(cell_type="type", donor="donor", sample="sample", condition="condition")

N_TRAINED, N_EPOCHS = 2_000, 20

DRAWN = "all figures"


def measure_cost(n_events: int) -> tuple[pd.DataFrame, float]:
    """Review a trained edit of so many events per population, and draw all figures.

    Returns:
        A row for each part, and for the figures: part, cpu_s; and all seconds on the clock. Training is not counted.
    """
    source, target = planted_cells(n_events, 0, donor_gap=0.1), planted_cells(n_events, 1, shift=SHIFT, donor_gap=0.1)
    others = {"unseen types": planted_cells(n_events, 2, unseen=True, donor_gap=0.1).labelled}
    networks = [trained_autoencoder(N_TRAINED, N_EPOCHS, seed, architecture=WIDE) for seed in range(3)]
    model = planted_model(source, target, autoencoder=networks[0])
    started = monotonic()
    subject = EditSubject.from_model(model, "pair", source.labelled, target.labelled, others)
    reviewed = review_edit("pair", subject, model, COLUMNS, networks[1:])
    drawing = process_time()
    for part in reviewed.parts:
        for figure in part.drawings:
            figure.draw()
    figures = pd.DataFrame({"part": [DRAWN], "cpu_s": [process_time() - drawing]})
    return pd.concat([reviewed.cost_table(), figures], ignore_index=True), monotonic() - started


INTRODUCTION = """# The review's checks, measured

This page is `review-checks.md` of

    .venv/bin/python jobs/benchmark.py review --data FOLDER

(`FOLDER`: the datasets of the accuracy benchmark). `tests/review/test_checks.py` asks for the same.

Truth is known by construction: 20 lineage markers tell 8 types of cell, 5 programs move 4 functional markers each, and
the edit adds 1.5 standard deviations to one program. *Planted* is a network wired by hand (neurons 0–4 are the
programs, 5–24 a lineage marker each, 25 a copy of the edited program's neuron, 26–31 dead), with 10,000 events of
source and target; *trained* is a network of 64, 48 and 32 neurons that learned the same cells. What is not asked for is
(told).
"""

COST = """
## What a review costs

A trained network with a code of 64 neurons, 40 markers, {n_events:,} events of source, target and one population to be
edited, two refits: {seconds:.0f} s on the clock of {n_cores} cores, {cpu_seconds:.0f} CPU-seconds. Training is not
among it.
"""

VERDICTS = """
## Decisions before any truth is seen, beside the truth

Tasks of the accuracy benchmark, the default fitted on up to {n_events:,} events of each, with the samples that there
are. *advice*, *tone* and *level* of evidence are of a review that has no truth; *because*: its checks that are not
green. *r_emd*, *r_energy*: what the measured truth then says, 0 is noise, 1 is doing nothing; *truth*: whether the edit
is surely better than doing nothing by both distances (helps), surely worse by one and better by none (harms), or
neither (useless). *after*: the advice of a review that has this truth held out. *mix* is a note and no gate: the share
of the pair's change that another mix of cells may be.

{warnings}

Before the truth:

{before}

With the truth held out:

{after}
"""


def checks_page(
    checks: pd.DataFrame,
    costs: pd.DataFrame,
    verdicts: pd.DataFrame,
    figures: Mapping[str, float],
    n_reviewed: int,
    n_judged: int,
) -> str:
    """The page, in Markdown.

    Args:
        checks: See ``check_table``.
        costs: See ``measure_cost``.
        verdicts: See ``judge_edit``; without rows, there is no such section.
        figures: The benchmark's numbers.
        n_reviewed: Events of each population of the review whose cost was measured.
        n_judged: Events of each population of the tasks.
    """
    passed = f"\n{figures['checks_passed']:.0f} of {figures['checks']:.0f} checks pass.\n\n"
    cost = COST.format(n_events=n_reviewed, n_cores=os.cpu_count(), **figures)
    in_lines = checks.replace("; ", "<br>", regex=True)
    page = [INTRODUCTION, passed, markdown(in_lines), cost, "\n", markdown(costs.set_index("part"))]
    if len(verdicts):
        before, after = (markdown(decisions_by_truth(verdicts, when)) for when in ("advice", "after"))
        told = VERDICTS.format(n_events=n_judged, warnings=_warnings(verdicts), before=before, after=after)
        page += [told, "\n", markdown(verdicts)]
    return "".join(page)


def _warnings(verdicts: pd.DataFrame) -> str:
    counts = [
        f"{(chosen['tone'] != 'green').sum()} of {len(chosen)} tasks whose effect "
        f"{'transfers' if transfers else 'does not transfer'} ({(chosen['tone'] == 'red').sum()} red)"
        for transfers, chosen in verdicts.groupby("transfers")
    ]
    return f"Amber or red: {'; '.join(counts)}."


EFFORT = Effort(1_500, 0, 1, Architecture(hidden=(100,), code=50), TrainingPlan(epochs=100, minibatch=128))
"""The effort of fits for verdicts, which need less than scores do."""

QUICK_EFFORT = Effort(500, 0, 1, Architecture(hidden=(100,), code=50), TrainingPlan(epochs=100, minibatch=64))
QUICK_TASKS = (FIRST_TASKS[0], FIRST_TASKS[18])

N_EVENTS, QUICK_EVENTS = 10_000, 2_000
"""Events of each population of the review whose cost is measured."""


def run(quick: bool, data: Path = DATA) -> Result:
    """Measure every row of the review's specification, what a review costs, and what it says of real tasks.

    Args:
        quick: A review of fewer events, and few tasks with fewer events; the checks are the same.
        data: The datasets; tasks of those that are missing are left out.
    """
    n_events, tasks, effort = (QUICK_EVENTS, QUICK_TASKS, QUICK_EFFORT) if quick else (N_EVENTS, TASKS, EFFORT)
    checks = check_all(Problems())
    costs, seconds = measure_cost(n_events)
    verdicts = measure_verdicts(tasks, data, effort)
    result = summarise(checks, costs, seconds, verdicts)
    page = checks_page(result.table, costs, verdicts, result.figures, n_events, effort.n_events)
    return replace(result, pages={"review-checks": page})


def summarise(checks: Sequence[Check], costs: pd.DataFrame, seconds: float, verdicts: pd.DataFrame) -> Result:
    """The table of checks; costs by part and verdicts by task as further ones, and the figures of all."""
    figures = {
        "checks": float(len(checks)),
        "checks_passed": float(sum(check.passed for check in checks)),
        "seconds": seconds,
        "cpu_seconds": float(costs["cpu_s"].sum()),
    }
    details = {"costs": costs}
    if len(verdicts):
        details["verdicts"] = verdicts
        figures |= _shares(verdicts)
    return Result(check_table(checks), figures, details)


def _shares(verdicts: pd.DataFrame) -> dict[str, float]:
    """The shares of tasks with a warning, amber or red, before truth is seen."""
    warned, transfers = verdicts["tone"] != "green", verdicts["transfers"].astype(bool)
    groups = {"negatives_warned": ~transfers, "positives_warned": transfers}
    return {name: float(warned[chosen].mean()) for name, chosen in groups.items() if chosen.any()}
