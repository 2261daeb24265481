"""One FCS file of each Parquet file: which events and columns it has, and what is refused with its place."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.export import exporter
from neuronedit.adapters.transform.manifest import verify_output
from neuronedit.errors import DataError, OutputError, StorageError
from tests.adapters.exporting import columns_of, export, write_cells
from tests.flowcore import events_of, read_by_flowcore
from tests.synthetic_cells import MARKERS, with_value

NUMBERS = ["event_id", "CD45", "CD3", "CD19", "CD45RA", "HLA-DR", "pSTAT5", "Time"]


def text_of(path: Path) -> dict[str, str]:
    return read_by_flowcore(path.read_bytes())[0]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "fcs"


class TestFiles:
    def test_each_parquet_file_becomes_one_with_all_its_numbers(self, cells_once: Path, target: Path) -> None:
        manifest = export(cells_once, target)
        assert {path.name for path in target.glob("*.fcs")} == {f"Norm_{p.stem}.fcs" for p in cells_once.iterdir()}
        for path in cells_once.iterdir():
            expected = columns_of(path, NUMBERS).astype(np.float32)
            assert np.array_equal(events_of(target / f"Norm_{path.stem}.fcs"), expected)
        assert manifest["events"] == 2500
        notes = next(entry["notes"] for entry in manifest["outputs"] if entry["file"] == "Norm_A-control.fcs")
        assert notes == [
            "columns that are no numbers and not the same for all events are left out: 'donor'",
            "values that are no float32 were rounded to the nearest: 'event_id' (599), 'Time' (598)",
        ]

    def test_parts_of_a_large_file_are_joined_in_order(self, tmp_path: Path, target: Path) -> None:
        values = np.arange(25, dtype=np.float32)
        for number in range(1, 12):
            part = {"CD3": values[2 * number : 2 * number + 2]}
            write_cells(tmp_path / f"cells/day1/a-{number:05}-of-00011.parquet", part)
        export(tmp_path / "cells", target)
        (written,) = target.rglob("*.fcs")
        assert written == target / "day1/Norm_a.fcs"
        assert events_of(written)[:, 0].tolist() == values[2:24].tolist()

    def test_a_missing_part_is_told(self, tmp_path: Path, target: Path) -> None:
        for number in (1, 3):
            write_cells(tmp_path / f"cells/a-{number:05}-of-00003.parquet", {"CD3": [1.0]})
        with pytest.raises(
            DataError, match=r"expected all 3 parts of the file; missing: 'a-00002-of-00003\.parquet'\. Restore them\.$"
        ):
            export(tmp_path / "cells", target)
        assert not target.exists()

    def test_parts_of_different_columns_are_told(self, tmp_path: Path, target: Path) -> None:
        write_cells(tmp_path / "cells/a-00001-of-00002.parquet", {"CD3": [1.0]})
        write_cells(tmp_path / "cells/a-00002-of-00002.parquet", {"CD4": [1.0]})
        with pytest.raises(DataError, match=r"a-00002-of-00002\.parquet: expected the columns of a-00001-of-00002"):
            export(tmp_path / "cells", target)

    def test_folders_names_become_keywords(self, tmp_path: Path, target: Path) -> None:
        write_cells(tmp_path / "cells/batch_id=B 7/a.parquet", {"CD3": [1.0]})
        export(tmp_path / "cells", target)
        assert text_of(target / "batch_id=B 7/Norm_a.fcs")["BATCH_ID"] == "B 7"

    def test_two_files_that_would_have_one_name_are_told(self, tmp_path: Path, target: Path) -> None:
        for name in ("a.parquet", "a.pq"):
            write_cells(tmp_path / "cells" / name, {"CD3": [1.0]})
        with pytest.raises(DataError, match=r"a\.parquet would both become Norm_a\.fcs\. Rename one\.$"):
            export(tmp_path / "cells", target)

    def test_a_name_that_is_too_long_is_told(self, tmp_path: Path, target: Path) -> None:
        write_cells(tmp_path / "cells" / f"{'a' * 247}.parquet", {"CD3": [1.0]})
        with pytest.raises(
            DataError, match=r"would have 256 bytes; expected at most 255\. Shorten the file's name, or t"
        ):
            export(tmp_path / "cells", target)
        export(tmp_path / "cells", target, prefix="N")
        assert verify_output(str(target)).problems == ()

    def test_a_file_without_events_comes_out_empty(self, tmp_path: Path, target: Path) -> None:
        write_cells(tmp_path / "cells/a.parquet", {"CD3": pa.array([], pa.float32()), "x": pa.array([], pa.string())})
        write_cells(tmp_path / "cells/b.parquet", {"CD3": [1.0], "x": ["y"]})
        export(tmp_path / "cells", target)
        assert (text_of(target / "Norm_a.fcs")["$TOT"], text_of(target / "Norm_b.fcs")["$TOT"]) == ("0", "1")

    def test_one_file_is_exported_too(self, cells_once: Path, target: Path) -> None:
        export(cells_once / "A-control.parquet", target)
        assert [path.name for path in target.glob("*.fcs")] == ["Norm_A-control.fcs"]

    @pytest.mark.parametrize("size", [1, 100, 131_072])
    def test_the_size_of_blocks_does_not_matter(
        self, cells_once: Path, target: Path, monkeypatch: pytest.MonkeyPatch, size: int
    ) -> None:
        monkeypatch.setattr(exporter, "VALUES_PER_BLOCK", 10 * size)
        export(cells_once / "A-validation.parquet", target)
        expected = columns_of(cells_once / "A-validation.parquet", NUMBERS).astype(np.float32)
        assert np.array_equal(events_of(target / "Norm_A-validation.fcs"), expected)


class TestEventsAndColumns:
    def test_only_chosen_events_are_written_and_a_file_without_any_is_not(self, cells_once: Path, target: Path) -> None:
        manifest = export(cells_once, target, where={"donor": ["P1", "P2"], "batch_id": "A"})
        assert sorted(path.name for path in target.glob("*.fcs")) == ["Norm_A-control.fcs", "Norm_A-validation.fcs"]
        assert manifest["without_events"] == [f"Norm_{b}-{r}.fcs" for b in "BC" for r in ("control", "validation")]
        table = pq.read_table(cells_once / "A-control.parquet").to_pandas()
        chosen = table[table["donor"].isin(["P1", "P2"])]
        found = events_of(target / "Norm_A-control.fcs")
        assert np.array_equal(found, chosen[NUMBERS].to_numpy().astype(np.float32))
        assert verify_output(str(target)).events == manifest["events"]
        export(cells_once, target, where={"donor": ["P1", "P2"], "batch_id": "A"}, resume=True)

    def test_a_column_that_is_constant_among_the_chosen_events_is_a_keyword(
        self, cells_once: Path, target: Path
    ) -> None:
        export(cells_once, target, where={"donor": "P1"})
        assert text_of(target / "Norm_A-control.fcs")["DONOR"] == "P1"

    def test_no_chosen_event_at_all_is_told(self, cells_once: Path, target: Path) -> None:
        with pytest.raises(DataError, match=r"none of the 2500 events was chosen\. Check where\.$"):
            export(cells_once, target, where={"donor": "P9"})

    def test_a_column_to_choose_by_that_is_missing_is_told(self, cells_once: Path, target: Path) -> None:
        with pytest.raises(
            DataError, match=r"A-control\.parquet: the column 'doner' is missing; .*nearest name 'donor'"
        ):
            export(cells_once, target, where={"doner": "P1"})

    def test_columns_can_be_left_out(self, cells_once: Path, target: Path) -> None:
        manifest = export(cells_once, target, leave_out=("event_id", "Time", "donor", "role"))
        text = text_of(target / "Norm_A-control.fcs")
        assert {text[f"$P{number}N"] for number in range(1, int(text["$PAR"]) + 1)} == set(MARKERS)
        assert "ROLE" not in text
        assert not any(entry["notes"] for entry in manifest["outputs"])

    def test_the_support_of_unedited_events_is_below_zero(self, tmp_path: Path, target: Path) -> None:
        support = pa.array([0.5, None, 3.0], pa.float32())
        write_cells(tmp_path / "cells/a.parquet", {"CD3": [1.0, 2.0, 3.0], "neuronedit_support": support})
        export(tmp_path / "cells", target)
        assert events_of(target / "Norm_a.fcs")[:, 1].tolist() == [0.5, -1.0, 3.0]

    def test_names_are_unique_also_beside_detectors(self, tmp_path: Path, target: Path) -> None:
        facts = b'{"channels": {"CD4": "CD3"}}'
        columns = {name: [1.0] for name in ("CD4", "CD3", "a,b", "a_b", " ")}
        write_cells(tmp_path / "cells/a.parquet", columns, facts)
        export(tmp_path / "cells", target)
        text = text_of(target / "Norm_a.fcs")
        assert [text[f"$P{n}N"] for n in range(1, 6)] == ["CD4_2", "CD4", "a_b", "a_b_2", "channel"]
        assert [text.get(f"$P{n}S") for n in range(1, 6)] == ["CD4", "CD3", "a,b", "a_b", None]

    def test_a_column_spelt_in_other_code_points_keeps_its_detector(self, tmp_path: Path, target: Path) -> None:
        facts = '{"channels": {"PE-A": "TNF-\u03bc"}}'.encode()
        write_cells(tmp_path / "cells/a.parquet", {"TNF-\u00b5": [1.0]}, facts)
        export(tmp_path / "cells", target)
        text = text_of(target / "Norm_a.fcs")
        assert (text["$P1N"], text["$P1S"]) == ("PE-A", "TNF-\u00b5")

    def test_columns_of_other_kinds_are_keywords_or_left_out(self, tmp_path: Path, target: Path) -> None:
        columns = {
            "CD3": [1.0, 2.0],
            "flag": [True, True],
            "when": pa.array([0, 0], pa.timestamp("s")),
            "list": [[1], [2]],
            "none": pa.nulls(2),
            "some": ["x", None],
        }
        write_cells(tmp_path / "cells/a.parquet", columns)
        manifest = export(tmp_path / "cells", target)
        text = text_of(target / "Norm_a.fcs")
        assert text["$PAR"] == "1"
        assert (text["FLAG"], text["WHEN"]) == ("True", "1970-01-01 00:00:00")
        assert manifest["outputs"][0]["notes"] == [
            "columns that are no numbers and not the same for all events are left out: 'some', 'list'"
        ]

    @pytest.mark.parametrize("statistics", [True, False, ["CD3"]])
    @pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64(), pa.int64()])
    def test_the_range_is_above_the_largest_value_with_and_without_statistics(
        self, tmp_path: Path, target: Path, statistics: bool | list[str], kind: pa.DataType
    ) -> None:
        values = np.array([-5, 3, 1000, 7])
        columns = {"CD3": pa.array(values.astype(kind.to_pandas_dtype())), "CD4": pa.array(-abs(values), pa.float32())}
        write_cells(tmp_path / "cells/a.parquet", columns, write_statistics=statistics, row_group_size=2)
        export(tmp_path / "cells", target)
        text = text_of(target / "Norm_a.fcs")
        assert (text["$P1R"], text["$P2R"]) == ("1001", "1")

    def test_csv_beside_it_has_the_same_numbers(self, cells_once: Path, target: Path) -> None:
        manifest = export(cells_once, target, csv=True)
        assert (manifest["events"], len(manifest["outputs"])) == (2500, 12)
        lines = (target / "Norm_B-control.csv").read_text().splitlines()
        assert lines[0] == ",".join(f'"{name}"' for name in NUMBERS)
        found = np.array([line.split(",") for line in lines[1:]], dtype=np.float32)
        assert np.array_equal(found, events_of(target / "Norm_B-control.fcs"))

    def test_no_numbers_at_all_is_told(self, tmp_path: Path, target: Path) -> None:
        write_cells(tmp_path / "cells/a.parquet", {"x": ["y"]})
        with pytest.raises(DataError, match=r"a\.parquet: expected columns of numbers; found none among 'x'\."):
            export(tmp_path / "cells", target)


class TestRefused:
    @pytest.mark.parametrize("value", [np.nan, np.inf, None])
    def test_a_value_that_is_not_finite_ends_the_export_and_good_files_stand(
        self, cells: Path, target: Path, value: float | None
    ) -> None:
        path = cells / "B-control.parquet"
        pq.write_table(with_value(pq.read_table(path), "CD3", 130, value), path, row_group_size=128)
        found = {None: r"no value \(null\)"}.get(value, "NaN" if value != value else "infinity")
        with pytest.raises(DataError, match=rf"B-control\.parquet: column 'CD3' has {found} in row 130 \(1 such"):
            export(cells, target)
        assert sorted(path.name for path in target.glob("*.fcs")) == ["Norm_A-control.fcs", "Norm_A-validation.fcs"]
        assert not list(target.rglob("*.part"))

    def test_a_row_is_told_by_its_number_in_the_file_also_where_rows_are_chosen(
        self, cells: Path, target: Path
    ) -> None:
        path = cells / "B-control.parquet"
        table = pq.read_table(path)
        row = next(i for i in range(130, 140) if table["donor"][i].as_py() == "P1")
        pq.write_table(with_value(table, "CD3", row, np.nan), path, row_group_size=128)
        with pytest.raises(DataError, match=rf"'CD3' has NaN in row {row} "):
            export(cells, target, where={"donor": "P1"})

    def test_a_damaged_file_is_told(self, cells: Path, target: Path) -> None:
        content = bytearray((cells / "B-control.parquet").read_bytes())
        content[4:3000] = b"\xff" * 2996
        (cells / "B-control.parquet").write_bytes(content)
        with pytest.raises(DataError, match=r"B-control\.parquet: row group 0 is damaged"):
            export(cells, target)

    def test_an_output_within_the_input_is_told(self, cells: Path) -> None:
        with pytest.raises(OutputError, match="the output lies in the input"):
            export(cells, cells / "fcs")

    def test_a_transform_that_did_not_finish_is_not_exported(self, cells: Path, target: Path) -> None:
        (cells / "_started.json").write_text("{}")
        with pytest.raises(OutputError, match=r"A transform or export was started here and did not finish"):
            export(cells, target)

    def test_a_file_that_changed_since_the_transform_is_told(
        self, undisturbed: Path, tmp_path: Path, target: Path
    ) -> None:
        edited = Path(shutil.copytree(undisturbed, tmp_path / "edited"))
        table = pq.read_table(edited / "B-control.parquet")
        pq.write_table(table, edited / "B-control.parquet", compression="none")
        with pytest.raises(
            StorageError,
            match=r"B-control\.parquet: not what the transform wrote: expected sha256:\w+, as its manifest",
        ):
            export(edited, target)
