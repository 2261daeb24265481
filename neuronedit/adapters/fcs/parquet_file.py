"""One FCS file's events as a Parquet file, written block by block: the memory does not grow with the file."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from neuronedit.adapters.fcs.file import FcsFile, check_finite
from neuronedit.adapters.fcs.looks import Findings, look_at_scale
from neuronedit.adapters.fcs.sample_sheet import SheetRow
from neuronedit.adapters.files.storage import storage_errors
from neuronedit.arrays import Float64s
from neuronedit.cells.compensation import Spillover, compensate
from neuronedit.cells.names import comparable, no_markers

METADATA_KEY = b"neuronedit"
MAX_KEYWORD = 65_536
"""Characters of a keyword's value that goes with the dataset: instruments' own blobs stay behind."""


@dataclass(frozen=True)
class Sample:
    """One file of the sheet, and the column's name for each of its channels."""

    row: SheetRow
    fcs: FcsFile
    columns: Mapping[str, str]

    @property
    def file(self) -> str:
        """Its name in the sheet."""
        return self.row.labels["file"]


@dataclass(frozen=True)
class IngestedFile:
    """One FCS file's entry in the record."""

    file: str
    sample_id: str
    parquet: str
    events: int
    sha256: str
    fcs_version: str


def write_events(
    sample: Sample,
    path: Path,
    names: Sequence[str],
    asked: Sequence[str],
    spillover: Spillover | None,
    told: Findings,
) -> IngestedFile:
    """Write the events of one FCS file.

    Args:
        sample: The file.
        path: The Parquet file to write.
        names: The columns of intensities; one that the file lacks is empty.
        asked: Those whose intensities must be finite.
        spillover: The matrix to compensate with, by the file's channels; None to leave events as they are.
        told: Where it goes if the events look transformed before.

    Raises:
        DataError: The file cannot be read, an intensity is not finite, or the events cannot be compensated.
    """
    row, fcs, where = sample.row, sample.fcs, str(sample.row.path)
    with storage_errors(where), row.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    blocks = fcs.blocks()
    looked_at = next(blocks)
    named = {comparable(name) for name in asked if not no_markers([name])}
    intensities = [channel for channel, name in sample.columns.items() if comparable(name) in named]
    channels = spillover.channels if spillover else intensities
    look_at_scale(sample.file, fcs, looked_at, channels, spillover is not None, told)
    schema = _schema(sample, names, digest, spillover)
    n_written = 0
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=list(row.labels)) as writer:
        for block in chain([looked_at], blocks):
            linear = compensate(block, fcs.channels, spillover, where) if spillover else block
            writer.write_table(_table(sample, linear, names, asked, n_written, schema))
            n_written += len(block)
    return IngestedFile(sample.file, row.sample_id, path.name, n_written, digest, fcs.version)


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


def _schema(sample: Sample, names: Sequence[str], digest: str, spillover: Spillover | None) -> pa.Schema:
    fields = [pa.field(column, pa.dictionary(pa.int32(), pa.string())) for column in sample.row.labels]
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
    check_finite(str(sample.row.path), channels, intensities[:, finite], n_before + 1)
    zeros = np.zeros(len(block), dtype=np.int32)
    labels = [
        pa.DictionaryArray.from_arrays(zeros, pa.array([text], pa.string())) for text in sample.row.labels.values()
    ]
    columns = [
        pa.array(np.ascontiguousarray(intensities[:, here[name]]))
        if name in here
        else pa.nulls(len(block), pa.float32())
        for name in names
    ]
    return pa.table(labels + columns, schema=schema)
