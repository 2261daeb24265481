"""The page of the review's checks: what was measured, beside what was asked."""

import os
from collections.abc import Mapping

import pandas as pd

from .result import markdown

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
## Verdicts before any truth is seen

Tasks of the accuracy benchmark, `auto` fitted on at most {n_events:,} events per population. *tone* rests on the gates
that need no truth: reconstruction (least share of variance returned), mix (share of the pair's change that a differing
mix of cells makes), support (AUROC and reach of the events to be edited), expected error. It is red where one fails;
amber where one could not be measured, the mix is in doubt, or the events are a new kind of cell within reach.
*r_emd*, *r_energy*: what the measured truth then says, 0 is noise, 1 is doing nothing; *helps*: both are below 1.
The limit on support was set on these same three tasks whose effect does not transfer: on 12 others, which are not among
these data, none was flagged.

{warnings}
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
        page += [VERDICTS.format(n_events=n_judged, warnings=_warnings(verdicts)), "\n", markdown(verdicts)]
    return "".join(page)


def _warnings(verdicts: pd.DataFrame) -> str:
    counts = [
        f"{(chosen['tone'] != 'green').sum()} of {len(chosen)} tasks whose effect "
        f"{'transfers' if transfers else 'does not transfer'} ({(chosen['tone'] == 'red').sum()} red)"
        for transfers, chosen in verdicts.groupby("transfers")
    ]
    return f"Amber or red: {'; '.join(counts)}."
