"""Events that are to be edited, looked at before anything is written."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.sampling.applied_events import MAX_VALUES, look_ahead, naming_values
from neuronedit.model.edit_model import EditModel
from neuronedit.model.route import BATCHES_OWN, Route
from tests.synthetic_cells import with_column

pytestmark = pytest.mark.usefixtures("tasks_here")


def test_each_edit_is_looked_at_by_its_own_events(cells: Path, controls_model: EditModel) -> None:
    path = cells / "C-validation.parquet"
    table = pq.read_table(path)
    pq.write_table(with_column(table, "HLA-DR", pa.array([1e5] * table.num_rows, pa.float32())), path)
    dataset = list_dataset(str(cells))
    found = look_ahead(controls_model, dataset, {}, BATCHES_OWN)
    assert [(each.group, each.n_scored) for each in found] == [("C", 700), ("B", 900)]
    assert found[0].share == pytest.approx(0.5, abs=0.05)
    assert found[1].share < 0.1
    chosen = look_ahead(controls_model, dataset, {"role": "validation"}, BATCHES_OWN)
    assert (chosen[0].group, chosen[0].share, chosen[0].n_scored) == ("C", 1.0, 350)


def test_events_that_all_get_the_same_edits_are_one_group(
    cells_once: Path, pair_model: EditModel, controls_model: EditModel
) -> None:
    dataset = list_dataset(str(cells_once))
    [found] = look_ahead(pair_model, dataset, {"batch_id": "B"}, BATCHES_OWN)
    assert (found.group, found.edit, found.n_scored) == ("pair", "pair", 900)
    [routed] = look_ahead(controls_model, dataset, {}, Route(edits=("B", "C")))
    assert (routed.group, routed.edit, routed.n_scored) == ("B → C", "B", 1_000)


def test_an_inputs_column_values_name_it_from_files_and_folders(cells_once: Path, tmp_path: Path, pair_model) -> None:
    assert naming_values(pair_model, list_dataset(str(cells_once))) == {
        "role": ["control", "validation"],
        "batch_id": ["A", "B", "C"],
    }
    folder = tmp_path / "parts/batch_id=D7"
    folder.mkdir(parents=True)
    table = pq.read_table(cells_once / "A-control.parquet").drop_columns(["batch_id", "role"])
    pq.write_table(table, folder / "a.parquet")
    assert naming_values(pair_model, list_dataset(str(tmp_path / "parts"))) == {"batch_id": "D7"}


def test_of_many_values_some_are_named(cells_once: Path, tmp_path: Path, pair_model: EditModel) -> None:
    table = pq.read_table(cells_once / "A-control.parquet")
    pq.write_table(
        with_column(table, "batch_id", pa.array([f"day {row % 50}" for row in range(table.num_rows)])),
        tmp_path / "a.parquet",
    )
    values = naming_values(pair_model, list_dataset(str(tmp_path)))["batch_id"]
    assert (len(values), values[-1]) == (MAX_VALUES + 1, f"{50 - MAX_VALUES} more")


def test_a_model_of_batches_needs_no_names(cells_once: Path, controls_model: EditModel) -> None:
    assert naming_values(controls_model, list_dataset(str(cells_once))) == {}
