"""One FCS file's events as tables for a Parquet file, block by block: the memory does not grow with the file."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pyarrow as pa

from neuronedit.adapters.fcs.file import FcsFile, check_finite
from neuronedit.adapters.fcs.looks import Findings, look_at_scale
from neuronedit.arrays import Float64s
from neuronedit.cells.compensation import Spillover, compensate
from neuronedit.cells.names import comparable, no_markers

METADATA_KEY = b"neuronedit"
MAX_KEYWORD = 65_536
"""Characters of a keyword's value that goes with the dataset: instruments' own blobs stay behind."""


@dataclass(frozen=True)
class Sample:
    """One file of the sheet: its text in every column of the sheet, and the column's name for each of its channels."""

    labels: Mapping[str, str]
    fcs: FcsFile
    columns: Mapping[str, str]

    @property
    def file(self) -> str:
        """Its name in the sheet."""
        return self.labels["file"]


def event_tables(
    sample: Sample,
    schema: pa.Schema,
    asked: Sequence[str],
    spillover: Spillover | None,
    told: Findings,
) -> Iterator[pa.Table]:
    """Read the events of one FCS file, block by block.

    Args:
        sample: The file.
        schema: Of the tables (see ``event_schema``); a column of intensities that the file lacks is empty.
        asked: The columns whose intensities must be finite.
        spillover: The matrix to compensate with, by the file's channels; None to leave events as they are.
        told: Where it goes if the events look transformed before.

    Raises:
        DataError: The file cannot be read, an intensity is not finite, or the events cannot be compensated.
    """
    fcs, where = sample.fcs, str(sample.fcs.path)
    blocks = fcs.blocks()
    looked_at = next(blocks)
    named = {comparable(name) for name in asked if not no_markers([name])}
    intensities = [channel for channel, name in sample.columns.items() if comparable(name) in named]
    channels = spillover.channels if spillover else intensities
    look_at_scale(sample.file, fcs, looked_at, channels, spillover is not None, told)
    n_before = 0
    for block in chain([looked_at], blocks):
        linear = compensate(block, fcs.channels, spillover, where) if spillover else block
        yield _table(sample, linear, schema.names[len(sample.labels) :], asked, n_before, schema)
        n_before += len(block)


def event_schema(sample: Sample, names: Sequence[str], digest: str, spillover: Spillover | None) -> pa.Schema:
    """The columns of one FCS file's Parquet file, and what it notes of its source.

    Args:
        sample: The file.
        names: The columns of intensities.
        digest: The file's SHA-256.
        spillover: The matrix that its events are compensated with; None where they are not.
    """
    fields = [pa.field(column, pa.dictionary(pa.int32(), pa.string())) for column in sample.labels]
    fields += [pa.field(name, pa.float32()) for name in names]
    written = {comparable(name): name for name in names}
    facts = {
        "file": sample.file,
        "sha256": digest,
        "fcs_version": sample.fcs.version,
        "channels": {
            channel: written[comparable(name)]
            for channel, name in sample.columns.items()
            if comparable(name) in written
        },
        "compensated": spillover is not None and not spillover.is_identity,
        "keywords": {key: value for key, value in sample.fcs.keywords.items() if len(value) <= MAX_KEYWORD},
    }
    return pa.schema(fields, {METADATA_KEY: json.dumps(facts, ensure_ascii=False)})


def parquet_names(sample_ids: Iterable[str]) -> list[str]:
    """A file name for each sample: safe on every file system and in a URI, unique also where case is ignored."""
    names: list[str] = []
    taken: set[str] = set()
    for sample_id in sample_ids:
        # Readers of datasets skip files whose names begin with a dot or an underscore.
        safe = re.sub(r"[^A-Za-z0-9._-]+", "_", sample_id).lstrip("._")[:100] or "sample"
        name, count = safe, 1
        while name.casefold() in taken:
            count += 1
            name = f"{safe}-{count}"
        taken.add(name.casefold())
        names.append(f"{name}.parquet")
    return names


def _table(
    sample: Sample, block: Float64s, names: Sequence[str], asked: Sequence[str], n_before: int, schema: pa.Schema
) -> pa.Table:
    """A block's table; ``n_before`` events of the file stand before it."""
    with np.errstate(over="ignore"):  # found by check_finite
        intensities = block.astype(np.float32)
    position = {comparable(name): number for number, name in enumerate(sample.columns.values())}
    here = {name: position[comparable(name)] for name in names if comparable(name) in position}
    finite = [here[name] for name in asked]
    channels = [sample.fcs.channels[number] for number in finite]
    check_finite(str(sample.fcs.path), channels, intensities[:, finite], n_before + 1)
    zeros = np.zeros(len(block), dtype=np.int32)
    labels = [pa.DictionaryArray.from_arrays(zeros, pa.array([text], pa.string())) for text in sample.labels.values()]
    columns = [
        pa.array(np.ascontiguousarray(intensities[:, here[name]]))
        if name in here
        else pa.nulls(len(block), pa.float32())
        for name in names
    ]
    return pa.table(labels + columns, schema=schema)
