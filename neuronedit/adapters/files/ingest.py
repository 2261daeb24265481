"""Ingest: FCS files and their sample sheet become a Parquet dataset of raw intensities, a file for each."""

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from neuronedit import __version__
from neuronedit.adapters.files.fcs import FcsFile, check_finite, read_fcs
from neuronedit.adapters.files.sample_sheet import SheetRow, read_sample_sheet
from neuronedit.adapters.files.staged_folder import staged_folder, write_record
from neuronedit.adapters.files.storage import storage_errors
from neuronedit.cells.panel import Panel, read_panel
from neuronedit.config import Config
from neuronedit.errors import DataError, PanelError, listing, nearest_name

log = logging.getLogger(__name__)

RECORD = "_ingest.json"
QUARANTINE = "_quarantine.json"
METADATA_KEY = b"neuronedit"
ROW_GROUP_EVENTS = 131_072
"""Small enough that a reader can stream a file of millions of events."""


class IngestConfig(Config):
    """FCS files and their sample sheet → a Parquet dataset of raw intensities."""

    sample_sheet: str = Field(
        description="CSV: the column 'file', 'sample_id', 'batch_id', and any others (role, condition, donor, …)"
    )
    fcs_folder: str | None = Field(None, description="where the sheet's files lie; by default beside the sheet")
    panel: str | None = Field(
        None,
        description="CSV channel, marker, transform, cofactor; by default each channel's own marker name ($PnS)",
    )
    output: str = Field(description="the folder of the Parquet dataset to write")
    compensate: bool = Field(False, description="apply the spillover matrix stored in each file (flow cytometry)")
    on_error: Literal["fail", "quarantine"] = Field(
        "fail",
        description="quarantine: list unreadable files in _quarantine.json, go on, and exit with status 3",
    )
    overwrite: bool = Field(False, description="replace the output of an earlier ingest")


@dataclass(frozen=True)
class IngestReport:
    """The result of an ingest: numbers of files and events written, and names of the files that it could not read."""

    files: int
    events: int
    quarantined: tuple[str, ...]


@dataclass(frozen=True)
class IngestedFile:
    """One FCS file's entry in the record, and the columns of channels that it gave."""

    file: str
    sample_id: str
    parquet: str
    events: int
    sha256: str
    fcs_version: str
    columns: tuple[str, ...]


def ingest(config: IngestConfig) -> IngestReport:
    """Write one Parquet file per FCS file of the sample sheet, all or nothing.

    Each file has the sheet's columns (dictionary-encoded text), then a float32 column of raw intensities per
    channel: the panel's markers under the marker's name, other channels under their own. Without a panel every
    channel has its marker name ($PnS).

    Raises:
        DataError: The sheet or a file cannot be used (files only where ``on_error`` is ``fail``), no file is left,
            files differ in their columns, or a channel has the name of a column of the sheet.
        PanelError: The panel cannot be read, or a file lacks one of its channels.
        OutputError: The output exists and may not be replaced.
    """
    panel, channels = read_panel(config.panel) if config.panel else (None, {})
    samples = read_sample_sheet(config.sample_sheet, config.fcs_folder, panel.markers if panel else ())
    names = parquet_names(sample.sample_id for sample in samples)
    written: list[IngestedFile] = []
    quarantined: list[dict[str, str]] = []
    with staged_folder(config.output, RECORD, overwrite=config.overwrite) as folder:
        for sample, name in zip(samples, names, strict=True):
            try:
                fcs = read_fcs(sample.path, compensated=config.compensate)
            except DataError as error:
                if config.on_error == "fail":
                    raise
                log.warning("quarantined: %s", error)
                quarantined.append({"file": sample.labels["file"], "reason": str(error)})
                continue
            columns = channel_columns(fcs, panel, channels, str(sample.path))
            first = written[0] if written else None
            written.append(_write_events(sample, fcs, columns, folder / name, first))
            log.info("%s: %d events", sample.path, written[-1].events)
        if not written:
            raise DataError(
                f"{config.sample_sheet}: none of the {len(samples)} FCS files could be read; the first: "
                f"{quarantined[0]['reason']}"
            )
        _write_facts(folder, config, written, quarantined)
    return IngestReport(
        len(written), sum(file.events for file in written), tuple(entry["file"] for entry in quarantined)
    )


def channel_columns(fcs: FcsFile, panel: Panel | None, channels: Mapping[str, str], where: str) -> dict[str, str]:
    """The column's name for each channel of a file, in the file's order.

    Args:
        fcs: The file.
        panel: The markers to name; without one every channel gets its marker name ($PnS).
        channels: The panel's marker for each channel; markers that have no channel here are looked up by $PnS.
        where: The file, for the message.

    Raises:
        PanelError: A channel or marker of the panel is missing, or two channels would get one name.
    """
    if panel is None:
        return dict(zip(fcs.channels, fcs.markers, strict=True))
    _check_present([*channels], fcs.channels, "channel", where)
    by_label = [marker for marker in panel.markers if marker not in channels.values()]
    _check_present(by_label, fcs.markers, "marker", where)
    stained = {marker: channel for channel, marker in zip(fcs.channels, fcs.markers, strict=True)}
    marker_of = {stained[marker]: marker for marker in by_label} | dict(channels)
    columns = {channel: marker_of.get(channel, channel) for channel in fcs.channels}
    claimed = [channel for channel, name in columns.items() if name in panel.markers]
    if len(claimed) != panel.n_markers or len(set(columns.values())) != len(columns):
        repeated = sorted({name for name in columns.values() if [*columns.values()].count(name) > 1})
        fault = f"{listing(repeated)} stands for two" if repeated else "a channel stands for two markers"
        raise PanelError(
            f"{where}: expected the panel to give each channel a name of its own; {fault}. "
            "Correct the panel's channel and marker columns."
        )
    return columns


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


def _check_present(wanted: Sequence[str], found: Sequence[str], noun: str, where: str) -> None:
    missing = [name for name in wanted if name not in found]
    if missing:
        named = f"{noun} {missing[0]!r} is" if len(missing) == 1 else f"{noun}s {listing(missing)} are"
        raise PanelError(
            f"{where}: {named} missing (the panel has {len(wanted)} {noun}s; this file has "
            f"{len(wanted) - len(missing)} of them{nearest_name(missing[0], set(found) - set(wanted))}). "
            "Correct the panel, or drop the file from the sample sheet."
        )


def _write_events(
    sample: SheetRow, fcs: FcsFile, columns: Mapping[str, str], path: Path, first: IngestedFile | None
) -> IngestedFile:
    where = str(sample.path)
    names = tuple(columns.values())
    taken = [name for name in names if name in sample.labels]
    if taken:
        raise DataError(
            f"{where}: channel {listing(taken)} has the name of a column of the sample sheet. "
            "Rename the sheet's column."
        )
    if first is not None:
        _check_same_columns(where, names, first)
    with storage_errors(where), sample.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    entry = IngestedFile(
        sample.labels["file"],
        sample.sample_id,
        path.name,
        len(fcs.intensities),
        digest,
        fcs.version,
        first.columns if first else names,
    )
    pq.write_table(
        _table(sample, fcs, columns, entry),
        path,
        compression="zstd",
        use_dictionary=list(sample.labels),
        row_group_size=ROW_GROUP_EVENTS,
    )
    return entry


def _check_same_columns(where: str, names: Sequence[str], first: IngestedFile) -> None:
    missing = [name for name in first.columns if name not in names]
    surplus = [name for name in names if name not in first.columns]
    if missing or surplus:
        faults = [f"it lacks {listing(missing)}"] * bool(missing) + [f"it adds {listing(surplus)}"] * bool(surplus)
        raise DataError(
            f"{where}: expected the {len(first.columns)} channels of {first.file}; {' and '.join(faults)}. "
            "Ingest files of different panels separately, or name the channels alike with a panel file."
        )


def _table(sample: SheetRow, fcs: FcsFile, columns: Mapping[str, str], entry: IngestedFile) -> pa.Table:
    with np.errstate(over="ignore"):  # found by check_finite
        intensities = fcs.intensities.astype(np.float32, copy=False)
    if fcs.intensities.dtype != np.float32:
        check_finite(sample.path, fcs.channels, intensities)
    zeros = np.zeros(entry.events, dtype=np.int32)
    arrays = {
        column: pa.DictionaryArray.from_arrays(zeros, pa.array([text], pa.string()))
        for column, text in sample.labels.items()
    }
    position = {name: number for number, name in enumerate(columns.values())}
    for name in entry.columns:  # the first file's order
        arrays[name] = pa.array(np.ascontiguousarray(intensities[:, position[name]]))
    facts = {
        "file": entry.file,
        "sha256": entry.sha256,
        "fcs_version": fcs.version,
        "channels": dict(columns),
        "compensated": fcs.compensated,
    }
    return pa.table(arrays).replace_schema_metadata({METADATA_KEY: json.dumps(facts, ensure_ascii=False)})


def _write_facts(
    folder: Path, config: IngestConfig, written: Sequence[IngestedFile], quarantined: Sequence[dict[str, str]]
) -> None:
    if quarantined:
        text = json.dumps(quarantined, indent=2, ensure_ascii=False)
        (folder / QUARANTINE).write_text(text + "\n", encoding="utf-8")
    files = [asdict(file) for file in written]
    for facts in files:
        del facts["columns"]  # the same for all
    write_record(
        folder,
        RECORD,
        {
            "versions": {"neuronedit": __version__} | {name: version(name) for name in ("flowio", "pyarrow", "numpy")},
            "settings": config.flat(),
            "columns": written[0].columns,
            "files": files,
        },
    )
