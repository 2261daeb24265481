import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pyarrow import fs

from neuronedit.adapters.committed_file import Layout
from neuronedit.adapters.event_editor import TransformRules
from neuronedit.adapters.file_parts import FilePart, file_parts
from neuronedit.adapters.file_transformer import FileRules, FileTransformer
from neuronedit.adapters.manifest import make_manifest
from neuronedit.adapters.output_folder import OutputFolder, TransformPlan, claimed_output
from neuronedit.adapters.parquet import list_dataset, marker_matrix
from neuronedit.adapters.ray_data import transform_parts
from neuronedit.adapters.receipt import Receipt
from neuronedit.errors import DataError, ModelError, NeuroneditError, PanelError
from neuronedit.model import EditModel
from neuronedit.model_files import model_contents, model_digest, save_model
from neuronedit.quality import manifest_facts, quality_table
from neuronedit.route import Route
from neuronedit.tally import Tally
from tests.synthetic_cells import GAINS, MARKERS, sample_table, with_column, with_value

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
PLAIN = TransformRules()
FILES = FileRules(Layout("zstd"))


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


Transform = Callable[..., list[Receipt]]


def here(
    parts: Sequence[FilePart],
    filesystem: fs.FileSystem,
    output: OutputFolder,
    rules: TransformRules,
    files: FileRules,
    tally: Tally,
) -> list[Receipt]:
    """What ``transform_parts`` does, by one worker in this process: starting an actor takes five seconds."""
    worker = FileTransformer(filesystem, output, rules, files)
    receipts = [worker.transform(part) for part in parts]
    for receipt in receipts:
        tally.add(Tally.from_text(receipt.quality))
    return receipts


def run(
    cells: Path,
    target: Path,
    model: EditModel,
    rules: TransformRules = PLAIN,
    files: FileRules = FILES,
    *,
    resume: bool = False,
    max_bytes: int = 2**30,
    transform: Transform = transform_parts,
) -> dict[str, Any]:
    """What the job does between claiming the output and logging; the manifest."""
    folder = target.with_name(f"{target.name}-model")
    if not folder.exists():
        save_model(model, folder)
    settings = {"where": rules.where, "unknown_batch": rules.route.unknown_batch}
    inputs = list_dataset(str(cells), pass_over=files.quarantine)
    plan = TransformPlan("m", model_digest(folder), settings, inputs)
    parts = file_parts(inputs.files, inputs.filesystem, max_bytes)
    with claimed_output(str(target), plan, model_contents(folder), overwrite=False, resume=resume) as output:
        tally = Tally(model.scaling.zeros)
        receipts = transform(parts, inputs.filesystem, output, rules, files, tally)
        quality = quality_table(tally, model, rules.route)
        manifest = make_manifest(plan, parts, receipts, manifest_facts(quality), {}, output.started)
        output.complete(manifest, receipts, quality)
    return manifest


def expected_markers(path: Path, model: EditModel, batch_id: str) -> dict[str, np.ndarray]:
    edited, _, _ = model.transform(marker_matrix(pq.read_table(path), model.panel, "x"), [batch_id] * rows(path))
    return dict(zip(model.panel.markers, edited.T, strict=True))


def rows(path: Path) -> int:
    return pq.ParquetFile(path).metadata.num_rows


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("[!_]*.parquet")}


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.part")]


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


class TestRules:
    def test_unknown_batches_pass_flagged(self, cells: Path, tmp_path: Path, controls_model: EditModel) -> None:
        stranger = pa.concat_tables([sample_table(name, "control", 60, 9) for name in "ABD"], promote_options="none")
        pq.write_table(stranger, cells / "mixed.parquet")
        run(
            cells,
            tmp_path / "edited",
            controls_model,
            TransformRules(route=Route(unknown_batch="pass")),
            transform=here,
        )
        written = pq.read_table(tmp_path / "edited/mixed.parquet")
        assert written.column_names == [*stranger.column_names, "neuronedit"]
        assert written.column("neuronedit").to_pylist() == ["reference"] * 60 + ["edited"] * 60 + ["unknown batch"] * 60
        unmoved = written.drop_columns(["neuronedit"])
        same = [unmoved.slice(start, 60).to_pylist() == stranger.slice(start, 60).to_pylist() for start in (0, 60, 120)]
        assert same == [True, False, True]

    def test_where_chooses_the_events_of_a_pair_design(
        self, cells_once: Path, tmp_path: Path, pair_model: EditModel
    ) -> None:
        rules = TransformRules({"batch_id": "B", "donor": "P1"})
        run(cells_once, tmp_path / "edited", pair_model, rules, transform=here)
        before, after = (pq.read_table(folder / "B-control.parquet") for folder in (cells_once, tmp_path / "edited"))
        chosen = np.array([donor == "P1" for donor in before.column("donor").to_pylist()])
        done = np.array(after.column("neuronedit").to_pylist())
        assert np.array_equal(done == "edited", chosen)
        assert np.array_equal(done == "not chosen", ~chosen)
        for marker in MARKERS:
            values, edited = before.column(marker).to_numpy(), after.column(marker).to_numpy()
            assert np.array_equal(values[~chosen], edited[~chosen])
            assert (values[chosen] != edited[chosen]).mean() > 0.9
        intensities = marker_matrix(before, pair_model.panel, "x")[chosen]
        cd3 = pair_model.apply(intensities, "pair")[:, 0]
        assert np.array_equal(after.column("CD3").to_numpy()[chosen], cd3)

    def test_edits_strength_and_support_reach_the_events_and_a_column(
        self, cells_once: Path, tmp_path: Path, controls_model: EditModel
    ) -> None:
        rules = TransformRules(route=Route(edits=("B", "C"), strength=0.5, support=True))
        run(cells_once, tmp_path / "edited", controls_model, rules, transform=here)
        before, after = (pq.read_table(folder / "B-control.parquet") for folder in (cells_once, tmp_path / "edited"))
        assert after.column_names == [*before.column_names, "neuronedit_support"]
        intensities = marker_matrix(before, controls_model.panel, "x")
        expected = controls_model.apply(intensities, ("B", "C"), strength=0.5)
        assert np.array_equal(marker_matrix(after, controls_model.panel, "x"), expected)
        support = after.column("neuronedit_support").to_numpy()
        assert np.array_equal(support, controls_model.support_scores(intensities, "B"))
        assert (support <= 1).mean() > 0.95  # these are the events that B's edit was fitted on

    def test_support_is_null_where_no_edit_is_applied(
        self, cells_once: Path, tmp_path: Path, controls_model: EditModel
    ) -> None:
        run(
            cells_once,
            tmp_path / "edited",
            controls_model,
            TransformRules(route=Route(support=True)),
            transform=here,
        )
        reference = pq.read_table(tmp_path / "edited/A-control.parquet").column("neuronedit_support")
        assert reference.null_count == len(reference)

    def test_a_pair_design_edits_every_event_without_where(
        self, cells_once: Path, tmp_path: Path, pair_model: EditModel
    ) -> None:
        run(cells_once, tmp_path / "edited", pair_model, transform=here)
        assert json.loads((tmp_path / "edited/_manifest.json").read_text())["counts"]["edited"] == 2500
        assert "neuronedit" not in pq.read_schema(tmp_path / "edited/B-control.parquet").names


def _renamed(table: pa.Table) -> pa.Table:
    return table.rename_columns([{"CD45RA": "CD45ra"}.get(name, name) for name in table.column_names])


BAD_INPUTS: list[tuple[str, Callable[[pa.Table], pa.Table], TransformRules, type[NeuroneditError], str]] = [
    (
        "unknown batch",
        lambda table: with_column(table, "batch_id", pa.array(["b"] * table.num_rows)),
        PLAIN,
        ModelError,
        "'batch_id' is 'b', a batch that the model does not know (known: 'B', 'C', 'A'; nearest name 'B')",
    ),
    (
        "no batch",
        lambda table: with_value(table, "batch_id", 7, None),
        PLAIN,
        ModelError,
        "'batch_id' has no value, a batch that the model does not know (known: 'B', 'C', 'A')",
    ),
    (
        "no batch column",
        lambda table: table.drop_columns(["batch_id"]),
        PLAIN,
        DataError,
        "the column 'batch_id' is missing; it chooses the events of a population",
    ),
    ("missing marker", _renamed, PLAIN, PanelError, "marker 'CD45RA' is missing"),
    (
        "repeated column",
        lambda table: table.append_column("Time", table.column("Time")),
        PLAIN,
        PanelError,
        "the column name 'Time' stands more than once",
    ),
    (
        "text marker",
        lambda table: with_column(table, "CD3", pa.array(["1"] * table.num_rows)),
        PLAIN,
        DataError,
        "marker 'CD3' has type string",
    ),
    ("NaN", lambda table: with_value(table, "CD3", 499, np.nan), PLAIN, DataError, "marker 'CD3' has NaN in row 499"),
    (
        "null",
        lambda table: with_value(table, "CD3", 0, None),
        PLAIN,
        DataError,
        "marker 'CD3' has no value (null) in row 0",
    ),
    (
        "where column",
        lambda table: table.drop_columns(["donor"]),
        TransformRules({"donor": "P1"}),
        DataError,
        "the column 'donor' is missing",
    ),
    (
        "flag column",
        lambda table: table.append_column("neuronedit", table.column("Time")),
        TransformRules(route=Route(unknown_batch="pass")),
        DataError,
        "has a column 'neuronedit' already, which this transform is to write. Rename it.",
    ),
]


@pytest.mark.parametrize(
    ("spoil", "rules", "error", "message"), [case[1:] for case in BAD_INPUTS], ids=[case[0] for case in BAD_INPUTS]
)
def test_bad_input_is_told_and_leaves_no_output_of_its_file(
    cells: Path,
    tmp_path: Path,
    controls_model: EditModel,
    spoil: Callable[[pa.Table], pa.Table],
    rules: TransformRules,
    error: type[NeuroneditError],
    message: str,
) -> None:
    path = cells / "B-control.parquet"
    pq.write_table(spoil(pq.read_table(path)), path)
    with pytest.raises(error, match=rf"^{re.escape(f'{path}: {message}')}"):
        run(cells, tmp_path / "edited", controls_model, rules, transform=here)
    assert not (tmp_path / "edited/B-control.parquet").exists()
    assert not (tmp_path / "edited/_manifest.json").exists()
    assert leftovers(tmp_path / "edited") == []


def test_an_error_comes_through_ray_as_it_was_raised(cells: Path, tmp_path: Path, controls_model: EditModel) -> None:
    path = cells / "B-control.parquet"
    pq.write_table(with_value(pq.read_table(path), "CD3", 499, np.nan), path)
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}: marker 'CD3' has NaN in row 499 \(1 such events"):
        run(cells, tmp_path / "edited", controls_model)
    assert not (tmp_path / "edited/B-control.parquet").exists()
    assert not (tmp_path / "edited/_manifest.json").exists()


def test_a_file_damaged_within_its_rows_is_told_and_leaves_nothing(
    cells: Path, tmp_path: Path, controls_model: EditModel
) -> None:
    path = cells / "B-control.parquet"
    content = bytearray(path.read_bytes())
    content[4:4000] = b"\xff" * 3996
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"B-control\.parquet: row group 0 is damaged \(from row 0 on, of rows 0 to "):
        run(cells, tmp_path / "edited", controls_model, transform=here)
    assert not (tmp_path / "edited/B-control.parquet").exists()


def test_a_file_that_lost_rows_since_it_was_listed_is_told(
    cells: Path, tmp_path: Path, controls_model: EditModel
) -> None:
    path = cells / "B-control.parquet"

    def loses_rows(*arguments: Any) -> list[Receipt]:
        pq.write_table(pq.read_table(path).slice(0, 100), path)
        return here(*arguments)

    with pytest.raises(DataError, match=r"B-control\.parquet: the file changed since it was listed\. Start the tran"):
        run(cells, tmp_path / "edited", controls_model, transform=loses_rows)
    assert not (tmp_path / "edited/B-control.parquet").exists()


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
