"""Trails of an output whose model is registered: whole, and with each link broken."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.registry.datasets import RunDataset, log_datasets
from neuronedit.adapters.registry.lineage import Trail, trace_output
from neuronedit.adapters.registry.promotion import evidence_of, gates_of_review, promote
from neuronedit.adapters.registry.runs import TrackingConfig, connect, tracked_run
from neuronedit.adapters.registry.versions import PARENT_TAG, RegistryConfig, pinned_model, register_model
from neuronedit.adapters.transform.manifest import OutputOrigin, make_manifest
from neuronedit.adapters.transform.output_folder import claimed_output
from neuronedit.adapters.transform.plan import TransformPlan
from neuronedit.errors import OutputError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.gates import GATES, Gate
from neuronedit.model.saved.files import model_contents
from tests.adapters.claiming import NO_QUALITY, parts, write_file
from tests.adapters.registry.test_versions import example
from tests.fixtures import copied_store


@dataclass(frozen=True)
class World:
    """A store with a registered, reviewed and promoted model, and an output that it made."""

    store: str
    output: Path
    run_id: str
    digest: str

    def trail(self) -> Trail:
        return trace_output(str(self.output), self.store)

    def manifest(self) -> dict:
        return json.loads((self.output / "_manifest.json").read_text())


@pytest.fixture(scope="module")
def made_once(
    migrated_store: Path, cells_once: Path, controls_model: EditModel, tmp_path_factory: pytest.TempPathFactory
) -> World:
    folder = tmp_path_factory.mktemp("lineage")
    tracking = copied_store(migrated_store, folder)
    dataset = list_dataset(str(cells_once))
    data = {"uri": dataset.uri, "files": 6, "events": 2500, "sha256": dataset.digest()}
    model = replace(controls_model, facts={"data": data, "events": {"control A": 600, "control B": 500}})
    for _ in range(2):
        with tracked_run("train", {}) as run_id:
            log_datasets(run_id, [RunDataset.of(dataset, "training")], "train")
            register_model(model, RegistryConfig(name="cells"), example(model))
    gates = [Gate(name, 2.0, 1.0, "bad.") if name == "support" else Gate(name, 0.5, 1.0, "good.") for name in GATES]
    reviewed = pinned_model("models:/cells/2")
    judged = gates_of_review(reviewed, gates, "Of 1 held-out comparison, better in 1.", evidence_of(reviewed, []))
    assert judged
    judged.write("review 1")
    promote("cells", "2", "champion", "no other has day 3")
    pinned = pinned_model("models:/cells@champion")
    plan = TransformPlan(pinned.uri, pinned.digest, {}, dataset)
    claim = claimed_output(str(folder / "edited"), plan, model_contents(pinned.folder), overwrite=False, resume=False)
    with claim as output, tracked_run("transform", {}) as transform_run:
        receipts = [write_file(output, plan, file.name) for file in dataset.files]
        origin = OutputOrigin(
            pinned.facts(), {"model": "models:/cells@champion"}, transform_run, output.started, output.claim
        )
        output.complete(make_manifest(plan, parts(plan), receipts, {}, origin), receipts, NO_QUALITY)
    assert tracking.uri
    return World(tracking.uri, folder / "edited", run_id, pinned.digest)


@pytest.fixture
def world(made_once: World, tmp_path: Path) -> Iterator[World]:
    """The same with a database and an output of this test's own; artifacts are those of the first."""
    shutil.copy(made_once.store.removeprefix("sqlite:///"), tmp_path / "mlflow.db")
    shutil.copytree(made_once.output, tmp_path / "edited")
    own = replace(made_once, store=f"sqlite:///{tmp_path}/mlflow.db", output=tmp_path / "edited")
    connect(TrackingConfig(uri=own.store, experiment="tests"))
    yield own
    connect(TrackingConfig(uri=made_once.store, experiment="tests"))


def link(trail: Trail, *kinds: str) -> Trail:
    for kind in kinds:
        trail = next(origin for origin in trail.origins if origin.kind == kind)
    return trail


def test_every_link_of_a_whole_trail_is_told(made_once: World, cells_once: Path) -> None:
    trail = trace_output(str(made_once.output))  # the store is the one in the manifest
    assert trail.broken == []
    assert trail.facts["events"] == 2500
    assert link(trail, "input").title == str(cells_once)
    assert link(trail, "run").facts["job"] == "transform"
    model = link(trail, "model")
    assert (model.title, model.facts["sha256"]) == ("models:/cells/2", made_once.digest)
    assert model.facts["asked for as"] == "models:/cells@champion"
    assert model.facts["verdict"] == "Of 1 held-out comparison, better in 1."
    assert model.facts["reviewed"][0].endswith(": fail. Of 1 held-out comparison, better in 1. (run review 1)")
    assert (model.facts["gates when it was applied"], model.facts["gates"]) == ("fail", "fail")
    assert "support fail 2 > 1: bad." in model.facts["gate"]
    assert model.facts["override"].endswith("for support: no other has day 3")
    assert model.facts["alias moved"][0].endswith("(promote, override: no other has day 3)")
    assert link(model, "run").title == made_once.run_id
    data = link(model, "run", "data")
    digest = list_dataset(str(cells_once)).digest()
    assert (data.title, data.facts["sha256 of names, rows and sizes"]) == (str(cells_once), digest)
    assert data.facts["populations"] == "control A 600, control B 500"


def test_the_manifest_keeps_how_the_gates_stood(made_once: World) -> None:
    gates = made_once.manifest()["model"]["gates"]
    assert (gates["state"], gates["override"]["gates"]) == ("fail", ["support"])


def test_a_parent_is_followed_to_its_own_run(world: World) -> None:
    MlflowClient().set_model_version_tag("cells", "2", PARENT_TAG, "models:/cells/1")
    parent = link(world.trail(), "model", "model")
    assert (parent.title, parent.facts["review"]) == ("models:/cells/1", "never reviewed")
    assert link(parent, "run").facts["job"] == "train"


def test_a_parent_that_was_a_folder_ends_the_trail_without_a_fault(world: World) -> None:
    MlflowClient().set_model_version_tag("cells", "2", PARENT_TAG, "/models/folder")
    trail = world.trail()
    assert link(trail, "model", "model").facts == {"registered": "no: it was given as a folder"}
    assert trail.broken == []


def test_a_parent_that_comes_from_its_child_is_told(world: World) -> None:
    for version, parent in (("2", "models:/cells/1"), ("1", "models:/cells/2")):
        MlflowClient().set_model_version_tag("cells", version, PARENT_TAG, parent)
    assert world.trail().broken == [
        "models:/cells/1: its tag neuronedit.parent names models:/cells/2, which comes from it."
    ]


def test_a_deleted_run_is_told_with_the_way_to_bring_it_back(world: World) -> None:
    MlflowClient().delete_run(world.run_id)
    assert world.trail().broken == [
        f"run {world.run_id}: it was deleted. To bring it back: mlflow runs restore --run-id {world.run_id}"
    ]


def test_a_run_that_is_gone_for_good_is_told_and_the_data_is_still_known(world: World) -> None:
    MlflowClient()._tracking_client.store._hard_delete_run(world.run_id)
    trail = world.trail()
    (problem,) = trail.broken
    assert problem.startswith(f"run {world.run_id}: it was deleted for good (Run with id=")
    assert link(trail, "model", "run", "data").facts["events"] == 2500


def test_a_model_that_is_gone_from_the_registry_is_told(world: World) -> None:
    MlflowClient().delete_model_version("cells", "2")
    trail = world.trail()
    (problem,) = trail.broken
    assert problem.startswith("models:/cells/2: model 'cells' has no such version or alias (versions: 1;")
    assert link(trail, "model", "data").facts["events"] == 2500  # from the copy in the output


def test_a_registry_that_is_gone_is_told_and_the_output_tells_what_it_can(world: World) -> None:
    trail = trace_output(str(world.output), "sqlite:///gone/mlflow.db")
    (problem,) = trail.broken
    assert problem.startswith("models:/cells/2: the registry is unreachable. MLflow at sqlite:////")
    assert "there is no such database" in problem
    assert link(trail, "model").facts["gates when it was applied"] == "fail"
    assert link(trail, "model", "data").facts["events"] == 2500


def test_a_registry_that_does_not_answer_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (problem,) = trace_output(str(world.output), "http://127.0.0.1:9").broken
    assert problem.startswith("models:/cells/2: the registry is unreachable. MLflow at http://127.0.0.1:9: no answer")


def test_another_model_under_the_same_version_is_told(world: World) -> None:
    path = world.output / "_manifest.json"
    manifest = world.manifest()
    manifest["model"]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    kept, files, tag = world.trail().broken
    assert kept.endswith("_model/model.json: not the model that the manifest names (SHA-256 differs).")
    assert files == (
        f"models:/cells/2: expected the model with the SHA-256 {'0' * 64}, but its files have {world.digest}. "
        "The version was changed after it was registered or used."
    )
    assert f"but its tag neuronedit.digest has {world.digest}" in tag


def test_a_run_that_did_not_record_the_models_data_is_told(world: World) -> None:
    with closing(sqlite3.connect(world.store.removeprefix("sqlite:///"))) as database:
        database.execute("DELETE FROM inputs WHERE destination_id = ?", [world.run_id])
        database.commit()
    assert world.trail().broken == [
        f"run {world.run_id}: it did not record the data that the model says it learned from."
    ]


def test_a_missing_copy_of_the_model_is_told(world: World) -> None:
    shutil.rmtree(world.output / "_model")
    assert world.trail().broken == [f"{world.output}/_model/model.json: the model's copy is missing from the output."]


def test_a_model_given_as_a_folder_ends_the_trail_without_a_fault(world: World) -> None:
    manifest = world.manifest()
    manifest["model"] |= {"uri": "/models/folder", "registry": None, "gates": None, "run": None}
    (world.output / "_manifest.json").write_text(json.dumps(manifest))
    trail = world.trail()
    assert trail.broken == []
    assert link(trail, "model").facts["registered"] == "no: it was given as a folder"
    assert link(trail, "model", "data").facts["events"] == 2500


def test_an_output_without_a_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        OutputError, match=r"no _manifest\.json\. Expected the output folder of an ingest, transform or export\.$"
    ):
        trace_output(str(tmp_path))


DATA = Trail("data", "cells", {"events": 600})
RUN = Trail("run", "r1", {"status": "FINISHED", "by": None}, ("run r1: it was deleted.",), (DATA,))
MODEL = Trail("model", "models:/cells/1", {"gate": ["support pass", "confounding fail"]}, (), (RUN,))
TRAIL = Trail("output", "edited", {"events": 2500, "left out": 0}, (), (Trail("input", "cells"), MODEL))


def test_the_tree_tells_every_link_fact_and_problem_in_its_place() -> None:
    assert TRAIL.tree().splitlines() == [
        "output edited",
        "│    events: 2500",
        "│    left out: 0",
        "├─ input cells",
        "└─ model models:/cells/1",
        "   │    gate: support pass",
        "   │    gate: confounding fail",
        "   └─ run r1",
        "      │    status: FINISHED",
        "      │    !! run r1: it was deleted.",
        "      └─ data cells",
        "              events: 600",
    ]


def test_problems_are_found_however_deep() -> None:
    assert TRAIL.broken == ["run r1: it was deleted."]


def test_json_has_every_link() -> None:
    found = TRAIL.to_json()["origins"][1]["origins"][0]
    assert (found["kind"], found["title"], found["problems"]) == ("run", "r1", ["run r1: it was deleted."])
    assert found["origins"] == [
        {"kind": "data", "title": "cells", "facts": {"events": 600}, "problems": [], "origins": []}
    ]


def test_gates_that_were_changed_and_a_damaged_override_are_told(world: World) -> None:
    client = MlflowClient()
    client.set_model_version_tag("cells", "2", "neuronedit.gate.support", "pass 0.5 <= 1: good.")
    client.set_model_version_tag("cells", "2", "neuronedit.override", "yes")
    (problem,) = world.trail().broken
    assert problem.startswith("models:/cells/2: its gates were changed after the review of ")
    assert "its tag neuronedit.override is damaged (not JSON of an override) and holds for nothing" in problem


def test_files_that_were_exchanged_are_told(world: World) -> None:
    MlflowClient().set_model_version_tag("cells", "2", "neuronedit.digest", "0" * 64)
    files, gates = world.trail().broken
    assert files == (
        f"models:/cells/2: its files are not those that were registered: expected SHA-256 {'0' * 64}, found "
        f"{world.digest}. Restore them in the artifact store, or use another version."
    )
    assert gates.startswith("models:/cells/2: its gates were changed after the review of ")
