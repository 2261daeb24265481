import pytest
from pydantic import ValidationError

from neuronedit.workers_config import WorkersConfig


def test_an_elastic_group_has_at_least_no_more_than_at_most():
    assert WorkersConfig(count=2, min_count=2).min_count == 2
    with pytest.raises(ValidationError, match=r"workers\.min_count is 3; expected at most workers\.count, 2"):
        WorkersConfig(count=2, min_count=3)
