"""Tasks on a Ray cluster: each runs on one core, which also keeps its bits the same on every machine.

Work items: what workers are handed as rows of a Ray Data dataset, and failures as rows of its result.

A user's error must reach the user as it was raised; Ray would wrap it in a remote traceback, and retry it.
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


MAX_TASKS = 1_000
"""More items than this share tasks: Ray takes 1 ms of the driver to make a task and 6 ms to run one."""

FAILURE_FIELDS = (("error", pa.string()), ("error_type", pa.string()))
"""Columns that every result of a work item has, null where it went well."""


def work_items(items: Sequence[Any]) -> ray.data.Dataset:
    """One row per item, a dataclass; each item is a task of its own, or shares one with its neighbours."""
    return ray.data.from_items(item_rows(items), override_num_blocks=min(len(items), MAX_TASKS))


def item_rows(items: Sequence[Any]) -> list[dict[str, str]]:
    """Items as rows that ``items_of`` reads."""
    return [{"item": json.dumps(asdict(item))} for item in items]


def map_items(work: Callable[[pa.Table], pa.Table], items: Sequence[Any]) -> Iterator[pa.Table]:
    """What tasks of Ray Data make of the items, in any order.

    Args:
        work: Makes a table of a table of work items.
        items: Dataclasses.
    """
    results = work_items(items).map_batches(work, batch_size=None, batch_format="pyarrow")
    return results.iter_batches(batch_size=None, batch_format="pyarrow")


def items_of(table: pa.Table, kind: type[Item]) -> list[Item]:
    """The items that a block of work items stands for."""
    adapter = TypeAdapter(kind)
    return [adapter.validate_json(text) for text in table.column("item").to_pylist()]


def failed(error: errors.NeuroneditError) -> dict[str, str]:
    """A result row that carries an error to the driver."""
    return {"error": str(error), "error_type": type(error).__name__}


def raise_failure(row: Mapping[str, Any]) -> None:
    """Raise the error that a result row carries, as the type it had; do nothing where it carries none."""
    if row["error"] is not None:
        raise getattr(errors, row["error_type"])(row["error"])
