"""The first screen says in plain words what to do, on which cells, and how that is known."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from neuronedit.measures.evidence import Knowledge
from neuronedit.model.gates import Gate
from neuronedit.review.page.decision import Decision, decide
from neuronedit.review.page.report import Review
from neuronedit.review.transfer.transfer import HELD_OUT, TRAINING_PAIR
from neuronedit.review.transfer.verdict import Relation, Verdict
from tests.review.planted import TRUE_SHIFT

PASSED = [
    Gate("reconstruction", 0.9, 0.75, "well.", at_least=True),
    Gate("support", 0.0, 3.0, "near."),
    Gate("expected_error", 0.3, 0.9, "small."),
    Gate("quantile_map", 0.0, 0.05, "as good."),
]
MEASURED = Knowledge("pair", "measured", 0.3, proven=True, behind_map=None, text="on igm+ (held out) it leaves 0.30")
UNKNOWN = Knowledge("pair", "unknown", None, False, None, text="one donor", remedy="measure donor 2")
ESTIMATED = Knowledge("pair", "estimated", 0.4, True, -0.1, text="fitted without each of 3 donors, it leaves 0.40")


def verdict(nothing: Relation = "better than", simple: Relation = "no different from", name: str = "igm+") -> Verdict:
    return Verdict(name, HELD_OUT, nothing, simple, f"told of {name}.")


def decided(
    *verdicts: Verdict, gates: list[Gate] = PASSED, known: tuple[Knowledge, ...] = (MEASURED,), **more
) -> Decision:
    return decide(gates, verdicts, known, ["igm+ cells"], **more)


def instead(gate: Gate) -> list[Gate]:
    return [gate if each.name == gate.name else each for each in PASSED]


def test_what_helps_is_to_be_used_and_is_told_beside_the_quantile_map() -> None:
    found = decided(verdict(), verdict(simple="better than", name="nk"))
    assert (found.advice, found.tone, found.headline) == ("use", "green", "▲ Use it on igm+ cells.")
    assert found.why == (
        "Measured: on 2 held-out comparisons it comes nearer to the truth than doing nothing, by both distances. "
        "It is better than a per-marker quantile map on 1 of 2."
    )
    assert decided(verdict()).why.endswith("A per-marker quantile map, which is simpler, does as well.")


def test_where_the_quantile_map_is_nearer_it_is_to_be_used_instead() -> None:
    nearer = decided(verdict(), verdict(simple="worse than"))
    assert (nearer.advice, nearer.tone) == ("use the quantile map", "amber")
    assert nearer.headline == "◆ Use the per-marker quantile map instead on igm+ cells."
    assert "is nearer to the truth on 1 of 2" in nearer.why
    assert 'edit.preset = "quantile-map"' in nearer.remedy
    far = decided(verdict(simple="worse than"), gates=instead(Gate("quantile_map", 0.4, 0.05, "far behind.")))
    assert (far.advice, far.tone) == ("use the quantile map", "red")
    assert "far behind." in far.why


def test_better_than_the_map_here_and_worse_there_is_told() -> None:
    found = decided(verdict(simple="better than"), verdict(simple="worse than"))
    assert found.advice == "use"
    assert "better than a per-marker quantile map on 1 of 2, and behind it on 1." in found.why


@pytest.mark.parametrize("name", ["reconstruction", "support", "expected_error"])
def test_a_failed_check_is_against_use_whatever_else_passes(name: str) -> None:
    at_least = name == "reconstruction"
    failed = Gate(name, 0.1 if at_least else 9.0, 0.75 if at_least else 0.9, "far too bad.", at_least)
    found = decided(verdict(), gates=instead(failed))
    assert (found.advice, found.tone, found.headline) == ("do not use", "red", "▼ Do not use it on igm+ cells.")
    assert found.why == "Measured: on igm+ (held out) it leaves 0.30 (0 is noise, 1 is doing nothing). far too bad."
    assert found.remedy


@pytest.mark.parametrize("relation", ["no different from", "mixed against", "worse than"])
def test_an_edit_that_is_nowhere_better_than_nothing_is_not_to_be_used(relation: Relation) -> None:
    found = decided(verdict(relation))
    assert (found.advice, found.tone) == ("do not use", "red")
    assert found.why == "Measured: It is not better than doing nothing by both distances. igm+: told of igm+."


def test_an_edit_that_is_not_better_everywhere_is_used_with_care_and_says_where() -> None:
    found = decided(verdict(), verdict("mixed against", name="nk"))
    assert found.headline == "◆ Use it on igm+ cells, with care."
    assert "on 1 of 2 held-out comparisons" in found.why
    assert "; not on nk." in found.why


def test_without_truth_and_with_one_sample_nothing_is_known() -> None:
    open_ = [*PASSED[:2], Gate("expected_error", None, 0.9, "unknown"), Gate("quantile_map", None, 0.05, "no sample")]
    found = decided(replace(verdict(), kind=TRAINING_PAIR), gates=open_, known=(UNKNOWN,))
    assert (found.advice, found.tone) == ("measure first", "amber")
    assert found.headline == "◆ Do not use it yet on igm+ cells: measure first."
    assert (found.why, found.remedy) == (
        "Unknown whether the edit carries over: one donor.",
        "To know, measure donor 2.",
    )


def test_an_estimate_over_samples_stands_in_the_first_sentence() -> None:
    found = decided(replace(verdict(), kind=TRAINING_PAIR), known=(ESTIMATED,))
    assert (found.advice, found.tone) == ("use", "green")
    assert found.why.startswith("Estimated, not measured: fitted without each of 3 donors, it leaves 0.40.")


def test_looser_thresholds_and_lost_evidence_are_against_use() -> None:
    loosened = Gate("support", 7.0, 10.0, "far.", default=3.0)
    found = decided(verdict(), gates=instead(loosened))
    assert (found.advice, found.tone) == ("do not use", "red")
    assert found.why == "Measured: on igm+ (held out) it leaves 0.30 (0 is noise, 1 is doing nothing). far."
    lost = decided(verdict(), lost="what an earlier review looked at is not in the last one: 'nk'.")
    assert (lost.advice, lost.tone) == ("do not use", "red")
    assert "'nk'" in lost.why


def test_a_doubt_from_elsewhere_makes_it_amber() -> None:
    found = decided(verdict(), doubted="CD4 moves in CD8 T cells.")
    assert (found.advice, found.tone) == ("use", "amber")
    assert found.why.endswith("CD4 moves in CD8 T cells.")


def test_nothing_measured_is_not_to_be_used() -> None:
    found = decided(verdict(), gates=[])
    assert (found.advice, found.tone) == ("measure first", "amber")


def test_many_cells_are_named_in_part() -> None:
    found = decide(PASSED, [verdict()], [MEASURED], [f"batch {number}" for number in range(9)])
    assert found.cells == "batch 0, batch 1, batch 2, batch 3 and 5 more"


def test_a_planted_good_edit_is_to_be_used_and_its_opposite_not(review_of: Callable[[np.ndarray], Review]) -> None:
    good, bad = (replace(review_of(shift), gates=tuple(PASSED)).decision for shift in (TRUE_SHIFT, -TRUE_SHIFT))
    assert (good.advice, bad.advice) == ("use", "do not use")
    assert "donor <2>: neuronedit is worse than doing nothing" in bad.why
