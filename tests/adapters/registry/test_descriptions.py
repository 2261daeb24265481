"""Cards of versions and runs, and the datasets that their numbers were measured on, as MLflow's client finds them."""

import json
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from neuronedit.adapters.files.dataset import EventDataset, list_dataset
from neuronedit.adapters.files.staged_folder import write_record
from neuronedit.adapters.files.storage import locate
from neuronedit.adapters.registry.datasets import RunDataset, reviewed_events
from neuronedit.adapters.registry.promotion import evidence_of, gates_of_review
from neuronedit.adapters.registry.results import Results, folder_results
from neuronedit.adapters.registry.reviews import logged_model_of
from neuronedit.adapters.registry.runs import TrackingConfig, tracked_run
from neuronedit.adapters.registry.training_runs import Learned, introduce
from neuronedit.adapters.registry.unlogged import log_in_run, log_kept
from neuronedit.adapters.registry.versions import PinnedModel, RegistryConfig, pinned_model, register_model
from neuronedit.model.edit_model import EditModel
from neuronedit.model.gates import GATES, Gate
from neuronedit.model.standing import Standing
from tests.adapters.registry.test_unlogged import GONE
from tests.adapters.registry.test_versions import example

POPULATIONS = {"control A": 600, "control B": 500}


@pytest.fixture
def dataset(cells_once: Path) -> EventDataset:
    return list_dataset(str(cells_once))


@pytest.fixture
def trained(tracking: TrackingConfig, controls_model: EditModel, dataset: EventDataset) -> PinnedModel:
    """Version 1 of the model cells, as a training leaves it."""
    with tracked_run("train", {}):
        mlflow.log_metric("system/cpu_utilization_percentage", 7.0, step=0)
        pinned = register_model(controls_model, RegistryConfig(name="cells"), example(controls_model))
        read = RunDataset.of(dataset, "training", controls_model.panel, POPULATIONS)
        introduce(pinned, "train", Learned(read, {"edit/B/error": 0.25}))
    return pinned


def version(number: str = "1") -> ModelVersion:
    return MlflowClient().get_model_version("cells", number)


def reviewed(trained: PinnedModel, dataset: EventDataset, decision: str) -> Results:
    """The results of a review of the version, by ada."""
    pinned = pinned_model(trained.uri)
    gates = [Gate(name, 1.0, 1.0, "good.") for name in GATES]
    held_out = RunDataset.of(
        *(dataset, "held-out", pinned.model.panel, {"B": 300}),
        name="cells held out",
        chosen="role = validation",
        metrics=["headline/emd_after"],
    )
    read = RunDataset.of(dataset, "training pairs", pinned.model.panel, POPULATIONS)
    results = folder_results("review", {"headline/emd_after": 0.1, "review/recon_mse": 0.2}, prefix="")
    return replace(
        results,
        datasets=(held_out, read),
        tags={"neuronedit.decision": decision},
        version=gates_of_review(pinned, gates, f"{decision} Why.", evidence_of(pinned, ["B"])),
        model_id=pinned.model_id,
        judged=True,
        card=f"{decision}\n---\nWhy.",
    )


def logged(results: Results, folder: Path) -> Run:
    with tracked_run("review", {}) as run_id:
        results.log(locate(str(folder)))
    return MlflowClient().get_run(run_id)


def test_a_new_version_and_its_run_are_named_and_described(trained: PinnedModel, cells_once: Path) -> None:
    client, found = MlflowClient(), version()
    run = client.get_run(found.run_id)
    assert run.info.run_name == "train cells v1"
    assert found.description.startswith("◆ Not reviewed yet: nothing says on which cells it may be used.<!--")
    assert (
        f"neuronedit review --model models:/cells/1 --set data.path={cells_once} --output review" in found.description
    )
    assert run.data.tags["mlflow.note.content"].startswith("Made models:/cells/1, whose page tells whether it was")
    assert client.get_registered_model("cells").description.startswith("Versions of an edit of cells, made by neuron")
    (metric,) = client.get_logged_model(logged_model_of(found)).metrics  # and none of the system's
    assert (metric.key, metric.value, metric.dataset_name) == ("edit/B/error", 0.25, cells_once.name)


def test_the_description_agrees_with_the_sealed_tags_after_each_review(
    trained: PinnedModel, dataset: EventDataset, tmp_path: Path
) -> None:
    for decision in ("▲ Use it on B.", "▼ Do not use it on B."):
        run = logged(reviewed(trained, dataset, decision), tmp_path)
        found = version()
        assert Standing.from_tags(found.tags).verdict == f"{decision} Why."
        assert found.description == run.data.tags["mlflow.note.content"]
        assert found.description.startswith(f"{decision}<!--")
        assert f"Review of {found.tags['neuronedit.reviewed']}, run {run.info.run_id}." in found.description
        logged_model = MlflowClient().get_logged_model(logged_model_of(found))
        assert logged_model.tags["mlflow.note.content"] == found.description
        assert run.data.tags["neuronedit.decision"] == decision


def test_a_gate_of_an_older_neuronedit_does_not_break_a_later_reviews_seal(
    trained: PinnedModel, dataset: EventDataset, tmp_path: Path
) -> None:
    MlflowClient().set_model_version_tag("cells", "1", "neuronedit.gate.confounding", "pass 0.1 <= 0.3: the mix.")
    logged(reviewed(trained, dataset, "▲ Use it on B."), tmp_path)
    found = version()
    assert "neuronedit.gate.confounding" not in found.tags
    assert (Standing.from_tags(found.tags).changed, Standing.from_tags(found.tags).state) == (False, "pass")


def test_a_review_that_is_logged_later_describes_version_and_run_alike(
    trained: PinnedModel, dataset: EventDataset, tracking: TrackingConfig, tmp_path: Path
) -> None:
    write_record(tmp_path, "_review.json", {})
    results = reviewed(trained, dataset, "▲ Use it on B.")
    mlflow.set_tracking_uri(GONE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        assert not log_in_run(results, tracking, {}, tmp_path, "review", name="review cells v1 ▲", parent=None)
    told = log_kept(str(tmp_path), tracking.uri)
    run = MlflowClient().get_run(told.rpartition(" ")[2].rstrip("."))
    assert version().description == run.data.tags["mlflow.note.content"]
    assert version().description.startswith("▲ Use it on B.<!--")
    assert {entry.dataset.name for entry in run.inputs.dataset_inputs} == {"cells held out", Path(dataset.uri).name}


def test_an_older_review_that_is_logged_later_leaves_the_description_of_a_newer_one(
    trained: PinnedModel, dataset: EventDataset, tmp_path: Path
) -> None:
    older, newer = (reviewed(trained, dataset, decision) for decision in ("▲ Use it.", "▼ Do not use it."))
    logged(newer, tmp_path)
    with tracked_run("review", {}) as run_id:
        assert older.log(locate(str(tmp_path)), late=True).endswith("its gates stay.")
    assert version().description.startswith("▼ Do not use it.<!--")
    assert MlflowClient().get_run(run_id).data.tags["mlflow.note.content"].startswith("▲ Use it.<!--"), "its own run"


def test_what_a_person_wrote_stays(trained: PinnedModel, dataset: EventDataset, tmp_path: Path) -> None:
    client = MlflowClient()
    client.update_model_version("cells", "1", f"Ask Ada first.\n\n{version().description}\n\nBelow.")
    client.update_registered_model("cells", "Our model of PBMC.")
    logged(reviewed(trained, dataset, "▲ Use it on B."), tmp_path)
    assert version().description.startswith("Ask Ada first.\n\n▲ Use it on B.<!--")
    assert version().description.endswith("-->\n\nBelow.")
    assert "Not reviewed yet" not in version().description
    assert client.get_registered_model("cells").description == "Our model of PBMC."


def test_a_reviews_numbers_name_the_logged_model_and_the_events_that_they_were_measured_on(
    trained: PinnedModel, dataset: EventDataset, tmp_path: Path
) -> None:
    run = logged(reviewed(trained, dataset, "▲ Use it on B."), tmp_path)
    by_context = {entry.tags[0].value: entry.dataset for entry in run.inputs.dataset_inputs}
    held_out, pairs = by_context["held-out"], by_context["training pairs"]
    assert reviewed_events(run) == f"cells held out, role = validation (digest {held_out.digest[:8]})"
    assert json.loads(held_out.profile).items() >= {"events of B": 300, "chosen": "role = validation"}.items()
    assert json.loads(pairs.profile).items() >= {"events of control A": 600, "markers": 6, "events": 2500}.items()
    columns = json.loads(held_out.schema)["mlflow_colspec"]
    assert [column["name"] for column in columns] == list(trained.model.panel.markers)
    assert held_out.digest != pairs.digest
    model = MlflowClient().get_logged_model(logged_model_of(version()))
    assert [each.model_id for each in run.inputs.model_inputs] == [model.model_id]
    measured = {metric.key: (metric.dataset_name, metric.dataset_digest) for metric in model.metrics}
    assert measured["headline/emd_after"] == ("cells held out", held_out.digest)
    assert measured["review/recon_mse"] == measured["edit/B/error"] == (pairs.name, pairs.digest), (
        "what it learned from"
    )


def test_other_events_of_the_same_files_are_another_dataset(dataset: EventDataset) -> None:
    whole, some, others = (RunDataset.of(dataset, "", None, of) for of in (None, {"A": 3}, {"A": 4}))
    assert whole.digest == dataset.digest()[:36]
    assert len({whole.digest, some.digest, others.digest}) == 3
    assert all(dataset.digest() in each.profile for each in (whole, some, others))


def test_a_new_version_stands_where_mlflow_does_not_take_its_card(
    trained: PinnedModel, dataset: EventDataset, caplog: pytest.LogCaptureFixture
) -> None:
    with tracked_run("train", {}), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        store = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(GONE)
        introduce(trained, "train", Learned(RunDataset.of(dataset, "training"), {"edit/B/error": 0.25}))
        mlflow.set_tracking_uri(store)
    assert "models:/cells/1: registered, but not described in full. MLflow at" in caplog.text
