"""Work that Ray Data hands out and collects comes to what it comes to in this process."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.cluster.tasks import (
    FAILURE_FIELDS,
    failure_row,
    map_items,
    parse_items,
    raise_failure,
    work_items,
)
from neuronedit.adapters.files.dataset import EventDataset, EventFile, list_dataset
from neuronedit.adapters.sampling import populations
from neuronedit.adapters.sampling.populations import draw_populations
from neuronedit.adapters.training import places as event_places
from neuronedit.adapters.training.places import find_places
from neuronedit.cells.draw import SampleConfig
from neuronedit.cells.panel import Panel
from neuronedit.errors import PanelError
from tests.fixtures import CONTROLS

SAMPLE = SampleConfig(events_per_population=200, seed=3)


def test_a_failure_travels_as_a_row() -> None:
    row = {name: None for name, _ in FAILURE_FIELDS}
    raise_failure(row)
    with pytest.raises(PanelError, match=r"^CD3 is missing$"):
        raise_failure(row | failure_row(PanelError("CD3 is missing")))


@pytest.mark.ray
def test_work_items_carry_every_file_unchanged(cells_once: Path, ray_cluster: None) -> None:
    dataset: EventDataset = list_dataset(str(cells_once))
    blocks = list(work_items(dataset.files).iter_batches(batch_size=None, batch_format="pyarrow"))
    assert [file for block in blocks for file in parse_items(block, EventFile)] == list(dataset.files)


@pytest.mark.ray
def test_ray_draws_the_same_events_and_finds_them_in_the_same_places(
    cells_once: Path, panel: Panel, ray_cluster: None, tasks_here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = list_dataset(str(cells_once))
    here = draw_populations(dataset, panel, CONTROLS, SAMPLE, ["donor"])
    places = find_places(dataset, CONTROLS)
    for module in (populations, event_places):
        monkeypatch.setattr(module, "map_items", map_items)
    there = draw_populations(dataset, panel, CONTROLS, SAMPLE, ["donor"])
    assert there.counts == here.counts
    for name, events in here.intensities.items():
        assert np.array_equal(there.intensities[name], events)
        assert np.array_equal(there.samples[name], here.samples[name])
        assert np.array_equal(there.labels[name]["donor"], here.labels[name]["donor"])
        assert np.array_equal(there.priorities[name], here.priorities[name])
    assert find_places(dataset, CONTROLS) == places


@pytest.mark.ray
def test_an_error_comes_through_ray_as_it_was_raised(cells: Path, panel: Panel, ray_cluster: None) -> None:
    path = cells / "B-control.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["CD19"]), path)
    with pytest.raises(PanelError, match=r"B-control\.parquet: marker 'CD19' is missing"):
        draw_populations(list_dataset(str(cells)), panel, CONTROLS, SAMPLE)
