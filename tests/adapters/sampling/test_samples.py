"""The sample of each event drawn: by the design's column, by sample_id, or by file."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.sampling.populations import draw_populations
from neuronedit.cells.draw import SampleConfig
from neuronedit.cells.panel import Panel
from neuronedit.cells.selection import ALL_EVENTS, EventChoice
from neuronedit.edits.edit import EditConfig
from neuronedit.errors import DataError
from neuronedit.fitting.fit import fit_model
from neuronedit.measures.evidence import read_evidence
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan
from tests.fixtures import PAIR
from tests.synthetic_cells import with_column

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


def test_a_model_of_drawn_donors_tells_how_its_edit_does_on_each_left_out(cells: Path, panel: Panel) -> None:
    for path in cells.iterdir():
        table = pq.read_table(path)
        donors = pa.array([donor or "P3" for donor in table.column("donor").to_pylist()])
        pq.write_table(with_column(table, "donor", donors), path)
    design = PAIR.model_copy(update={"sample_column": "donor"})
    drawn = draw_populations(list_dataset(str(cells)), panel, design, SampleConfig(events_per_population=600))
    fitted = fit_model(
        drawn,
        panel,
        design,
        network=Architecture(hidden=(8,), code=2),
        training=TrainingPlan(epochs=1),
        edit=EditConfig(preset="quantile-map"),
    )
    samples = read_evidence(fitted.model.facts)["pair"].samples
    assert [unit.name for unit in samples.units] == ["P0", "P1", "P2", "P3"]
    assert samples.proven
    assert samples.mean("edit") < 0.3
