from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.committed_file import commit_parquet, read_stamp
from neuronedit.adapters.storage import locate
from neuronedit.errors import DataError
from tests.synthetic_cells import sample_table

CELLS = sample_table("A", "control", 300, seed=5)


def commit(path: Path, tables: list[pa.Table], stamp: dict[str, object]) -> None:
    commit_parquet(locate(str(path)), CELLS.schema, tables, lambda: stamp, "zstd")


def test_tables_are_written_in_order_with_schema_and_stamp(tmp_path: Path) -> None:
    commit(tmp_path / "deep/b7.parquet", [CELLS.slice(0, 100), CELLS.slice(100)], {"plan": "p1"})
    written = pq.read_table(tmp_path / "deep/b7.parquet")
    assert written.equals(CELLS)
    assert written.schema.metadata.items() >= CELLS.schema.metadata.items()
    assert read_stamp(locate(str(tmp_path / "deep/b7.parquet"))) == {"plan": "p1", "rows": 300}


@pytest.mark.parametrize("compression", ["snappy", "zstd", "lz4", "none"])
def test_every_compression_offered_can_be_read(tmp_path: Path, compression: str) -> None:
    commit_parquet(locate(str(tmp_path / "a.parquet")), CELLS.schema, [CELLS], dict, compression)
    assert pq.read_table(tmp_path / "a.parquet").equals(CELLS)


def test_floating_point_columns_are_not_dictionary_encoded_and_others_are(tmp_path: Path) -> None:
    commit(tmp_path / "b7.parquet", [CELLS], {})
    group = pq.ParquetFile(tmp_path / "b7.parquet").metadata.row_group(0)
    encoded = {group.column(i).path_in_schema: group.column(i).has_dictionary_page for i in range(group.num_columns)}
    assert not any(encoded[name] for name in ("CD3", "CD45", "Time"))
    assert all(encoded[name] for name in ("event_id", "batch_id", "donor"))


@pytest.mark.parametrize("error", [DataError("row 7"), KeyboardInterrupt(), SystemExit(1)])
def test_nothing_is_left_when_the_rows_fail_midway(tmp_path: Path, error: BaseException) -> None:
    def tables() -> Iterator[pa.Table]:
        yield CELLS
        raise error

    with pytest.raises(type(error)):
        commit_parquet(locate(str(tmp_path / "b7.parquet")), CELLS.schema, tables(), dict, "zstd")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_when_the_stamp_fails(tmp_path: Path) -> None:
    def stamp() -> dict[str, object]:
        raise DataError("the file changed")

    with pytest.raises(DataError, match="the file changed"):
        commit_parquet(locate(str(tmp_path / "b7.parquet")), CELLS.schema, [CELLS], stamp, "zstd")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_commit_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    commit(tmp_path / "b7.parquet", [CELLS], {"plan": "p1"})
    before = (tmp_path / "b7.parquet").read_bytes()
    with pytest.raises(ValueError, match="schema"):
        commit(tmp_path / "b7.parquet", [CELLS.drop_columns(["CD3"])], {"plan": "p2"})
    assert (tmp_path / "b7.parquet").read_bytes() == before


def test_a_second_commit_replaces_the_first(tmp_path: Path) -> None:
    commit(tmp_path / "b7.parquet", [CELLS], {"plan": "p1"})
    commit(tmp_path / "b7.parquet", [CELLS.slice(0, 10)], {"plan": "p2"})
    assert read_stamp(locate(str(tmp_path / "b7.parquet"))) == {"plan": "p2", "rows": 10}
    assert [path.name for path in tmp_path.iterdir()] == ["b7.parquet"]


def test_the_stamp_is_asked_after_the_last_table(tmp_path: Path) -> None:
    seen: list[int] = []

    def tables() -> Iterator[pa.Table]:
        for start in (0, 100, 200):
            seen.append(start)
            yield CELLS.slice(start, 100)

    target = locate(str(tmp_path / "b7.parquet"))
    commit_parquet(target, CELLS.schema, tables(), lambda: {"tables": len(seen)}, "zstd")
    assert read_stamp(target) == {"tables": 3, "rows": 300}


def test_a_file_without_a_stamp_and_no_file_have_none(tmp_path: Path) -> None:
    pq.write_table(CELLS, tmp_path / "plain.parquet")
    assert read_stamp(locate(str(tmp_path / "plain.parquet"))) is None
    assert read_stamp(locate(str(tmp_path / "none.parquet"))) is None
