"""The sample of each event drawn: by the design's column, by sample_id, or by file."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.sampling.populations import draw_populations
from neuronedit.cells.draw import SampleConfig
from neuronedit.cells.panel import Panel
from neuronedit.cells.selection import ALL_EVENTS, EventChoice
from neuronedit.errors import DataError
from tests.fixtures import PAIR

pytestmark = pytest.mark.usefixtures("tasks_here")

SAMPLE = SampleConfig(events_per_population=200, seed=3)


def test_samples_are_named_by_a_column_or_else_by_the_file(cells_once: Path, tmp_path: Path, panel: Panel) -> None:
    dataset = list_dataset(str(cells_once))
    drawn = draw_populations(dataset, panel, PAIR, SAMPLE)
    assert_array_equal(drawn.samples["source"], ["B-control"] * 200)
    by_donor = draw_populations(dataset, panel, EventChoice({}, sample_column="donor"), SAMPLE)
    # An event without a donor is told by its file.
    assert {"P0", "P1", "P2", "B-control.parquet"} <= set(by_donor.samples[ALL_EVENTS])
    nameless = pq.read_table(cells_once / "B-control.parquet").drop_columns(["sample_id"])
    pq.write_table(nameless, tmp_path / "b.parquet")
    pq.write_table(pq.read_table(cells_once / "A-control.parquet"), tmp_path / "a.parquet")
    mixed = draw_populations(list_dataset(str(tmp_path)), panel, PAIR, SAMPLE)
    assert {name: set(samples) for name, samples in mixed.samples.items()} == {
        "source": {"b.parquet"},
        "target": {"A-control"},
    }


def test_a_sample_column_that_is_not_there_is_told(cells_once: Path, panel: Panel) -> None:
    design = PAIR.model_copy(update={"sample_column": "sample"})
    with pytest.raises(DataError, match=r"the column 'sample' is missing; .*nearest name 'sample_id'"):
        draw_populations(list_dataset(str(cells_once)), panel, design, SAMPLE)


def test_an_event_of_the_source_without_a_sample_is_told(cells_once: Path, panel: Panel) -> None:
    design = PAIR.model_copy(update={"sample_column": "donor"})
    message = (
        r"B-control.parquet: \d+ events of source or target have no value in 'donor'; expected the sample that each"
    )
    with pytest.raises(DataError, match=message):
        draw_populations(list_dataset(str(cells_once)), panel, design, SAMPLE)
