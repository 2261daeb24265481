"""Tables that people open in a spreadsheet, or save from one: CSV files, in UTF-8, and Excel workbooks."""

import csv
import io
import logging
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import InvalidOperation
from pathlib import Path
from typing import Any

import pandas as pd

from neuronedit.errors import NeuroneditError, listing

log = logging.getLogger(__name__)

_FORMULA = re.compile(r"[\t\r\n]|[\s'\"]*[=+\-@＝＋－＠]")
"""The beginning of a cell that a spreadsheet takes for a formula, once it has dropped quotes and spaces."""

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}

_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"

MAX_WORKBOOK_BYTES = 64 * 1024**2
"""Of all that an Excel workbook unpacks to."""

MAX_WORKBOOK_CELLS = 2_000_000

_DAMAGE = (
    AttributeError,
    EOFError,
    InvalidOperation,
    LookupError,
    OSError,
    SyntaxError,  # of XML
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What a damaged workbook lets the library raise."""


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
    r"""Read the lines of a CSV in UTF-8, or of an Excel workbook's first sheet, that have anything in a cell.

    Cells are separated by commas, semicolons (a European Excel) or tabs: whichever the first line has most of. Of a
    workbook's cells the texts are taken that they show; days and times as ISO 8601 has them, of formulas the value.

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
    if raw[:4] in (_ZIP, _OLE):
        return _workbook_rows(path, raw, noun, fault)
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


def _workbook_rows(path: str | Path, raw: bytes, noun: str, fault: Callable[[str], NeuroneditError]) -> list[Row]:
    """Read the first sheet of an Excel workbook that is not hidden."""
    found = "an older or a protected workbook (.xls)" if raw[:4] == _OLE else _zip_fault(raw)
    if found:
        raise fault(f"{path}: expected a {noun} that is a CSV in UTF-8, or .xlsx; found {found}. Save it as one.")
    try:
        import openpyxl
    except ImportError as error:
        raise fault(
            f"{path}: the {noun} is an Excel workbook, which needs openpyxl; it is not installed. Install it (pip "
            "install 'neuronedit[xlsx]'), or save the sheet as CSV in UTF-8."
        ) from error
    try:
        with warnings.catch_warnings(action="ignore"):  # of what else is in it: rules, pictures
            books = [openpyxl.load_workbook(io.BytesIO(raw), data_only=each) for each in (True, False)]
        shown = [[sheet for sheet in book.worksheets if sheet.sheet_state == "visible"] for book in books]
        (values, *_), (formulas, *_) = shown
        merged, n_cells = values.merged_cells.ranges, values.max_row * values.max_column
    except _DAMAGE as error:
        raise fault(f"{path}: the {noun} is a workbook that cannot be read ({error}). Save it again.") from error
    where = f"{path}: the sheet {values.title!r}"
    if n_cells > MAX_WORKBOOK_CELLS:
        raise fault(f"{where} has {n_cells:,} cells; expected at most {MAX_WORKBOOK_CELLS:,}. Save it as CSV in UTF-8.")
    if merged:
        first = min(merged, key=lambda cells: (cells.min_row, cells.min_col))
        raise fault(f"{where} has merged cells ({first}); expected a value in each. Unmerge them, and fill each.")
    _check_formulas(values, formulas, where, fault)
    lines = [(cells[0].row, [_shown(cell.value, cell.number_format) for cell in cells]) for cells in values.iter_rows()]
    rows = [Row(line, tuple(cells)) for line, cells in lines if any(cells)]
    if unseen := [row.line for row in rows if values.row_dimensions[row.line].hidden]:
        log.warning("%s: rows %s are hidden, and read like the others", path, listing(unseen))
    log.info("%s: read the sheet %r", path, values.title)
    return rows


def _check_formulas(values: Any, formulas: Any, where: str, fault: Callable[[str], NeuroneditError]) -> None:
    """Check that a sheet has no error, and that what saved it has computed its formulas."""
    uncomputed, computed = "", False
    for row, meant in zip(values.iter_rows(), formulas.iter_rows(), strict=True):
        for cell, formula in zip(row, meant, strict=True):
            if cell.data_type == "e":
                raise fault(f"{where} has the error {cell.value} in cell {cell.coordinate}. Correct it.")
            if formula.data_type == "f":
                computed |= cell.value is not None
                uncomputed = uncomputed or (cell.coordinate if cell.value is None else "")
    if uncomputed and not computed:  # where some are computed, the others' value is no text
        raise fault(
            f"{where} has formulas whose values were not saved, the first in cell {uncomputed}. Open the workbook in "
            "Excel and save it, or save the sheet as CSV in UTF-8."
        )


def _zip_fault(raw: bytes) -> str:
    """Say what a ZIP file is, if it is no workbook of Excel, or a huge one; empty otherwise."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            names, n_bytes = archive.namelist(), sum(entry.file_size for entry in archive.infolist())
    except (*_DAMAGE, NotImplementedError):
        return "a damaged workbook"
    if "xl/workbook.xml" not in names:
        return "another kind of workbook or archive (.ods, .xlsb, .zip)"
    return f"a workbook of {n_bytes:,} bytes" if n_bytes > MAX_WORKBOOK_BYTES else ""


def _shown(value: object, number_format: str) -> str:
    """Write a cell's value as a person sees it: 1, not 1.0; 007 where the format has leading zeros; a day as ISO."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    if isinstance(value, datetime | date | time):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if isinstance(value, int) and re.fullmatch("0+", number_format):
        return str(value).zfill(len(number_format))
    return str(value).strip()


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
