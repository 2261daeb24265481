import pytest
import ray

from neuronedit.adapters import edit_tasks
from neuronedit.errors import ClusterError, DataError

pytestmark = pytest.mark.ray


@ray.remote(max_retries=0)
def fails(kind: str) -> None:
    if kind == "user":
        raise DataError("Composition: source and target share no stratum.")
    if kind == "fault":
        raise ZeroDivisionError
    import os

    os._exit(1)


def test_a_users_error_comes_back_as_it_was_raised(ray_cluster: None) -> None:
    with pytest.raises(DataError, match=r"^Composition: source and target share no stratum\.$"):
        edit_tasks._fitted(fails.remote("user"), "B")


def test_a_fault_of_ours_keeps_its_traceback(ray_cluster: None) -> None:
    with pytest.raises(ray.exceptions.RayTaskError, match="ZeroDivisionError"):
        edit_tasks._fitted(fails.remote("fault"), "B")


def test_a_worker_that_dies_is_told_with_the_edit_it_fitted(ray_cluster: None) -> None:
    with pytest.raises(ClusterError, match=r"^Ray lost the worker that fitted the edit 'B' \(.*\)\. No model was"):
        edit_tasks._fitted(fails.remote("death"), "B")
