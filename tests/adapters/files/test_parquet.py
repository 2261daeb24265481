import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.files import blocks as file_blocks
from neuronedit.adapters.files.blocks import Block, FileReader
from neuronedit.adapters.files.dataset import EventDataset, EventFile, list_dataset
from neuronedit.adapters.files.parquet import check_markers, edited_schema, marker_matrix, open_parquet, replace_markers
from neuronedit.cells.panel import Panel
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
