import os
import socket
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.files.columns import choice_columns, text_column
from neuronedit.adapters.files.dataset import EventFile, check_unchanged, list_dataset
from neuronedit.cells.selection import select
from neuronedit.errors import DataError, OutputError, StorageError
from tests.synthetic_cells import sample_table, with_column

CELLS = sample_table("A", "control", 300, seed=5)


def names(folder: Path) -> list[str]:
    return [file.name for file in list_dataset(str(folder)).files]


class TestListing:
    def test_files_are_listed_by_name_with_their_rows_and_sizes(self, cells_once: Path) -> None:
        dataset = list_dataset(str(cells_once))
        assert [file.name for file in dataset.files] == sorted(path.name for path in cells_once.iterdir())
        assert [file.n_events for file in dataset.files] == [600, 300, 500, 400, 350, 350]
        assert dataset.n_events == 2500
        assert all(file.n_bytes == Path(file.path).stat().st_size for file in dataset.files)

    @pytest.mark.parametrize("hidden", ["_notes.txt", ".x.parquet.part", "_model/model.json", "sub/.cache/a.parquet"])
    def test_names_with_a_leading_underscore_or_dot_are_skipped(self, cells: Path, hidden: str) -> None:
        (cells / hidden).parent.mkdir(parents=True, exist_ok=True)
        (cells / hidden).write_text("not events")
        assert len(list_dataset(str(cells)).files) == 6

    def test_a_hidden_folder_above_the_dataset_hides_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "_scratch").mkdir()
        pq.write_table(CELLS, tmp_path / "_scratch/a.parquet")
        assert len(list_dataset(str(tmp_path / "_scratch")).files) == 1

    def test_a_single_file_is_a_dataset(self, cells_once: Path) -> None:
        (file,) = list_dataset(str(cells_once / "B-control.parquet")).files
        assert (file.name, file.n_events, file.partition) == ("B-control.parquet", 500, {})

    @pytest.mark.parametrize("form", ["{}/", "file://{}", "file://{}/"])
    def test_a_folder_can_be_written_in_several_ways(self, cells_once: Path, form: str) -> None:
        found = list_dataset(form.format(cells_once))
        assert found.files == list_dataset(str(cells_once)).files
        assert found.digest() == list_dataset(str(cells_once)).digest()

    def test_the_digest_changes_with_a_name_a_row_count_or_a_size(self, cells: Path) -> None:
        before = list_dataset(str(cells)).digest()
        (cells / "A-control.parquet").rename(cells / "A-kontrol.parquet")
        renamed = list_dataset(str(cells)).digest()
        pq.write_table(CELLS, cells / "A-kontrol.parquet")
        assert len({before, renamed, list_dataset(str(cells)).digest()}) == 3

    def test_folder_names_become_partition_columns(self, tmp_path: Path) -> None:
        target = tmp_path / "cells/batch_id=B7/role=control/a.parquet"
        target.parent.mkdir(parents=True)
        pq.write_table(CELLS.drop_columns(["batch_id", "role"]), target)
        (file,) = list_dataset(str(tmp_path / "cells")).files
        assert file.partition == {"batch_id": "B7", "role": "control"}
        chosen = choice_columns(CELLS.drop_columns(["batch_id", "role"]), file, ["batch_id", "donor"])
        assert set(chosen["batch_id"]) == {"B7"}
        assert len(chosen) == 300

    def test_partition_values_are_those_that_arrow_wrote(self, tmp_path: Path) -> None:
        table = with_column(CELLS, "batch_id", pa.array(["run 7/µ"] * 300))
        partitioning = ds.partitioning(pa.schema([("batch_id", pa.string())]), flavor="hive")
        ds.write_dataset(table, tmp_path / "cells", format="parquet", partitioning=partitioning)
        (file,) = list_dataset(str(tmp_path / "cells")).files
        assert file.partition == {"batch_id": "run 7/µ"}

    def test_a_partition_of_nulls_has_no_value(self, tmp_path: Path) -> None:
        table = pa.table({"CD3": [1.0], "batch_id": pa.array([None], pa.string())})
        partitioning = ds.partitioning(pa.schema([("batch_id", pa.string())]), flavor="hive")
        ds.write_dataset(table, tmp_path / "cells", format="parquet", partitioning=partitioning)
        (file,) = list_dataset(str(tmp_path / "cells")).files
        assert file.partition == {"batch_id": None}

    def test_a_stored_column_wins_over_the_folder_name(self, tmp_path: Path) -> None:
        file = EventFile("x", "x", 300, 1, {"batch_id": "folder"})
        assert set(choice_columns(CELLS, file, ["batch_id"])["batch_id"]) == {"A"}

    @pytest.mark.parametrize("numbers", [[3, 4], [3, None]], ids=["no nulls", "nulls"])
    @pytest.mark.parametrize("dictionary", [False, True])
    def test_a_numbered_batch_has_the_same_name_with_and_without_nulls_beside_it(
        self, numbers: list[int | None], dictionary: bool
    ) -> None:
        column = pa.array(numbers, pa.int64())
        table = pa.table({"batch_id": column.dictionary_encode() if dictionary else column})
        chosen = choice_columns(table, EventFile("x", "x", 2, 1), ["batch_id"])
        assert str(chosen["batch_id"].to_numpy(dtype=object)[0]) == "3"
        assert select(chosen, {"batch_id": "3"}).tolist() == [True, False]
        assert select(chosen, {"batch_id": 3}).tolist() == [True, False]

    @pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
    @pytest.mark.parametrize("dictionary", [False, True])
    def test_a_batch_numbered_by_floats_is_that_of_whole_numbers(self, kind: pa.DataType, dictionary: bool) -> None:
        numbers = pa.array([3.0, 0.1, None, np.nan, -2.0, np.inf], kind)
        table = pa.table({"batch_id": numbers.dictionary_encode() if dictionary else numbers})
        file = EventFile("x", "x", 6, 1)
        chosen = choice_columns(table, file, ["batch_id"])["batch_id"]
        assert [str(value) for value in chosen[chosen.notna()]] == ["3", "0.1", "-2", "inf"]
        assert select(chosen.to_frame(), {"batch_id": "3"}).tolist() == [True] + [False] * 5
        assert select(chosen.to_frame(), {"batch_id": 3}).tolist() == [True] + [False] * 5
        assert list(text_column(table, file, "batch_id", "none"))[:3] == ["3", "0.1", "none"]


class TestDamage:
    def test_a_missing_path_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"nowhere: not found\. Expected a Parquet file or a folder .* data\.path"):
            list_dataset(str(tmp_path / "nowhere"))

    def test_an_empty_folder_has_no_events(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no events in 0 Parquet files\. Check data\.path"):
            list_dataset(str(tmp_path))

    def test_a_folder_of_empty_tables_has_no_events(self, tmp_path: Path) -> None:
        pq.write_table(CELLS.slice(0, 0), tmp_path / "a.parquet")
        with pytest.raises(DataError, match=r"no events in 1 Parquet files"):
            list_dataset(str(tmp_path))

    def test_an_empty_table_among_others_is_listed(self, cells: Path) -> None:
        pq.write_table(CELLS.slice(0, 0), cells / "0.parquet")
        assert list_dataset(str(cells)).files[0].n_events == 0

    def test_a_file_of_no_bytes_is_told(self, cells: Path) -> None:
        (cells / "B-control.parquet").write_bytes(b"")
        with pytest.raises(DataError, match=r"B-control\.parquet: the file is empty \(0 bytes\); expected Parquet"):
            list_dataset(str(cells))

    @pytest.mark.parametrize("kept", [1, 7, 100, -9, -4, -1])
    def test_a_truncated_file_is_told_before_anything_is_read(self, cells: Path, kept: int) -> None:
        target = cells / "B-control.parquet"
        target.write_bytes(target.read_bytes()[:kept])
        with pytest.raises(DataError, match=r"B-control\.parquet: not a Parquet file, or truncated \(.+\)\. Write it"):
            list_dataset(str(cells))

    def test_text_with_a_parquet_name_is_told(self, cells: Path) -> None:
        (cells / "B-control.parquet").write_text("CD3,CD19\n" * 100)
        with pytest.raises(DataError, match=r"B-control\.parquet: not a Parquet file, or truncated \(.*magic bytes"):
            list_dataset(str(cells))

    def test_a_file_of_another_format_in_the_folder_is_told(self, cells: Path) -> None:
        (cells / "panel.csv").write_text("marker\nCD3\n")
        with pytest.raises(DataError, match=r"panel\.csv: not a Parquet file by its name; .* leading underscore"):
            list_dataset(str(cells))

    def test_a_name_in_capitals_is_a_parquet_files(self, cells: Path) -> None:
        (cells / "A-control.parquet").rename(cells / "A-CONTROL.PARQUET")
        assert "A-CONTROL.PARQUET" in names(cells)


class TestLinks:
    """A file is listed once, whatever leads to it."""

    @pytest.mark.parametrize("target", [".", "..", "sub", "sub/..", "loop"])
    def test_a_loop_adds_nothing(self, tmp_path: Path, target: str) -> None:
        folder = tmp_path / "cells"
        (folder / "sub").mkdir(parents=True)
        pq.write_table(CELLS, folder / "a.parquet")
        pq.write_table(CELLS, folder / "sub/b.parquet")
        (folder / "loop").symlink_to(target)
        if target == "loop":
            with pytest.raises(DataError, match=r"cells/loop: a link that leads to nothing; expected a Parquet file\."):
                list_dataset(str(folder))
        else:
            assert names(folder) == ["a.parquet", "sub/b.parquet"]

    def test_links_and_hard_links_to_files_that_are_listed_are_passed_over_and_told(
        self, cells: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = names(cells)
        (cells / "0-again.parquet").symlink_to(cells / "B-control.parquet")
        os.link(cells / "C-control.parquet", cells / "D.parquet")
        (cells / "all").symlink_to(cells)
        assert names(cells) == before
        assert "'0-again.parquet'" in caplog.text
        assert " passed over: the same files as '.', 'B-control.parquet', 'C-control.parquet'" in caplog.text

    def test_what_only_links_lead_to_is_listed_once_by_the_first_links_name(self, cells: Path, tmp_path: Path) -> None:
        (tmp_path / "here").mkdir()
        for name in ("1", "2"):
            (tmp_path / "here" / name).symlink_to(cells)
            (tmp_path / f"here/{name}.parquet").symlink_to(cells / "A-control.parquet")
        found = list_dataset(str(tmp_path / "here"))
        assert found.n_events == list_dataset(str(cells)).n_events
        assert [file.name for file in found.files] == [f"1/{name}" for name in names(cells)]

    def test_a_link_to_the_dataset_is_the_dataset(self, cells: Path, tmp_path: Path) -> None:
        (tmp_path / "alias").symlink_to(cells)
        assert names(tmp_path / "alias") == names(cells)

    def test_one_file_as_two_batches_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "batch_id=A").mkdir()
        pq.write_table(CELLS, tmp_path / "batch_id=A/a.parquet")
        (tmp_path / "batch_id=B").symlink_to("batch_id=A")
        with pytest.raises(
            DataError,
            match=r"batch_id=B and batch_id=A are one and the same by a link, but their folders' names give them "
            r"different columns\. Remove one, or copy what it leads to\.",
        ):
            list_dataset(str(tmp_path))

    def test_a_link_to_nothing_is_told(self, cells: Path) -> None:
        (cells / "gone.parquet").symlink_to(cells / "nowhere.parquet")
        with pytest.raises(DataError, match=r"gone\.parquet: a link that leads to nothing; expected a Parquet file\."):
            list_dataset(str(cells))

    @pytest.mark.parametrize("kind", ["pipe", "socket"])
    def test_what_is_no_file_is_told_and_not_opened(self, cells: Path, kind: str) -> None:
        place = cells / "x.parquet"
        if kind == "pipe":
            os.mkfifo(place)
        else:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(place))
        with pytest.raises(DataError, match=r"x\.parquet: neither a file nor a folder; expected a Parquet file\."):
            list_dataset(str(cells))
        with pytest.raises(DataError, match=r"x\.parquet: neither a file nor a folder; expected a Parquet file\."):
            list_dataset(str(place))

    def test_a_name_that_is_not_utf_8_is_told(self, cells: Path) -> None:
        (cells / "A-control.parquet").rename(os.fsdecode(os.fsencode(cells) + b"/day\xff.parquet"))
        message = r"day\\xff\.parquet: the name is not UTF-8, so that no output can have it\. Rename the file\."
        with pytest.raises(DataError, match=message):
            list_dataset(str(cells))

    def test_all_of_these_can_be_passed_over(self, cells: Path) -> None:
        (cells / "gone.parquet").symlink_to(cells / "nowhere.parquet")
        os.mkfifo(cells / "pipe.parquet")
        (cells / os.fsdecode(b"day\xff.parquet")).write_bytes((cells / "A-control.parquet").read_bytes())
        found = list_dataset(str(cells), pass_over=True)
        assert len(found.files) == 6
        assert sorted(found.unreadable) == ["day\\xff.parquet", "gone.parquet", "pipe.parquet"]


class TestUnchanged:
    def test_a_file_that_is_written_again_is_told_although_size_and_time_are_as_before(self, cells: Path) -> None:
        dataset = list_dataset(str(cells))
        check_unchanged(dataset)
        place = cells / "B-control.parquet"
        content, times = bytearray(place.read_bytes()), place.stat()
        content[100] ^= 255
        place.write_bytes(content)
        os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
        with pytest.raises(
            StorageError,
            match=r"cells: written again since it was listed: 'B-control\.parquet'\. Let nothing write to the input "
            r"while it is read; restore it and run again\.",
        ):
            check_unchanged(dataset)

    def test_a_file_that_was_added_or_removed_is_none_of_ours(self, cells: Path) -> None:
        dataset = list_dataset(str(cells))
        (cells / "A-control.parquet").rename(cells / "Z.parquet")
        check_unchanged(dataset)

    def test_a_single_file_is_compared_too(self, cells: Path) -> None:
        dataset = list_dataset(str(cells / "A-control.parquet"))
        check_unchanged(dataset)
        pq.write_table(CELLS, cells / "A-control.parquet")
        with pytest.raises(StorageError, match="written again since it was listed"):
            check_unchanged(dataset)


@pytest.mark.parametrize(("note", "job"), [('{"job": "ingest"}', "An ingest"), ("{", "A transform or export")])
def test_the_output_of_a_job_that_did_not_finish_is_refused_and_so_are_its_files(
    tmp_path: Path, note: str, job: str
) -> None:
    cells = tmp_path / "cells"
    cells.mkdir()
    pq.write_table(CELLS, cells / "a.parquet")
    (cells / "_started.json").write_text(note)
    for path in (cells, cells / "a.parquet"):
        expected = rf"^{path}: no _manifest\.json\. {job} was started here and did not finish: run it again with resume"
        with pytest.raises(OutputError, match=expected):
            list_dataset(str(path))
    (cells / "_manifest.json").write_text("{}")
    assert list_dataset(str(cells)).n_events == 300
