"""Tasks on a Ray cluster: each runs on one core, which also keeps its bits the same on every machine."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import ray

from neuronedit.errors import ClusterError, NeuroneditError

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_on_cluster(function: Callable[[Item], Result], items: Mapping[str, Item], remedy: str = "") -> Iterator[Result]:
    """Run tasks as many at a time as the cluster has cores free (see ``RunAll``).

    Args:
        function: What is called; data bound to it is stored in the cluster once.
        items: By what the task does, for the message; without any the cluster is left alone.
        remedy: What is to be done if a task's worker is lost.

    Raises:
        NeuroneditError: A task raised it.
        ClusterError: A worker was lost.
    """
    if items:
        shared = ray.put(function)
        tasks = {done: _call.remote(shared, item) for done, item in items.items()}
        for done, task in tasks.items():
            yield _result(task, done, remedy)


def _result(task: "ray.ObjectRef[Any]", done: str, remedy: str) -> Any:
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, NeuroneditError):
            raise error.cause from None
        raise  # a fault of ours: its traceback tells where
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ClusterError(f"Ray lost the worker that {done} ({reason}). {remedy}") from error


@ray.remote(num_cpus=1)  # type: ignore[untyped-decorator]  # Ray is untyped
def _call(function: Callable[[Item], Result], item: Item) -> Result:
    return function(item)
