import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from neuronedit.adapters.fcs.file import read_fcs
from neuronedit.errors import DataError
from tests.fcs_files import fcs_bytes, write_float_fcs

CHANNELS = ["FSC-A", "FITC-A", "PE-A"]
FLOATS = np.array([[1, 2.5, -3], [4, 5, 6], [7, 8, 9e4], [10, 11, 12]], dtype=np.float32)
INTEGERS = np.array([[0, 1, 1023], [512, 256, 7], [3, 1000, 5]], dtype=np.uint16)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def refuses(path: Path, *parts: str, **options) -> None:
    """The file is refused with a message that names it and has these parts in this order."""
    with pytest.raises(DataError, match=".*".join(re.escape(part) for part in (str(path), *parts))):
        _ = read_fcs(path, **options).intensities


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", ["2.0", "3.0", "3.1", "3.2"])
@pytest.mark.parametrize("values", [FLOATS, FLOATS.astype(np.float64), INTEGERS, INTEGERS.astype(np.uint32)])
def test_every_version_type_and_byte_order_gives_the_values_that_were_written(tmp_path, version, order, values):
    path = write(tmp_path / "a.fcs", fcs_bytes(values, CHANNELS, version=version, order=order))
    fcs = read_fcs(path)
    np.testing.assert_array_equal(fcs.intensities, values)
    assert fcs.intensities.dtype == (np.float64 if values.dtype == np.float64 else np.float32)
    assert (fcs.version, fcs.channels, fcs.notes) == (version, tuple(CHANNELS), ())


@pytest.mark.parametrize("order", ["<", ">"])
def test_integer_channels_may_differ_in_width(tmp_path, order):
    content = fcs_bytes(INTEGERS.astype(np.uint32), CHANNELS, order=order, widths=[16, 32, 16])
    np.testing.assert_array_equal(read_fcs(write(tmp_path / "a.fcs", content)).intensities, INTEGERS)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("widths", [[16, 16, 16], [16, 32, 16]])
def test_bits_beyond_an_integer_channels_range_are_masked(tmp_path, order, widths):
    noisy = INTEGERS.astype(np.uint32) | np.uint32(0xF400)
    noisy = noisy.astype(np.uint16) if len(set(widths)) == 1 else noisy
    # 1000 is not a power of two: the next one, 1024, gives the mask
    keywords = {"$P1R": "1024", "$P2R": "1024", "$P3R": "1000"}
    content = fcs_bytes(noisy, CHANNELS, order=order, widths=widths, keywords=keywords)
    np.testing.assert_array_equal(read_fcs(write(tmp_path / "a.fcs", content)).intensities, INTEGERS)


def test_logarithmic_integers_become_linear(tmp_path):
    keywords = {"$P2R": "1024", "$P2E": "4,1", "$P2G": "8"}
    fcs = read_fcs(write(tmp_path / "a.fcs", fcs_bytes(INTEGERS, CHANNELS, version="2.0", keywords=keywords)))
    expected = 10 ** (4 * INTEGERS[:, 1] / 1024)  # FCS 3.1: f2 · 10^(f1 · value / range); no gain where logarithmic
    np.testing.assert_allclose(fcs.intensities[:, 1], expected, rtol=1e-6)  # float32
    np.testing.assert_array_equal(fcs.intensities[:, 0], INTEGERS[:, 0])


def test_the_gain_of_a_linear_channel_is_divided_out(tmp_path):
    path = write_float_fcs(tmp_path / "a.fcs", FLOATS, CHANNELS, keywords={"$P2G": "4"})
    np.testing.assert_array_equal(read_fcs(path).intensities, FLOATS / np.float32([1, 4, 1]))


def test_a_logarithm_stated_for_floats_is_ignored_and_told(tmp_path):
    fcs = read_fcs(write(tmp_path / "a.fcs", fcs_bytes(FLOATS, CHANNELS, keywords={"$P2E": "4,1"})))
    np.testing.assert_array_equal(fcs.intensities, FLOATS)
    assert fcs.notes == ("$P2E is '4,1' of floating-point values, which are linear by the standard: ignored",)


def test_a_data_segment_that_ends_one_byte_late_by_its_header_is_read(tmp_path):
    content = fcs_bytes(FLOATS, CHANNELS, version="2.0")
    late = content[:34] + f"{int(content[34:42]) + 1:>8}".encode() + content[42:]
    np.testing.assert_array_equal(read_fcs(write(tmp_path / "a.fcs", late)).intensities, FLOATS)


def test_repeated_marker_names_are_told_apart_by_channel(tmp_path):
    path = write_float_fcs(tmp_path / "a.fcs", FLOATS, ["B1-A", "B1-H", "PE-A"], ["CD3", "CD3", ""])
    assert read_fcs(path).markers == ("CD3 (B1-A)", "CD3 (B1-H)", "PE-A")


def test_a_marker_named_like_another_channel_is_told_apart(tmp_path):
    path = write_float_fcs(tmp_path / "a.fcs", FLOATS, ["A", "B", "C"], ["B", "", ""])
    assert read_fcs(path).markers == ("B (A)", "B", "C")


def test_marker_names_that_stay_equal_are_refused(tmp_path):
    path = write_float_fcs(tmp_path / "a.fcs", FLOATS, ["A", "B", "C"], ["X", "X", "X (A)"])
    refuses(path, "expected unique marker names ($PnS); 'X (A)' stands more than once")


def test_repeated_or_empty_channel_names_are_refused(tmp_path):
    path = write_float_fcs(tmp_path / "a.fcs", FLOATS, ["A", "A", "B"])
    refuses(path, "expected unique channel names ($PnN); 'A' stands more than once", "Rename")
    path = write(tmp_path / "b.fcs", fcs_bytes(FLOATS, ["A", " ", "B"]))
    refuses(path, "one is empty")


def test_an_empty_file_is_refused(tmp_path):
    refuses(write(tmp_path / "a.fcs", b""), "is empty (0 bytes)", "again")


def test_a_file_without_events_is_refused(tmp_path):
    path = write(tmp_path / "a.fcs", fcs_bytes(FLOATS[:0], CHANNELS))
    refuses(path, "has no events ($TOT is 0)", "Drop it")


@pytest.mark.parametrize("content", [b"PK\x03\x04 a spreadsheet" * 9, b"FCS", b"FCS4.0" + b" " * 99])
def test_a_file_that_is_not_fcs_is_refused(tmp_path, content):
    path = write(tmp_path / "a.fcs", content)
    refuses(path, "expected an FCS file of version 2.0, 3.0, 3.1, 3.2; found a file that begins", "Export")


def test_a_missing_file_is_refused(tmp_path):
    refuses(tmp_path / "none.fcs", "cannot be read (No such file or directory)", "Check the path")


def test_a_truncated_file_is_refused_with_both_sizes(tmp_path):
    content = fcs_bytes(FLOATS, CHANNELS)
    path = write(tmp_path / "a.fcs", content[:-20])
    refuses(path, f"truncated: expected at least {len(content)} bytes", f"found {len(content) - 20}", "again")


@pytest.mark.parametrize("n_bytes", [6, 40, 58, 60, 200, -1])
def test_a_file_cut_anywhere_is_refused(tmp_path, n_bytes):
    refuses(write(tmp_path / "a.fcs", fcs_bytes(FLOATS, CHANNELS)[:n_bytes]), "truncated", "again")


def test_more_events_than_the_data_has_are_refused(tmp_path):
    path = write(tmp_path / "a.fcs", fcs_bytes(FLOATS, CHANNELS, keywords={"$TOT": "5"}))
    refuses(path, "expected 5 events × 3 channels", "= 15 values); the data segment has 12", "copy it again")


def test_fewer_channel_names_than_channels_are_refused(tmp_path):
    path = write(tmp_path / "a.fcs", fcs_bytes(FLOATS, CHANNELS, keywords={"$P3N": None}))
    refuses(path, "expected 3 channel names, as $PAR says; found 2 ($PnN)", "again")


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({"$PAR": "three"}, "a whole number in the FCS file's keyword $PAR; found 'three'"),
        ({"$PAR": None}, "a whole number in the FCS file's keyword $PAR; found that it is missing"),
        ({"$PAR": "0"}, "the number of channels in the FCS file's keyword $PAR; found '0'"),
        ({"$TOT": "many"}, "the number of events in the FCS file's keyword $TOT; found 'many'"),
        ({"$DATATYPE": "A"}, "integers or floats, I, F or D in the FCS file's keyword $DATATYPE; found 'A'"),
        ({"$MODE": "c"}, "events listed one by one, L in the FCS file's keyword $MODE; found 'c'"),
        ({"$BYTEORD": "little"}, "an order of bytes in $BYTEORD, such as 1,2,3,4 or 4,3,2,1, for values of 4 bytes"),
        ({"$BYTEORD": "1,2,4"}, "an order of bytes in $BYTEORD"),
        ({"$DATATYPE": "I", "$P1B": "*"}, "a whole number in the FCS file's keyword $P1B; found '*'"),
        ({"$DATATYPE": "I", "$P1B": "65"}, "integers of 1 to 64 bits in the FCS file's keyword $P1B; found '65'"),
        ({"$DATATYPE": "I", "$P1E": "4"}, "two numbers, 0,0 where linear in the FCS file's keyword $P1E; found '4'"),
        ({"$DATATYPE": "I", "$P1E": "-4,1"}, "two numbers that are not negative in the FCS file's keyword $P1E"),
        ({"$DATATYPE": "I", "$P2E": "4,1", "$P2R": "NA"}, "the range of a logarithmic channel, a positive number in"),
        ({"$P2G": "high"}, "a gain, a positive number in the FCS file's keyword $P2G; found 'high'"),
    ],
)
def test_a_keyword_that_makes_no_sense_is_refused_by_its_name(tmp_path, keywords, expected):
    path = write(tmp_path / "a.fcs", fcs_bytes(FLOATS, CHANNELS, keywords=keywords))
    refuses(path, "expected ", expected, "xport")


@pytest.mark.parametrize("size", ["1e5", "9" * 8, "9" * 10, "9" * 13, "9" * 30, "9" * 5000, "-9999999999"])
@pytest.mark.parametrize("keyword", ["$ENDANALYSIS", "$ENDDATA", "$BEGINDATA", "$TOT", "$PAR", "$P2B", "$P2R", "$P2E"])
@pytest.mark.parametrize("values", [FLOATS, INTEGERS], ids=["floats", "integers"])
def test_a_size_that_the_file_does_not_have_takes_no_memory(tmp_path, keyword, size, values):
    keywords = {"$BEGINANALYSIS": "58", "$ENDANALYSIS": "58"} | {keyword: size}
    content = fcs_bytes(values, CHANNELS, keywords=keywords)
    if keyword in ("$ENDDATA", "$BEGINDATA"):
        offset = re.search(rb"\%s\|(\d+)\|" % keyword.encode(), content)
        content = content.replace(offset[0], f"{keyword}|{size:>{len(offset[1])}}|".encode())
    path = write(tmp_path / "a.fcs", content)
    tracemalloc.start()
    try:
        _ = read_fcs(path).intensities
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017 - a range may be as large as it likes
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 1e6


def test_a_segment_beyond_the_files_end_is_told(tmp_path):
    keywords = {"$BEGINANALYSIS": "58", "$ENDANALYSIS": "1000000000000"}
    path = write(tmp_path / "a.fcs", fcs_bytes(FLOATS, CHANNELS, keywords=keywords))
    refuses(path, "damaged or truncated: expected at least 1000000000000 bytes, as $ENDANALYSIS says; found", "again")


def test_a_channel_beyond_those_that_the_file_has_is_refused(tmp_path):
    text = {"$P3N": None, "$P9N": "PE-A", "$P9R": "1024", "$P9G": "2"}
    path = write(tmp_path / "a.fcs", fcs_bytes(FLOATS, CHANNELS, keywords=text))
    refuses(path, "expected 3 channel names, as $PAR says; found 2 ($PnN): $P3N is missing", "again")


def test_a_time_step_that_is_no_number_is_refused(tmp_path):
    path = write(tmp_path / "a.fcs", fcs_bytes(FLOATS, ["Time", "A", "B"], keywords={"$TIMESTEP": "fast"}))
    refuses(path, "the seconds of a unit of time, a number in the FCS file's keyword $TIMESTEP; found 'fast'", "again")
