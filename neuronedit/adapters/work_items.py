"""Work items: the files of a dataset as rows of a Ray Data dataset, and failures as rows of its result.

A user's error must reach the user as it was raised; Ray would wrap it in a remote traceback, and retry it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import ray

from neuronedit import errors
from neuronedit.adapters.parquet import EventFile

FAILURE_FIELDS = (("error", pa.string()), ("error_type", pa.string()))
"""Columns that every result of a work item has, null where it went well."""


def work_items(files: Sequence[EventFile]) -> ray.data.Dataset:
    """One row per file, each a block of its own, so that every file is a task of its own."""
    rows = [{"file": json.dumps(asdict(file))} for file in files]
    return ray.data.from_items(rows, override_num_blocks=len(rows))


def files_of(items: pa.Table) -> list[EventFile]:
    """The files that a block of work items stands for."""
    return [EventFile(**json.loads(text)) for text in items.column("file").to_pylist()]


def failed(error: errors.NeuroneditError) -> dict[str, str]:
    """A result row that carries an error to the driver."""
    return {"error": str(error), "error_type": type(error).__name__}


def raise_failure(row: Mapping[str, Any]) -> None:
    """Raise the error that a result row carries, as the type it had; do nothing where it carries none."""
    if row["error"] is not None:
        raise getattr(errors, row["error_type"])(row["error"])
