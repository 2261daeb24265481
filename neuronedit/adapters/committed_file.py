"""A Parquet file that is there complete or not at all, and says in its footer which plan wrote it."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from neuronedit.adapters.parquet import open_parquet
from neuronedit.adapters.storage import Location

STAMP = b"neuronedit.transform"


def commit_parquet(
    target: Location,
    schema: pa.Schema,
    tables: Iterable[pa.Table],
    stamp: Callable[[], Mapping[str, Any]],
    compression: str,
) -> None:
    """Stream tables to a hidden file and move it to its name when it is complete; on any failure remove it.

    Args:
        target: The file's name; a file that is there is replaced.
        schema: Of every table, with its metadata.
        tables: Written in order.
        stamp: Asked once, after the last table; its answer is kept in the footer.
        compression: Of the columns.
    """
    staged = target.staged()
    try:
        with pq.ParquetWriter(
            staged.path,
            schema,
            filesystem=staged.filesystem,
            compression=compression,
            # Dictionaries gain nothing on floating-point columns and cost five times the writing.
            use_dictionary=[field.name for field in schema if not pa.types.is_floating(field.type)],
        ) as writer:
            for table in tables:
                writer.write_table(table)
            writer.add_key_value_metadata({STAMP: json.dumps(dict(stamp())).encode()})
        staged.filesystem.move(staged.path, target.path)
    except BaseException:
        if staged.exists:
            staged.filesystem.delete_file(staged.path)
        raise


def read_stamp(target: Location) -> dict[str, Any] | None:
    """What the file's writer left in its footer, with ``rows``; None where there is no such file or no stamp."""
    if not target.exists:
        return None
    with open_parquet(target.filesystem, target.path) as parquet:
        stamp = (parquet.metadata.metadata or {}).get(STAMP)
        return json.loads(stamp) | {"rows": parquet.metadata.num_rows} if stamp else None
