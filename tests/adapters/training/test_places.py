from pathlib import Path

import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.files.parquet import list_dataset
from neuronedit.adapters.sampling.populations import draw_populations
from neuronedit.adapters.training.places import Place, find_places
from neuronedit.cells.design import ControlsDesign
from neuronedit.cells.draw import SampleConfig
from neuronedit.cells.panel import Panel
from neuronedit.cells.selection import EventChoice
from neuronedit.errors import DataError
from tests.fixtures import CONTROLS

pytestmark = pytest.mark.usefixtures("tasks_here")


def test_places_tell_how_many_events_of_which_sample_lie_where(cells_once: Path, panel: Panel) -> None:
    dataset = list_dataset(str(cells_once))
    places = find_places(dataset, CONTROLS, SampleConfig())
    assert places["control B"] == tuple(
        Place("B-control.parquet", group, {"B-control": n}) for group, n in enumerate([128, 128, 128, 116])
    )
    counts = draw_populations(dataset, panel, CONTROLS, SampleConfig()).counts
    assert {name: sum(place.n_events.total() for place in found) for name, found in places.items()} == counts
    by_donor = find_places(dataset, EventChoice({}), SampleConfig(sample_column="donor"))["all events"]
    assert sum(place.n_events["P1"] for place in by_donor) == sum(
        pq.read_table(path).column("donor").to_pylist().count("P1") for path in cells_once.iterdir()
    )


def test_a_missing_column_is_told(cells_once: Path) -> None:
    design = ControlsDesign(batch_column="batch", control={"role": "control"}, reference="A")
    with pytest.raises(DataError, match=r"the column 'batch' is missing; .*nearest name 'batch_id'"):
        find_places(list_dataset(str(cells_once)), design, SampleConfig())
