import re
from datetime import datetime

import openpyxl
import pytest

from neuronedit.adapters.fcs.sample_sheet import read_sample_sheet
from neuronedit.errors import DataError

SHEET = "file,sample_id,batch_id,donor\na.fcs,s1,b1,d1\nb.fcs,s2,b1,007\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.fcs").touch()
    (tmp_path / "b.fcs").touch()
    return tmp_path


def write(folder, text):
    path = folder / "samples.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_column_is_kept_as_text(folder):
    first, second = read_sample_sheet(write(folder, SHEET))
    assert first.path == folder / "a.fcs"
    assert second.labels == {"file": "b.fcs", "sample_id": "s2", "batch_id": "b1", "donor": "007"}
    assert (first.sample_id, second.sample_id) == ("s1", "s2")


def test_spaces_blank_lines_quotes_and_a_byte_order_mark_do_no_harm(folder):
    text = '\ufefffile, sample_id ,batch_id,note\n\na.fcs , s1,b1,"one, two"\n,,,\nb.fcs,s2,b2,\n'
    samples = read_sample_sheet(write(folder, text))
    assert [sample.labels["note"] for sample in samples] == ["one, two", ""]
    assert samples[0].path == folder / "a.fcs"


def test_files_may_lie_elsewhere(folder):
    other = folder / "sheets"
    other.mkdir()
    assert read_sample_sheet(write(other, SHEET), folder)[0].path == folder / "a.fcs"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a sample sheet with one line per FCS file; found nothing. Add the files."),
        ("file,sample_id,batch_id\n\n", "found only column names. Add the files."),
        ("file,sample,batch_id\na.fcs,s1,b1\n", "column 'sample_id' is missing (found 'file', 'sample', 'batch_id'"),
        ("file,sample,batch_id\na.fcs,s1,b1\n", "; nearest name 'sample'). Add or rename the column."),
        ("file,sample_id,batch_id,\na.fcs,s1,b1,x\n", "column 4 has no name. Name it in the first line."),
        ("file,sample_id,batch_id,file\na.fcs,s1,b1,x\n", "column 'file' stands more than once. Name each column once"),
        (
            SHEET.replace("b.fcs", "a.fcs"),
            "a.fcs' stands more than once. Give each sample its own line.",
        ),
        (SHEET.replace("b.fcs", "./a.fcs"), "a.fcs' stands more than once"),
        (
            SHEET.replace("s2", "s1"),
            "samples.csv, lines 2, 3: sample_id 's1' stands more than once. Give each",
        ),
        (SHEET.replace("b.fcs", ""), "line 3: the cell of column 'file' is empty. Fill it in."),
        (SHEET.replace("s2", " "), "line 3: the cell of column 'sample_id' is empty."),
        (SHEET.replace("s1,b1", "s1,"), "line 2: the cell of column 'batch_id' is empty."),
        (SHEET.replace("007", "0,7"), "line 3: expected 4 cells, as the first line has; found 5. Quote cells"),
        (SHEET.replace(",007", ""), "line 3: expected 4 cells, as the first line has; found 3."),
        ('file,sample_id,batch_id\na.fcs,"s1"x,b1\n', "the sample sheet is not a CSV in UTF-8 ("),
        (SHEET.replace("donor", "CD4"), "column 'CD4' has the name of a marker. Rename the column."),
    ],
)
def test_a_faulty_sheet_is_refused(folder, text, message):
    path = write(folder, text)
    with pytest.raises(DataError, match=re.escape(message)) as error:
        read_sample_sheet(path, markers=["CD3", "CD4"])
    assert str(error.value).startswith(str(path))


def test_all_missing_files_are_listed(folder):
    lines = [f"m{number}.fcs,s{number},b1" for number in range(10)]
    path = write(folder, "\n".join(["file,sample_id,batch_id", "a.fcs,a,b1", *lines]))
    names = ", ".join(f"'m{number}.fcs'" for number in range(10))
    message = f"{path}: 10 of 11 FCS files do not exist in {folder}: {names}. Correct the sheet, or set fcs_folder."
    with pytest.raises(DataError, match=re.escape(message)):
        read_sample_sheet(path)


def test_a_sheet_that_is_missing_or_not_text_is_refused(folder):
    with pytest.raises(DataError, match=r"none\.csv: the sample sheet cannot be read \(No such file or directory\)"):
        read_sample_sheet(folder / "none.csv")
    path = folder / "samples.csv"
    path.write_bytes(b"file,sample_id,batch_id\n\xff\xfe,s,b\n")
    with pytest.raises(DataError, match=r"samples\.csv: the sample sheet is not a CSV in UTF-8 \('utf-8' codec"):
        read_sample_sheet(path)


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs"), (",", None)])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n"])
def test_cells_may_be_separated_by_commas_semicolons_or_tabs(folder, separator, name, start, caplog):
    caplog.set_level("INFO")
    path = write(folder, start + SHEET.replace(",", separator))
    assert [sample.labels["donor"] for sample in read_sample_sheet(path)] == ["d1", "007"]
    said = [record.getMessage() for record in caplog.records]
    assert said == ([f"{path}: read as cells separated by {name}"] if name else [])


def test_excels_hint_at_the_separator_is_understood(folder):
    samples = read_sample_sheet(write(folder, "sep=;\r\n" + SHEET.replace(",", ";")))
    assert [sample.sample_id for sample in samples] == ["s1", "s2"]
    with pytest.raises(DataError, match=r"line 4: the cell of column 'sample_id' is empty"):
        read_sample_sheet(write(folder, "sep=;\r\n" + SHEET.replace(",", ";").replace("s2", "")))


def test_columns_may_be_named_in_capitals(folder):
    first, _ = read_sample_sheet(
        write(folder, SHEET.replace("file,sample_id,batch_id,donor", "File,Sample_ID,BATCH_ID,Donor"))
    )
    assert first.labels == {"file": "a.fcs", "sample_id": "s1", "batch_id": "b1", "Donor": "d1"}


def test_empty_rows_and_columns_of_excel_are_no_part_of_the_sheet(folder):
    lines = [*(f"{line},," for line in SHEET.splitlines()), ",,,,,", " , ,,,,", ""]
    _, second = read_sample_sheet(write(folder, "\r\n".join(lines)))
    assert second.labels == {"file": "b.fcs", "sample_id": "s2", "batch_id": "b1", "donor": "007"}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\x03\x04", "a damaged workbook"),
        (b"\xd0\xcf\x11\xe0\xa1", "an older or a protected workbook (.xls)"),
    ],
)
def test_a_workbook_that_cannot_be_a_sheet_is_told(folder, content, kind):
    (folder / "samples.xlsx").write_bytes(content)
    message = f"samples.xlsx: expected a sample sheet that is a CSV in UTF-8, or .xlsx; found {kind}. Save it as one."
    with pytest.raises(DataError, match=re.escape(message)):
        read_sample_sheet(folder / "samples.xlsx")


@pytest.mark.parametrize("name", ["a" * 300, "a\0b.fcs", "loop/a.fcs"], ids=["long", "null byte", "circle"])
def test_a_name_that_no_file_can_have_is_of_no_file(folder, name):
    (folder / "loop").symlink_to("loop")
    with pytest.raises(DataError, match="1 of 1 FCS files do not exist in "):
        read_sample_sheet(write(folder, f"file,sample_id,batch_id\n{name},s1,b1\n"))


def test_a_sheet_may_be_a_workbook_with_the_checks_of_any_other(folder):
    def save(*rows):
        book = openpyxl.Workbook()
        for row in (["File", "sample_id", "batch_id", "day"], *rows):
            book.active.append(row)
        book.save(folder / "samples.xlsx")
        return folder / "samples.xlsx"

    day = datetime(2026, 11, 30)
    first, second = read_sample_sheet(save(["a.fcs", "s1", 1, day], [], ["b.fcs", 2, 1.0, None]))
    assert first.labels == {"file": "a.fcs", "sample_id": "s1", "batch_id": "1", "day": "2026-11-30"}
    assert second.labels == {"file": "b.fcs", "sample_id": "2", "batch_id": "1", "day": ""}
    with pytest.raises(DataError, match=r"samples\.xlsx, line 4: the cell of column 'batch_id' is empty\. Fill it in"):
        read_sample_sheet(save(["a.fcs", "s1", 1], [], ["b.fcs", "s2", None]))
    with pytest.raises(DataError, match=r"samples\.xlsx, lines 2, 4: sample_id '1' stands more than once"):
        read_sample_sheet(save(["a.fcs", 1, 1], [], ["b.fcs", "1", 2]))
