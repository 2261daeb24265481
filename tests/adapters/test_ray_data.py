import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from neuronedit.errors import DataError
from neuronedit.model import EditModel
from tests.adapters.transforming import expected_markers, here, leftovers, outputs, rows, run
from tests.synthetic_cells import GAINS, MARKERS, sample_table, with_column, with_value

pytestmark = pytest.mark.ray


@pytest.fixture(autouse=True, scope="module")
def _ray(ray_cluster: None) -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)  # a FileTransformer in this process has set it to one


@pytest.fixture(scope="module")
def edited_once(cells_once: Path, controls_model: EditModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset, transformed by the controls model, for tests that only read it."""
    target = tmp_path_factory.mktemp("once") / "edited"
    run(cells_once, target, controls_model)
    return target


class TestOutput:
    def test_ray_writes_what_the_model_computes_in_this_process(
        self, cells_once: Path, edited_once: Path, controls_model: EditModel
    ) -> None:
        assert set(outputs(edited_once)) == {path.name for path in cells_once.iterdir()}
        for path in cells_once.iterdir():
            written = pq.read_table(edited_once / path.name)
            for marker, values in expected_markers(path, controls_model, path.name[0]).items():
                assert np.array_equal(written.column(marker).to_numpy(), values), (path.name, marker)

    def test_rows_columns_types_and_metadata_are_the_inputs(self, cells_once: Path, edited_once: Path) -> None:
        for path in cells_once.iterdir():
            before, after = pq.read_table(path), pq.read_table(edited_once / path.name)
            assert after.schema.equals(before.schema)
            passengers = [name for name in before.column_names if name not in MARKERS]
            assert after.select(passengers).equals(before.select(passengers))
            assert after.schema.metadata.items() >= before.schema.metadata.items()
            assert after.schema.field("CD45").metadata.items() >= before.schema.field("CD45").metadata.items()

    def test_the_reference_batch_is_returned_bit_for_bit(self, cells_once: Path, edited_once: Path) -> None:
        for role in ("control", "validation"):
            before, after = (pq.read_table(folder / f"A-{role}.parquet") for folder in (cells_once, edited_once))
            assert after.equals(before)

    def test_edited_batches_come_to_lie_on_the_reference(self, cells_once: Path, edited_once: Path) -> None:
        # The batch's gain is 2 or 1/2; the medians of 350 log-normal events (sigma 0.3) scatter by a few per cent
        # and the mixture of two types by more, so 1.25 is far from both.
        for batch_id in "BC":
            medians = [
                np.median(pq.read_table(folder / f"{name}-validation.parquet").column("CD45").to_numpy())
                for folder, name in ((edited_once, batch_id), (cells_once, "A"), (cells_once, batch_id))
            ]
            assert 1 / 1.25 < medians[0] / medians[1] < 1.25
            assert medians[2] / medians[1] == pytest.approx(GAINS[batch_id], rel=0.25)

    def test_every_event_is_counted(self, edited_once: Path) -> None:
        manifest = json.loads((edited_once / "_manifest.json").read_text())
        assert manifest["counts"] == {"edited": 1600, "reference": 900, "unknown batch": 0, "not chosen": 0}
        assert manifest["events"] == 2500
        assert leftovers(edited_once) == []

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


def test_an_error_comes_through_ray_as_it_was_raised(cells: Path, tmp_path: Path, controls_model: EditModel) -> None:
    path = cells / "B-control.parquet"
    pq.write_table(with_value(pq.read_table(path), "CD3", 499, np.nan), path)
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}: marker 'CD3' has NaN in row 499 \(1 such events"):
        run(cells, tmp_path / "edited", controls_model)
    assert not (tmp_path / "edited/B-control.parquet").exists()
    assert not (tmp_path / "edited/_manifest.json").exists()


def test_resume_writes_only_what_is_missing(
    cells_once: Path, tmp_path: Path, edited_once: Path, controls_model: EditModel
) -> None:
    target = tmp_path / "edited"
    run(cells_once, target, controls_model)
    paths = sorted(target.glob("[!_]*.parquet"))
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}
    for path in paths[::2]:
        path.unlink()
    run(cells_once, target, controls_model, resume=True)
    kept = [path for path in paths if (path.stat().st_ino, path.stat().st_mtime_ns) == before[path]]
    assert kept == paths[1::2]
    assert outputs(target) == outputs(edited_once)
