"""TEXT: what is written is what other programs read, by either rule of flowCore's; and what of a source is kept."""

import io
import re

import flowio
import pytest

from neuronedit.adapters.fcs.keywords import DELIMITERS, choose_delimiter, kept_keywords, text_segment
from neuronedit.adapters.fcs.writing import Channel, write_fcs
from tests.flowcore import text_by_flowcore

CHANNELS = [Channel("CD3", "FITC-A", "CD3", 300), Channel("Time", "Time", "", 10)]


def written(keywords: dict[str, str], channels: list[Channel] = CHANNELS) -> bytes:
    """An FCS file without events."""
    sink = io.BytesIO()
    write_fcs(sink, channels, keywords, 0, [])
    return sink.getvalue()


def by_flowio(content: bytes) -> dict[str, str]:
    return dict(flowio.FlowData(io.BytesIO(content), only_text=True).text)


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_a_delimiter_in_a_value_is_not_chosen(delimiter: str) -> None:
    keywords = {"$COM": f"a{delimiter}b", f"OWN{delimiter}KEY": f"{delimiter}begins and ends{delimiter}"}
    content = written(keywords)
    assert chr(content[256]) != delimiter
    for empty_value in (True, False):
        assert text_by_flowcore(content, empty_value=empty_value).items() >= keywords.items()
    assert by_flowio(content).items() >= {"com": f"a{delimiter}b"}.items()


def test_where_all_delimiters_are_in_values_one_is_doubled_that_begins_and_ends_none() -> None:
    everything = "a".join(DELIMITERS)
    keywords = {"$COM": f"x{everything}x", "$SRC": f"{DELIMITERS[0]}x{DELIMITERS[1]}"}
    assert choose_delimiter(list(keywords.values())) == DELIMITERS[2]
    content = written(keywords)
    assert text_by_flowcore(content, empty_value=False).items() >= keywords.items()
    assert by_flowio(content).items() >= {"com": keywords["$COM"], "src": keywords["$SRC"]}.items()


def test_a_value_that_begins_and_ends_with_every_delimiter_gets_a_space_and_runs_into_no_other() -> None:
    keywords = {f"KEY{number}": f"{sign}x{sign}" for number, sign in enumerate(DELIMITERS)}
    read = text_by_flowcore(written(keywords), empty_value=False)
    assert {key: read[key].strip(" ") for key in keywords} == keywords


@pytest.mark.parametrize("empty", ["", " ", "\0", "\t "])
def test_empty_values_are_left_out(empty: str) -> None:
    text = text_by_flowcore(written({"$COM": empty, "$SRC": "x"}), empty_value=True)
    assert "$COM" not in text
    assert text["$SRC"] == "x"


def test_bytes_0_do_not_end_a_value() -> None:
    assert text_by_flowcore(written({"$COM": "a\0b"}), empty_value=True)["$COM"] == "a b"


def test_labels_of_any_script_are_utf8() -> None:
    channels = [Channel("x", "µ-A", "IFN-γ 白血病 🔬", 1)]
    read = by_flowio(written({"$SRC": "Zürich"}, channels))
    assert (read["p1n"], read["p1s"], read["src"]) == ("µ-A", "IFN-γ 白血病 🔬", "Zürich")


def test_a_text_that_is_not_unicode_does_not_end_the_export() -> None:
    assert text_segment({"$SRC": "day\udcff"}) == b"\x0c$SRC\x0cday?\x0c"


def test_a_private_twin_of_a_standard_keyword_is_left_out() -> None:
    # flowio and others strip every $: a private P1G = 8 would then be this file's gain.
    text = text_by_flowcore(written({"P1G": "8", "TOT": "7"}), empty_value=True)
    assert not {"P1G", "TOT"} & text.keys()
    assert (text["$P1G"], text["$TOT"]) == ("1", "0")
    assert kept_keywords({"$CYT": "a", "CYT": "b"}, [], compensated=False) == {"$CYT": "a"}
    assert kept_keywords({"$P1N": "A", "P1S": "CD8", "P1G": "8"}, ["A"], compensated=False) == {}


SOURCE = {
    "$P1N": "FSC-A",
    "$P2N": "B1-A",
    "$P3N": "R1-A",
    "$CYT": "Aurora",
    "$DATE": "01-JAN-2026",
    "$COM": "",
    "$P3V": "450",
    "$P2V": "300",
    "P3DISPLAY": "LOG",
    "$P3G": "8",
    "$P3E": "4,1",
    "$P3D": "Logarithmic,4,0.1",
    "$P3R": "1024",
}


def test_keywords_of_channels_go_by_the_channel_and_what_depends_on_the_scale_is_dropped() -> None:
    kept = kept_keywords(SOURCE, ["R1-A", "B1-A"], compensated=False)
    assert kept == {"$CYT": "Aurora", "$DATE": "01-JAN-2026", "$P1V": "450", "$P2V": "300", "P1DISPLAY": "LOG"}


@pytest.mark.parametrize(
    "key",
    [
        "$BEGINDATA", "$ENDSTEXT", "$NEXTDATA", "$TOT", "$PAR", "$MODE", "$DATATYPE", "$BYTEORD", "$TIMESTEP", "$FIL",
        "$UNICODE", "GUID", "transformation", "flowCore_$P1Rmax", "FCSversion", "$CSVBITS", "$PKN2", "$GATING", "$R1I",
    ],
)  # fmt: skip
def test_keywords_of_the_old_file_and_of_other_programs_are_dropped(key: str) -> None:
    assert kept_keywords({key: "1", "$OP": "me"}, ["A"], compensated=False) == {"$OP": "me"}


MATRIX = "2,B1-A,R1-A,1,0.1,0,1"


@pytest.mark.parametrize("key", ["$SPILLOVER", "SPILL", "SPILLOVER"])
def test_a_matrix_that_was_applied_is_kept_where_no_reader_applies_it_again(key: str) -> None:
    source = SOURCE | {key: MATRIX, "APPLY COMPENSATION": "TRUE"}
    kept = kept_keywords(source, ["B1-A", "R1-A"], compensated=True)
    assert kept["NEURONEDIT_SPILLOVER"] == MATRIX
    assert not {key, "APPLY COMPENSATION"} & kept.keys()


@pytest.mark.parametrize("key", ["$SPILLOVER", "SPILL"])
@pytest.mark.parametrize(
    ("matrix", "channels"),
    [(MATRIX, ["B1-A"]), ("2,B1-A,R1-A,1,0.1", ["B1-A", "R1-A"]), ("2,B1-A,R1-A,1,x,0,1", ["B1-A", "R1-A"])],
)
def test_a_matrix_that_does_not_fit_is_not_left_to_readers_which_refuse_it(
    key: str, matrix: str, channels: list[str]
) -> None:
    kept = kept_keywords(SOURCE | {key: matrix}, channels, compensated=False)
    assert key not in kept
    assert kept["NEURONEDIT_SPILLOVER"] == matrix


def test_a_matrix_that_was_not_applied_stays() -> None:
    kept = kept_keywords(SOURCE | {"SPILL": MATRIX}, ["R1-A", "B1-A"], compensated=False)
    assert kept["SPILL"] == MATRIX


@pytest.mark.parametrize("key", ["$COMP", "$DFC1TO2"])
def test_a_matrix_by_channel_numbers_stays_only_with_the_channels_as_they_were(key: str) -> None:
    same, other = ["FSC-A", "B1-A", "R1-A"], ["B1-A", "FSC-A", "R1-A"]
    source = SOURCE | {key: "0.1"}
    assert key in kept_keywords(source, same, compensated=False)
    assert key not in kept_keywords(source, other, compensated=False)
    assert key not in kept_keywords(source, same, compensated=True)


def test_no_delimiter_is_a_pattern_a_letter_or_white_space_that_ends_lines() -> None:
    assert len(set(DELIMITERS)) == len(DELIMITERS)
    assert not [sign for sign in DELIMITERS if re.escape(sign) != sign and sign in r"\.^$*+?{}[]()"]
    assert not [sign for sign in DELIMITERS if sign.isalnum() or sign in " \t\r\n\0" or ord(sign) > 126]
