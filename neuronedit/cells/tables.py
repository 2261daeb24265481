"""Tables that people open in a spreadsheet, or save from one: CSV files, in UTF-8."""

import csv
import io
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from neuronedit.errors import NeuroneditError

log = logging.getLogger(__name__)

_FORMULA = re.compile(r"[\t\r\n]|[\s'\"]*[=+\-@＝＋－＠]")
"""The beginning of a cell that a spreadsheet takes for a formula, once it has dropped quotes and spaces."""

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}

_WORKBOOKS = {b"PK\x03\x04": "a workbook (.xlsx, .ods)", b"\xd0\xcf\x11\xe0": "a workbook (.xls)"}


def csv_text(table: pd.DataFrame, *, index: bool = False) -> str:
    """Write a table as CSV; a text that a spreadsheet would run as a formula gets an apostrophe before it.

    Numbers stay as they are, and so do texts that are numbers.

    Args:
        table: The table; its columns' names are texts.
        index: Write the rows' names, too.

    Example:
        >>> print(csv_text(pd.DataFrame({"marker": ["CD3", "=1+1"], "shift": [-0.5, 1.0]})), end="")
        marker,shift
        CD3,-0.5
        '=1+1,1.0
    """
    safe = table.copy()
    for number, kind in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            safe.isetitem(number, table.iloc[:, number].map(_harmless, na_action="ignore").array)
    safe.columns = safe.columns.map(_harmless)
    if index:
        safe.index = safe.index.map(_harmless)
    return safe.to_csv(index=index)


def write_csv(table: pd.DataFrame, path: Path, *, index: bool = False) -> None:
    r"""Write a table to a file as ``csv_text`` does.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_csv(pd.DataFrame({"marker": ["@CD3"]}), Path(folder, "markers.csv"))
        ...     Path(folder, "markers.csv").read_text()
        "marker\n'@CD3\n"
    """
    path.write_text(csv_text(table, index=index), encoding="utf-8", newline="")


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
    if workbook := _WORKBOOKS.get(raw[:4]):
        raise fault(f"{path}: expected a {noun} that is a CSV in UTF-8; found {workbook}. Save it as one.")
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


def _harmless(value: object) -> object:
    if not isinstance(value, str):
        return value
    value = re.sub("\r\n?", "\n", value)  # an unquoted \r would begin a row
    if not _FORMULA.match(value):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def _separator(lines: list[str]) -> tuple[str, int]:
    """The separator of a table's cells, and the number of its lines before the first of the table."""
    first = next((line for line in lines if line.strip()), "")
    told = re.fullmatch(r"sep=(.)\s*", first)
    if told and told[1] in SEPARATORS:  # Excel's own hint
        return told[1], lines.index(first) + 1
    unquoted = re.sub(r'"[^"]*"', "", first)
    return max(SEPARATORS, key=unquoted.count), 0
