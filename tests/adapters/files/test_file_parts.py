from pathlib import Path

import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.files.blocks import FilePart, file_parts
from neuronedit.adapters.files.parquet import EventDataset, list_dataset
from neuronedit.errors import DataError
from tests.synthetic_cells import sample_table

CELLS = sample_table("B", "control", 500, seed=1)


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
