"""Train, add a batch like those known, then a strange one."""

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient
from neuronedit_jobs import update
from neuronedit_jobs.update import VersionConfig

from neuronedit.adapters.registry.versions import PinnedModel, RegistryConfig, pinned_model
from neuronedit.errors import ConfigError
from neuronedit.fitting.drift import edit_drift, reconstruction_error
from tests.jobs.story import Said, Workplace
from tests.synthetic_cells import MARKERS, sample_table, with_column

pytestmark = pytest.mark.ray

UPDATE = """
parent = "{parent}"
[data]
path = "{cells}"
[model]
name = "grown"
[tracking]
uri = "{uri}"
experiment = "tests"
[ray]
num_cpus = 2
"""


@dataclass(frozen=True)
class Updated:
    """A model before and after an update, what the job said, and its run."""

    parent: PinnedModel
    child: PinnedModel
    said: str
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


@pytest.fixture(scope="module")
def place(trained: tuple[Workplace, Said]) -> Workplace:
    return trained[0]


@pytest.fixture(scope="module")
def new_cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("new")


@pytest.fixture(scope="module")
def known(place: Workplace, new_cells: Path) -> Updated:
    """The model of the batches A, B and C, after D, which is much like A, has been added."""
    return updated(place, "models:/cells/1", write_batch(new_cells, "D"), "models:/grown/1")


@pytest.fixture(scope="module")
def strange(place: Workplace, known: Updated, new_cells: Path) -> Updated:
    """The same, after E has been added, whose markers stand in each other's place; D lies beside it."""
    cells = write_batch(new_cells, "E", strange=True)
    return updated(place, known.child.uri, cells, "models:/grown/2", "replay.epochs=2")


def updated(place: Workplace, parent: str, cells: Path, child: str, *overrides: str) -> Updated:
    said = io.StringIO()
    with redirect_stdout(said):
        assert update.main(arguments(place, parent, cells, *overrides)) == 0
    before, after = pinned_model(parent), pinned_model(child)
    run = MlflowClient().get_run(after.run_id)
    return Updated(before, after, said.getvalue(), run.data.metrics, run.data.tags)


def arguments(place: Workplace, parent: str, cells: Path, *overrides: str) -> list[str]:
    path = place.folder / "update.toml"
    path.write_text(UPDATE.format(parent=parent, cells=cells, uri=place.uri))
    return [str(path), *(part for override in overrides for part in ("--set", override))]


def write_batch(folder: Path, batch_id: str, strange: bool = False) -> Path:
    """A control of a new batch; a strange one has the values of two pairs of markers in each other's place."""
    table = sample_table(batch_id, "control", 400, seed=ord(batch_id))
    if strange:
        values = {marker: table.column(marker).combine_chunks() for marker in MARKERS}
        for marker, other in (("CD3", "CD19"), ("CD45", "CD45RA")):
            table = with_column(with_column(table, marker, values[other]), other, values[marker])
    pq.write_table(table, folder / f"{batch_id}-control.parquet")
    return folder


def intensities(cells: Path, name: str) -> np.ndarray:
    table = pq.read_table(cells / f"{name}-control.parquet")
    return np.column_stack([table.column(marker).to_numpy() for marker in MARKERS])


def weights(model: PinnedModel) -> bytes:
    return b"".join(array.numpy().tobytes() for array in model.model.autoencoder.state_dict().values())


def test_a_batch_that_the_autoencoder_knows_changes_no_bit_of_what_was_there(known: Updated, cells_once: Path) -> None:
    before, after = known.parent.model, known.child.model
    assert list(after.edits) == ["B", "C", "D"]
    assert weights(known.parent) == weights(known.child)
    for name in before.edits:
        events = intensities(cells_once, name)
        assert before.apply(events, name).tobytes() == after.apply(events, name).tobytes()
        assert known.metrics[f"edit/{name}/old_edit_drift"] == 0
    assert (known.metrics["retrained"], known.metrics["old_edit_drift"]) == (0, 0)
    assert "the autoencoder knows such events; no weight and no old edit has changed" in known.said


def test_the_new_edit_leads_to_the_parents_reference(known: Updated, new_cells: Path, cells_once: Path) -> None:
    # D is like the reference A, which has other events: sample medians of 400 and 600 events.
    edited = known.child.model.apply(intensities(new_cells, "D"), "D")
    there = np.log(np.median(edited, axis=0) / np.median(intensities(cells_once, "A"), axis=0))
    assert np.abs(there).max() < 0.1


def test_a_new_version_names_its_parent_in_its_facts_its_tags_and_its_run(known: Updated) -> None:
    assert known.child.model.facts["parent"] == {"uri": "models:/cells/1", "sha256": known.parent.digest}
    assert MlflowClient().get_model_version("grown", "1").tags["neuronedit.parent"] == "models:/cells/1"
    assert known.tags["neuronedit.parent"] == "models:/cells/1"
    assert known.said.startswith("models:/grown/1, from models:/cells/1: reconstruction error of 'control D' is ")


def test_a_strange_batch_is_learned_with_replay_and_every_edit_fitted_again(strange: Updated) -> None:
    found = strange.child.model.facts["update"]
    assert list(strange.child.model.edits) == ["B", "C", "D", "E"]
    assert weights(strange.parent) != weights(strange.child)
    assert found["retrained"] is True
    assert found["new_edits"] == ["E"]
    assert found["reconstruction_ratio"]["control E"] > 2, "two pairs of markers stand in each other's place"
    assert "retrained with replay: old edits drifted by " in strange.said


def test_replay_teaches_the_strange_batch(strange: Updated, new_cells: Path) -> None:
    before, after = (
        reconstruction_error(pinned.model.autoencoders, pinned.model.standardised(intensities(new_cells, "E")))
        for pinned in (strange.parent, strange.child)
    )
    assert after < 0.8 * before


def test_the_drift_of_each_old_edit_is_in_the_facts_and_the_run(strange: Updated, cells_once: Path) -> None:
    drifts = strange.child.model.facts["update"]["drift"]
    assert set(drifts) == {"B", "C", "D"}
    for name, drift in drifts.items():
        assert 0 < drift["relative"] == strange.metrics[f"edit/{name}/old_edit_drift"]
    assert strange.metrics["old_edit_drift"] == max(drift["relative"] for drift in drifts.values())
    expected = edit_drift("B", strange.parent.model, strange.child.model, intensities(cells_once, "B"))
    assert drifts["B"]["rms"] == pytest.approx(expected.rms, rel=1e-4)  # the same events in another order


def test_events_of_earlier_updates_are_found_where_they_were(
    strange: Updated, cells_once: Path, new_cells: Path
) -> None:
    places = {name: found["data"] for name, found in strange.child.model.facts["populations"].items()}
    assert places == {
        **{f"control {batch}": str(cells_once) for batch in "ABC"},
        **{f"control {batch}": str(new_cells) for batch in "DE"},
    }


def refused(place: Workplace, capsys: pytest.CaptureFixture[str], parent: str, cells: Path, *overrides: str) -> str:
    assert update.main(arguments(place, parent, cells, *overrides)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


def test_no_new_batch_is_told(place: Workplace, cells_once: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(place, capsys, "models:/cells/1", cells_once)
    assert (
        "found controls (role = control) of 'A', 'B', 'C' in the column 'batch_id'; expected some of a batch that "
        "the model does not know yet (known: 'A', 'B', 'C'). Check data.path." in told
    )


def test_old_events_that_have_changed_are_told(
    place: Workplace, known: Updated, cells: Path, new_cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pq.read_table(cells / "B-control.parquet").slice(1), cells / "B-control.parquet")
    told = refused(place, capsys, "models:/cells/1", new_cells, f'parent_data=["{cells}"]')
    assert "Of 3 populations that the model was trained on, 'control B' are not in" in told
    assert "expected the same events. Restore them, name their new place in parent_data, or train a new" in told


def test_old_events_that_are_gone_are_told(
    place: Workplace, known: Updated, new_cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(place, capsys, "models:/cells/1", new_cells, 'parent_data=["nowhere"]')
    assert "The events that the model was trained on cannot be drawn again. nowhere: not found." in told
    assert "name their new place in parent_data" in told


def test_a_folder_needs_a_name_for_its_new_version() -> None:
    with pytest.raises(ConfigError, match=r"^parent is the folder models/batches, .* expected model\.name for the new"):
        VersionConfig().registered_as("models/batches")
    assert VersionConfig(alias="newest").registered_as("models:/batches/3") == RegistryConfig(
        name="batches", alias="newest"
    )
