import io
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from pyarrow import fs

from neuronedit.adapters.files import blocks as file_blocks
from neuronedit.adapters.files.blocks import Block, FilePart, FileReader, file_parts, row_groups
from neuronedit.adapters.files.dataset import EventDataset, EventFile, list_dataset
from neuronedit.errors import DataError, StorageError
from tests.synthetic_cells import sample_table

CELLS = sample_table("B", "control", 500, seed=1)


@pytest.fixture
def file(tmp_path: Path) -> EventFile:
    pq.write_table(CELLS, tmp_path / "b7.parquet", row_group_size=200)
    return list_dataset(str(tmp_path)).files[0]


def read(file: EventFile, filesystem: fs.FileSystem | None = None, columns: Sequence[str] | None = None) -> list[Block]:
    with FileReader(filesystem or fs.LocalFileSystem(), file) as reader:
        return [block for group in reader.row_groups for block in reader.blocks(group, columns)]


def test_row_groups_are_told_by_the_footer(file: EventFile) -> None:
    found = row_groups(pq.ParquetFile(file.path).metadata)
    assert [(group.number, group.first_row, group.n_events) for group in found] == [
        (0, 0, 200),
        (1, 200, 200),
        (2, 400, 100),
    ]
    assert 0 < sum(group.n_bytes for group in found) < file.n_bytes


@pytest.mark.parametrize("whole_bytes", [0, 2**30], ids=["through buffers", "whole"])
def test_every_way_of_reading_gives_the_same(
    file: EventFile, monkeypatch: pytest.MonkeyPatch, whole_bytes: int
) -> None:
    monkeypatch.setattr(file_blocks, "WHOLE_BYTES", whole_bytes)
    monkeypatch.setattr(file_blocks, "EVENTS_PER_BLOCK", 150)
    blocks = read(file)
    assert [(block.row_group, block.first_row, block.table.num_rows) for block in blocks] == [
        (0, 0, 150),
        (0, 150, 50),
        (1, 200, 150),
        (1, 350, 50),
        (2, 400, 100),
    ]
    assert pa.concat_tables([block.table for block in blocks]).equals(CELLS, check_metadata=True)


@pytest.mark.parametrize("n_rows", [1, 100, 128, 1000])
def test_blocks_give_all_rows_in_order(cells_once: Path, monkeypatch: pytest.MonkeyPatch, n_rows: int) -> None:
    monkeypatch.setattr(file_blocks, "EVENTS_PER_BLOCK", n_rows)
    dataset = list_dataset(str(cells_once / "A-validation.parquet"))
    blocks = read(dataset.files[0])
    starts = np.cumsum([0, *(block.table.num_rows for block in blocks)])
    assert [block.first_row for block in blocks] == list(starts[:-1])
    assert [block.row_group for block in blocks] == sorted(block.first_row // 128 for block in blocks)
    assert max(block.table.num_rows for block in blocks) <= n_rows
    assert pa.concat_tables([block.table for block in blocks]).equals(
        pq.read_table(cells_once / "A-validation.parquet"), check_metadata=True
    )


def test_only_the_columns_asked_for_are_read(cells_once: Path) -> None:
    dataset = list_dataset(str(cells_once))
    block = read(dataset.files[0], columns=["CD3", "role"])[0]
    assert block.table.column_names == ["CD3", "role"]


class _FailsInTheMiddle(io.BytesIO):
    def read(self, n_bytes: int | None = -1) -> bytes:
        if 200_000 < self.tell() < 1_000_000:
            raise OSError("AWS Error INTERNAL_FAILURE: 500")
        return super().read(n_bytes)


class _FailingStorage(LocalFileSystem):
    def open(self, path: str, *_: object, **__: object) -> io.BytesIO:
        return _FailsInTheMiddle(Path(path).read_bytes())


def test_a_storage_that_fails_is_not_taken_for_damage(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal((60_000, 4))
    pq.write_table(pa.table(dict(zip("abcd", noise.T, strict=True))), tmp_path / "a.parquet", row_group_size=10_000)
    file = list_dataset(str(tmp_path)).files[0]
    broken = fs.PyFileSystem(fs.FSSpecHandler(_FailingStorage()))
    message = r"a\.parquet: the storage keeps failing \(.*500.*\)\. Try again"
    with pytest.raises(StorageError, match=message):
        read(file, broken)


def test_damage_is_told_with_its_row_group(file: EventFile) -> None:
    content = bytearray(Path(file.path).read_bytes())
    start = pq.ParquetFile(file.path).metadata.row_group(1).column(0).dictionary_page_offset
    content[start : start + 300] = b"\xff" * 300
    Path(file.path).write_bytes(content)
    with pytest.raises(DataError, match=r"b7\.parquet: row group 1 is damaged \(from row 200 on, of rows 200 to 399: "):
        read(file)


@pytest.mark.parametrize("row_group_size", [2_000_000, 100_000], ids=["one row group", "many row groups"])
def test_memory_depends_neither_on_the_files_size_nor_on_its_row_groups(tmp_path: Path, row_group_size: int) -> None:
    noise = np.random.default_rng(0).standard_normal((2_000_000, 20), dtype=np.float32)
    table = pa.table({f"m{index}": column for index, column in enumerate(noise.T)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=row_group_size, use_dictionary=False)
    script = (
        "import sys, resource\n"
        "from neuronedit.adapters.files.blocks import FileReader\n"
        "from neuronedit.adapters.files.dataset import list_dataset\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "dataset = list_dataset(sys.argv[1]); before = peak()\n"
        "reader = FileReader(dataset.filesystem, dataset.files[0])\n"
        "n = sum(block.table.num_rows for group in reader.row_groups for block in reader.blocks(group))\n"
        "print(n, (peak() - before) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    n_events, grown_mb = map(int, done.stdout.split())
    assert n_events == 2_000_000
    # The file has 150 MB; a block of 131,072 events has 10 MB, and each column of a large row group a buffer of 2 MB.
    assert (tmp_path / "a.parquet").stat().st_size > 140e6
    assert grown_mb < 100


@pytest.fixture
def dataset(tmp_path: Path) -> EventDataset:
    (tmp_path / "batch_id=B").mkdir()
    pq.write_table(CELLS, tmp_path / "batch_id=B/b7.parquet", row_group_size=100)
    pq.write_table(CELLS, tmp_path / "one_group.parquet")
    return list_dataset(str(tmp_path))


def parts(dataset: EventDataset, max_bytes: int) -> list[tuple[str, int, int | None, int]]:
    found = file_parts(dataset.files, dataset.filesystem, max_bytes)
    return [(part.output, part.first_group, part.stop_group, part.n_events) for part in found]


def test_files_up_to_the_limit_are_parts_of_their_own_name(dataset: EventDataset) -> None:
    found = file_parts(dataset.files, dataset.filesystem, max(file.n_bytes for file in dataset.files))
    assert found == [FilePart.whole(file) for file in dataset.files]
    assert [part.output for part in found] == ["batch_id=B/b7.parquet", "one_group.parquet"]


def test_larger_files_are_divided_where_row_groups_end_and_nowhere_else(dataset: EventDataset) -> None:
    metadata = pq.ParquetFile(dataset.files[0].path).metadata
    group = max(
        sum(metadata.row_group(number).column(column).total_compressed_size for column in range(metadata.num_columns))
        for number in range(5)
    )
    assert parts(dataset, 2 * group) == [
        ("batch_id=B/b7-00001-of-00003.parquet", 0, 2, 200),
        ("batch_id=B/b7-00002-of-00003.parquet", 2, 4, 200),
        ("batch_id=B/b7-00003-of-00003.parquet", 4, 5, 100),
        ("one_group.parquet", 0, None, 500),
    ]


def test_a_row_group_beyond_the_limit_is_a_part_alone(dataset: EventDataset) -> None:
    found = parts(dataset, 1)
    assert [(first, stop) for _, first, stop, _ in found[:5]] == [(i, i + 1) for i in range(5)]
    assert sum(n_events for *_, n_events in found) == dataset.n_events


def test_a_part_may_not_take_another_files_name(dataset: EventDataset, tmp_path: Path) -> None:
    pq.write_table(CELLS, tmp_path / "batch_id=B/b7-00002-of-00005.parquet")
    dataset = list_dataset(str(tmp_path))
    with pytest.raises(DataError, match=r"batch_id=B/b7-00002-of-00005\.parquet: a part of a large file would have"):
        file_parts(dataset.files, dataset.filesystem, 1)


def test_a_part_whose_name_would_be_too_long_is_told_before_any_work(tmp_path: Path) -> None:
    name = "b" * 240 + ".parquet"
    pq.write_table(CELLS, tmp_path / name, row_group_size=200)
    dataset = list_dataset(str(tmp_path))
    expected = "the name of a part of this large file would have 263 bytes; expected at most 255. Shorten the file"
    with pytest.raises(DataError, match=rf"^{tmp_path}/{name}: {re.escape(expected)}"):
        file_parts(dataset.files, dataset.filesystem, 1)
