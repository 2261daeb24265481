from collections.abc import Iterator

import numpy as np
import pytest

from neuronedit.cells.events import check_finite, lowest, one_ahead, row_priorities
from neuronedit.errors import DataError


@pytest.mark.parametrize(("value", "name"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_what_is_not_finite_is_named_with_its_first_row(value: float, name: str) -> None:
    events = np.ones((10, 2), np.float32)
    events[[4, 7], 1] = value
    with pytest.raises(DataError, match=rf"x: marker 'CD4' has {name} in row 104 \(2 such events among 10\)"):
        check_finite(events, ["CD3", "CD4"], "x", first_row=100)


def test_priorities_do_not_depend_on_how_a_file_is_read() -> None:
    whole = row_priorities("a.parquet", 0, 1000, seed=3)
    parts = [row_priorities("a.parquet", start, 250, seed=3) for start in range(0, 1000, 250)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_files_and_seeds_have_other_priorities() -> None:
    first = row_priorities("a.parquet", 0, 100, 0)
    assert not np.intersect1d(first, row_priorities("b.parquet", 0, 100, 0)).size
    assert not np.intersect1d(first, row_priorities("a.parquet", 0, 100, 1)).size


def test_priorities_are_uniform() -> None:
    counts, _ = np.histogram(row_priorities("a", 0, 100_000, 0).astype(float), bins=50, range=(0, 2.0**64))
    chi_square = ((counts - 2000) ** 2 / 2000).sum()
    assert chi_square < 85  # 49 degrees of freedom: exceeded by chance once in a thousand


def test_the_lowest_rows_are_found_in_their_order() -> None:
    assert lowest(np.array([5, 1, 3], np.uint64), 2).tolist() == [1, 2]


def test_one_ahead_gives_the_same_and_no_more() -> None:
    asked = []

    def items() -> Iterator[int]:
        for number in range(4):
            asked.append(number)
            yield number

    seen = []
    for item in one_ahead(items()):
        seen.append(item)
        assert len(asked) <= len(seen) + 1
    assert seen == [0, 1, 2, 3]


def test_an_error_ahead_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise DataError("row group 1")

    seen = []
    with pytest.raises(DataError, match="row group 1"):
        seen.extend(one_ahead(items()))
    assert seen == [0]
