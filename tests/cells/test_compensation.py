import numpy as np
import pytest

from neuronedit.cells.compensation import (
    Spillover,
    compensate,
    match_channels,
    read_spillover,
    read_spillover_file,
)
from neuronedit.errors import DataError

CHANNELS = ["FSC-A", "FITC-A", "PE-A"]
LABELS = ["", "CD3", "CD4"]
MATRIX = [[1, 0.25], [0.5, 1]]


def test_compensation_recovers_the_light_before_it_spilled():
    true = np.array([[100, 40, 8], [50, 0, 16], [1, 12, 0.0]])
    measured = true.copy()  # by hand: a quarter of FITC is seen by PE, half of PE is seen by FITC
    measured[:, 1] += 0.5 * true[:, 2]
    measured[:, 2] += 0.25 * true[:, 1]
    spillover = read_spillover({"SPILL": "2,FITC-A,PE-A,1,0.25,0.5,1"}, "a.fcs")
    np.testing.assert_allclose(compensate(measured, CHANNELS, spillover, "a.fcs"), true, atol=1e-12)


@pytest.mark.parametrize("keyword", ["$SPILLOVER", "SPILL", "$COMP", "SPILLOVER", "COMP"])
def test_a_matrix_is_found_under_every_name(keyword):
    found = read_spillover({keyword: " 2, FITC-A ,PE-A, 1,0.25,0.5,1 "}, "a.fcs")
    assert (found.channels, found.matrix.tolist(), found.source) == (("FITC-A", "PE-A"), MATRIX, keyword)


def test_of_two_matrices_the_identity_yields():
    keywords = {"$SPILLOVER": "2,FITC-A,PE-A,1,1e-6,0,1", "SPILL": "2,FITC-A,PE-A,1,0.25,0.5,1"}
    assert read_spillover(keywords, "a.fcs").source == "SPILL"
    assert read_spillover({"$SPILLOVER": keywords["$SPILLOVER"]}, "a.fcs").is_identity


def test_a_matrix_in_the_form_of_fcs_3_0_beside_another_does_no_harm():
    keywords = {"$COMP": "2,1,0,0,1", "SPILL": "2,FITC-A,PE-A,1,0.25,0.5,1"}
    assert read_spillover(keywords, "a.fcs").source == "SPILL"


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        (
            {},
            r"expected a spillover matrix .* found none of the keywords \$SPILLOVER, SPILL and \$COMP\. .*--spillover",
        ),
        ({"SPILL": "9" * 5000 + ",FITC-A"}, r"SPILL is not a spillover matrix: .*; found 2 fields.*--spillover matrix"),
        ({"SPILL": "2,FITC-A,PE-A,1,0,0"}, r"SPILL is not a spillover matrix: .* n × n numbers; found 6 fields"),
        ({"$COMP": "2,1,0,0,1"}, r"\$COMP is not a spillover matrix: .* found 5 fields, beginning '2', '1', '0'\. "),
        ({"SPILL": "2,PE-A,PE-A,1,0,0,1"}, r"SPILL names a channel twice"),
        ({"SPILL": "2,FITC-A,PE-A,1,0,x,1"}, r"SPILL holds something that is not a number \(.*'x'\)"),
        ({"SPILL": "2,FITC-A,PE-A,1,0,inf,1"}, r"SPILL holds a number that is not finite"),
    ],
)
def test_a_keyword_that_is_no_matrix_is_refused(keywords, message):
    with pytest.raises(DataError, match=rf"^a\.fcs: {message}"):
        read_spillover(keywords, "a.fcs")


@pytest.mark.parametrize("names", [("FITC-A", "PE-A"), ("CD3", "CD4"), ("2", "3"), ("FITC-A", "CD4")])
def test_a_matrix_may_name_channels_markers_or_numbers(names):
    found = match_channels(Spillover(names, np.array(MATRIX), "SPILL"), CHANNELS, LABELS, "a.fcs")
    assert found.channels == ("FITC-A", "PE-A")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("FITC", "PE-A"),
            r"\(SPILL\) names channel 'FITC', which the file does not have \(3 channels; nearest name 'F",
        ),
        (("2", "PE-A"), r"names channel '2', which the file does not have"),
        (("FITC-A", "CD3"), r"names a channel twice: 'FITC-A', 'FITC-A'"),
        (("4", "5"), r"names channel '4', '5', which the file does not have .*--spillover matrix\.csv"),
    ],
)
def test_a_matrix_of_other_channels_is_refused(names, message):
    with pytest.raises(DataError, match=message):
        match_channels(Spillover(names, np.array(MATRIX), "SPILL"), CHANNELS, LABELS, "a.fcs")


def test_a_matrix_that_cannot_be_inverted_is_refused():
    spillover = Spillover(("FITC-A", "PE-A"), np.array([[1, 2], [2, 4.0]]), "SPILL")
    message = r"2 channels \(SPILL\) cannot be inverted \(condition number .*; expected below 1e\+08\)\. .*--spillover"
    with pytest.raises(DataError, match=message):
        compensate(np.ones((2, 3)), CHANNELS, spillover, "a.fcs")


@pytest.mark.parametrize(
    "text",
    [
        "FITC-A,PE-A\n1,0.25\n0.5,1\n",
        ",FITC-A,PE-A\nFITC-A,1,0.25\nPE-A,0.5,1\n",
        "\ufeff,FITC-A :: CD3,PE-A :: CD4\nFITC-A :: CD3,1,0.25\nPE-A :: CD4,0.5,1\n",
        '"","FITC-A","PE-A"\n"PE-A",0.5,1\n"FITC-A",1,0.25\n',
        "Channel;FITC-A;PE-A\r\nFITC-A;1;0,25\r\nPE-A;0,5;1\r\n;;\r\n",
        "FITC-A\tPE-A\n100\t25\n50\t100\n",
        "FITC-A,PE-A\n100%,25%\n50%,100%\n",
    ],
    ids=["plain", "named", "FlowJo", "R, in another order", "semicolons", "tabs in percent", "percent"],
)
def test_a_matrix_is_read_from_a_csv(tmp_path, text):
    path = tmp_path / "matrix.csv"
    path.write_text(text, encoding="utf-8")
    found = read_spillover_file(path)
    assert found.channels == ("FITC-A", "PE-A")
    np.testing.assert_allclose(found.matrix, MATRIX)
    assert found.source == str(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            r"a line of n channel names, and n lines of n numbers; found 0 names and 0 lines\. Export the matrix",
        ),
        ("FITC-A,PE-A\n1,0\n", r"found 2 names and 1 lines"),
        ("FITC-A,FITC-A\n1,0\n0,1\n", r"expected unique channel names in line 1; found 'FITC-A', 'FITC-A'"),
        ("FITC-A,PE-A\n1,0\n0\n", r"matrix\.csv, line 3: expected 2 finite numbers, one for each channel; found '0'"),
        ("FITC-A,PE-A\n1,zero\n0,1\n", r"line 2: expected 2 finite numbers, .*; found '1', 'zero'"),
        ("FITC-A,PE-A\n1,nan\n0,1\n", r"line 2: expected 2 finite numbers"),
        (",FITC-A,PE-A\nFITC-A,1,0\nAPC-A,0,1\n", r"lines for the channels that the first line names, .*'APC-A'"),
        (
            "FITC-A,PE-A\n1.2,-0.3\n-0.6,1.2\n",
            r"whose diagonal is 1 .*; found 1\.2, 1\.2\. Give spillover, not its inv",
        ),
        ("PK\x03\x04", r"expected a spillover matrix that is a CSV in UTF-8, or \.xlsx; found a damaged workbook\."),
    ],
)
def test_a_csv_that_is_no_matrix_is_refused(tmp_path, text, message):
    path = tmp_path / "matrix.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as error:
        read_spillover_file(path)
    assert str(error.value).startswith(str(path))
