"""Work items: what workers are handed as rows of a Ray Data dataset, and failures as rows of its result.

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

MAX_TASKS = 1_000
"""More items than this share tasks: Ray takes 1 ms of the driver to make a task and 6 ms to run one."""

FAILURE_FIELDS = (("error", pa.string()), ("error_type", pa.string()))
"""Columns that every result of a work item has, null where it went well."""

Item = TypeVar("Item")


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
