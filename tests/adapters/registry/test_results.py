"""What a job tells its run at the end, on a real store."""

import json
from pathlib import Path

import mlflow
import pytest
from matplotlib.figure import Figure
from mlflow.tracking import MlflowClient

from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.adapters.files.storage import locate
from neuronedit.adapters.registry.results import Results, folder_results, transform_results
from neuronedit.adapters.registry.reviews import VersionTags, review_history, review_record, run_of_last
from neuronedit.adapters.registry.runs import TrackingConfig, tracked_run
from neuronedit.model.edit_model import EditModel
from neuronedit.model.quality.table import quality_scalars, quality_table
from neuronedit.model.quality.tally import Tally
from neuronedit.model.route import Route
from neuronedit.model.standing import REVIEWED_TAG, review_tags
from neuronedit.review.job_figures import quality_figure

MANIFEST = {
    "model": {"uri": "models:/cells/1", "sha256": "d1", "served_by": {"B": "teacher", "C": "student"}},
    "counts": {"edited": 1600, "unknown batch": 0},
    "events": 2500,
}


def of_transform(cells: Path, quality: dict[str, float] | None = None, figure: Figure | None = None) -> Results:
    return transform_results(MANIFEST, list_dataset(str(cells)), 10.0, quality or {}, figure or Figure())


def logged(results: Results, folder: Path) -> str:
    """The run that was told."""
    with tracked_run(results.job, {}) as run_id:
        assert results.log(locate(str(folder))) == ""
    return run_id


def test_a_transform_run_names_model_counts_and_speed(
    tracking: TrackingConfig, cells_once: Path, tmp_path: Path
) -> None:
    run_id = logged(of_transform(cells_once), tmp_path)
    run = MlflowClient().get_run(run_id)
    assert run.data.tags["neuronedit.model"] == "models:/cells/1"
    assert run.data.tags["neuronedit.digest"] == "d1"
    assert run.data.tags["neuronedit.served"] == "served by the student: 'C'; by the teacher: 'B'"
    expected = {"events/edited": 1600, "events/unknown_batch": 0, "events_per_second": 250, "seconds": 10}
    assert run.data.metrics.items() >= expected.items()
    (entry,) = run.inputs.dataset_inputs
    assert entry.dataset.digest == list_dataset(str(cells_once)).digest()[:36]
    kept = mlflow.artifacts.download_artifacts(f"runs:/{run_id}/manifest.json")
    assert json.loads(Path(kept).read_text()) == MANIFEST


def test_a_transforms_quality_is_metrics_and_a_figure_whatever_its_batches_are_called(
    tracking: TrackingConfig, controls_model: EditModel, cells_once: Path, tmp_path: Path
) -> None:
    tally = Tally(controls_model.scaling.zeros)
    target = controls_model.edits["B"].target_percentiles
    names = ["B", "a/b", "a_b", "..", "", "§ %", "x" * 300, *(f"day {number}" for number in range(400))]
    for name in names:
        tally.observe(name, target, target)
    table = quality_table(tally, controls_model, Route(edits=("B",)))
    results = of_transform(cells_once, quality_scalars(table), quality_figure(table, "arcsinh units"))
    run_id = logged(results, tmp_path)
    metrics = mlflow.get_run(run_id).data.metrics
    assert sum(name.endswith("/emd_after") for name in metrics) == len(names) + 1
    assert {"quality/B/emd_before", "quality/a_b/emd_after", "quality/a_b_2/emd_after"} <= set(metrics)
    assert "quality/emd_after" in metrics
    assert metrics["quality/B/emd_after"] == pytest.approx(table["emd_after"].mean())
    assert [found.path for found in MlflowClient().list_artifacts(run_id, "figures")] == ["figures/quality.png"]


def test_all_files_of_a_folder_are_artifacts_but_for_what_was_kept(tracking: TrackingConfig, tmp_path: Path) -> None:
    (tmp_path / "out" / "tables").mkdir(parents=True)
    for name in ("page.html", "tables/scores.csv", "_unlogged.json"):
        (tmp_path / "out" / name).write_text("x")
    run_id = logged(folder_results("review", {"score": 0.5}), tmp_path / "out")
    client = MlflowClient()
    found = [*client.list_artifacts(run_id, "review"), *client.list_artifacts(run_id, "review/tables")]
    assert [file.path for file in found] == ["review/page.html", "review/tables", "review/tables/scores.csv"]
    assert client.get_run(run_id).data.metrics == {"review/score": 0.5}


def test_results_are_the_same_after_json(cells_once: Path) -> None:
    version = VersionTags("cells", "1", {REVIEWED_TAG: "2026 by ada"})
    for results in (of_transform(cells_once), folder_results("review", {"a": 0.1}, version=version)):
        assert Results.from_facts(json.loads(json.dumps(results.to_facts()))) == results


def test_a_later_reviews_gates_stay(tracking: TrackingConfig) -> None:
    client = MlflowClient()
    client.create_registered_model("cells")
    client.create_model_version("cells", "file:///nowhere/1")
    older, newer = (VersionTags("cells", "1", review_tags("d", [], "Good.", f"{year} by ada")) for year in (2026, 2027))
    assert newer.write("run 2", late=True) == ""
    left = "models:/cells/1 was reviewed again since (2027 by ada): its gates stay."
    assert older.write("run 1", late=True) == left
    tags = client.get_model_version("cells", "1").tags
    assert tags[REVIEWED_TAG] == "2027 by ada"
    assert [(record.reviewed, record.run) for record in review_history(tags)] == [
        ("2026 by ada", "run 1"),
        ("2027 by ada", "run 2"),
    ]
    assert older.write("run 3") == "", "a review that ends now is the newest, whatever its clock says"
    tags = client.get_model_version("cells", "1").tags
    assert (tags[REVIEWED_TAG], run_of_last(tags)) == ("2026 by ada", "run 3")


def test_a_damaged_record_of_a_review_is_passed_over_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    tags = {f"neuronedit.review.{number}": text for number, text in enumerate(["", "{}", "[]", "[" * 100_000])}
    sound = review_record(review_tags("d", [], "Good.", "2026 by ada"), "run 1")
    assert [record.sentence for record in review_history(tags | sound)] == [
        "2026 by ada: never reviewed. Good. (run run 1)"
    ]
    assert caplog.text.count("is damaged: it records no review") == 4
