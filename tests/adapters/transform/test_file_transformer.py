"""Edited files: rows as they were, markers edited; bad input told, or left out and accounted for in quarantine."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.files import blocks as file_blocks
from neuronedit.adapters.transform.committed import Layout
from neuronedit.adapters.transform.file_transformer import FileRules
from neuronedit.adapters.transform.manifest import verify_output
from neuronedit.errors import DataError, ModelError
from neuronedit.model.edit_model import EditModel
from tests.adapters.transforming import expected_markers, here, leftovers, rows, run
from tests.synthetic_cells import GAINS, MARKERS, sample_table, with_column, with_value

QUARANTINE = FileRules(Layout("zstd"), quarantine=True)
BAD = "B-control.parquet"


def check_others(target: Path, undisturbed: Path) -> None:
    """All other files are row for row as in an undisturbed run, and the manifest vouches for all."""
    for path in undisturbed.glob("[!_]*.parquet"):
        if path.name != BAD:
            assert pq.read_table(target / path.name).equals(pq.read_table(path)), path.name
    assert verify_output(str(target)).problems == ()


def damage_row_group(path: Path, number: int) -> None:
    metadata = pq.ParquetFile(path).metadata.row_group(number)
    content = bytearray(path.read_bytes())
    start = metadata.column(0).dictionary_page_offset or metadata.column(0).data_page_offset
    content[start : start + 200] = b"\xff" * 200
    path.write_bytes(content)


class TestOutput:
    def test_rows_columns_types_and_metadata_are_the_inputs(self, cells_once: Path, undisturbed: Path) -> None:
        for path in cells_once.iterdir():
            before, after = pq.read_table(path), pq.read_table(undisturbed / path.name)
            assert after.schema.equals(before.schema)
            passengers = [name for name in before.column_names if name not in MARKERS]
            assert after.select(passengers).equals(before.select(passengers))
            assert after.schema.metadata.items() >= before.schema.metadata.items()
            assert after.schema.field("CD45").metadata.items() >= before.schema.field("CD45").metadata.items()

    def test_the_reference_batch_is_returned_bit_for_bit(self, cells_once: Path, undisturbed: Path) -> None:
        for role in ("control", "validation"):
            before, after = (pq.read_table(folder / f"A-{role}.parquet") for folder in (cells_once, undisturbed))
            assert after.equals(before)

    def test_edited_batches_come_to_lie_on_the_reference(self, cells_once: Path, undisturbed: Path) -> None:
        # The batch's gain is 2 or 1/2; the medians of 350 log-normal events (sigma 0.3) scatter by a few per cent
        # and the mixture of two types by more, so 1.25 is far from both.
        for batch_id in "BC":
            medians = [
                np.median(pq.read_table(folder / f"{name}-validation.parquet").column("CD45").to_numpy())
                for folder, name in ((undisturbed, batch_id), (cells_once, "A"), (cells_once, batch_id))
            ]
            assert 1 / 1.25 < medians[0] / medians[1] < 1.25
            assert medians[2] / medians[1] == pytest.approx(GAINS[batch_id], rel=0.25)

    def test_every_event_is_counted(self, undisturbed: Path) -> None:
        manifest = json.loads((undisturbed / "_manifest.json").read_text())
        assert manifest["counts"] == {"edited": 1600, "reference": 900, "unknown batch": 0, "not chosen": 0}
        assert manifest["events"] == 2500
        assert leftovers(undisturbed) == []

    def test_an_empty_file_among_others_comes_out_empty(
        self, cells: Path, tmp_path: Path, controls_model: EditModel
    ) -> None:
        pq.write_table(pq.read_table(cells / "B-control.parquet").slice(0, 0), cells / "B-control.parquet")
        run(cells, tmp_path / "edited", controls_model, transform=here)
        written = pq.read_table(tmp_path / "edited/B-control.parquet")
        assert written.num_rows == 0
        assert written.schema.equals(pq.read_schema(cells / "B-control.parquet"))

    def test_integer_markers_come_out_as_float64(self, cells: Path, tmp_path: Path, controls_model: EditModel) -> None:
        path = cells / "B-control.parquet"
        counts = pa.array(np.arange(500) % 300, pa.int32())
        pq.write_table(with_column(pq.read_table(path), "CD3", counts), path)
        run(cells, tmp_path / "edited", controls_model, transform=here)
        written = pq.read_table(tmp_path / "edited" / path.name)
        assert (written.schema.field("CD3").type, written.schema.field("CD19").type) == (pa.float64(), pa.float32())
        # The file is computed in float64; the markers that were float32 are rounded to it again at the end.
        for marker, values in expected_markers(path, controls_model, "B").items():
            found = written.column(marker).to_numpy()
            assert np.array_equal(found, values.astype(found.dtype))

    def test_folders_of_a_hive_dataset_are_kept(self, tmp_path: Path, controls_model: EditModel) -> None:
        for batch_id in "AB":
            folder = tmp_path / f"cells/batch_id={batch_id}"
            folder.mkdir(parents=True)
            pq.write_table(sample_table(batch_id, "control", 120, 1).drop_columns(["batch_id"]), folder / "0.parquet")
        run(tmp_path / "cells", tmp_path / "edited", controls_model, transform=here)
        manifest = json.loads((tmp_path / "edited/_manifest.json").read_text())
        assert {entry["file"]: entry["edited"] for entry in manifest["outputs"]} == {
            "batch_id=A/0.parquet": 0,
            "batch_id=B/0.parquet": 120,
        }
        assert rows(tmp_path / "edited/batch_id=B/0.parquet") == 120


class TestQuarantine:
    def test_a_file_that_is_not_parquet_is_left_out_whole(
        self, cells: Path, tmp_path: Path, controls_model: EditModel, undisturbed: Path
    ) -> None:
        (cells / BAD).write_bytes((cells / BAD).read_bytes()[:-50])
        manifest = run(cells, tmp_path / "edited", controls_model, files=QUARANTINE, transform=here)
        (left_out,) = manifest["left_out"]
        assert "not a Parquet file, or truncated" in left_out.pop("reason")
        assert left_out == {"file": BAD, "row_group": None, "first_row": 0, "events": None}
        assert not (tmp_path / "edited" / BAD).exists()
        assert manifest["events"] == 2000
        check_others(tmp_path / "edited", undisturbed)

    def test_a_damaged_row_group_is_left_out_and_the_others_are_edited(
        self, cells: Path, tmp_path: Path, controls_model: EditModel, undisturbed: Path
    ) -> None:
        damage_row_group(cells / BAD, 1)
        manifest = run(cells, tmp_path / "edited", controls_model, files=QUARANTINE, transform=here)
        (left_out,) = manifest["left_out"]
        assert "row group 1 is damaged (from row 128 on, of rows 128 to 255: " in left_out.pop("reason")
        assert left_out == {"file": BAD, "row_group": 1, "first_row": 128, "events": 128}
        whole = pq.read_table(undisturbed / BAD)
        kept = pa.concat_tables([whole.slice(0, 128), whole.slice(256)])
        assert pq.read_table(tmp_path / "edited" / BAD).equals(kept)
        check_others(tmp_path / "edited", undisturbed)

    def test_events_without_a_finite_number_are_left_out(
        self, cells: Path, tmp_path: Path, controls_model: EditModel, undisturbed: Path
    ) -> None:
        table = pq.read_table(cells / BAD)
        for marker, row, value in (("CD3", 130, np.nan), ("CD45", 131, None), ("CD3", 499, np.inf)):
            table = with_value(table, marker, row, value)
        pq.write_table(table, cells / BAD, row_group_size=128)
        manifest = run(cells, tmp_path / "edited", controls_model, files=QUARANTINE, transform=here)
        found = [(part["row_group"], part["first_row"], part["events"]) for part in manifest["left_out"]]
        assert found == [(1, 130, 2), (3, 499, 1)]
        assert "marker 'CD45' has no value (null) in row 131" in manifest["left_out"][0]["reason"]
        keep = np.ones(500, dtype=bool)
        keep[[130, 131, 499]] = False
        expected = pq.read_table(undisturbed / BAD).filter(pa.array(keep))
        written = pq.read_table(tmp_path / "edited" / BAD)
        assert written.column("event_id").equals(expected.column("event_id"))
        for marker in MARKERS:
            # Fewer events in a block may change the last bit of a matrix product.
            assert np.allclose(written.column(marker), expected.column(marker), rtol=1e-5)
        assert manifest["events"] == 2497
        check_others(tmp_path / "edited", undisturbed)

    def test_a_file_of_another_panel_is_left_out_and_its_events_are_counted(
        self, cells: Path, tmp_path: Path, controls_model: EditModel, undisturbed: Path
    ) -> None:
        pq.write_table(pq.read_table(cells / BAD).drop_columns(["CD45"]), cells / BAD)
        manifest = run(cells, tmp_path / "edited", controls_model, files=QUARANTINE, transform=here)
        (left_out,) = manifest["left_out"]
        assert "marker 'CD45' is missing" in left_out["reason"]
        assert (left_out["row_group"], left_out["events"]) == (None, 500)
        assert manifest["counts"]["edited"] == 1100
        check_others(tmp_path / "edited", undisturbed)

    def test_an_unknown_batch_is_no_bad_data(self, cells: Path, tmp_path: Path, controls_model: EditModel) -> None:
        table = pq.read_table(cells / BAD)
        pq.write_table(with_column(table, "batch_id", pa.array(["D"] * 500)), cells / BAD)
        with pytest.raises(ModelError, match="a batch that the model does not know"):
            run(cells, tmp_path / "edited", controls_model, files=QUARANTINE, transform=here)

    def test_what_was_left_out_is_remembered_by_a_resume(
        self, cells: Path, tmp_path: Path, controls_model: EditModel
    ) -> None:
        damage_row_group(cells / BAD, 1)
        target = tmp_path / "edited"
        first = run(cells, target, controls_model, files=QUARANTINE, transform=here)
        (target / "C-control.parquet").unlink()
        again = run(cells, target, controls_model, files=QUARANTINE, transform=here, resume=True)
        assert again["left_out"] == first["left_out"]
        assert again["outputs"] == first["outputs"]


class TestFail:
    def test_bad_events_are_told_with_file_row_group_and_first_row(
        self, cells: Path, tmp_path: Path, controls_model: EditModel
    ) -> None:
        pq.write_table(with_value(pq.read_table(cells / BAD), "CD3", 400, np.nan), cells / BAD, row_group_size=128)
        message = r"B-control\.parquet: marker 'CD3' has NaN in row 400 .* The row group is number 3\."
        with pytest.raises(DataError, match=message):
            run(cells, tmp_path / "edited", controls_model, transform=here)


class TestParts:
    def test_a_divided_file_has_the_same_rows_in_the_same_order(
        self, cells_once: Path, tmp_path: Path, controls_model: EditModel, undisturbed: Path
    ) -> None:
        target = tmp_path / "edited"
        manifest = run(cells_once, target, controls_model, max_bytes=1, transform=here)
        parts = sorted(target.glob("B-control-*-of-*.parquet"))
        assert [path.name for path in parts] == [f"B-control-{i:05}-of-00004.parquet" for i in (1, 2, 3, 4)]
        whole = pq.read_table(undisturbed / BAD)
        assert pa.concat_tables([pq.read_table(path) for path in parts]).equals(whole)
        assert manifest["events"] == 2500
        inputs = {entry["file"]: entry["input"] for entry in manifest["outputs"]}
        assert inputs["B-control-00002-of-00004.parquet"] == BAD
        assert verify_output(str(target)).problems == ()

    def test_blocks_of_any_size_give_the_same_events(
        self, cells_once: Path, tmp_path: Path, controls_model: EditModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(file_blocks, "EVENTS_PER_BLOCK", 37)
        run(cells_once, tmp_path / "edited", controls_model, transform=here)
        written = pq.read_table(tmp_path / "edited" / BAD)
        for marker, values in expected_markers(cells_once / BAD, controls_model, "B").items():
            # Fewer events in a block may change the last bit of a matrix product.
            assert np.allclose(written.column(marker), values, rtol=1e-5)


def test_layout_is_chosen(cells_once: Path, tmp_path: Path, controls_model: EditModel) -> None:
    run(cells_once, tmp_path / "edited", controls_model, files=FileRules(Layout("keep", 300)), transform=here)
    metadata = pq.ParquetFile(tmp_path / "edited" / BAD).metadata
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [300, 200]
    expected = pq.ParquetFile(cells_once / BAD).metadata.row_group(0).column(0).compression
    assert metadata.row_group(0).column(0).compression == expected


def test_receipts_say_what_the_manifest_says(cells_once: Path, tmp_path: Path, controls_model: EditModel) -> None:
    manifest = run(cells_once, tmp_path / "edited", controls_model, transform=here)
    receipt = json.loads((tmp_path / "edited/_receipts" / f"{BAD}.json").read_text())
    entry = next(entry for entry in manifest["outputs"] if entry["file"] == BAD)
    assert (receipt["sha256"], receipt["n_bytes"], receipt["events"]) == (entry["sha256"], entry["bytes"], 500)
    assert receipt["claim"] == manifest["claim"]
    content = hashlib.sha256((cells_once / BAD).read_bytes()).hexdigest()
    assert receipt["content"] == entry["input_content"] == f"sha256:{content}"


class TestEditedBeyondFloat32:
    """An intensity that is finite but near the end of float32 is edited to infinity: that is never written."""

    @pytest.fixture
    def extreme(self, cells: Path) -> Path:
        """Two events of a file that are edited away from zero."""
        table = pq.read_table(cells / BAD)
        for row in (3, 130):
            for marker in MARKERS:
                table = with_value(table, marker, row, -3.2e38)
        pq.write_table(table, cells / BAD, row_group_size=100)
        return cells

    def test_it_is_an_error_with_its_row_and_row_group(
        self, extreme: Path, tmp_path: Path, controls_model: EditModel
    ) -> None:
        with pytest.raises(
            DataError,
            match=r"B-control\.parquet: the edit makes -inf of marker '\S+' in row 3 \(1 such events among 100\); "
            r"expected finite intensities\. .*on_error = quarantine.* The row group is number 0\.",
        ):
            run(extreme, tmp_path / "edited", controls_model, transform=here)
        assert not (tmp_path / "edited" / BAD).exists()

    def test_in_quarantine_it_is_left_out_and_accounted_for(
        self, extreme: Path, tmp_path: Path, controls_model: EditModel, undisturbed: Path
    ) -> None:
        table = with_value(pq.read_table(extreme / BAD), "CD3", 5, np.nan)  # both faults in one row group
        pq.write_table(table, extreme / BAD, row_group_size=100)
        manifest = run(extreme, tmp_path / "edited", controls_model, files=QUARANTINE, transform=here)
        left_out = [(entry["row_group"], entry["first_row"], entry["events"]) for entry in manifest["left_out"]]
        assert left_out == [(0, 3, 1), (0, 5, 1), (1, 130, 1)]
        found, whole = pq.read_table(tmp_path / "edited" / BAD), pq.read_table(undisturbed / BAD)
        kept = np.delete(np.arange(whole.num_rows), [3, 5, 130])
        assert found.equals(whole.take(kept))
        check_others(tmp_path / "edited", undisturbed)
