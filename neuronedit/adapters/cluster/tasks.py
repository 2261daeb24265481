"""Work on a Ray cluster: independent tasks, and work items, which are rows of a Ray Data dataset.

Each task runs on one core, which also keeps its bits the same on every machine. A user's error reaches the user as it
was raised: Ray would wrap it in a remote traceback and retry it, so a work item's error travels as a row of its result.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import pyarrow as pa
import ray
from pydantic import TypeAdapter

from neuronedit import errors
from neuronedit.errors import ClusterError, NeuroneditError

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_TASKS = 1_000
"""More items than this share tasks: Ray takes 1 ms of the driver to make a task and 6 ms to run one."""

FAILURE_FIELDS = (("error", pa.string()), ("error_type", pa.string()))
"""Columns that every result of a work item has, null where it went well."""


def run_on_cluster(function: Callable[[Item], Result], items: Mapping[str, Item], remedy: str = "") -> Iterator[Result]:
    """Run tasks as many at a time as the cluster has cores free (see ``RunAll``).

    Args:
        function: The function to call; data bound to it is stored in the cluster once.
        items: The items, by the task's deed, for the message; without any the cluster is left alone.
        remedy: The remedy if a task's worker is lost, for the message.

    Raises:
        NeuroneditError: A task raised it.
        ClusterError: A worker was lost.
    """
    if items:
        shared = ray.put(function)
        tasks = {done: _call.remote(shared, item) for done, item in items.items()}
        for done, task in tasks.items():
            yield _result(task, done, remedy)


def work_items(items: Sequence[Any]) -> ray.data.Dataset:
    """Make a dataset with a row per item, a dataclass; of many items, neighbours share a task."""
    return ray.data.from_items(item_rows(items), override_num_blocks=min(len(items), MAX_TASKS))


def item_rows(items: Sequence[Any]) -> list[dict[str, str]]:
    """Write items as rows that ``parse_items`` reads."""
    return [{"item": json.dumps(asdict(item))} for item in items]


def map_items(work: Callable[[pa.Table], pa.Table], items: Sequence[Any]) -> Iterator[pa.Table]:
    """Apply a function to work items in tasks of Ray Data; its result tables come in any order.

    Args:
        work: Makes a result table of a table of work items.
        items: The items, dataclasses.
    """
    results = work_items(items).map_batches(work, batch_size=None, batch_format="pyarrow")
    return results.iter_batches(batch_size=None, batch_format="pyarrow")


def parse_items(table: pa.Table, kind: type[Item]) -> list[Item]:
    """Read the items of a table of work items."""
    adapter = TypeAdapter(kind)
    return [adapter.validate_json(text) for text in table.column("item").to_pylist()]


def failure_row(error: errors.NeuroneditError) -> dict[str, str]:
    """Make a result row that carries an error to the driver."""
    return {"error": str(error), "error_type": type(error).__name__}


def raise_failure(row: Mapping[str, Any]) -> None:
    """Raise the error that a result row carries, as the type it had; do nothing where it carries none."""
    if row["error"] is not None:
        raise getattr(errors, row["error_type"])(row["error"])


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
