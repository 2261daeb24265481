import io

import numpy as np
import pytest

from neuronedit.adapters.fcs.file import read_fcs
from neuronedit.adapters.fcs.text import read_text
from neuronedit.errors import DataError
from tests.fcs_files import float_keywords, raw_fcs, text_of

CHANNELS = ["FSC-A", "FITC-A", "PE-A"]
FLOATS = np.array([[1, 2.5, -3], [4, 5, 6], [7, 8, 9e4]], dtype="<f4")
DATA = FLOATS.tobytes()


def keywords_of(content: bytes) -> dict[str, str]:
    return read_text(io.BytesIO(content), len(content), 0, "a.fcs").keywords


def saved(tmp_path, content: bytes):
    path = tmp_path / "a.fcs"
    path.write_bytes(content)
    return path


def of(**more: str | bytes) -> dict[str, str | bytes]:
    return float_keywords(CHANNELS, 3) | {key.replace("_", "$", 1): value for key, value in more.items()}


DELIMITERS = [bytes([code]) for code in (*range(1, 32), *b"/|\\!,;.^+?()*[]{}'\" #-_~@&%:<>=", 127, 255)]


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_any_byte_may_be_the_delimiter(tmp_path, delimiter):
    keywords = of(_COM="left/right \\ |done. (a+b)")
    fcs = read_fcs(saved(tmp_path, raw_fcs(text_of(keywords, delimiter), DATA)))
    np.testing.assert_array_equal(fcs.intensities, FLOATS)
    assert fcs.keywords["$COM"] == "left/right \\ |done. (a+b)"


def test_empty_values_and_doubled_delimiters_are_told_apart_by_where_they_stand(tmp_path):
    keywords = of(_P1S=b"", _P2G="8", _P2S=b"", _P3G="2", _OP=b"", _FIL=b"C://data//", _P3S="CD4")
    keywords["FILE"] = b"//server//x"
    keywords["LAST"] = b""
    fcs = read_fcs(saved(tmp_path, raw_fcs(text_of(keywords, b"/"), DATA)))
    assert (fcs.keywords["$FIL"], fcs.keywords["FILE"]) == ("C:/data/", "/server/x")
    assert (fcs.keywords["$OP"], fcs.keywords["LAST"], fcs.markers) == ("", "", ("FSC-A", "FITC-A", "CD4"))
    np.testing.assert_array_equal(fcs.intensities, FLOATS / [1, 8, 2])


@pytest.mark.parametrize("value", ["C:\\data\\", "\\", "a\\\\b", "\\\\"])
def test_a_value_that_ends_with_the_delimiter_does_not_swallow_the_next_keyword(value):
    found = keywords_of(raw_fcs(text_of(of(_FIL=value, _P2G="8"), b"\\"), DATA))
    assert found["$P2G"] == "8"
    assert found["$FIL"] == value


@pytest.mark.parametrize(("last", "longer"), [(True, 0), (True, -1), (True, 1), (True, -3), (False, 0), (False, 1)])
def test_the_last_value_is_whole_wherever_text_ends(tmp_path, last, longer):
    content = raw_fcs(text_of(of() | {"$P2G": "1024"}, last=last), DATA, text_longer=longer)
    assert keywords_of(content)["$P2G"] == "1024"
    assert read_fcs(saved(tmp_path, content)).described[1].divisor == 1024


def test_the_first_byte_of_data_that_looks_like_a_delimiter_is_none_of_text():
    data = b"|" + DATA[1:]
    assert keywords_of(raw_fcs(text_of(of() | {"$P2G": "1024"}), data, text_longer=1))["$P2G"] == "1024"


def test_supplemental_text_is_read_and_the_primary_comes_first(tmp_path):
    more = text_of({"$P2S": "CD3", "$P2G": "8", "$P3S": "CD4", "$P1N": "other"})
    keywords = of(_P3S="") | {"$BEGINSTEXT": "%SBEGIN", "$ENDSTEXT": "%SEND"}
    fcs = read_fcs(saved(tmp_path, raw_fcs(text_of(keywords), DATA, supplemental=more)))
    assert fcs.markers == ("FSC-A", "CD3", "CD4")
    np.testing.assert_array_equal(fcs.intensities, FLOATS / [1, 8, 1])
    assert fcs.notes == ("supplemental TEXT gives $P1N twice: 'FSC-A', which is used, and 'other'",)


@pytest.mark.parametrize(("begin", "end"), [("9999", "99999"), ("300", "310"), ("70", "90")])
def test_supplemental_text_that_is_not_there_is_told(tmp_path, begin, end):
    fcs = read_fcs(saved(tmp_path, raw_fcs(text_of(of(_BEGINSTEXT=begin, _ENDSTEXT=end)), DATA)))
    assert fcs.notes == (
        f"no supplemental TEXT lies at $BEGINSTEXT {begin} to $ENDSTEXT {end}; what it says, if anything, is lost",
    )


def test_a_private_keyword_is_not_the_standards_of_that_name(tmp_path):
    keywords = of(_P2G="8", _P2S="CD3") | {"P2G": "100", "P2S": "other", "P3S": "other", "TIMESTEP": "7"}
    fcs = read_fcs(saved(tmp_path, raw_fcs(text_of(keywords), DATA)))
    assert fcs.markers == ("FSC-A", "CD3", "PE-A")
    np.testing.assert_array_equal(fcs.intensities, FLOATS / [1, 8, 1])


def test_each_value_has_its_own_encoding():
    content = raw_fcs(text_of(of(_P2S="IFN-γ", _OP="Zoë".encode("latin-1"), _P3S="TNF-µ".encode("latin-1"))), DATA)
    found = keywords_of(content)
    assert (found["$P2S"], found["$OP"], found["$P3S"]) == ("IFN-γ", "Zoë", "TNF-µ")


def test_keywords_may_be_padded_and_in_any_case(tmp_path):
    keywords = {f" {key.lower()} ": value for key, value in of(_P2S=" CD3 ", _TOT=" 3 ").items()}
    keywords = {key.replace("\n", ""): value for key, value in keywords.items()}
    fcs = read_fcs(saved(tmp_path, raw_fcs(text_of(keywords) + b"   ", DATA)))
    assert fcs.markers == ("FSC-A", "CD3", "PE-A")
    np.testing.assert_array_equal(fcs.intensities, FLOATS)


def test_a_keyword_that_stands_twice_is_told(tmp_path):
    segment = text_of(of(_P2G="8")) + b"$P2G|4|"
    fcs = read_fcs(saved(tmp_path, raw_fcs(segment, DATA)))
    assert fcs.notes == ("TEXT gives $P2G twice: '8', which is used, and '4'",)


def test_a_text_of_absurd_size_is_refused(tmp_path):
    path = tmp_path / "a.fcs"
    content = bytearray(raw_fcs(text_of(of()), DATA))
    content[18:26] = b"50000000"
    with path.open("wb") as file:
        file.write(content)
        file.truncate(60_000_000)
    with pytest.raises(DataError, match=r"expected a segment TEXT of at most 16,777,216 bytes; .* say 49,999,943\. "):
        read_fcs(path)


@pytest.mark.parametrize("offset", ["", "zero", "-9"])
def test_a_header_without_the_place_of_text_is_refused(tmp_path, offset):
    content = bytearray(raw_fcs(text_of(of()), DATA))
    content[10:18] = f"{offset:>8}".encode()
    with pytest.raises(DataError, match=r"expected the offsets of TEXT in the FCS file's HEADER; found 0 and \d+\. "):
        read_fcs(saved(tmp_path, bytes(content)))
