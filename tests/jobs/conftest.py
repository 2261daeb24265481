import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray

from tests.fixtures import cells, cells_once, copied_store, migrated_store, pair_model, panel, ray_cluster
from tests.jobs.mlflow_server import running_server
from tests.jobs.story import Said, Story, Workplace, tell_all

__all__ = ["cells", "cells_once", "migrated_store", "pair_model", "panel", "ray_cluster"]

ROOT = Path(__file__).parents[2]

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def command() -> Command:
    """Runs a real command as a user would, in the project's folder; more environment variables are keywords."""

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
        environment.pop("RAY_ADDRESS", None)
        return subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=environment | more, capture_output=True, text=True, timeout=900
        )

    return run


@pytest.fixture(scope="session")
def server(migrated_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's own server, which keeps the artifacts, too."""
    with running_server(tmp_path_factory.mktemp("server"), migrated_store) as address:
        yield address


@pytest.fixture(scope="session")
def trained(
    cells_once: Path, server: str, ray_cluster: None, tmp_path_factory: pytest.TempPathFactory, command: Command
) -> tuple[Workplace, Said]:
    """A workplace after ``jobs/train.py`` has registered models:/cells/1, and what the command said."""
    place = Workplace.make(tmp_path_factory.mktemp("jobs"), cells_once, server)
    settings = ["model.alias=candidate", "search.code=[1, 4]", "training.epochs=8", "training.learning_rate=0.01"]
    overrides = [part for setting in settings for part in ("--set", setting)]
    cluster = ray.get_runtime_context().gcs_address
    return place, Said.by(command("jobs/train.py", place.train, *overrides, RAY_ADDRESS=cluster))


@pytest.fixture(scope="session")
def story(trained: tuple[Workplace, Said]) -> Story:
    """All that happens to the trained model; the tests read what it left."""
    place, said = trained
    assert said.status == 0, said.err
    return tell_all(place, said)


@pytest.fixture
def workplace(cells: Path, migrated_store: Path, tmp_path: Path) -> Workplace:
    """A workplace with a dataset of its own and an empty registry."""
    tracking = copied_store(migrated_store, tmp_path)
    assert tracking.uri
    return Workplace.make(tmp_path, cells, tracking.uri, tracking.artifacts)
