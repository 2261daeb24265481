from pathlib import Path

import pytest

from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.transform.plan import TransformPlan
from neuronedit.model.edit_model import EditModel
from tests.adapters.transforming import here, run
from tests.fixtures import (
    cells,
    cells_once,
    controls_model,
    migrated_store,
    pair_model,
    panel,
    ray_cluster,
    s3,
    s3_server,
    tasks_here,
    tracking,
)
from tests.oracles.reading import Registry

__all__ = [
    "cells",
    "cells_once",
    "controls_model",
    "migrated_store",
    "pair_model",
    "panel",
    "ray_cluster",
    "s3",
    "s3_server",
    "tasks_here",
    "tracking",
]


@pytest.fixture(scope="session")
def undisturbed(cells_once: Path, controls_model: EditModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset, transformed by the controls model in this process, for tests that only read it."""
    target = tmp_path_factory.mktemp("undisturbed") / "edited"
    run(cells_once, target, controls_model, transform=here)
    return target


@pytest.fixture
def plan(cells_once: Path) -> TransformPlan:
    return TransformPlan("models:/m/1", "d1", {"where": {}}, list_dataset(str(cells_once)))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "edited"


@pytest.fixture(scope="session")
def registry(request: pytest.FixtureRequest) -> Registry:
    """PyPI; what was downloaded and installed is kept in pytest's own cache."""
    return Registry(request.config.cache.mkdir("fcs-oracles"))
