from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

from neuronedit.adapters.parquet import list_dataset
from neuronedit.adapters.populations import DrawnPopulations, draw_populations
from neuronedit.adapters.ray_train import train_autoencoder
from neuronedit.adapters.training_source import training_source
from neuronedit.autoencoder import Architecture
from neuronedit.errors import ConfigError, DataError
from neuronedit.job_configs import TrainConfig
from neuronedit.panel import Panel
from neuronedit.scaling import Scaling, fit_scaling
from neuronedit.training_plan import TrainingPlan
from neuronedit.workers_config import WorkersConfig
from tests.adapters.training_here import without_ray
from tests.synthetic_cells import sample_table

SETTINGS = (
    "data.path=cells",
    'panel.markers=["CD3"]',
    'design={kind="controls", control={role="control"}, reference="A"}',
    "sample.events_per_population=200",
)


def config(*settings: str) -> TrainConfig:
    return TrainConfig.load(None, [*SETTINGS, *settings])


def scaling_of(drawn: DrawnPopulations, panel: Panel) -> Scaling:
    return fit_scaling(drawn.intensities.values(), panel.cofactors)


@pytest.fixture
def drawn() -> DrawnPopulations:
    generator = np.random.default_rng(0)
    events = {name: generator.exponential(5, (200, 6)).astype(np.float32) for name in ("control A", "control B")}
    samples = {name: np.full(200, name, object) for name in events}
    return DrawnPopulations(events, {"control A": 200, "control B": 60_000}, {}, samples)


def test_by_default_the_drawn_sample_is_trained_on(cells_once: Path, panel: Panel, drawn: DrawnPopulations) -> None:
    scaling = scaling_of(drawn, panel)
    source = training_source(config(), panel, list_dataset(str(cells_once)), drawn, scaling)
    assert source.stream is None
    assert source.n_events == {"control A": 200, "control B": 200}
    expected = scaling.standardise(scaling.arcsinh(drawn.intensities["control B"]))
    assert_array_equal(source.populations["control B"], expected)


def test_all_are_the_drawn_sample_where_it_has_all(cells_once: Path, panel: Panel, drawn: DrawnPopulations) -> None:
    whole = replace(drawn, counts={"control A": 200, "control B": 200})
    settings = config("training_data.events_per_population=all")
    source = training_source(settings, panel, list_dataset(str(cells_once)), whole, scaling_of(drawn, panel))
    assert source.n_events == whole.counts


def test_more_than_fits_in_memory_is_told_with_what_helps(
    cells_once: Path, panel: Panel, drawn: DrawnPopulations
) -> None:
    settings = config("training_data.events_per_population=50000", "training_data.memory_mb=1")
    message = (
        r"training_data\.events_per_population is 50000: 50200 events of 6 markers take 2 MB; expected at most "
        r"training_data\.memory_mb, 1\. Raise it, take fewer events, or 'all'"
    )
    with pytest.raises(ConfigError, match=message):
        training_source(settings, panel, list_dataset(str(cells_once)), drawn, scaling_of(drawn, panel))


def test_more_events_are_drawn_into_memory_where_they_fit(tasks_here: None, cells_once: Path, panel: Panel) -> None:
    dataset, settings = list_dataset(str(cells_once)), config("training_data.events_per_population=450")
    drawn = draw_populations(dataset, panel, settings.design, settings.sample)
    source = training_source(settings, panel, dataset, drawn, scaling_of(drawn, panel))
    assert source.stream is None
    assert source.n_events == {"control A": 450, "control B": 450, "control C": 350}
    scaling = scaling_of(drawn, panel)
    first = scaling.standardise(scaling.arcsinh(drawn.intensities["control A"]))
    assert_array_equal(source.populations["control A"][:200], first)


def test_what_does_not_fit_is_streamed_to_the_workers_that_train(
    tasks_here: None, tmp_path: Path, panel: Panel
) -> None:
    for seed, (batch_id, n_events) in enumerate({"A": 40_000, "B": 2_000}.items()):
        table = sample_table(batch_id, "control", n_events, seed)
        pq.write_table(table, tmp_path / f"{batch_id}.parquet", row_group_size=5_000)
    dataset = list_dataset(str(tmp_path))
    settings = config("training_data.events_per_population=all", "training_data.memory_mb=1")
    # 42,000 events of 6 markers are 0.96 MB; with two more, more than 1.
    wide = Panel((*panel.markers, "Time", "event_id"), (*panel.cofactors, 1.0, 1.0))
    drawn = draw_populations(dataset, wide, settings.design, settings.sample)
    source = training_source(settings, wide, dataset, drawn, scaling_of(drawn, wide))
    assert source.n_events == {"control A": 40_000, "control B": 2_000}
    assert source.stream is not None
    plan = TrainingPlan(epochs=2, minibatch=1_000)
    workers = WorkersConfig(storage=str(tmp_path / "_checkpoints"), count=2)
    with without_ray():
        trained = train_autoencoder(
            source.populations,
            Architecture(hidden=(8,), code=3),
            plan,
            workers,
            samples=source.samples,
            markers=wide.markers,
            stream=source.stream,
        )
    assert [losses.epoch for losses in trained.history] == [1, 2]
    assert trained.history[1].validation_loss < trained.history[0].validation_loss
    (tmp_path / "A.parquet").unlink()
    with without_ray(), pytest.raises(DataError, match=r"A\.parquet: not there any more\."):
        train_autoencoder(
            source.populations,
            Architecture(hidden=(8,), code=2),
            plan,
            workers.model_copy(update={"count": 1}),
            samples=source.samples,
            stream=source.stream,
        )
