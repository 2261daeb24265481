from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neuronedit.adapters import file_blocks
from neuronedit.adapters.parquet import EventDataset, EventFile, list_dataset
from neuronedit.adapters.populations import UNLABELLED, DrawnPopulations, _FileSampler, draw_populations
from neuronedit.adapters.work_items import FAILURE_FIELDS, failed, items_of, raise_failure, work_items
from neuronedit.design import ControlsDesign
from neuronedit.errors import DataError, PanelError
from neuronedit.job_configs import SampleConfig
from neuronedit.panel import Panel
from tests.fixtures import CONTROLS, PAIR
from tests.synthetic_cells import sample_table, with_value

pytestmark = pytest.mark.ray

SAMPLE = SampleConfig(events_per_population=200, seed=3)
NUMBERED = Panel(("number",), (5.0,))


@pytest.fixture(autouse=True, scope="module")
def _ray(ray_cluster: None) -> None:
    pass


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
    items = pa.concat_tables(list(work_items(dataset.files).iter_batches(batch_size=None, batch_format="pyarrow")))
    sampler = _FileSampler(dataset.filesystem, panel, CONTROLS, SAMPLE)
    drawn = []
    for n_rows in (1, 37, 10_000):
        monkeypatch.setattr(file_blocks, "EVENTS_PER_BLOCK", n_rows)
        drawn.append(sampler(items))
    assert drawn[0].equals(drawn[2])
    assert drawn[1].equals(drawn[2])


def test_every_event_drawn_has_its_own_label(cells_once: Path, panel: Panel) -> None:
    dataset = list_dataset(str(cells_once))
    plain = draw_populations(dataset, panel, PAIR, SAMPLE)
    labelled = draw_populations(dataset, panel, PAIR, SAMPLE, "donor")
    assert plain.labels == {}
    table = pq.read_table(cells_once / "B-control.parquet")
    found = dict(zip(table.column("CD3").to_pylist(), table.column("donor").to_pylist(), strict=True))
    assert np.array_equal(labelled.intensities["source"], plain.intensities["source"])
    column = panel.markers.index("CD3")
    for intensities, label in zip(labelled.intensities["source"], labelled.labels["source"], strict=True):
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


def test_work_items_carry_every_file_unchanged(cells_once: Path) -> None:
    dataset: EventDataset = list_dataset(str(cells_once))
    blocks = list(work_items(dataset.files).iter_batches(batch_size=None, batch_format="pyarrow"))
    assert [file for block in blocks for file in items_of(block, EventFile)] == list(dataset.files)


def test_a_failure_travels_as_a_row() -> None:
    row = {name: None for name, _ in FAILURE_FIELDS}
    raise_failure(row)
    with pytest.raises(PanelError, match=r"^CD3 is missing$"):
        raise_failure(row | failed(PanelError("CD3 is missing")))


def replace_cap(n_events: int) -> SampleConfig:
    return SampleConfig(events_per_population=n_events, seed=3)
