"""Tables as people save them from spreadsheets: panels, sample sheets, spillover matrices."""

import csv
import io
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from neuronedit.errors import NeuroneditError

log = logging.getLogger(__name__)

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}

_WORKBOOKS = {b"PK\x03\x04": "an Excel workbook (.xlsx)", b"\xd0\xcf\x11\xe0": "an Excel workbook (.xls)"}


@dataclass(frozen=True)
class Row:
    """One line of a table: its number in the file, from 1, and its cells without surrounding spaces."""

    line: int
    cells: tuple[str, ...]

    @property
    def n_filled(self) -> int:
        """The number of cells without the empty ones at the end."""
        return max((number for number, cell in enumerate(self.cells, start=1) if cell), default=0)


def read_rows(path: str | Path, noun: str, fault: Callable[[str], NeuroneditError]) -> list[Row]:
    r"""Read the lines of a CSV in UTF-8 that have anything in a cell.

    Cells are separated by commas, semicolons (a European Excel) or tabs: whichever the first line has most of.

    Args:
        path: The file.
        noun: Its meaning, for messages: ``panel file``.
        fault: The kind of error to raise.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from neuronedit.errors import PanelError
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "panel.csv").write_text("channel;marker\n;\nY89Di; CD45")
        ...     read_rows(Path(folder, "panel.csv"), "panel file", PanelError)
        [Row(line=1, cells=('channel', 'marker')), Row(line=3, cells=('Y89Di', 'CD45'))]
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise fault(f"{path}: the {noun} cannot be read ({error.strerror}). Check the path.") from error
    if raw[:4] in _WORKBOOKS:
        raise fault(
            f"{path}: expected the {noun} as a CSV in UTF-8; found {_WORKBOOKS[raw[:4]]}. "
            "Save it from Excel as CSV UTF-8."
        )
    try:
        lines = list(io.StringIO(raw.decode("utf-8-sig"), newline=""))
        separator, first = _separator(lines)
        reader = csv.reader(lines[first:], delimiter=separator, skipinitialspace=True, strict=True)
        rows = [Row(reader.line_num + first, tuple(cell.strip() for cell in cells)) for cells in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise fault(f"{path}: the {noun} is not a CSV in UTF-8 ({error}). Save it as one.") from error
    if separator != ",":
        log.info("%s: read as cells separated by %s", path, SEPARATORS[separator])
    return [row for row in rows if any(row.cells)]


def _separator(lines: list[str]) -> tuple[str, int]:
    """The separator of a table's cells, and the number of its lines before the first of the table."""
    first = next((line for line in lines if line.strip()), "")
    told = re.fullmatch(r"sep=(.)\s*", first)
    if told and told[1] in SEPARATORS:  # Excel's own hint
        return told[1], lines.index(first) + 1
    unquoted = re.sub(r'"[^"]*"', "", first)
    return max(SEPARATORS, key=unquoted.count), 0
