"""Fixtures that the tests of the adapters and of the jobs share; each conftest.py names those that it needs."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.cluster.session import RayConfig, ray_session
from neuronedit.adapters.cluster.tasks import item_rows
from neuronedit.adapters.registry.runs import TrackingConfig, connect
from neuronedit.adapters.sampling import populations
from neuronedit.adapters.training import places
from neuronedit.cells.design import ControlsDesign, Design, PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.edits.plans import EditConfig
from neuronedit.edits.students.fidelity import Fidelity
from neuronedit.edits.students.student import N_BINS, Student, network_shapes
from neuronedit.fitting.fit import fit_model
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Architecture
from neuronedit.network.plan import TrainingPlan
from tests.s3_server import Bucket, S3Server, running_server
from tests.synthetic_cells import BATCHES, MARKERS, SOURCE, TARGET, write_cells

ARCHITECTURE = Architecture(hidden=(16, 8), code=4)
PLAN = TrainingPlan(epochs=3, minibatch=128, seed=1)
CONTROLS = ControlsDesign(control={"role": "control"}, reference="A")
PAIR = PairDesign(source=SOURCE, target=TARGET)


@pytest.fixture(scope="session")
def panel() -> Panel:
    return Panel(MARKERS, (5.0,) * len(MARKERS))


@pytest.fixture(scope="session")
def cells_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset, for tests that only read it."""
    folder = tmp_path_factory.getbasetemp() / "cells"
    return folder if folder.exists() else write_cells(folder)


@pytest.fixture
def cells(cells_once: Path, tmp_path: Path) -> Path:
    """A copy of the dataset, for tests that change it."""
    return Path(shutil.copytree(cells_once, tmp_path / "cells"))


@pytest.fixture(scope="session")
def controls_model(cells_once: Path, panel: Panel) -> EditModel:
    """A small model of a controls design with the reference A, trained without Ray."""
    return fit_small_model(cells_once, panel, CONTROLS)


@pytest.fixture(scope="session")
def pair_model(cells_once: Path, panel: Panel) -> EditModel:
    """A small model of the pair design B → A, trained without Ray."""
    return fit_small_model(cells_once, panel, PAIR)


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for all tests: two cores to work with, and the one that stays free."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.delenv("RAY_ADDRESS", raising=False)
        with ray_session(RayConfig(num_cpus=2)):
            yield


@pytest.fixture
def tasks_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events are drawn and found in this process: Ray's tasks would end in any order, so here the last comes first."""

    def map_here(work: Callable[[pa.Table], pa.Table], items: Sequence[Any]) -> Iterator[pa.Table]:
        return (work(pa.Table.from_pylist(item_rows([item]))) for item in reversed(items))

    for module in (populations, places):
        monkeypatch.setattr(module, "map_items", map_here)


@pytest.fixture(scope="session")
def migrated_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables made, which takes seconds, to copy from."""
    store = tmp_path_factory.getbasetemp() / "migrated.db"
    if not store.exists():
        connect(TrackingConfig(uri=f"sqlite:///{store}", artifacts=str(store.parent / "none")))
    return store


@pytest.fixture
def tracking(migrated_store: Path, tmp_path: Path) -> Iterator[TrackingConfig]:
    """A fresh MLflow store of this test's own, connected."""
    yield copied_store(migrated_store, tmp_path)
    while mlflow.active_run():
        mlflow.end_run()


def copied_store(migrated_store: Path, folder: Path) -> TrackingConfig:
    shutil.copy(migrated_store, folder / "mlflow.db")
    config = TrackingConfig(
        uri=f"sqlite:///{folder}/mlflow.db", experiment="tests", artifacts=str(folder / "artifacts")
    )
    connect(config)
    return config


def fit_small_model(cells: Path, panel: Panel, design: Design) -> EditModel:
    intensities = {}
    for batch_id in BATCHES:
        table = pq.read_table(cells / f"{batch_id}-control.parquet").select(list(panel.markers))
        intensities[f"control {batch_id}"] = np.column_stack([column.to_numpy() for column in table.columns])
    if isinstance(design, PairDesign):
        return fit_small_pair(panel, intensities["control B"], intensities["control A"], design)
    return _fit_small(panel, intensities, design)


def fit_small_pair(panel: Panel, source: np.ndarray, target: np.ndarray, design: PairDesign) -> EditModel:
    """A small model of a pair of raw populations."""
    return _fit_small(panel, {"source": source, "target": target}, design)


def _fit_small(panel: Panel, intensities: Mapping[str, np.ndarray], design: Design) -> EditModel:
    edit = EditConfig(preset="neurons-then-markers", serve="teacher")
    fitted = fit_model(intensities, panel, design, network=ARCHITECTURE, training=PLAN, edit=edit)
    return replace(fitted.model, facts={"made": "by a test"})


def with_students(model: EditModel, change: float = 0.5) -> EditModel:
    """The same model, each of whose edits has a student: it raises all markers by ``change`` standard deviations."""
    n_markers = model.panel.n_markers
    edges = np.repeat(np.float32([[-9], [-1], [1], [9]]), n_markers, axis=1)
    weights = {name: np.zeros(shape, np.float32) for name, shape in network_shapes(n_markers).items()}
    student = Student(edges, np.full((N_BINS + 1, n_markers), change, np.float32), weights)
    fidelity = Fidelity(500, (0.6, 0.05, 0.06), (1.5, 0.02, 0.03), 0.04, 3, 0.08, None, 0.0, 1.1)
    edits = {name: replace(edit, student=student, fidelity=fidelity) for name, edit in model.edits.items()}
    return replace(model, edits=edits)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for all tests."""
    with running_server() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server) -> Iterator[Bucket]:
    """A fresh, empty bucket; the server does not fail."""
    yield s3_server.make_bucket(f"bucket-{uuid4().hex[:12]}")
    s3_server.inject()
