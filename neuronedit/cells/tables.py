"""Tables that people open in a spreadsheet, or save from one: CSV files, in UTF-8."""

import re
from pathlib import Path

import pandas as pd

_FORMULA = re.compile(r"[\t\r\n]|[\s'\"]*[=+\-@＝＋－＠]")
"""The beginning of a cell that a spreadsheet takes for a formula, once it has dropped quotes and spaces."""

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


def workbook_kind(path: Path) -> str | None:
    r"""Tell which kind of workbook a file is that should be a CSV; None if it is none.

    Raises:
        OSError: The file cannot be read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "panel.csv").write_bytes(b"PK\x03\x04")
        ...     workbook_kind(Path(folder, "panel.csv"))
        'a workbook (.xlsx, .ods)'
    """
    with path.open("rb") as file:
        return _WORKBOOKS.get(file.read(4))


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
