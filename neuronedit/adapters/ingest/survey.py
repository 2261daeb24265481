"""The first look at all FCS files of a sheet: what they say of themselves, and the columns that they get together."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from neuronedit.adapters.fcs.columns import (
    PanelFile,
    Passengers,
    channel_columns,
    check_same_columns,
    choose_passengers,
)
from neuronedit.adapters.fcs.data import Offsets
from neuronedit.adapters.fcs.file import FcsFile, read_fcs
from neuronedit.adapters.fcs.looks import Findings, KeywordsLook
from neuronedit.adapters.fcs.parquet_file import parquet_names
from neuronedit.adapters.fcs.sample_sheet import SheetRow
from neuronedit.adapters.files.dataset import EventFile
from neuronedit.adapters.files.storage import Location
from neuronedit.adapters.files.walk import entry_of, printable
from neuronedit.adapters.ingest.ingester import LOCAL, IngestItem, IngestRules
from neuronedit.adapters.transform.committed import LeftOut
from neuronedit.cells.compensation import read_spillover_file
from neuronedit.cells.names import tell_no_markers
from neuronedit.cells.panel import read_panel
from neuronedit.errors import DataError, PanelError, listing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class IngestChoices:
    """What a user decides of an ingest.

    Attributes:
        panel: The file of the panel; None to give each channel its own marker name ($PnS).
        passengers: The channels outside the panel to keep.
        labels: Whether a file's labels may not contradict the panel.
        compensate: Whether to apply each file's own spillover matrix.
        spillover: The file of a matrix for all files; None for their own.
        silent: Whether not to compensate was asked for.
        offsets: Where DATA lies, if an FCS file's HEADER and TEXT differ.
        data_set: Which data set of files that have several.
        quarantine: List files that cannot be used, and go on.
    """

    panel: str | None = None
    passengers: Passengers = "common"
    labels: Literal["check", "ignore"] = "check"
    compensate: bool = False
    spillover: str | None = None
    silent: bool = False
    offsets: Offsets = "auto"
    data_set: int | None = None
    quarantine: bool = False

    @property
    def compensates(self) -> bool:
        """Whether spillover is undone."""
        return self.compensate or self.spillover is not None

    def read_panel(self) -> PanelFile | None:
        """Read the panel.

        Raises:
            PanelError: It cannot be read.
        """
        if self.panel is None:
            return None
        panel, channels = read_panel(self.panel)
        tell_no_markers(panel.markers, self.panel)
        return PanelFile(panel, channels, self.labels == "check")


@dataclass(frozen=True)
class Survey:
    """What the first look at all files found.

    Attributes:
        sheet: The sample sheet.
        items: The files to ingest.
        rules: How to ingest them.
        left_out: Files that cannot be used, and why.
    """

    sheet: str
    items: tuple[IngestItem, ...]
    rules: IngestRules
    left_out: tuple[LeftOut, ...]

    @classmethod
    def of(cls, sheet: str, rows: Sequence[SheetRow], choices: IngestChoices, given: PanelFile | None) -> "Survey":
        """Read HEADER and TEXT of each file; what looks wrong and can be read is logged as a warning.

        Args:
            sheet: The sample sheet.
            rows: Its rows.
            choices: The user's.
            given: The panel.

        Raises:
            DataError: A file cannot be used, or none can.
            PanelError: A file lacks a channel of the panel.
        """
        spillover = read_spillover_file(choices.spillover) if choices.spillover else None
        look = KeywordsLook(given, compensates=choices.compensates, silent=choices.silent, told=Findings())
        names = parquet_names(row.sample_id for row in rows)
        items: list[IngestItem] = []
        left_out: list[LeftOut] = []
        columns = _Columns(choices, given)
        for row, name in zip(rows, names, strict=True):
            file = row.labels["file"]
            try:
                fcs = read_fcs(row.path, data_set=choices.data_set, offsets=choices.offsets)
                columns.take(row, fcs)
                items.append(IngestItem(f"{name}", _listed(row, fcs), row.labels, fcs.version))
            except (DataError, PanelError) as error:
                if not choices.quarantine:
                    raise
                log.warning("quarantined: %s", error)
                left_out.append(LeftOut(file, None, 0, None, str(error)))
            else:
                look.look(file, fcs)
        chosen = columns.choose()
        look.tell()
        if not items:
            raise none_usable(sheet, left_out)
        rules = IngestRules(
            panel=given,
            columns=tuple(chosen),
            compensates=choices.compensates,
            spillover=spillover,
            offsets=choices.offsets,
            data_set=choices.data_set,
            quarantine=choices.quarantine,
        )
        return cls(sheet, tuple(items), rules, tuple(left_out))


def none_usable(sheet: str, left_out: Sequence[LeftOut]) -> DataError:
    """Make the error for a sheet none of whose files can be used."""
    return DataError(f"{sheet}: none of the {len(left_out)} FCS files could be used; the first: {left_out[0].reason}")


class _Columns:
    """The columns of all files; equal lists of names are kept once."""

    def __init__(self, choices: IngestChoices, given: PanelFile | None) -> None:
        self.passengers = choices.passengers
        self.given = given
        self._files: dict[str, tuple[str, ...]] = {}
        self._once: dict[tuple[str, ...], tuple[str, ...]] = {}

    def take(self, row: SheetRow, fcs: FcsFile) -> None:
        """Take in a file's columns."""
        where, file = str(row.path), row.labels["file"]
        names = tuple(channel_columns(fcs, self.given, where).values())
        kept = self.given.panel.markers if self.given and self.passengers == "none" else names
        if taken := [name for name in kept if name in row.labels]:
            raise DataError(
                f"{where}: channel {listing(taken)} has the name of a column of the sample sheet. "
                "Rename the sheet's column."
            )
        if self.given is None and self._files:
            first = next(iter(self._files))
            check_same_columns(names, self._files[first], where, first)
        self._files[file] = self._once.setdefault(names, names)

    def choose(self) -> Sequence[str]:
        """The columns that the dataset has."""
        if self.given is None:
            return next(iter(self._files.values()), ())
        columns, partial = choose_passengers(self._files, self.given.panel.markers, self.passengers)
        if partial and self.passengers == "common":
            shown = (f"{name} ({listing(files, limit=3)})" for name, files in partial.items())
            log.warning(
                "channels outside the panel that not all files have are left out: %s. passengers = all keeps them, "
                "empty where a file has none.",
                ", ".join(shown),
            )
        return columns


def _listed(row: SheetRow, fcs: FcsFile) -> EventFile:
    """The file as it is now: written again, it is another."""
    path = str(row.path)
    if printable(path) != path:
        raise DataError(f"{printable(path)}: the name is not UTF-8, so that no record can have it. Rename the folder.")
    entry = entry_of(Location(LOCAL, path))
    return EventFile(path, row.labels["file"], fcs.n_events, entry.n_bytes, {}, entry.stamp)
