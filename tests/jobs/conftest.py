import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fixtures import cells, cells_once, copied_store, migrated_store, pair_model, panel, ray_cluster

__all__ = ["cells", "cells_once", "migrated_store", "pair_model", "panel", "ray_cluster"]

ROOT = Path(__file__).parents[2]

TRAIN = """
[data]
path = "{cells}"
[panel]
markers = ["CD3", "CD19", "CD45", "CD45RA", "HLA-DR", "pSTAT5"]
[design]
kind = "controls"
control = {{ role = "control" }}
reference = "A"
[autoencoder]
hidden = [16, 8]
code = 4
[training]
epochs = 3
minibatch = 128
[workers]
storage = "{checkpoints}"
[edit]
steps = [{{ layer = "code" }}, {{ layer = "visible" }}]
[model]
name = "cells"
[tracking]
uri = "{uri}"
experiment = "tests"
artifacts = "{artifacts}"
[ray]
num_cpus = 2
"""

TRANSFORM = """
model = "models:/cells@candidate"
output = "{output}"
[data]
path = "{cells}"
[tracking]
uri = "{uri}"
experiment = "tests"
[ray]
num_cpus = 2
"""


@dataclass(frozen=True)
class Workplace:
    """A folder with the settings of both jobs, and their store."""

    folder: Path
    uri: str

    @property
    def train(self) -> str:
        return str(self.folder / "train.toml")

    @property
    def transform(self) -> str:
        return str(self.folder / "transform.toml")

    @property
    def output(self) -> Path:
        return self.folder / "edited"


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def command() -> Command:
    """Runs a real command as a user would, in the project's folder."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
        environment.pop("RAY_ADDRESS", None)
        return subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
        )

    return run


@pytest.fixture(scope="session")
def trained(
    cells_once: Path, migrated_store: Path, tmp_path_factory: pytest.TempPathFactory, command: Command
) -> tuple[Workplace, subprocess.CompletedProcess[str]]:
    """A workplace after ``jobs/train.py`` has registered models:/cells/1, and what the command said."""
    place = make_workplace(tmp_path_factory.mktemp("jobs"), cells_once, migrated_store)
    return place, command("jobs/train.py", place.train, "--set", "model.alias=candidate")


@pytest.fixture
def workplace(cells: Path, migrated_store: Path, tmp_path: Path) -> Workplace:
    """A workplace with a dataset of its own and an empty registry."""
    return make_workplace(tmp_path, cells, migrated_store)


def make_workplace(folder: Path, cells: Path, migrated_store: Path) -> Workplace:
    tracking = copied_store(migrated_store, folder)
    values = {
        "cells": cells,
        "uri": tracking.uri,
        "artifacts": tracking.artifacts,
        "output": folder / "edited",
        "checkpoints": folder / "checkpoints",
    }
    (folder / "train.toml").write_text(TRAIN.format(**values))
    (folder / "transform.toml").write_text(TRANSFORM.format(**values))
    assert tracking.uri
    return Workplace(folder, tracking.uri)
