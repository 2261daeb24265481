"""The 25 rows of the review's specification hold on cells and networks whose truth is known."""

import math

import pytest
from neuronedit_jobs.benchmarks.review.checks import Check, Measure, check_table, take
from neuronedit_jobs.benchmarks.review.review_problems import Problems
from neuronedit_jobs.benchmarks.review.run import ROWS, check_row

from neuronedit.errors import DataError

pytestmark = pytest.mark.bench


@pytest.mark.parametrize("row", ROWS, ids=[f"{row}-{feature}" for row, (feature, _) in ROWS.items()])
def test_the_row_is_as_asked(row: int, problems: Problems) -> None:
    check = check_row(row, problems)
    assert not check.reason
    assert [measure for measure in check.measures if not measure.passed] == []
    assert any(measure.asked != "(told)" for measure in check.measures)


def test_all_25_rows_have_a_check() -> None:
    assert list(ROWS) == list(range(1, 26))


def test_a_measure_passes_between_its_bounds_and_nan_passes_none() -> None:
    bounded = [Measure("a", value, 0.9, 1.1) for value in (0.89, 0.9, 1.1, 1.2, math.nan)]
    assert [measure.passed for measure in bounded] == [False, True, True, False, False]
    assert not Measure("a", math.nan).passed
    asked = [Measure("a", 0, *bounds).asked for bounds in ((0.9, 1.1), (1, 1), (0.9,), (-math.inf, 2), ())]
    assert asked == ["0.9 to 1.1", "1", "≥ 0.9", "≤ 2", "(told)"]


def test_what_cannot_be_measured_says_why_and_has_not_passed() -> None:
    def refuse() -> list[Measure]:
        raise DataError("no events")

    for found in (take(3, "Ladder", refuse), Check(3, "Ladder", (), 0.0, "not measured: no events")):
        assert not found.passed
        assert found.facts()["measured"] == "not measured: no events"
        assert found.facts()["passed"] == "**no**"


def test_the_table_is_sorted_by_row_with_values_beside_what_was_asked() -> None:
    checks = [
        Check(2, "B", (Measure("x", 0.12345, most=1), Measure("y", 2)), 0.5),
        Check(1, "A", (Measure("x", 1.0, most=0.5), Measure("y", 0, 0, 0)), 0.0),
    ]
    table = check_table(checks)
    assert list(table.index) == [1, 2]
    assert table.loc[2].tolist() == ["B", "x 0.123; y 2", "≤ 1; (told)", "yes", 0.5]
    assert table.loc[1, "passed"] == "**no**"
