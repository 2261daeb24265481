"""FCS files: HEADER, TEXT and events agree for any size; what no reader takes is refused with its place."""

import io
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import flowio
import numpy as np
import pyarrow as pa
import pytest

from neuronedit.adapters.fcs.writing import Channel, Events, head, needed_range, write_fcs
from neuronedit.errors import DataError
from tests.flowcore import events_of, read_by_flowcore


def channels_of(matrix: np.ndarray) -> list[Channel]:
    largest = matrix.max(axis=0) if len(matrix) else np.zeros(matrix.shape[1])
    return [Channel(f"m{i}", f"D{i}", f"m{i}", needed_range(value)) for i, value in enumerate(largest)]


def events(matrix: np.ndarray, sizes: Iterable[int], file: str = "cells.parquet") -> list[Events]:
    """The events in tables of these sizes."""
    bounds = np.cumsum([0, *sizes])
    return [
        Events(
            pa.table({f"m{i}": values[start:stop] for i, values in enumerate(matrix.T)}), file, np.arange(start, stop)
        )
        for start, stop in pairwise(bounds)
    ]


def write(path: Path, matrix: np.ndarray, sizes: Iterable[int] | None = None) -> Path:
    with path.open("wb") as sink:
        write_fcs(sink, channels_of(matrix), {}, len(matrix), events(matrix, sizes or [len(matrix)]))
    return path


@pytest.mark.parametrize(("n_events", "n_channels"), [(0, 3), (1, 1), (1, 3), (7, 1), (1000, 40), (3, 1000)])
def test_events_are_read_bit_for_bit(tmp_path: Path, rng: np.random.Generator, n_events: int, n_channels: int) -> None:
    matrix = rng.lognormal(3, 2, (n_events, n_channels)).astype(np.float32) - 20
    path = write(tmp_path / "a.fcs", matrix)
    text, cut = read_by_flowcore(path.read_bytes())
    assert (text["$TOT"], text["$PAR"]) == (str(n_events), str(n_channels))
    assert np.array_equal(cut.astype(np.float32), matrix), "$PnR cuts no value"
    if n_events:
        assert events_of(path).tobytes() == matrix.tobytes()


def test_any_division_into_tables_gives_the_same_bytes(tmp_path: Path, rng: np.random.Generator) -> None:
    matrix = rng.normal(size=(100, 4)).astype(np.float32)
    whole = write(tmp_path / "a.fcs", matrix).read_bytes()
    assert write(tmp_path / "b.fcs", matrix, [1, 0, 60, 39]).read_bytes() == whole


@pytest.mark.parametrize("n_events", [1, 9, 10, 99, 100, 2_499_900, 2_499_999, 2_500_000, 10**9, 10**12])
@pytest.mark.parametrize("comment", ["", "x" * 47, "x" * 700, "µ" * 9_000])
def test_offsets_agree_for_any_number_of_events(n_events: int, comment: str) -> None:
    written = head([Channel("m", "D", "", 9)], {"$COM": comment}, n_events)
    first, last = int(written[10:18]), int(written[18:26])
    told = dict(zip(*[iter(written[first + 1 : last].decode().split("\x0c"))] * 2, strict=True))
    assert (first, last) == (256, len(written) - 1)
    assert (int(told["$BEGINDATA"]), int(told["$ENDDATA"])) == (len(written), len(written) + 4 * n_events - 1)
    fits = int(told["$ENDDATA"]) <= 99_999_999
    header = [written[start : start + 8].decode().strip() for start in (26, 34, 42, 50)]
    assert header == [*([told["$BEGINDATA"], told["$ENDDATA"]] if fits else ["0", "0"]), "0", "0"]


@pytest.mark.bench
def test_a_file_of_more_than_100_megabytes_is_read(tmp_path: Path) -> None:
    block = np.arange(250_000, dtype=np.float32).reshape(25_000, 10)
    path, n_blocks = tmp_path / "large.fcs", 104
    tables = (events(block, [25_000])[0] for _ in range(n_blocks))
    with path.open("wb") as sink:
        write_fcs(sink, channels_of(block), {}, n_blocks * 25_000, tables)
    assert path.stat().st_size > 100_000_000
    flow = flowio.FlowData(path)
    assert flow.event_count == n_blocks * 25_000
    assert np.array(flow.events[-250_000:], dtype=np.float32).tobytes() == block.tobytes()


class TestRange:
    @pytest.mark.parametrize("largest", [-5.0, 0.0, 0.5, 1023.0, 1023.5, 2.0**24, 2.0**31, 2.0**53, 3.4e38])
    def test_no_reading_of_it_cuts_the_largest_value(self, largest: float) -> None:
        whole = needed_range(largest)
        assert whole >= 1
        assert float(str(whole)) - 1 >= float(np.float32(largest))

    def test_the_largest_float32_is_written_and_not_cut(self, tmp_path: Path) -> None:
        matrix = np.array([[np.finfo(np.float32).max], [-np.finfo(np.float32).max]])
        text, cut = read_by_flowcore(write(tmp_path / "a.fcs", matrix).read_bytes())
        assert text["$P1R"] == str(2**128)
        assert np.array_equal(cut, matrix)

    def test_a_value_above_what_the_statistics_told_is_an_error(self) -> None:
        matrix = np.array([[1.0], [7.0]], np.float32)
        with pytest.raises(
            DataError,
            match=r"^cells\.parquet: column 'm0' has 7 in row 1, more than the statistics in the file's footer say \(4 "
            r"at most\)\. The file is damaged: write it again\.$",
        ):
            write_fcs(io.BytesIO(), [Channel("m0", "D", "", 5)], {}, 2, events(matrix, [2]))


class TestRefused:
    @pytest.mark.parametrize(
        ("value", "found"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity"), (1e300, r"1e\+300, beyond")]
    )
    def test_a_value_that_is_not_finite_is_told_with_file_marker_and_row(self, value: float, found: str) -> None:
        matrix = np.ones((6, 2))
        matrix[4, 1] = matrix[5, 1] = value
        with pytest.raises(
            DataError,
            match=rf"^cells\.parquet: column 'm1' has {found}.* in row 4 \(2 such events among 3\); expected finite "
            r"numbers, .*leave_out = \[\"m1\"\]\.$",
        ):
            write_fcs(io.BytesIO(), channels_of(np.ones((1, 2))), {}, 6, events(matrix, [3, 3]))

    def test_a_null_is_told_unless_its_channel_has_a_number_for_it(self) -> None:
        table = pa.table({"m": pa.array([1.0, None], pa.float32())})
        part = Events(table, "a.parquet", np.array([8, 9]))
        with pytest.raises(DataError, match=r"^a\.parquet: column 'm' has no value \(null\) in row 9 \(1 such events"):
            write_fcs(io.BytesIO(), [Channel("m", "D", "", 5)], {}, 2, [part])
        sink = io.BytesIO()
        write_fcs(sink, [Channel("m", "D", "", 5, null=-1.0)], {}, 2, [part])
        assert read_by_flowcore(sink.getvalue())[1].tolist() == [[1.0], [-1.0]]

    def test_more_or_fewer_events_than_told_are_an_error(self) -> None:
        matrix = np.ones((3, 1), np.float32)
        with pytest.raises(DataError, match=r"^cells\.parquet: expected 4 events, as counted before; found 3\."):
            write_fcs(io.BytesIO(), channels_of(matrix), {}, 4, events(matrix, [3]))


@pytest.mark.parametrize(
    ("values", "n_rounded"),
    [
        (pa.array([1, 2**24, 2**24 + 1], pa.int64()), 1),
        (pa.array([2**63 - 1, 2**62, 0], pa.int64()), 1),
        (pa.array([2**64 - 1, 2**53 + 1, 0], pa.uint64()), 2),
        (pa.array([0.1, 0.5, 1e30], pa.float64()), 2),
        (pa.array([0.1, 0.5, 1e30], pa.float32()), 0),
        (pa.array([-1, 127, 0], pa.int8()), 0),
        (pa.array(np.array([0.1, 2, 3], np.float16)), 0),
    ],
)
def test_values_that_float32_does_not_hold_are_counted(values: pa.Array, n_rounded: int) -> None:
    part = Events(pa.table({"m": values}), "a.parquet", np.arange(3))
    found = write_fcs(io.BytesIO(), [Channel("m", "D", "", 2**101)], {}, 3, [part])
    assert found == ({"m": n_rounded} if n_rounded else {})
