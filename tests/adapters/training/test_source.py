from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.testing import assert_array_equal

from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.sampling.populations import draw_populations
from neuronedit.adapters.training.event_stream import Place
from neuronedit.adapters.training.places import find_places
from neuronedit.adapters.training.source import TrainingSource, ray_train, training_source
from neuronedit.adapters.training.trainer import train_autoencoder
from neuronedit.cells.design import ControlsDesign
from neuronedit.cells.draw import DrawnPopulations, SampleConfig
from neuronedit.cells.panel import Panel
from neuronedit.cells.selection import EventChoice
from neuronedit.errors import ConfigError, DataError
from neuronedit.fitting.prepare import Prepared, prepare
from neuronedit.fitting.train import train_here
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingDataConfig, TrainingPlan, WorkersConfig
from tests.adapters.training_here import without_ray
from tests.fixtures import CONTROLS
from tests.synthetic_cells import sample_table

DESIGN = ControlsDesign(control={"role": "control"}, reference="A")
SAMPLE = SampleConfig(events_per_population=200)


def source_of(
    dataset: Path, prepared: Prepared, wanted: int | str | None = None, memory_mb: int = 2048
) -> TrainingSource:
    training_data = TrainingDataConfig(events_per_population=wanted, memory_mb=memory_mb)
    return training_source(prepared, list_dataset(str(dataset)), SAMPLE, training_data)


@pytest.fixture
def drawn() -> DrawnPopulations:
    generator = np.random.default_rng(0)
    events = {name: generator.exponential(5, (200, 6)).astype(np.float32) for name in ("control A", "control B")}
    samples = {name: np.full(200, name, object) for name in events}
    return DrawnPopulations(events, {"control A": 200, "control B": 60_000}, {}, samples)


def test_by_default_the_drawn_sample_is_trained_on(cells_once: Path, panel: Panel, drawn: DrawnPopulations) -> None:
    prepared = prepare(drawn, panel, DESIGN)
    source = source_of(cells_once, prepared)
    assert source.stream is None
    assert source.n_events == {"control A": 200, "control B": 200}
    expected = prepared.scaling.standardise(prepared.scaling.transform(drawn.intensities["control B"]))
    assert_array_equal(source.populations["control B"], expected)


def test_all_are_the_drawn_sample_where_it_has_all(cells_once: Path, panel: Panel, drawn: DrawnPopulations) -> None:
    whole = replace(drawn, counts={"control A": 200, "control B": 200})
    assert source_of(cells_once, prepare(whole, panel, DESIGN), "all").n_events == whole.counts


def test_more_than_fits_in_memory_is_told_with_what_helps(
    cells_once: Path, panel: Panel, drawn: DrawnPopulations
) -> None:
    message = (
        r"training_data\.events_per_population is 50000: 50200 events of 6 markers take 2 MB; expected at most "
        r"training_data\.memory_mb, 1\. Raise it, take fewer events, or 'all'"
    )
    with pytest.raises(ConfigError, match=message):
        source_of(cells_once, prepare(drawn, panel, DESIGN), 50_000, memory_mb=1)


def test_more_events_are_drawn_into_memory_where_they_fit(tasks_here: None, cells_once: Path, panel: Panel) -> None:
    prepared = prepare(draw_populations(list_dataset(str(cells_once)), panel, DESIGN, SAMPLE), panel, DESIGN)
    source = source_of(cells_once, prepared, 450)
    assert source.stream is None
    assert source.n_events == {"control A": 450, "control B": 450, "control C": 350}
    assert_array_equal(source.populations["control A"][:200], prepared.markers["control A"])


def test_what_does_not_fit_is_streamed_to_the_workers_that_train(
    tasks_here: None, tmp_path: Path, panel: Panel
) -> None:
    for seed, (batch_id, n_events) in enumerate({"A": 40_000, "B": 2_000}.items()):
        table = sample_table(batch_id, "control", n_events, seed)
        pq.write_table(table, tmp_path / f"{batch_id}.parquet", row_group_size=5_000)
    # 42,000 events of 6 markers are 0.96 MB; with two more, more than 1.
    wide = Panel((*panel.markers, "Time", "event_id"), (*panel.transforms, 1.0, 1.0))
    drawn = draw_populations(list_dataset(str(tmp_path)), wide, DESIGN, SAMPLE)
    source = source_of(tmp_path, prepare(drawn, wide, DESIGN), "all", memory_mb=1)
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


@pytest.mark.ray
def test_ray_train_gives_the_bits_that_training_in_this_process_gives(
    ray_cluster: None, tmp_path: Path, cells_once: Path, panel: Panel
) -> None:
    dataset = list_dataset(str(cells_once))
    prepared = prepare(draw_populations(dataset, panel, DESIGN, SAMPLE), panel, DESIGN)
    network, plans = Architecture(hidden=(8,), code=3), [TrainingPlan(epochs=2, minibatch=64, seed=3)]
    workers, told = WorkersConfig(storage=str(tmp_path)), []
    train = ray_train(
        dataset, SAMPLE, TrainingDataConfig(), workers, lambda number, losses: told.append((number, losses))
    )
    there, here = train(prepared, network, plans), train_here(prepared, network, plans)
    assert there.losses == here.losses
    assert there.n_events == here.n_events == {"control A": 200, "control B": 200, "control C": 200}
    assert [losses for number, epochs in told for losses in epochs if number == 1] == list(here.losses[0])
    for name, weights in here.autoencoders[0].state_dict().items():
        assert torch.equal(weights, there.autoencoders[0].state_dict()[name])


@pytest.mark.usefixtures("tasks_here")
def test_places_tell_how_many_events_of_which_sample_lie_where(cells_once: Path, panel: Panel) -> None:
    dataset = list_dataset(str(cells_once))
    places = find_places(dataset, CONTROLS)
    assert places["control B"] == tuple(
        Place("B-control.parquet", group, {"B-control": n}) for group, n in enumerate([128, 128, 128, 116])
    )
    counts = draw_populations(dataset, panel, CONTROLS, SampleConfig()).counts
    assert {name: sum(place.n_events.total() for place in found) for name, found in places.items()} == counts
    by_donor = find_places(dataset, EventChoice({}, sample_column="donor"))["all events"]
    assert sum(place.n_events["P1"] for place in by_donor) == sum(
        pq.read_table(path).column("donor").to_pylist().count("P1") for path in cells_once.iterdir()
    )


@pytest.mark.usefixtures("tasks_here")
def test_a_missing_column_is_told(cells_once: Path) -> None:
    design = ControlsDesign(batch_column="batch", control={"role": "control"}, reference="A")
    with pytest.raises(DataError, match=r"the column 'batch' is missing; .*nearest name 'batch_id'"):
        find_places(list_dataset(str(cells_once)), design)
