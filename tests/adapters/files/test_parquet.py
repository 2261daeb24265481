import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.files import blocks as file_blocks
from neuronedit.adapters.files.blocks import Block, FileReader
from neuronedit.adapters.files.columns import choice_columns, text_column
from neuronedit.adapters.files.parquet import (
    EventDataset,
    EventFile,
    check_markers,
    edited_schema,
    list_dataset,
    marker_matrix,
    open_parquet,
    replace_markers,
)
from neuronedit.cells.panel import Panel
from neuronedit.cells.selection import select
from neuronedit.errors import DataError, PanelError
from tests.synthetic_cells import MARKERS, SCHEMA_METADATA, sample_table, with_column, with_value

CELLS = sample_table("A", "control", 300, seed=5)
NUMBERS = list(range(300))


def rows(dataset: EventDataset, file: EventFile, columns: list[str] | None = None) -> pa.Table:
    return pa.concat_tables([block.table for block in blocks(dataset, file, columns)])


def blocks(dataset: EventDataset, file: EventFile, columns: list[str] | None = None) -> list[Block]:
    with FileReader(dataset.filesystem, file) as reader:
        return [block for group in reader.row_groups for block in reader.blocks(group, columns)]


def all_matrices(dataset: EventDataset, panel: Panel) -> list[np.ndarray]:
    found = blocks(dataset, dataset.files[0])
    return [marker_matrix(table, panel, "b7.parquet", first_row) for _, first_row, table in found]


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


class TestOpening:
    def test_a_file_that_vanished_is_a_data_error(self, cells: Path) -> None:
        dataset = list_dataset(str(cells))
        Path(dataset.files[0].path).unlink()
        with pytest.raises(DataError, match=r"A-control\.parquet: not there any more\. Restore"):
            open_parquet(dataset.filesystem, dataset.files[0].path)


class TestMarkers:
    def test_the_matrix_has_the_panels_order(self, panel: Panel) -> None:
        matrix = marker_matrix(CELLS, panel, "cells")
        assert matrix.dtype == np.float32
        for index, marker in enumerate(MARKERS):
            assert (matrix[:, index] == CELLS.column(marker).to_numpy()).all()

    def test_a_missing_marker_is_told_with_the_nearest_name(self, panel: Panel) -> None:
        renamed = CELLS.rename_columns([{"CD19": "Cd-19"}.get(name, name) for name in CELLS.column_names])
        with pytest.raises(
            PanelError,
            match=r"^b7: marker 'CD19' is missing \(the panel has 6 markers; this file has 5 of them; "
            r"nearest name 'Cd-19'\)\. Rename the column",
        ):
            check_markers(renamed.schema, panel, "b7")

    def test_several_missing_markers_are_listed(self, panel: Panel) -> None:
        with pytest.raises(PanelError, match=r"markers 'CD3', 'CD19' are missing .* has 4 of them"):
            check_markers(CELLS.drop_columns(["CD3", "CD19"]).schema, panel, "b7")

    def test_a_marker_outside_the_panel_is_a_passenger(self, panel: Panel) -> None:
        table = CELLS.append_column("CD99", pa.array(NUMBERS, pa.float32()))
        check_markers(table.schema, panel, "b7")
        edited = replace_markers(table, panel, marker_matrix(table, panel, "b7") + 1)
        assert edited.column("CD99").equals(table.column("CD99"))

    def test_a_repeated_column_name_is_told(self, panel: Panel) -> None:
        table = CELLS.append_column("CD3", pa.array(NUMBERS, pa.float32()))
        with pytest.raises(PanelError, match=r"the column name 'CD3' stands more than once\. Rename or drop"):
            check_markers(table.schema, panel, "b7")

    @pytest.mark.parametrize(
        "values",
        [
            pa.array([str(n) for n in NUMBERS]),
            pa.array([str(n) for n in NUMBERS]).dictionary_encode(),
            pa.array([n % 2 == 0 for n in NUMBERS]),
            pa.array([[n] for n in NUMBERS]),
            pa.array(NUMBERS, pa.timestamp("s")),
            pa.array(NUMBERS, pa.decimal128(10, 2)),
        ],
        ids=["text", "dictionary", "bool", "list", "timestamp", "decimal"],
    )
    def test_a_marker_that_is_no_number_is_refused(self, panel: Panel, values: pa.Array) -> None:
        table = with_column(CELLS, "CD45RA", values)
        expected = re.escape(f"b7: marker 'CD45RA' has type {values.type}; expected numbers (float or integer).")
        with pytest.raises(DataError, match=expected):
            check_markers(table.schema, panel, "b7")

    @pytest.mark.parametrize(
        ("stored", "written"),
        [
            (pa.int8(), pa.float64()),
            (pa.uint16(), pa.float64()),
            (pa.int64(), pa.float64()),
            (pa.float16(), pa.float32()),
            (pa.float32(), pa.float32()),
            (pa.float64(), pa.float64()),
        ],
        ids=str,
    )
    def test_a_number_of_any_type_is_read_exactly_and_written_as_floating_point(
        self, panel: Panel, stored: pa.DataType, written: pa.DataType
    ) -> None:
        numbers = np.arange(300) % 100
        values = numbers.astype(np.float16) if stored == pa.float16() else numbers
        table = with_column(CELLS, "CD45RA", pa.array(values, stored))
        check_markers(table.schema, panel, "b7")
        matrix = marker_matrix(table, panel, "b7")
        assert (matrix[:, MARKERS.index("CD45RA")] == numbers).all()
        edited = replace_markers(table, panel, matrix)
        assert edited.schema.field("CD45RA").type == written
        assert (edited.column("CD45RA").to_numpy() == numbers).all()
        assert edited.column("CD3").equals(table.column("CD3"))

    def test_float64_keeps_its_digits(self, panel: Panel) -> None:
        table = with_column(CELLS, "CD3", pa.array(np.linspace(1, 2, 300)))
        matrix = marker_matrix(table, panel, "b7")
        assert matrix.dtype == np.float64
        assert replace_markers(table, panel, matrix).equals(table, check_metadata=True)

    def test_an_intensity_beyond_float32_is_refused(self, panel: Panel) -> None:
        table = with_column(CELLS, "CD3", pa.array([1e39, *NUMBERS[1:]]))
        with pytest.raises(DataError, match=r"marker 'CD3' has 1e\+39 in row 0 "):
            marker_matrix(table, panel, "b7")

    @pytest.mark.parametrize(
        ("value", "found"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity"), (None, "no value (null)")]
    )
    @pytest.mark.parametrize("row", [0, 130, 299])
    def test_a_value_that_is_no_finite_number_is_told_with_its_row(
        self,
        panel: Panel,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        value: float | None,
        found: str,
        row: int,
    ) -> None:
        monkeypatch.setattr(file_blocks, "EVENTS_PER_BLOCK", 100)
        pq.write_table(with_value(CELLS, "HLA-DR", row, value), tmp_path / "b7.parquet")
        dataset = list_dataset(str(tmp_path))
        expected = re.escape(f"marker 'HLA-DR' has {found} in row {row} (1 such events among 100)")
        with pytest.raises(DataError, match=expected):
            all_matrices(dataset, panel)

    def test_the_schema_keeps_order_metadata_and_every_other_type(self, panel: Panel) -> None:
        schema = edited_schema(with_column(CELLS, "CD3", pa.array(NUMBERS, pa.int16())).schema, panel)
        assert schema.names == CELLS.column_names
        assert schema.metadata == SCHEMA_METADATA
        assert schema.field("CD3").type == pa.float64()
        others = [name for name in schema.names if name != "CD3"]
        assert all(schema.field(name).equals(CELLS.schema.field(name), check_metadata=True) for name in others)

    def test_replacing_markers_changes_nothing_else(self, panel: Panel) -> None:
        edited = replace_markers(CELLS, panel, marker_matrix(CELLS, panel, "b7") * 2)
        assert edited.schema.equals(CELLS.schema, check_metadata=True)
        passengers = [name for name in CELLS.column_names if name not in MARKERS]
        assert edited.select(passengers).equals(CELLS.select(passengers))
        assert (edited.column("CD45").to_numpy() == CELLS.column("CD45").to_numpy() * 2).all()
