from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

from neuronedit.adapters.cluster.tasks import item_rows
from neuronedit.adapters.files import blocks as file_blocks
from neuronedit.adapters.files.blocks import split_into_parts
from neuronedit.adapters.files.columns import UNLABELLED, assigned, choice_columns
from neuronedit.adapters.files.dataset import EventDataset, EventFile, list_dataset
from neuronedit.adapters.sampling.populations import _merged, _Sampler, draw_populations
from neuronedit.cells.design import ControlsDesign
from neuronedit.cells.draw import DrawnPopulations, SampleConfig
from neuronedit.cells.panel import Panel
from neuronedit.cells.selection import EventChoice
from neuronedit.errors import DataError, PanelError
from tests.fixtures import CONTROLS, PAIR
from tests.synthetic_cells import sample_table, with_value

pytestmark = pytest.mark.usefixtures("tasks_here")

SAMPLE = SampleConfig(events_per_population=200, seed=3)
NUMBERED = Panel(("number",), (5.0,))


def same(one: DrawnPopulations, other: DrawnPopulations) -> bool:
    assert one.intensities.keys() == other.intensities.keys()
    equal = [np.array_equal(one.intensities[name], other.intensities[name]) for name in one.intensities]
    return one.counts == other.counts and all(equal)


def test_counts_are_exact_and_the_cap_is_respected(cells_once: Path, panel: Panel) -> None:
    drawn = draw_populations(list_dataset(str(cells_once)), panel, CONTROLS, replace_cap(400))
    assert drawn.counts == {"control A": 600, "control B": 500, "control C": 350}
    assert {name: len(events) for name, events in drawn.intensities.items()} == {
        "control A": 400,
        "control B": 400,
        "control C": 350,
    }
    assert {events.dtype.name for events in drawn.intensities.values()} == {"float32"}


def test_drawn_events_are_events_of_the_population_each_once(cells_once: Path, panel: Panel) -> None:
    drawn = draw_populations(list_dataset(str(cells_once)), panel, PAIR, SAMPLE)
    assert drawn.counts == {"source": 500, "target": 600}
    table = pq.read_table(cells_once / "B-control.parquet")
    events = {row.tobytes() for row in np.column_stack([table.column(name).to_numpy() for name in panel.markers])}
    found = {row.tobytes() for row in drawn.intensities["source"]}
    assert len(found) == 200
    assert found <= events


def test_the_same_rows_are_drawn_whatever_the_order_of_files(cells_once: Path, panel: Panel) -> None:
    dataset = list_dataset(str(cells_once))
    backwards = replace(dataset, files=dataset.files[::-1])
    assert same(draw_populations(dataset, panel, PAIR, SAMPLE), draw_populations(backwards, panel, PAIR, SAMPLE))


def test_the_same_rows_are_drawn_whatever_the_row_groups(cells: Path, panel: Panel) -> None:
    before = draw_populations(list_dataset(str(cells)), panel, CONTROLS, SAMPLE)
    for path in cells.iterdir():
        pq.write_table(pq.read_table(path), path, row_group_size=37)
    assert same(before, draw_populations(list_dataset(str(cells)), panel, CONTROLS, SAMPLE))


def test_the_same_rows_are_drawn_however_many_are_read_at_once(
    cells_once: Path, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = list_dataset(str(cells_once / "B-control.parquet"))
    drawn = []
    for n_rows in (1, 37, 10_000):
        monkeypatch.setattr(file_blocks, "EVENTS_PER_BLOCK", n_rows)
        drawn.append(_Sampler(dataset.filesystem, panel, CONTROLS, SAMPLE)(items(dataset, 2**30)))
    assert drawn[0].equals(drawn[2])
    assert drawn[1].equals(drawn[2])


def test_the_same_rows_are_drawn_however_the_work_is_shared(cells_once: Path, panel: Panel) -> None:
    dataset = list_dataset(str(cells_once))
    sampler = _Sampler(dataset.filesystem, panel, CONTROLS, SAMPLE)
    in_one_task = _merged([sampler(items(dataset, 2**30))], panel.n_markers, 0, 200)
    # Files in parts of single row groups, each a task of its own, which end in the opposite order.
    parts = items(dataset, 1)
    assert parts.num_rows == 22
    tasks = [sampler(parts.slice(row, 1)) for row in reversed(range(parts.num_rows))]
    in_many = _merged([table for table in tasks if table.num_rows], panel.n_markers, 0, 200)
    counted = {"all of A", "all of B", "all of C"}
    assert in_one_task.keys() == in_many.keys() == {"control A", "control B", "control C"} | counted
    for name, drawing in in_one_task.items():
        assert drawing.n_seen == in_many[name].n_seen
        assert drawing.is_empty == in_many[name].is_empty == (name in counted)
        if name in counted:
            continue
        assert_array_equal(drawing.drawn().intensities, in_many[name].drawn().intensities)
        assert_array_equal(drawing.drawn().samples, in_many[name].drawn().samples)


def test_a_task_hands_on_no_more_than_the_sample(cells_once: Path, panel: Panel) -> None:
    dataset = list_dataset(str(cells_once))
    table = _Sampler(dataset.filesystem, panel, EventChoice({}), SAMPLE)(items(dataset, 2**30))
    assert table.column("n_seen").to_pylist() == [2500]
    assert [len(row.values) for row in table.column("priorities")] == [200]


def test_a_column_of_cell_types_that_is_not_there_is_told(cells_once: Path, panel: Panel) -> None:
    with pytest.raises(DataError, match=r"the column 'cell_type' is missing"):
        draw_populations(list_dataset(str(cells_once)), panel, PAIR, SAMPLE, ["cell_type"])


def test_size_and_rank_error_are_logged(cells_once: Path, panel: Panel, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="neuronedit.adapters.sampling.populations")
    drawn = draw_populations(list_dataset(str(cells_once)), panel, PAIR, replace_cap(500))
    assert drawn.rank_errors == {"source": 0.0, "target": pytest.approx(np.sqrt(0.25 / 500 * 100 / 599))}
    assert "target: 500 of 600 events drawn, rank error 0.0091" in caplog.messages
    assert "source: 500 of 500 events drawn, rank error 0.0000" in caplog.messages


def test_every_event_drawn_has_its_own_label(cells_once: Path, panel: Panel) -> None:
    dataset = list_dataset(str(cells_once))
    plain = draw_populations(dataset, panel, PAIR, SAMPLE)
    labelled = draw_populations(dataset, panel, PAIR, SAMPLE, ["donor"])
    assert not any(plain.labels.values())
    table = pq.read_table(cells_once / "B-control.parquet")
    found = dict(zip(table.column("CD3").to_pylist(), table.column("donor").to_pylist(), strict=True))
    assert np.array_equal(labelled.intensities["source"], plain.intensities["source"])
    column = panel.markers.index("CD3")
    for intensities, label in zip(labelled.intensities["source"], labelled.labels["source"]["donor"], strict=True):
        assert label == (found[float(intensities[column])] or UNLABELLED)


def test_a_smaller_sample_is_the_beginning_of_a_larger_one(cells_once: Path, panel: Panel) -> None:
    dataset = list_dataset(str(cells_once))
    large, small = (draw_populations(dataset, panel, PAIR, replace_cap(n)) for n in (200, 100))
    assert np.array_equal(large.intensities["target"][:100], small.intensities["target"])


def test_another_seed_draws_other_rows(cells_once: Path, panel: Panel) -> None:
    dataset = list_dataset(str(cells_once))
    other = SampleConfig(events_per_population=200, seed=4)
    assert not same(draw_populations(dataset, panel, PAIR, SAMPLE), draw_populations(dataset, panel, PAIR, other))


def test_every_row_of_every_file_is_equally_likely(tmp_path: Path) -> None:
    # Four files of unequal size, every row with its number as its only marker; 1,000 of 10,000 are drawn.
    bounds = [0, 100, 1_100, 4_000, 10_000]
    for index in range(4):
        numbers = np.arange(bounds[index], bounds[index + 1], dtype=np.float32)
        table = pa.table({"number": numbers, "batch_id": ["A"] * len(numbers), "role": ["control"] * len(numbers)})
        pq.write_table(table, tmp_path / f"{index}.parquet", row_group_size=500)
    dataset = list_dataset(str(tmp_path))
    drawn = draw_populations(dataset, NUMBERED, CONTROLS, replace_cap(1_000)).intensities["control A"][:, 0]
    assert len(set(drawn)) == 1_000
    # Twenty equal bins, drawn without replacement: chi-square with 19 degrees of freedom, shrunk by 0.9.
    # 43.8 is its 99.9th percentile; the seed is fixed, so the test cannot flicker.
    observed = np.histogram(drawn, bins=20, range=(0, 10_000))[0]
    assert ((observed - 50) ** 2 / 50).sum() < 43.8
    # And the order is random: the first half's mean is that of all within 4 standard errors of 2887/sqrt(500).
    assert abs(drawn[:500].mean() - 5_000) < 4 * 129


def test_populations_come_from_folder_names_too(tmp_path: Path, panel: Panel) -> None:
    for batch_id in ("A", "B"):
        folder = tmp_path / f"batch_id={batch_id}"
        folder.mkdir()
        table = sample_table(batch_id, "control", 120, seed=1).drop_columns(["batch_id"])
        pq.write_table(table, folder / "0.parquet")
    assert draw_populations(list_dataset(str(tmp_path)), panel, CONTROLS, SAMPLE).counts == {
        "control A": 120,
        "control B": 120,
    }


def test_errors_keep_their_type_and_message(cells: Path, panel: Panel) -> None:
    target = cells / "B-control.parquet"
    good = pq.read_table(target)
    pq.write_table(good.drop_columns(["CD19"]), target)
    with pytest.raises(PanelError, match=r"B-control\.parquet: marker 'CD19' is missing"):
        draw_populations(list_dataset(str(cells)), panel, CONTROLS, SAMPLE)
    pq.write_table(with_value(good, "CD19", 411, float("nan")), target)
    with pytest.raises(DataError, match=r"B-control\.parquet: marker 'CD19' has NaN in row 411 \(1 such"):
        draw_populations(list_dataset(str(cells)), panel, CONTROLS, SAMPLE)
    pq.write_table(with_value(good, "batch_id", 3, None), target)
    with pytest.raises(DataError, match=r"B-control\.parquet: 1 control events have no value in 'batch_id'"):
        draw_populations(list_dataset(str(cells)), panel, CONTROLS, SAMPLE)


def test_a_missing_column_is_told_with_the_nearest_name(cells_once: Path, panel: Panel) -> None:
    design = ControlsDesign(batch_column="batch", control={"role": "control"}, reference="A")
    with pytest.raises(DataError, match=r"the column 'batch' is missing; .*nearest name 'batch_id'"):
        draw_populations(list_dataset(str(cells_once)), panel, design, SAMPLE)


def test_a_file_that_vanished_is_a_data_error(cells: Path, panel: Panel) -> None:
    dataset = list_dataset(str(cells))
    (cells / "C-control.parquet").unlink()
    with pytest.raises(DataError, match=r"C-control\.parquet: not there any more\."):
        draw_populations(dataset, panel, CONTROLS, SAMPLE)


def test_events_are_assigned_as_one_by_one_would_be(tmp_path: Path) -> None:
    table = pa.table(
        {
            "batch_id": pa.array(["A", None, "B", "A", "B", "B"]).dictionary_encode(),
            "role": pa.array(["control", "other", "control", "other", "control", None]),
            "plate": pa.array([1, 1, None, 2, 2, 1]),
        }
    )
    file = EventFile("f.parquet", "f.parquet", 6, 1, {"site": "x"})
    design = ControlsDesign(control={"role": "control", "site": "x"}, reference="A", extrapolation={"plate": [1, 2]})
    found = {name: chosen.tolist() for name, chosen in assigned(design, table, file)}
    one_by_one = design.assign(choice_columns(table, file, design.columns), "f.parquet")
    assert found == {name: (one_by_one == name).tolist() for name in sorted(set(one_by_one) - {""})}
    assert found["control B"] == [False, False, True, False, True, False]


def items(dataset: EventDataset, part_bytes: int) -> pa.Table:
    parts = split_into_parts(dataset.files, dataset.filesystem, part_bytes)
    return pa.Table.from_pylist(item_rows(parts))


def replace_cap(n_events: int) -> SampleConfig:
    return SampleConfig(events_per_population=n_events, seed=3)


def test_all_events_of_each_batch_are_counted_whatever_the_type_of_its_column(tmp_path: Path, panel: Panel) -> None:
    """Batch 3 has no control; one file has the batch in its folder's name, one has floats, as pandas writes them."""
    (tmp_path / "batch_id=3").mkdir()
    without = sample_table("3", "patient", 120, seed=1).drop_columns(["batch_id"])
    pq.write_table(without, tmp_path / "batch_id=3" / "a.parquet")
    for batch, kind in (("1", pa.int64()), ("2", pa.float64())):
        table = sample_table(batch, "control", 200, seed=2)
        column = pa.array([int(batch)] * 199 + [None], kind)
        table = table.set_column(table.column_names.index("batch_id"), "batch_id", column)
        pq.write_table(table.slice(0, 199), tmp_path / f"{batch}.parquet")
    design = ControlsDesign(control={"role": "control"}, reference="1")
    drawn = draw_populations(list_dataset(str(tmp_path)), panel, design, SAMPLE)
    assert drawn.batches == {"1": 199, "2": 199, "3": 120}
    assert drawn.counts == {"control 1": 199, "control 2": 199}


def test_an_empty_table_of_pandas_whose_columns_have_no_type_is_passed_over(cells: Path, panel: Panel) -> None:
    before = draw_populations(list_dataset(str(cells)), panel, CONTROLS, SAMPLE)
    some = pq.read_table(cells / "A-control.parquet").to_pandas()
    for name, column_type in (("null", pa.null()), ("text", pa.string())):
        schema = pa.schema([(column, column_type) for column in some.columns])
        pq.write_table(schema.empty_table(), cells / f"{name}.parquet")
    assert same(draw_populations(list_dataset(str(cells)), panel, CONTROLS, SAMPLE), before)
