"""Excel workbooks are read as a person sees them, or refused with a remedy."""

import logging
import re
import sys
import zipfile
from datetime import date, datetime, time
from pathlib import Path

import openpyxl
import pytest

from neuronedit.cells import tables
from neuronedit.cells.panel import read_panel
from neuronedit.cells.tables import Row, read_rows
from neuronedit.errors import DataError, PanelError


def cells_of(path: Path) -> list[tuple[str, ...]]:
    return [row.cells for row in read_rows(path, "sample sheet", DataError)]


@pytest.fixture
def workbook(tmp_path):
    """A function that saves rows as the first sheet, after the workbook was changed as wanted."""

    def save(rows, change=lambda book: None, name="samples.xlsx"):
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        change(book)
        book.save(tmp_path / name)
        return tmp_path / name

    return save


def with_values(path: Path, *values: str) -> Path:
    """Put values beside the formulas, as Excel does and openpyxl does not."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    text = parts["xl/worksheets/sheet1.xml"].decode()
    assert text.count("</f><v />") == len(values)
    for value in values:
        text = text.replace("</f><v />", f"</f><v>{value}</v>", 1)
    parts["xl/worksheets/sheet1.xml"] = text.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def refused(path: Path, message: str) -> None:
    with pytest.raises(DataError) as told:
        read_rows(path, "sample sheet", DataError)
    assert str(told.value) == message.replace("FILE", str(path))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (1.5, "1.5"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (-2, "-2"),
        ("007", "007"),
        (" day 1 ", "day 1"),
        (True, "TRUE"),
        (date(2026, 11, 30), "2026-11-30"),
        (datetime(2026, 11, 30), "2026-11-30"),
        (datetime(2026, 11, 30, 8, 15), "2026-11-30 08:15:00"),
        (time(8, 15), "08:15:00"),
        ("IFN-γ", "IFN-γ"),
        (None, ""),
    ],
)
def test_a_cell_is_the_text_that_it_shows(workbook, value, text):
    assert cells_of(workbook([["name", "value"], ["x", value]])) == [("name", "value"), ("x", text)]


def test_leading_zeros_of_a_format_are_shown(workbook):
    def zeros(book):
        book.active["A2"].number_format = "000"

    assert cells_of(workbook([["donor"], [7]], zeros)) == [("donor",), ("007",)]


def test_lines_are_excels_rows_and_empty_ones_are_none(workbook):
    path = workbook([[], ["marker", None], [], ["CD3", None], [" ", None], ["CD4", "x"]])
    assert [row.line for row in read_rows(path, "panel file", PanelError)] == [2, 4, 6]
    assert read_rows(path, "panel file", PanelError)[1] == Row(4, ("CD3", ""))


def test_the_first_sheet_that_can_be_seen_is_read(workbook, caplog):
    def hide_first(book):
        book.create_sheet("samples")["A1"] = "this one"
        book.create_sheet("notes")["A1"] = "not that"
        book.active = 1
        book.worksheets[0].sheet_state = "hidden"

    caplog.set_level(logging.INFO)
    path = workbook([["nor this"]], hide_first)
    assert cells_of(path) == [("this one",)]
    assert caplog.messages == [f"{path}: read the sheet 'samples'"]


def test_hidden_rows_are_read_and_told(workbook, caplog):
    def hide(book):
        for row in (3, 9):  # there is no row 9
            book.active.row_dimensions[row].hidden = True

    path = workbook([["marker"], ["CD3"], ["CD4"]], hide)
    assert cells_of(path) == [("marker",), ("CD3",), ("CD4",)]
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warned == [f"{path}: rows 3 are hidden, and read like the others"]


def test_merged_cells_are_refused(workbook):
    def merge(book):
        book.active.merge_cells("C2:C3")
        book.active.merge_cells("B2:B3")

    refused(
        workbook([["file", "batch_id"], ["a.fcs", 1], ["b.fcs", None]], merge),
        "FILE: the sheet 'Sheet' has merged cells (B2:B3); expected a value in each. Unmerge them, and fill each.",
    )


def test_of_formulas_the_saved_value_is_taken(workbook):
    path = workbook([["batch", "note"], ["=1+1", '=IF(A2=1,"x","")']])
    assert cells_of(with_values(path, "2", "")) == [("batch", "note"), ("2", "")]


def test_formulas_whose_values_were_not_saved_are_refused(workbook):
    refused(
        workbook([["batch", "note"], ["=1+1", "=A2"]]),
        "FILE: the sheet 'Sheet' has formulas whose values were not saved, the first in cell A2. Open the workbook in "
        "Excel and save it, or save the sheet as CSV in UTF-8.",
    )


def test_an_error_in_a_cell_is_refused(workbook):
    refused(workbook([["batch"], ["#N/A"]]), "FILE: the sheet 'Sheet' has the error #N/A in cell A2. Correct it.")


def test_without_openpyxl_the_remedy_is_told(workbook, monkeypatch):
    path = workbook([["marker"], ["CD3"]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    refused(
        path,
        "FILE: the sample sheet is an Excel workbook, which needs openpyxl; it is not installed. Install it (pip "
        "install 'neuronedit[xlsx]'), or save the sheet as CSV in UTF-8.",
    )


@pytest.mark.parametrize("part", ["content.xml", "xl/workbook.bin"])
def test_workbooks_of_other_kinds_are_refused(tmp_path, part):
    with zipfile.ZipFile(tmp_path / "samples.ods", "w") as archive:
        archive.writestr(part, "")
    refused(
        tmp_path / "samples.ods",
        "FILE: expected a sample sheet that is a CSV in UTF-8, or .xlsx; found another kind of workbook or archive "
        "(.ods, .xlsb, .zip). Save it as one.",
    )


def test_a_workbook_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(workbook, monkeypatch):
    monkeypatch.setattr(tables, "MAX_WORKBOOK_BYTES", 1000)
    with pytest.raises(DataError, match=r"found a workbook of [\d,]+ bytes\. Save it as one\.$"):
        cells_of(workbook([["marker"]]))


def test_a_sheet_of_too_many_cells_is_refused(workbook):
    def far(book):
        book.active["XFD1000"] = "stray"

    with pytest.raises(DataError, match=r"the sheet 'Sheet' has 16,384,000 cells; expected at most 2,000,000\. Save"):
        cells_of(workbook([["marker"]], far))


def test_a_damaged_workbook_is_refused_wherever_it_is_damaged(workbook, tmp_path):
    whole = workbook([["file", "batch_id"], ["a.fcs", 1]]).read_bytes()
    path = tmp_path / "damaged.xlsx"
    for start in range(4, len(whole), 97):
        path.write_bytes(whole[:start] + bytes(20) + whole[start + 20 :])
        try:
            read_rows(path, "sample sheet", DataError)
        except DataError as error:
            assert re.search(r"damaged|cannot be read|another kind|the sheet", str(error)), start  # noqa: PT017
        path.write_bytes(whole[:start])
        with pytest.raises(DataError, match="damaged workbook"):
            read_rows(path, "sample sheet", DataError)


@pytest.mark.parametrize(
    "part", ["xl/workbook.xml", "xl/worksheets/sheet1.xml", "xl/styles.xml", "[Content_Types].xml"]
)
@pytest.mark.parametrize("content", ["", "<x/>", "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;", "\0"])
def test_a_workbook_whose_parts_are_no_parts_is_refused(workbook, part, content):
    path = workbook([["marker"], ["CD3"]])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()} | {part: content.encode()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, each in parts.items():
            archive.writestr(name, each)
    try:
        found = cells_of(path)
    except DataError as error:
        assert "is a workbook that cannot be read" in str(error)  # noqa: PT017
    else:
        assert found in ([], [("marker",), ("CD3",)])


def test_a_panel_may_be_a_workbook(workbook):
    rows = [["Channel", "Marker", "role", "cofactor"], ["Y89Di", "CD45", None, 5], [], ["Nd1", "CD3", "lineage", 5.5]]
    panel, channels = read_panel(workbook(rows))
    assert (panel.markers, channels) == (("CD45", "CD3"), {"Y89Di": "CD45", "Nd1": "CD3"})
    assert [transform.cofactor for transform in panel.transforms] == [5.0, 5.5]
    with pytest.raises(PanelError, match=r"samples\.xlsx, line 5: marker 'CD4': cofactor is 'x'; expected a number"):
        read_panel(workbook([*rows, ["Nd2", "CD4", None, "x"]]))
