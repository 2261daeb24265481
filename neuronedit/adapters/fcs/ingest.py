"""Ingest: FCS files and their sample sheet become a Parquet dataset of raw intensities, a file for each."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import Field, model_validator

from neuronedit import __version__
from neuronedit.adapters.fcs.columns import (
    PanelFile,
    Passengers,
    channel_columns,
    check_same_columns,
    choose_passengers,
)
from neuronedit.adapters.fcs.data import Offsets
from neuronedit.adapters.fcs.file import read_fcs
from neuronedit.adapters.fcs.looks import (
    Findings,
    look_at_batches,
    look_at_files,
    look_at_spillover,
)
from neuronedit.adapters.fcs.parquet_file import IngestedFile, Sample, parquet_names, write_events
from neuronedit.adapters.fcs.sample_sheet import SheetRow, read_sample_sheet
from neuronedit.adapters.files.staged_folder import staged_folder, write_record
from neuronedit.cells.compensation import (
    Spillover,
    match_channels,
    read_spillover,
    read_spillover_file,
)
from neuronedit.cells.names import tell_no_markers
from neuronedit.cells.panel import read_panel
from neuronedit.config import Config
from neuronedit.errors import DataError, PanelError, listing

log = logging.getLogger(__name__)

RECORD = "_ingest.json"
QUARANTINE = "_quarantine.json"
T = TypeVar("T")


class IngestConfig(Config):
    """FCS files and their sample sheet → a Parquet dataset of raw intensities."""

    sample_sheet: str = Field(
        description="CSV or .xlsx: columns 'file', 'sample_id', 'batch_id', and any others (role, condition, …)"
    )
    fcs_folder: str | None = Field(None, description="where the sheet's files lie; by default beside the sheet")
    panel: str | None = Field(
        None,
        description="CSV or .xlsx: channel, marker, role, cofactor, …; by default each channel's own marker ($PnS)",
    )
    output: str = Field(description="the folder of the Parquet dataset to write")
    compensate: bool = Field(
        False,
        description="apply the spillover matrix stored in each file (flow cytometry); false, where it is given, says "
        "that a matrix in the files is left out on purpose",
    )
    spillover: str | None = Field(
        None, description="CSV of a spillover matrix to compensate all files with, in place of their own"
    )
    passengers: Passengers = Field(
        "common",
        description="channels outside the panel: keep those that all files have, all (empty where a file has none), "
        "or none",
    )
    labels: Literal["check", "ignore"] = Field(
        "check",
        description="check: a file whose own label of a channel ($PnS) is another marker of the panel is an error",
    )
    offsets: Offsets = Field(
        "auto", description="where DATA lies, if an FCS file's HEADER and TEXT differ: auto takes what fits $TOT"
    )
    data_set: int | None = Field(
        None, ge=1, description="which data set of files that have several; by default the first, with a warning"
    )
    on_error: Literal["fail", "quarantine"] = Field(
        "fail",
        description="quarantine: list files that cannot be used in _quarantine.json, go on, and exit with status 3",
    )
    overwrite: bool = Field(False, description="replace the output of an earlier ingest")

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        if self.spillover and "compensate" in self.model_fields_set and not self.compensate:
            raise ValueError("spillover is a matrix to compensate with, and compensate is false; leave one out")
        if self.passengers != "common" and not self.panel:
            raise ValueError(f"passengers = {self.passengers} are channels outside a panel; give a panel")
        return self

    @property
    def compensates(self) -> bool:
        """Whether spillover is undone."""
        return self.compensate or self.spillover is not None


@dataclass(frozen=True)
class IngestReport:
    """The result of an ingest: numbers of files and events written, and names of the files that it could not use."""

    files: int
    events: int
    quarantined: tuple[str, ...]


@dataclass
class _Quarantine:
    """Files that cannot be used, each with the reason."""

    goes_on: bool
    files: list[dict[str, str]]

    def attempt(self, sample: SheetRow, action: Callable[[], T]) -> T | None:
        """Do something with a file; None where it cannot be used and the job goes on."""
        try:
            return action()
        except (DataError, PanelError) as error:
            if not self.goes_on:
                raise
            log.warning("quarantined: %s", error)
            self.files.append({"file": sample.labels["file"], "reason": str(error)})
            return None


def ingest(config: IngestConfig) -> IngestReport:
    """Write one Parquet file per FCS file of the sample sheet, all or nothing.

    Each file has the sheet's columns (dictionary-encoded text), then a float32 column of raw intensities per
    channel: the panel's markers under the marker's name, other channels under their own. Without a panel every
    channel has its marker name ($PnS). What looks wrong and can be read is logged as a warning.

    Raises:
        DataError: The sheet or a file cannot be used (files only where ``on_error`` is ``fail``), no file is left,
            files differ in their columns, or a channel has the name of a column of the sheet.
        PanelError: The panel cannot be read, or a file lacks one of its channels (only where ``on_error`` is ``fail``).
        OutputError: The output exists and may not be replaced.
    """
    given = _read_panel(config)
    rows = read_sample_sheet(config.sample_sheet, config.fcs_folder, given.panel.markers if given else ())
    spillover = read_spillover_file(config.spillover) if config.spillover else None
    names = dict(zip([row.sample_id for row in rows], parquet_names(row.sample_id for row in rows), strict=True))
    aside, told = _Quarantine(config.on_error == "quarantine", []), Findings()
    with staged_folder(config.output, RECORD, overwrite=config.overwrite) as folder:
        samples, columns = _read_files(config, rows, given, aside)
        silent = "compensate" in config.model_fields_set
        files = {sample.file: sample.fcs for sample in samples}
        look_at_files(files, given, compensates=config.compensates, silent=silent, told=told)
        told.tell()
        written: list[IngestedFile] = []
        for sample in samples:
            path = folder / names[sample.row.sample_id]

            def write(sample: Sample = sample, path: Path = path) -> IngestedFile:
                matrix = _matrix(sample, spillover, told) if config.compensates else None
                return write_events(sample, path, columns, given.panel.markers if given else columns, matrix, told)

            entry = aside.attempt(sample.row, write)
            if entry is None:
                path.unlink(missing_ok=True)
            else:
                written.append(entry)
                log.info("%s: %d events", sample.row.path, entry.events)
        told.tell()
        if not written:
            raise DataError(
                f"{config.sample_sheet}: none of the {len(rows)} FCS files could be used; the first: "
                f"{aside.files[0]['reason']}"
            )
        kept = {entry.sample_id for entry in written}
        look_at_batches([row.labels for row in rows if row.sample_id in kept], config.sample_sheet)
        _write_facts(folder, config, columns, written, aside.files)
    return IngestReport(
        len(written), sum(file.events for file in written), tuple(entry["file"] for entry in aside.files)
    )


def _read_panel(config: IngestConfig) -> PanelFile | None:
    if config.panel is None:
        return None
    panel, channels = read_panel(config.panel)
    tell_no_markers(panel.markers, config.panel)
    return PanelFile(panel, channels, config.labels == "check")


def _read_files(
    config: IngestConfig, rows: Sequence[SheetRow], given: PanelFile | None, aside: _Quarantine
) -> tuple[list[Sample], list[str]]:
    """What the files say of themselves, and the columns that the dataset has of their channels."""
    samples: list[Sample] = []

    def read(row: SheetRow) -> Sample:
        where = str(row.path)
        fcs = read_fcs(row.path, data_set=config.data_set, offsets=config.offsets)
        sample = Sample(row, fcs, channel_columns(fcs, given, where))
        kept = given.panel.markers if given and config.passengers == "none" else sample.columns.values()
        taken = [name for name in kept if name in row.labels]
        if taken:
            raise DataError(
                f"{where}: channel {listing(taken)} has the name of a column of the sample sheet. "
                "Rename the sheet's column."
            )
        if given is None and samples:
            first = samples[0]
            check_same_columns([*sample.columns.values()], [*first.columns.values()], where, first.file)
        return sample

    for row in rows:
        sample = aside.attempt(row, lambda row=row: read(row))  # type: ignore[misc]
        if sample is not None:
            samples.append(sample)
    if given is None:
        return samples, list(samples[0].columns.values()) if samples else []
    names = {sample.file: list(sample.columns.values()) for sample in samples}
    columns, partial = choose_passengers(names, given.panel.markers, config.passengers)
    if partial and config.passengers == "common":
        shown = (f"{name} ({listing(files, limit=3)})" for name, files in partial.items())
        log.warning(
            "channels outside the panel that not all files have are left out: %s. passengers = all keeps them, empty "
            "where a file has none.",
            ", ".join(shown),
        )
    return samples, columns


def _matrix(sample: Sample, spillover: Spillover | None, told: Findings) -> Spillover:
    """The matrix that a file is compensated with: the one given, or its own."""
    where, labels = str(sample.row.path), [channel.label for channel in sample.fcs.described]
    found = spillover or read_spillover(sample.fcs.keywords, where)
    look_at_spillover(sample.file, sample.fcs, found, told)
    return match_channels(found, sample.fcs.channels, labels, where)


def _write_facts(
    folder: Path,
    config: IngestConfig,
    columns: Sequence[str],
    written: Sequence[IngestedFile],
    quarantined: Sequence[dict[str, str]],
) -> None:
    if quarantined:
        text = json.dumps(quarantined, indent=2, ensure_ascii=False)
        (folder / QUARANTINE).write_text(text + "\n", encoding="utf-8")
    write_record(
        folder,
        RECORD,
        {
            "versions": {"neuronedit": __version__} | {name: version(name) for name in ("pyarrow", "numpy")},
            "settings": config.flat(),
            "columns": columns,
            "files": [asdict(file) for file in written],
        },
    )
