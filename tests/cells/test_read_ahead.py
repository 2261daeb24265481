from collections.abc import Iterator

import pytest

from neuronedit.cells.events import one_ahead
from neuronedit.errors import DataError


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
