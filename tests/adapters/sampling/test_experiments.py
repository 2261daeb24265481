"""The arms of an experiment, drawn from a dataset: which event is of which arm and sample."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from neuronedit_jobs.combine import CombineConfig

from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.sampling.experiments import draw_experiment
from neuronedit.errors import DataError

pytestmark = pytest.mark.usefixtures("tasks_here")

DRUGS = ("none", "A", "B", "AB")


def config(dataset: Path, *overrides: str) -> CombineConfig:
    given = {"control": "none", "a": "A", "b": "B", "both": "AB"}
    return CombineConfig.load(
        None,
        [
            *(f"{arm}.drug={drug}" for arm, drug in given.items()),
            *("model_a=a", "model_b=b", "output=o", f"data.path={dataset}", "panel.markers=['CD4']"),
            *overrides,
        ],
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for each drug, of three wells in turn; the marker's value says which drug and well an event is from."""
    folder = tmp_path_factory.mktemp("drugs")
    for number, drug in enumerate(DRUGS):
        wells = np.arange(240) % 3
        columns = {"drug": [drug] * 240, "well": wells, "CD4": np.float32(10 * number + wells)}
        pq.write_table(pa.table(columns), folder / f"{drug}.parquet")
    return folder


def test_each_arm_has_its_own_events(dataset: Path) -> None:
    settings = config(dataset)
    experiment = draw_experiment(list_dataset(str(dataset)), settings.panel.read(), settings.arms, settings.sample)
    assert [arm.name for arm in experiment.arms] == ["control", "a", "b", "both"]
    for number, arm in enumerate(experiment.arms):
        assert arm.samples is None
        assert set(arm.intensities.ravel() // 10) == {number}
        assert len(arm.intensities) == 240


def test_each_event_keeps_its_sample_and_samples_are_mixed(dataset: Path) -> None:
    settings = config(dataset, "sample_column=well", "sample.events_per_population=100")
    experiment = draw_experiment(list_dataset(str(dataset)), settings.panel.read(), settings.arms, settings.sample)
    for arm in experiment.arms:
        assert arm.samples is not None
        np.testing.assert_array_equal(arm.intensities.ravel() % 10, arm.samples)
        assert set(arm.samples[:20]) == {0, 1, 2}  # the chance that 20 of three equal samples miss one is 0.001
        assert len(arm.samples) == 240


def test_both_treatments_need_not_be_measured(dataset: Path) -> None:
    settings = config(dataset).model_copy(update={"both": {}})
    assert list(settings.arms.where) == ["control", "a", "b"]
    assert (
        draw_experiment(list_dataset(str(dataset)), settings.panel.read(), settings.arms, settings.sample).both is None
    )


def test_an_arm_without_events_is_told(dataset: Path) -> None:
    settings = config(dataset, "b.drug=C")
    with pytest.raises(DataError, match=r"^b: no event of .* has drug = C\. Correct the column values of b\.$"):
        draw_experiment(list_dataset(str(dataset)), settings.panel.read(), settings.arms, settings.sample)
