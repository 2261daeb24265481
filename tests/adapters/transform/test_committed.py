import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.files.blocks import FilePart
from neuronedit.adapters.files.storage import locate
from neuronedit.adapters.transform import committed as committed_file
from neuronedit.adapters.transform.committed import KEEP, Committed, Layout, commit_parquet, sha256_of
from neuronedit.adapters.transform.plan import TransformPlan
from neuronedit.errors import DataError, StorageError
from tests.adapters.claiming import claim, standing, write_file
from tests.synthetic_cells import sample_table

CELLS = sample_table("A", "control", 300, seed=5)


ZSTD = Layout("zstd")


def commit(path: Path, tables: Iterable[pa.Table], layout: Layout = ZSTD) -> Committed:
    return commit_parquet(locate(str(path)), CELLS.schema, tables, layout, lambda written: written)


def row_group_sizes(path: Path) -> list[int]:
    metadata = pq.ParquetFile(path).metadata
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def test_tables_are_written_in_order_with_their_schema(tmp_path: Path) -> None:
    path = tmp_path / "deep/b7.parquet"
    committed = commit(path, [CELLS.slice(0, 100), CELLS.slice(100)])
    written = pq.read_table(path)
    assert written.equals(CELLS)
    assert written.schema.metadata.items() >= CELLS.schema.metadata.items()
    content = path.read_bytes()
    assert committed == Committed(300, len(content), hashlib.sha256(content).hexdigest())
    assert sha256_of(locate(str(path))) == committed.sha256


@pytest.mark.parametrize("compression", ["snappy", "zstd", "lz4", "none"])
def test_every_compression_offered_can_be_read_and_kept(tmp_path: Path, compression: str) -> None:
    commit(tmp_path / "a.parquet", [CELLS], Layout(compression))
    assert pq.read_table(tmp_path / "a.parquet").equals(CELLS)
    assert Layout(KEEP).like(pq.ParquetFile(tmp_path / "a.parquet").metadata) == Layout(compression)


@pytest.mark.parametrize(
    ("chosen", "sizes"), [(None, [100, 50, 150]), (120, [120, 120, 60]), (300, [300]), (1000, [300]), (50, [50] * 6)]
)
def test_row_groups_are_the_tables_or_as_large_as_was_chosen(
    tmp_path: Path, chosen: int | None, sizes: list[int]
) -> None:
    tables = [CELLS.slice(0, 100), CELLS.slice(100, 50), CELLS.slice(150)]
    commit(tmp_path / "a.parquet", tables, Layout("zstd", chosen))
    assert row_group_sizes(tmp_path / "a.parquet") == sizes
    assert pq.read_table(tmp_path / "a.parquet").equals(CELLS)


def test_floating_point_columns_are_not_dictionary_encoded_and_others_are(tmp_path: Path) -> None:
    commit(tmp_path / "b7.parquet", [CELLS])
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
        commit(tmp_path / "b7.parquet", tables())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            errno.ENOSPC,
            r"b7\.parquet: no room is left \(.*No space left on device\)\. Make room\. Nothing of it was",
        ),
        (errno.EIO, r"b7\.parquet: .* \(.*Input/output error\)\. .* Nothing of it was left behind, and finished files"),
    ],
)
def test_a_storage_that_takes_no_more_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, message: str
) -> None:
    def fail(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(committed_file.Hashed, "write", fail)
    with pytest.raises(StorageError, match=message):
        commit(tmp_path / "b7.parquet", [CELLS])
    assert list(tmp_path.iterdir()) == []


def test_a_failed_commit_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    commit(tmp_path / "b7.parquet", [CELLS])
    before = (tmp_path / "b7.parquet").read_bytes()
    with pytest.raises(ValueError, match="schema"):
        commit(tmp_path / "b7.parquet", [CELLS.drop_columns(["CD3"])])
    assert (tmp_path / "b7.parquet").read_bytes() == before


def test_a_second_commit_replaces_the_first(tmp_path: Path) -> None:
    commit(tmp_path / "b7.parquet", [CELLS])
    commit(tmp_path / "b7.parquet", [CELLS.slice(0, 10)])
    assert pq.read_table(tmp_path / "b7.parquet").num_rows == 10
    assert [path.name for path in tmp_path.iterdir()] == ["b7.parquet"]


def test_a_file_counts_as_finished_only_with_this_claims_receipt(target: Path, plan: TransformPlan) -> None:
    with claim(target, plan) as output:
        complete, other, plain = plan.inputs.files[:3]
        receipt = write_file(output, plan, complete.name)
        write_file(replace(output, claim="another"), plan, other.name)
        pq.write_table(pq.read_table(plain.path), target / plain.name)
        assert standing(output, plan) == [complete.name]
        assert output.receipt(FilePart.whole(complete)) == receipt


@pytest.mark.parametrize(
    "spoil", [lambda content: content[:0], lambda content: content[:-5], lambda content: content[::-1]]
)
def test_a_damaged_output_is_not_finished(target: Path, plan: TransformPlan, spoil: Callable[[bytes], bytes]) -> None:
    with claim(target, plan) as output:
        write_file(output, plan, "A-control.parquet")
        path = target / "A-control.parquet"
        path.write_bytes(spoil(path.read_bytes()))
        assert standing(output, plan) == []


@pytest.mark.parametrize("text", ["", "{", "{}", '{"plan": 1}'])
def test_a_damaged_receipt_is_none(target: Path, plan: TransformPlan, text: str) -> None:
    with claim(target, plan) as output:
        write_file(output, plan, "A-control.parquet")
        (target / "_receipts/A-control.parquet.json").write_text(text)
        assert standing(output, plan) == []
