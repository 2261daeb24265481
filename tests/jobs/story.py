"""The life of a good and a bad model, from training to the lineage of what was made with them.

It is told once for all tests of the jobs: training by a real command on the cluster of the tests, the other jobs in
this process.
"""

import subprocess
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path

import pytest
from neuronedit_jobs import compare, lineage, promote, review, transform, verify

from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.registry.datasets import RunDataset, log_datasets
from neuronedit.adapters.registry.runs import TrackingConfig, connect, tracked_run
from neuronedit.adapters.registry.versions import RegistryConfig, pinned_model, register_model
from tests.adapters.registry.test_versions import example

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
hidden = [32, 16]
code = 6
[training]
epochs = 30
minibatch = 128
[workers]
storage = "{checkpoints}"
[edit]
steps = [{{ layer = "code" }}, {{ layer = "visible" }}]
serve = "teacher"
[model]
name = "cells"
[tracking]
uri = "{uri}"
experiment = "tests"
{artifacts}
[ray]
num_cpus = 2
"""

TRANSFORM = """
model = "models:/cells@champion"
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
    cells: Path
    uri: str

    @classmethod
    def make(cls, folder: Path, cells: Path, uri: str, artifacts: str | None = None) -> "Workplace":
        """Write the settings; a server keeps artifacts itself."""
        place = cls(folder, cells, uri)
        kept = f'artifacts = "{artifacts}"' if artifacts else ""
        train = TRAIN.format(cells=cells, uri=uri, checkpoints=folder / "checkpoints", artifacts=kept)
        (folder / "train.toml").write_text(train)
        (folder / "transform.toml").write_text(TRANSFORM.format(cells=cells, uri=uri, output=place.output))
        return place

    @property
    def train(self) -> str:
        return str(self.folder / "train.toml")

    @property
    def transform(self) -> str:
        return str(self.folder / "transform.toml")

    @property
    def output(self) -> Path:
        return self.folder / "edited"


@dataclass(frozen=True)
class Said:
    """What a job answered."""

    status: int
    out: str
    err: str

    @classmethod
    def by(cls, done: subprocess.CompletedProcess[str]) -> "Said":
        return cls(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Story:
    """All that happened, by its name, in the order in which it happened; and where."""

    place: Workplace
    said: dict[str, Said] = field(default_factory=dict)

    def tell(self, name: str, job, *arguments: str) -> None:
        """Run a job in this process, asked for by the user ada."""
        out, err = StringIO(), StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
            status = job.main(list(arguments))
        self.said[name] = Said(status, out.getvalue(), err.getvalue())


def tell_all(place: Workplace, trained: Said) -> Story:
    """What happens once a model is trained: a bad one is registered, too; both are reviewed, and one is used."""
    story = Story(place, {"train": trained})
    tell, folder = story.tell, place.folder
    store = ["--set", f"tracking.uri={place.uri}", "--set", "tracking.experiment=tests"]
    data = ["--set", f"data.path={place.cells}", "--set", 'held_out={role="validation"}', *store]
    register_bad_model(place)
    tell("unreviewed", promote, "cells", "1", *store)
    for version in "12":
        model = ["--model", f"models:/cells/{version}", "--output", str(folder / f"review{version}")]
        tell(f"review {version}", review, *model, *data)
    tell("refused", promote, "cells", "2", "--alias", "champion", *store)
    bad = [place.transform, "--model", "models:/cells/2", "--output", str(folder / "bad")]
    tell("refused transform", transform, *bad)
    tell("allowed transform", transform, *bad, "--allow-failed-gates")
    tell("override", promote, "cells", "2", "--alias", "champion", "--override", "the auditors ask for it", *store)
    tell("promoted", promote, "cells", "1", "--alias", "champion", *store)
    tell("transform", transform, place.transform)
    tell("verify", verify, str(place.output))
    tell("compare", compare, "models:/cells/1", "models:/cells/2", "--output", str(folder / "compare"), *data)
    tell("lineage", lineage, str(place.output))
    tell("lineage as JSON", lineage, str(folder / "bad"), "--json")
    return story


def register_bad_model(place: Workplace) -> None:
    """Version 2: what leads B to the reference is applied to C, and the other way round."""
    connect(TrackingConfig(uri=place.uri, experiment="tests"))
    good = pinned_model("models:/cells/1").model
    bad = replace(good, edits={"B": good.edits["C"], "C": good.edits["B"]})
    with tracked_run("train", {}) as run_id:
        log_datasets(run_id, [RunDataset.of(list_dataset(str(place.cells)), "training")], "train")
        register_model(bad, RegistryConfig(name="cells"), example(bad))
