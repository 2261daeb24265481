import hashlib
import json
import logging
import re
import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from mlflow.tracking import MlflowClient

from neuronedit.adapters.registry.runs import TrackingConfig, connect, tracked_run
from neuronedit.adapters.registry.versions import (
    PinnedModel,
    RegistryConfig,
    example_events,
    pinned_model,
    register_model,
)
from neuronedit.cells.draw import DrawnPopulations
from neuronedit.errors import ModelError, TrackingError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.saved.files import save_model
from tests.disasters import small_disk
from tests.fixtures import with_students
from tests.synthetic_cells import MARKERS


def example(model: EditModel) -> pd.DataFrame:
    events = pd.DataFrame(np.full((3, 6), 7.0), columns=list(MARKERS))
    return events.assign(batch_id="B") if model.batch_column else events


@pytest.fixture
def registered(tracking: TrackingConfig, controls_model: EditModel) -> PinnedModel:
    """Version 1 of the model cells, with the alias candidate."""
    with mlflow.start_run():
        return register_model(controls_model, RegistryConfig(name="cells", alias="candidate"), example(controls_model))


def test_version_alias_and_folder_lead_to_the_same_bits(
    registered: PinnedModel, controls_model: EditModel, tmp_path: Path
) -> None:
    assert registered.uri == "models:/cells/1"
    digest = save_model(controls_model, tmp_path / "folder")
    by_alias, by_folder = pinned_model("models:/cells@candidate"), pinned_model(str(tmp_path / "folder"))
    assert {registered.digest, by_alias.digest, by_folder.digest} == {digest}
    assert by_alias.uri == "models:/cells/1"
    assert by_alias.run_id == registered.run_id is not None
    assert (by_folder.uri, by_folder.run_id) == (str(tmp_path / "folder"), None)
    events = np.full((4, 6), 11.0, np.float32)
    expected = controls_model.apply(events, "B")
    for pinned in (registered, by_alias, by_folder):
        assert np.array_equal(pinned.model.apply(events, "B"), expected)


def test_the_version_carries_the_digest_and_the_run(registered: PinnedModel) -> None:
    found = MlflowClient().get_model_version("cells", "1")
    assert found.tags["neuronedit.digest"] == registered.digest
    assert found.run_id == registered.run_id


def test_an_alias_moves_to_the_new_version_and_the_old_one_stays(
    registered: PinnedModel, controls_model: EditModel
) -> None:
    with mlflow.start_run():
        register_model(controls_model, RegistryConfig(name="cells", alias="candidate"), example(controls_model))
    assert pinned_model("models:/cells@candidate").uri == "models:/cells/2"
    assert pinned_model("models:/cells/1").digest == registered.digest


def test_a_pair_model_is_registered_without_alias(tracking: TrackingConfig, pair_model: EditModel) -> None:
    with mlflow.start_run():
        pinned = register_model(pair_model, RegistryConfig(name="pairs"), example(pair_model))
    assert dict(MlflowClient().get_registered_model("pairs").aliases) == {}
    assert pinned.model.edits.keys() == {"pair"}


@pytest.mark.parametrize(
    "uri",
    [
        "models:/cells",
        "models:/cells/latest",
        "models:/cells/Production",
        "models:/cells@",
        "models:cells/1",
        "models:/cells/" + "9" * 19,
    ],
)
def test_a_uri_that_can_mean_another_model_tomorrow_is_refused(tracking: TrackingConfig, uri: str) -> None:
    with pytest.raises(
        ModelError,
        match=rf"^{uri}: does not pin one model; expected models:/NAME/VERSION, models:/NAME@ALIAS or a folder\. "
        r"'latest' can change",
    ):
        pinned_model(uri)


def test_an_unknown_model_is_told_with_the_nearest_name(registered: PinnedModel) -> None:
    with pytest.raises(
        ModelError,
        match=r"^models:/cels/1: the registry at sqlite:.*mlflow\.db has no model 'cels' \(known: 'cells'; "
        r"nearest name 'cells'\)\. Train one, or check tracking\.uri\.$",
    ):
        pinned_model("models:/cels/1")


def test_an_empty_registry_is_told(tracking: TrackingConfig) -> None:
    with pytest.raises(ModelError, match=r"has no model 'cells' \(it has none\)\. Train one"):
        pinned_model("models:/cells@candidate")


@pytest.mark.parametrize("uri", ["models:/cells/7", "models:/cells@champion"])
def test_an_unknown_version_or_alias_is_told_with_those_there_are(registered: PinnedModel, uri: str) -> None:
    with pytest.raises(
        ModelError,
        match=rf"^{uri}: model 'cells' has no such version or alias \(versions: 1; aliases: 'candidate'\)\. Correct",
    ):
        pinned_model(uri)


def test_a_damaged_artifact_is_told(registered: PinnedModel, tmp_path: Path) -> None:
    (weights,) = (tmp_path / "artifacts").rglob("model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-4] + b"oops")
    with pytest.raises(ModelError, match=r"model\.safetensors does not belong to model\.json beside it \(SHA-256"):
        pinned_model("models:/cells/1")


def test_artifacts_that_were_deleted_are_told(registered: PinnedModel, tmp_path: Path) -> None:
    (tmp_path / "artifacts").rename(tmp_path / "gone")
    with pytest.raises(ModelError, match=r"^models:/cells/1: registered, but its files cannot be fetched\. MLflow"):
        pinned_model("models:/cells/1")


@pytest.fixture
def exchanged(registered: PinnedModel, controls_model: EditModel, tmp_path: Path) -> str:
    """Version 1 after its two files were exchanged for those of another model; the digest of these."""
    other = replace(controls_model, edits={"B": controls_model.edits["C"], "C": controls_model.edits["B"]})
    digest = save_model(other, tmp_path / "other")
    (facts,) = (tmp_path / "artifacts").rglob("model.json")
    for name in ("model.json", "model.safetensors"):
        shutil.copy(tmp_path / "other" / name, facts.with_name(name))
    return digest


def test_files_that_were_exchanged_for_another_models_are_refused(registered: PinnedModel, exchanged: str) -> None:
    for uri in ("models:/cells/1", "models:/cells@candidate"):
        with pytest.raises(
            ModelError,
            match=r"^models:/cells/1: its files are not those that were registered: expected SHA-256 "
            rf"{registered.digest}, found {exchanged}\. Restore them in the artifact store, or use another version\.$",
        ):
            pinned_model(uri)


def test_mlflow_itself_does_not_load_them_either(exchanged: str) -> None:
    with pytest.raises(
        Exception, match=r"its files are not those that were logged: expected SHA-256 \w{64}, found"
    ) as e:
        mlflow.pyfunc.load_model("models:/cells/1")
    assert exchanged in str(e.value)


def test_a_version_without_a_digest_is_refused(registered: PinnedModel) -> None:
    MlflowClient().delete_model_version_tag("cells", "1", "neuronedit.digest")
    with pytest.raises(
        ModelError,
        match=r"^models:/cells/1: its tag neuronedit\.digest is missing, so nothing tells which files were registered"
        r"\. Use another version, or register the model again \(train, or update with the same data\)\.$",
    ):
        pinned_model("models:/cells/1")


def test_files_that_change_after_they_were_loaded_are_not_used(registered: PinnedModel) -> None:
    assert registered.contents().keys() == {"model.json", "model.safetensors"}
    facts = registered.folder / "model.json"
    facts.write_bytes(facts.read_bytes() + b" ")
    with pytest.raises(
        ModelError, match=r"^models:/cells/1: its files are not those that were registered: expected SHA-"
    ):
        registered.contents()


def test_a_model_that_is_not_finite_is_not_predicted_with(registered: PinnedModel, tmp_path: Path) -> None:
    (facts,) = (tmp_path / "artifacts").rglob("model.json")
    (mlmodel,) = (tmp_path / "artifacts").rglob("MLmodel")
    arrays = safetensors.numpy.load((facts.parent / "model.safetensors").read_bytes())
    arrays["scaling.means"] = arrays["scaling.means"] * np.float32(np.nan)
    saved = safetensors.numpy.save(arrays)
    (facts.parent / "model.safetensors").write_bytes(saved)
    content = json.loads(facts.read_text()) | {"arrays_sha256": hashlib.sha256(saved).hexdigest()}
    facts.write_text(json.dumps(content))
    digest = hashlib.sha256(facts.read_bytes()).hexdigest()  # as if all that can be made to fit were made to fit
    mlmodel.write_text(mlmodel.read_text().replace(registered.digest, digest))
    MlflowClient().set_model_version_tag("cells", "1", "neuronedit.digest", digest)
    with pytest.raises(ModelError, match=r"the array 'scaling\.means' has 6 values not finite among 6"):
        pinned_model("models:/cells/1")
    with pytest.raises(Exception, match=r"the array 'scaling\.means' has 6 values not finite among 6"):
        mlflow.pyfunc.load_model("models:/cells/1")


def test_a_folder_that_is_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError,
        match=r"nothing: not a neuronedit model \(No such file or directory: .*\)\. "
        r"Expected a folder with model\.json and model\.safetensors\.$",
    ):
        pinned_model(str(tmp_path / "nothing"))


def test_nothing_that_is_logged_is_pickled(registered: PinnedModel, tmp_path: Path) -> None:
    names = [path.name for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
    assert {"model.json", "model.safetensors", "pyfunc_model.py", "MLmodel"} <= set(names)
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".pt", ".bin", ".pyc"))]


def test_signature_and_input_example_are_stored(registered: PinnedModel, tmp_path: Path) -> None:
    info = mlflow.models.get_model_info("models:/cells/1")
    inputs = {column["name"]: column["type"] for column in json.loads(info.signature.to_dict()["inputs"])}
    assert inputs == dict.fromkeys(MARKERS, "double") | {"batch_id": "any"}
    assert info.signature.params.to_dict()[0]["default"] == "error"
    assert info.saved_input_example_info
    (saved,) = (tmp_path / "artifacts").rglob("input_example.json")
    assert json.loads(saved.read_text())["columns"] == [*MARKERS, "batch_id"]


def test_serving_requirements_name_exact_versions_and_no_ray(registered: PinnedModel, tmp_path: Path) -> None:
    (path,) = (tmp_path / "artifacts").rglob("requirements.txt")
    lines = path.read_text().split()
    assert all(re.fullmatch(r"[a-z]+==[\w.+]+", line) for line in lines)
    assert not [line for line in lines if line.startswith(("ray", "pyarrow"))]


def test_the_example_has_events_of_an_edited_population(controls_model: EditModel, pair_model: EditModel) -> None:
    intensities = {f"control {name}": np.full((60, 6), ord(name), np.float32) for name in "ABC"}
    drawn = DrawnPopulations(intensities, dict.fromkeys(intensities, 60))
    events = example_events(controls_model, drawn)
    assert events.columns.tolist() == [*MARKERS, "batch_id"]
    assert events["batch_id"].tolist() == ["B"] * 5
    assert (events["CD3"] == ord("B")).all()
    pair = DrawnPopulations(
        {"source": np.zeros((60, 6), np.float32), "target": np.ones((60, 6), np.float32)}, {"source": 60, "target": 60}
    )
    assert example_events(pair_model, pair).columns.tolist() == list(MARKERS)


@pytest.mark.faults
def test_who_serves_is_in_the_facts_and_in_one_line_of_the_log(
    controls_model: EditModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "neuronedit")
    model = with_students(controls_model)
    mixed = replace(model, edits={**model.edits, "C": controls_model.edits["C"]})
    for name, found in {"students": mixed, "none": controls_model}.items():
        save_model(found, tmp_path / name)
    pinned, none = pinned_model(str(tmp_path / "students")), pinned_model(str(tmp_path / "none"))
    teacher = pinned.served_by("teacher")
    assert pinned.served_by("student").facts()["served_by"] == {"B": "student", "C": "teacher"}
    assert (
        teacher.facts()["served_by"] == none.served_by("student").facts()["served_by"] == dict.fromkeys("BC", "teacher")
    )
    assert (teacher.digest, teacher.contents()) == (pinned.digest, pinned.contents())
    assert [message.partition(": ")[2] for message in caplog.messages] == [
        "served by the teacher: 'B', 'C'",
        "served by the student: 'B'; by the teacher: 'C'",
    ]


def test_a_full_disk_of_artifacts_is_told_and_nothing_is_registered(
    migrated_store: Path, controls_model: EditModel, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", kilobytes=64) as disk:
        shutil.copy(migrated_store, tmp_path / "mlflow.db")
        connect(TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="small", artifacts=str(disk)))
        with (
            pytest.raises(
                TrackingError, match=r"no room is left for records or artifacts \(.*No space left.*Make room"
            ),
            tracked_run("train", {}),
        ):
            register_model(controls_model, RegistryConfig(name="cells"), example(controls_model))
    assert MlflowClient().search_registered_models() == []


def test_a_models_facts_name_the_markers_that_its_edits_leave_as_they_are(
    pair_model: EditModel, tmp_path: Path
) -> None:
    save_model(pair_model, tmp_path / "whole")
    assert pinned_model(str(tmp_path / "whole")).facts()["unlearnable"] == {}
    edit = replace(pair_model.edits["pair"], unlearnable={1: "no signal"})
    save_model(replace(pair_model, edits={"pair": edit}), tmp_path / "left")
    assert pinned_model(str(tmp_path / "left")).facts()["unlearnable"] == {"pair": {MARKERS[1]: "no signal"}}
