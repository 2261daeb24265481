import re
import tracemalloc

import numpy as np
import pytest

from neuronedit.adapters.fcs import data
from neuronedit.adapters.fcs.file import read_fcs
from neuronedit.errors import DataError
from tests.fcs_files import float_keywords, raw_fcs, text_of

CHANNELS = ["FSC-A", "FITC-A", "Time"]
FLOATS = np.array([[1, 2.5, 3], [4, 5, 6], [7, 8, 9e4]], dtype="<f4")


def saved(tmp_path, content: bytes):
    path = tmp_path / "a.fcs"
    path.write_bytes(content)
    return path


def of(kind: str = "F", n_events: int = 3, **more: str) -> dict[str, str | bytes]:
    return float_keywords(CHANNELS, n_events) | {"$DATATYPE": kind} | {f"${key}": value for key, value in more.items()}


def integers(values, widths, order="little", **more) -> bytes:
    """A file of integers of any whole number of bytes."""
    stored = b"".join(
        int(value).to_bytes(width // 8, order) for row in values for value, width in zip(row, widths, strict=True)
    )
    byteord = "1,2,3,4" if order == "little" else "4,3,2,1"
    bits = {f"P{n}B": str(width) for n, width in enumerate(widths, start=1)}
    ranges = {f"P{n}R": str(2**width) for n, width in enumerate(widths, start=1)}
    return raw_fcs(text_of(of("I", len(values), BYTEORD=byteord) | prefixed(bits | ranges | more)), stored)


def prefixed(keywords):
    return {f"${key}": value for key, value in keywords.items()}


def packed(values, width) -> bytes:
    """Integers whose bits follow upon each other, the highest first."""
    bits = "".join(format(value, f"0{width}b") for row in values for value in row)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("widths", [(8, 16, 24), (24, 24, 24), (40, 48, 56), (64, 32, 8), (64, 64, 64)])
def test_integers_of_any_whole_number_of_bytes(tmp_path, widths, order):
    values = [[2 ** min(width, 53) - 1 for width in widths], [0, 1, 2], [200, 100, 7]]
    fcs = read_fcs(saved(tmp_path, integers(values, widths, order)))
    np.testing.assert_array_equal(np.concatenate(list(fcs.blocks())), values)


@pytest.mark.parametrize("width", [1, 3, 10, 12, 20, 63])
def test_integers_whose_bits_are_packed(tmp_path, width):
    values = np.random.default_rng(width).integers(0, 2 ** min(width, 50), (11, 3)).tolist()
    keywords = of("I", 11) | {f"$P{n}B": str(width) for n in (1, 2, 3)} | {f"$P{n}R": str(2**width) for n in (1, 2, 3)}
    fcs = read_fcs(saved(tmp_path, raw_fcs(text_of(keywords), packed(values, width), version="2.0")))
    np.testing.assert_array_equal(np.concatenate(list(fcs.blocks())), values)
    assert fcs.notes == ()


def test_ten_bits_in_words_of_sixteen_are_known_by_the_size_of_the_data(tmp_path):
    values = np.array([[0, 1023, 7], [512, 3, 1000]], dtype="<u2")
    keywords = of("I", 2) | {f"$P{n}B": "10" for n in (1, 2, 3)} | {f"$P{n}R": "1024" for n in (1, 2, 3)}
    fcs = read_fcs(saved(tmp_path, raw_fcs(text_of(keywords), values.tobytes())))
    np.testing.assert_array_equal(fcs.intensities, values)
    assert fcs.notes == ("$P1B says 10 bits; the size of the data says that they lie in 16",)


def test_blocks_of_packed_bits_give_what_one_block_gives(tmp_path, monkeypatch):
    values = np.random.default_rng(0).integers(0, 1024, (37, 3)).tolist()
    keywords = of("I", 37) | {f"$P{n}B": "10" for n in (1, 2, 3)} | {f"$P{n}R": "1024" for n in (1, 2, 3)}
    monkeypatch.setattr(data, "BLOCK_EVENTS", 16)
    blocks = list(read_fcs(saved(tmp_path, raw_fcs(text_of(keywords), packed(values, 10)))).blocks())
    assert [len(block) for block in blocks] == [16, 16, 5]
    np.testing.assert_array_equal(np.concatenate(blocks), values)


@pytest.mark.parametrize(
    ("told", "order"),
    [
        ("1, 2, 3, 4", (0, 1, 2, 3)),
        ("1,2,3,4,5,6,7,8", (0, 1, 2, 3)),
        ("2,1", (3, 2, 1, 0)),
        ("1 2 3 4", (0, 1, 2, 3)),
        (" 4,3,2,1 ", (3, 2, 1, 0)),
        ("3,4,1,2", (2, 3, 0, 1)),
        ("2,1,4,3", (1, 0, 3, 2)),
    ],
)
@pytest.mark.parametrize("kind", ["I", "F"])
def test_every_order_of_bytes(tmp_path, told, order, kind):
    values = np.array([[1, 70_000, 3]], dtype="<u4" if kind == "I" else "<f4")
    stored = values.view(np.uint8).reshape(-1, 4)[:, list(order)].tobytes()
    ranges = {f"P{n}R": "262144" for n in (1, 2, 3)}
    content = raw_fcs(text_of(of(kind, 1, BYTEORD=told, **ranges)), stored)
    np.testing.assert_array_equal(read_fcs(saved(tmp_path, content)).intensities, values)


def test_words_of_two_bytes_in_a_mixed_order_of_four(tmp_path):
    values = np.array([[1, 700, 3]], dtype="<u2")
    bits = {f"P{n}B": "16" for n in (1, 2, 3)} | {f"P{n}R": "65536" for n in (1, 2, 3)}
    content = raw_fcs(text_of(of("I", 1, BYTEORD="3,4,1,2", **bits)), values.tobytes())
    np.testing.assert_array_equal(read_fcs(saved(tmp_path, content)).intensities, values)


def test_fcs_3_2_may_mix_types(tmp_path):
    row = np.array([(1.5, 70_000, 2**40 + 0.25)], dtype=[("a", "<f4"), ("b", "<u4"), ("c", "<f8")])
    more = {"P2DATATYPE": "I", "P3DATATYPE": "D", "P2R": "131072", "P2G": "2", "P3B": "64"}
    keywords = of("F", 1, **more)
    del keywords["$MODE"]  # optional in FCS 3.2
    fcs = read_fcs(saved(tmp_path, raw_fcs(text_of(keywords), row.tobytes(), version="3.2")))
    np.testing.assert_array_equal(fcs.intensities, [[1.5, 35_000, 2**40 + 0.25]])
    assert fcs.intensities.dtype == np.float64


@pytest.mark.parametrize(
    ("told", "stored", "read"),
    [
        ("1024", 0xF401, 0x0001),
        ("1000", 0xF401, 0x0001),
        ("1e+03", 0xF401, 0x0001),
        ("1024.0", 0xF401, 0x0001),
        ("65536", 0xF401, 0xF401),
        ("0", 0xF401, 0xF401),
        ("NA", 0xF401, 0xF401),
        ("", 0xF401, 0xF401),
        ("1", 0xF401, 0),
        ("9" * 5000, 0xF401, 0xF401),
    ],
)
def test_an_integers_range_masks_its_bits(tmp_path, told, stored, read):
    fcs = read_fcs(saved(tmp_path, integers([[5, stored, 6]], (16, 16, 16), P2R=told)))
    assert fcs.intensities.tolist() == [[5, read, 6]]
    assert [note.split()[0] for note in fcs.notes] == (["$P2R"] if told in ("0", "NA", "") else [])


def test_a_range_that_is_none_is_told(tmp_path):
    fcs = read_fcs(saved(tmp_path, integers([[5, 7, 6]], (16, 16, 16), P2R="0")))
    assert fcs.notes == ("$P2R is '0', which is no range: no bits of these integers are masked",)


@pytest.mark.parametrize("told", ["NA", "", "0", "-1", "inf"])
def test_floats_need_no_range(tmp_path, told):
    fcs = read_fcs(saved(tmp_path, raw_fcs(text_of(of(P1R=told, P3R=told)), FLOATS.tobytes())))
    np.testing.assert_array_equal(fcs.intensities, FLOATS)
    assert fcs.notes == ()


def test_an_amplification_of_zero_at_the_bottom_is_one(tmp_path):
    fcs = read_fcs(saved(tmp_path, integers([[5, 512, 6]], (16, 16, 16), P2E="4,0", P2R="1024", P2G="8")))
    assert fcs.intensities.tolist() == [[5, 100, 6]]  # 10^(4 · 512 / 1024), whatever the gain


def test_blank_scales_gains_and_steps_say_nothing(tmp_path):
    blank = {"P1E": " ", "P2E": "", "P1G": " ", "P2G": "NA", "TIMESTEP": " "}
    fcs = read_fcs(saved(tmp_path, raw_fcs(text_of(of(**blank)), FLOATS.tobytes())))
    np.testing.assert_array_equal(fcs.intensities, FLOATS)
    assert fcs.notes == ()


def test_integers_without_a_scale_are_taken_as_linear_and_it_is_told(tmp_path):
    fcs = read_fcs(saved(tmp_path, integers([[5, 7, 6]], (16, 16, 16), P2E="")))
    assert fcs.intensities.tolist() == [[5, 7, 6]]
    assert fcs.notes == ("$P2E does not say how these integers were amplified: they are taken as linear",)


def test_time_becomes_seconds_and_its_gain_is_none(tmp_path):
    fcs = read_fcs(saved(tmp_path, raw_fcs(text_of(of(TIMESTEP="0.5", P3G="100", P2G="0")), FLOATS.tobytes())))
    np.testing.assert_array_equal(fcs.intensities, FLOATS * np.float32([1, 1, 0.5]))
    assert fcs.notes == ("$P2G is 0, which is no gain: nothing is divided out",)


def test_values_that_are_not_finite_stay(tmp_path):
    values = FLOATS.copy()
    values[1, 1], values[2, 1] = np.nan, np.inf
    fcs = read_fcs(saved(tmp_path, raw_fcs(text_of(of()), values.tobytes())))
    np.testing.assert_array_equal(fcs.intensities, values)


class TestOffsets:
    """Where DATA lies."""

    @pytest.mark.parametrize("version", ["2.0", "3.0", "3.1", "3.2"])
    @pytest.mark.parametrize("header", [("0", "0"), ("", ""), ("0", "")])
    def test_a_header_that_does_not_say_leaves_it_to_text(self, tmp_path, version, header):
        fcs = read_fcs(saved(tmp_path, raw_fcs(text_of(of()), FLOATS.tobytes(), version=version, header=header)))
        np.testing.assert_array_equal(fcs.intensities, FLOATS)
        assert fcs.notes == ()

    @pytest.mark.parametrize("told", [{}, {"$BEGINDATA": "0", "$ENDDATA": "0"}, {"$BEGINDATA": "", "$ENDDATA": ""}])
    def test_a_text_that_does_not_say_leaves_it_to_the_header(self, tmp_path, told):
        keywords = {key: value for key, value in of().items() if "DATA" not in key or "NEXT" in key or "TYPE" in key}
        fcs = read_fcs(saved(tmp_path, raw_fcs(text_of(keywords | told), FLOATS.tobytes())))
        np.testing.assert_array_equal(fcs.intensities, FLOATS)
        assert fcs.notes == ()

    def test_nothing_that_says_where_data_lies_is_refused(self, tmp_path):
        keywords = of(BEGINDATA="0", ENDDATA="0")
        path = saved(tmp_path, raw_fcs(text_of(keywords), FLOATS.tobytes(), header=("", "")))
        with pytest.raises(DataError, match=r"expected the place of DATA in the FCS file's HEADER, or in \$BEGINDATA"):
            read_fcs(path)

    @pytest.mark.parametrize("wrong", ["header", "text"])
    def test_offsets_that_do_not_fit_the_file_yield_to_those_that_do(self, tmp_path, wrong):
        right = raw_fcs(text_of(of()), FLOATS.tobytes())
        begin, end = int(right[26:34]), int(right[34:42])
        off = (str(begin - 40), str(end - 40))
        if wrong == "header":
            content = raw_fcs(text_of(of()), FLOATS.tobytes(), header=off)
        else:
            content = right.replace(b"%08d" % begin, b"%08d" % (begin - 40)).replace(
                b"%08d" % end, b"%08d" % (end - 40)
            )
        fcs = read_fcs(saved(tmp_path, content))
        np.testing.assert_array_equal(fcs.intensities, FLOATS)
        used = "TEXT" if wrong == "header" else "HEADER"
        (note,) = fcs.notes
        assert note.startswith("HEADER and TEXT differ in where DATA lies (")
        assert (
            f"{used}'s offsets are used, as only they fit $TOT and the file; offsets = header or text takes others"
            in note
        )

    def test_of_two_places_that_fit_the_headers_is_taken_unless_asked_otherwise(self, tmp_path):
        other = FLOATS + 100
        begin = len(raw_fcs(text_of(of(BEGINDATA="%SBEGIN", ENDDATA="%SEND")), b"", supplemental=other.tobytes()))
        content = raw_fcs(
            text_of(of(BEGINDATA="%SBEGIN", ENDDATA="%SEND")), FLOATS.tobytes(), supplemental=other.tobytes()
        )
        path = saved(tmp_path, content)
        assert int(content[26:34]) == begin
        fcs = read_fcs(path)
        np.testing.assert_array_equal(fcs.intensities, FLOATS)
        assert "HEADER's offsets are used, as both could be" in fcs.notes[0]
        np.testing.assert_array_equal(read_fcs(path, offsets="header").intensities, FLOATS)
        np.testing.assert_array_equal(read_fcs(path, offsets="text").intensities, other)

    def test_offsets_that_were_asked_for_and_are_not_there_are_refused(self, tmp_path):
        path = saved(tmp_path, raw_fcs(text_of(of()), FLOATS.tobytes(), header=("0", "0")))
        with pytest.raises(
            DataError, match=r"found 0 to 0 in HEADER, .*, with offsets = header\. Set offsets = auto\."
        ):
            read_fcs(path, offsets="header")

    def test_data_within_text_are_refused(self, tmp_path):
        path = saved(tmp_path, raw_fcs(text_of(of(BEGINDATA="0", ENDDATA="0")), FLOATS.tobytes(), header=("90", "125")))
        with pytest.raises(
            DataError, match=r"expected DATA behind TEXT \(58 to \d+\) in the FCS file; found 90 to 125 in "
        ):
            read_fcs(path)

    def test_a_text_that_ends_at_the_first_byte_of_data_is_no_obstacle(self, tmp_path):
        content = raw_fcs(text_of(of()), FLOATS.tobytes(), header=("0", "0"), text_longer=1)
        np.testing.assert_array_equal(read_fcs(saved(tmp_path, content)).intensities, FLOATS)

    @pytest.mark.parametrize("late", [-1, 1])
    @pytest.mark.parametrize("where", ["header", "text", "both"])
    def test_an_end_that_is_one_byte_off_is_read_without_a_word(self, tmp_path, late, where):
        right = raw_fcs(text_of(of()), FLOATS.tobytes(), after=b"  ")
        begin, end = int(right[26:34]), int(right[34:42])
        header = (str(begin), str(end + late)) if where != "text" else None
        content = raw_fcs(text_of(of()), FLOATS.tobytes(), header=header, after=b"  ")
        if where != "header":
            content = content.replace(b"%08d" % end, b"%08d" % (end + late))
        fcs = read_fcs(saved(tmp_path, content))
        np.testing.assert_array_equal(fcs.intensities, FLOATS)
        assert fcs.notes == ()


@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_without_a_number_of_events_the_data_tells(tmp_path, version):
    keywords = of()
    del keywords["$TOT"]
    fcs = read_fcs(saved(tmp_path, raw_fcs(text_of(keywords), FLOATS.tobytes(), version=version)))
    np.testing.assert_array_equal(fcs.intensities, FLOATS)
    expected = ("$TOT, the number of events, is missing: the data segment has 3",)
    assert fcs.notes == (() if version == "2.0" else expected)


def test_without_a_number_of_events_a_segment_of_no_whole_events_is_refused(tmp_path):
    keywords = of()
    del keywords["$TOT"]
    path = saved(tmp_path, raw_fcs(text_of(keywords), FLOATS.tobytes()[:-13], version="2.0"))
    with pytest.raises(
        DataError, match=r"expected whole events of 12 bytes in DATA, since \$TOT is missing; found DATA"
    ):
        read_fcs(path)


class TestDataSets:
    """Files of several data sets."""

    @staticmethod
    def of(tmp_path, first=FLOATS, second=FLOATS + 100):
        follower = raw_fcs(text_of(of()), second.tobytes(), version="3.1")
        size = len(raw_fcs(text_of(of(NEXTDATA="00000000")), first.tobytes()))
        content = raw_fcs(text_of(of(NEXTDATA=f"{size:08d}")), first.tobytes(), after=follower)
        return saved(tmp_path, content)

    def test_the_first_is_read_and_the_others_are_told(self, tmp_path):
        fcs = read_fcs(self.of(tmp_path))
        np.testing.assert_array_equal(fcs.intensities, FLOATS)
        assert fcs.notes == ("$NEXTDATA leads to a further data set: the first is read; data_set = 2 reads the next",)

    def test_each_can_be_asked_for(self, tmp_path):
        path = self.of(tmp_path)
        assert read_fcs(path, data_set=1).notes == ()
        second = read_fcs(path, data_set=2)
        np.testing.assert_array_equal(second.intensities, FLOATS + 100)
        assert (second.version, second.notes) == ("3.1", ())

    def test_one_that_is_not_there_is_refused(self, tmp_path):
        with pytest.raises(DataError, match=r"expected data set 3, as data_set says; the FCS file has 2\. Correct the"):
            read_fcs(self.of(tmp_path), data_set=3)

    @pytest.mark.parametrize("next_data", ["end", "99999999", "9", "-1", "none"])
    def test_an_offset_that_leads_nowhere_is_none(self, tmp_path, next_data):
        size = len(raw_fcs(text_of(of(NEXTDATA="00000000")), FLOATS.tobytes()))
        told = f"{size:08d}" if next_data == "end" else next_data
        fcs = read_fcs(saved(tmp_path, raw_fcs(text_of(of(NEXTDATA=told)), FLOATS.tobytes(), after=b"\0" * 200)))
        np.testing.assert_array_equal(fcs.intensities, FLOATS)
        assert fcs.notes == ()


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path):
    path = saved(tmp_path, raw_fcs(text_of(of()), FLOATS.tobytes()))
    fcs = read_fcs(path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match=re.escape(f"{path}: the FCS file ended while it was read. Copy it again.")):
        list(fcs.blocks())


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "BLOCK_BYTES", 2**20)
    values = np.zeros((400_000, 3), dtype="<f4")
    path = saved(tmp_path, raw_fcs(text_of(of(n_events=len(values))), values.tobytes()))
    tracemalloc.start()
    try:
        n_events = sum(len(block) for block in read_fcs(path).blocks())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert n_events == len(values)
    assert peak < 4 * 2**20 < path.stat().st_size
