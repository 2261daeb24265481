from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from neuronedit.adapters.files.dataset import EventFile
from neuronedit.adapters.files.parquet import marker_matrix
from neuronedit.adapters.transform.event_editor import NO_FILE, EventEditor, TransformRules
from neuronedit.errors import DataError, ModelError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.route import Route
from neuronedit.model.saved.files import save_model
from tests.synthetic_cells import MARKERS, sample_table, with_value

CELLS = sample_table("B", "control", 400, seed=3)


@pytest.mark.ray
def test_the_class_works_in_a_ray_data_pipeline_of_the_users_own(
    cells_once: Path, tmp_path: Path, controls_model: EditModel, ray_cluster: None
) -> None:
    save_model(controls_model, tmp_path / "model")
    edited = (
        ray.data.read_parquet(str(cells_once / "B-control.parquet"))
        .map_batches(
            EventEditor,
            fn_constructor_kwargs={"model": str(tmp_path / "model")},
            batch_format="pyarrow",
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=1),
        )
        .sort("event_id")
    )
    found = pa.concat_tables(edited.iter_batches(batch_format="pyarrow", batch_size=None))
    before = pq.read_table(cells_once / "B-control.parquet").sort_by("event_id")
    expected = EventEditor(controls_model)(before)
    assert found.select(before.column_names).equals(expected)


def test_the_model_and_its_folder_are_the_same(tmp_path: Path, controls_model: EditModel) -> None:
    save_model(controls_model, tmp_path / "model")
    assert EventEditor(tmp_path / "model")(CELLS).equals(EventEditor(controls_model)(CELLS))
    with pytest.raises(ModelError, match="not a neuronedit model"):
        EventEditor(tmp_path)


def test_a_device_is_the_models_or_the_editors(tmp_path: Path, controls_model: EditModel) -> None:
    save_model(controls_model, tmp_path / "model")
    named, given = EventEditor(tmp_path / "model", device="cpu"), EventEditor(controls_model.to("cpu"))
    assert named(CELLS).equals(given(CELLS))
    assert [editor.model.device for editor in (named, given, EventEditor(controls_model))] == ["cpu"] * 3
    with pytest.raises(ModelError, match=r"^There is no device 'gpu'; expected 'cpu', 'cuda' or the number of a GPU"):
        EventEditor(controls_model, device="gpu")


def test_a_table_of_no_file_is_named_in_messages(controls_model: EditModel) -> None:
    with pytest.raises(DataError, match=r"^events: marker 'CD3' has NaN in row 7 \("):
        EventEditor(controls_model)(with_value(CELLS, "CD3", 7, np.nan))


def test_a_file_without_rows_may_have_columns_without_a_type(controls_model: EditModel) -> None:
    empty = pa.schema([(name, pa.null()) for name in CELLS.column_names]).empty_table()
    editor, file = EventEditor(controls_model), EventFile("b.parquet", "b.parquet", 0, 0)
    editor.check(empty.schema, file)
    edited = editor.edit(empty, file, 0).table
    assert edited.num_rows == 0
    assert edited.schema.equals(editor.schema(empty.schema))
    with pytest.raises(DataError, match=r"b\.parquet: marker 'CD3' has type null; expected numbers"):
        editor.check(empty.schema, EventFile("b.parquet", "b.parquet", 1, 0))


def test_counts_say_what_was_done(controls_model: EditModel) -> None:
    mixed = pa.concat_tables([sample_table(name, "control", 30, 1) for name in "AAB"], promote_options="none")
    editor = EventEditor(controls_model, TransformRules({"donor": "P1"}, Route(unknown_batch="pass")))
    table, counts = editor.edit(mixed, NO_FILE, 0)
    chosen = mixed.column("donor").to_pylist().count("P1")
    assert counts.total() == 90
    assert counts["not chosen"] == 90 - chosen
    assert counts["edited"] + counts["reference"] == chosen
    flags = table.column("neuronedit").to_pylist()
    assert {flag: flags.count(flag) for flag in set(flags)} == dict(counts)


def test_markers_keep_their_bits_where_nothing_is_edited(controls_model: EditModel) -> None:
    reference = sample_table("A", "control", 50, 2)
    edited = EventEditor(controls_model)(reference)
    assert np.array_equal(
        marker_matrix(edited, controls_model.panel, "x"), marker_matrix(reference, controls_model.panel, "x")
    )
    assert edited.column_names == reference.column_names
    assert set(MARKERS) < set(edited.column_names)
