"""A good and a bad model on MLflow's real server, from training to the lineage of what was made with them."""

import json
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from neuronedit.adapters.registry.reviews import logged_model_of, review_history, run_of_last
from tests.jobs.story import Story

pytestmark = pytest.mark.ray


@pytest.fixture
def client(story: Story) -> MlflowClient:
    mlflow.set_tracking_uri(story.place.uri)
    mlflow.set_registry_uri(story.place.uri)
    return MlflowClient()


def test_every_job_ends_as_it_should(story: Story) -> None:
    status = {name: said.status for name, said in story.said.items()}
    refused = {"unreviewed", "refused", "refused transform"}
    assert status == {name: 2 if name in refused else 0 for name in status}, story.said


def test_no_bar_of_fetched_files_floods_a_log(story: Story) -> None:
    assert all("Downloading artifacts" not in said.err for said in story.said.values())


def test_the_good_models_gates_pass_and_the_bad_ones_fail(story: Story, client: MlflowClient) -> None:
    good, bad = (client.get_model_version("cells", version).tags for version in "12")
    assert good["neuronedit.gates"] == "pass", story.said["review 1"].out
    assert bad["neuronedit.gates"] == "fail"
    assert bad["neuronedit.gate.expected_error"].startswith("fail ")
    assert bad["neuronedit.gate.quantile_map"].startswith("fail ")
    assert bad["neuronedit.gate.reconstruction"] == good["neuronedit.gate.reconstruction"], "the network is the same"


def test_the_gates_are_a_table_of_the_review_among_its_artifacts(story: Story, client: MlflowClient) -> None:
    run_id = run_of_last(client.get_model_version("cells", "2").tags)
    text = Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/review/gates.csv")).read_text()
    assert text == (story.place.folder / "review2/gates.csv").read_text()
    assert text.startswith("gate,outcome,tone,value,threshold,default,rule,reason\nreconstruction,pass,green,")
    assert "\nquantile_map,fail,red," in text


def test_refusals_say_what_is_against_it(story: Story) -> None:
    unreviewed = story.said["unreviewed"].err
    assert (
        "neuronedit promote: models:/cells/1 is not promoted to 'champion': not all of its gates stand." in unreviewed
    )
    assert unreviewed.count(": never computed: no review of this version has recorded it\n") == 4
    refused = story.said["refused"].err
    assert "neuronedit promote: models:/cells/2 is not promoted to 'champion': not all of its" in refused
    assert (refused.count("\n  "), refused.count(": fail ")) == (4, 2), "a line for each gate"
    told = story.said["refused transform"].err
    assert "neuronedit transform: models:/cells/2: its review found that it should not be used: expected_error" in told
    assert not (story.place.folder / "bad").exists() or story.said["allowed transform"].status == 0


def test_the_override_and_every_move_of_the_alias_are_recorded(story: Story, client: MlflowClient) -> None:
    override = json.loads(client.get_model_version("cells", "2").tags["neuronedit.override"])
    assert (override["user"], override["reason"]) == ("ada", "the auditors ask for it")
    assert override["gates"] == ["expected_error", "quantile_map"]
    tags = client.get_registered_model("cells").tags
    moves = [json.loads(text) for key, text in sorted(tags.items()) if key.startswith("neuronedit.alias.champion.")]
    assert [(move["before"], move["after"], move["reason"]) for move in moves] == [
        (None, "2", "the auditors ask for it"),
        ("2", "1", ""),
    ]
    told = story.said["override"].out
    assert "\ngate expected_error: fail " in told
    assert told.endswith("Promoted although these do not stand: expected_error, quantile_map\n")


def test_each_review_is_a_run_of_its_own_below_the_training(story: Story, client: MlflowClient) -> None:
    for number, marks in (("1", "▲◆"), ("2", "▼")):
        version = client.get_model_version("cells", number)
        (record,) = review_history(version.tags)
        run = client.get_run(record.run)
        assert run.data.tags["mlflow.parentRunId"] == version.run_id
        assert run.info.run_name in {f"review cells v{number} {mark}" for mark in marks}
        assert len([name for name in run.data.metrics if name.startswith("headline/")]) == 8
        assert run.data.tags["neuronedit.decision"][0] == run.info.run_name[-1]
        by_context = {entry.tags[0].value: entry.dataset for entry in run.inputs.dataset_inputs}
        assert by_context.keys() == {"training pairs", "held-out"}
        assert '"chosen": "B → A, role = validation, C → A' in by_context["held-out"].profile
        trained = client.get_run(version.run_id).data.metrics
        assert not [name for name in trained if name.startswith(("headline/", "review/"))], "not to the training"


def test_the_description_of_a_version_and_of_its_reviews_run_agree_with_the_sealed_tags(
    story: Story, client: MlflowClient
) -> None:
    for number in "12":
        version = client.get_model_version("cells", number)
        run = client.get_run(run_of_last(version.tags))
        decision = run.data.tags["neuronedit.decision"]
        assert version.tags["neuronedit.verdict"].startswith(decision)
        assert version.description == run.data.tags["mlflow.note.content"]
        assert version.description.startswith(f"{decision}<!-- neuronedit's card begins -->\n")
        assert f"Review of {version.tags['neuronedit.reviewed']}, run {run.info.run_id}." in version.description
        assert f"neuronedit promote cells {number} --alias champion" in version.description
        assert client.get_logged_model(logged_model_of(version)).tags["mlflow.note.content"] == version.description
    assert "made by neuronedit" in client.get_registered_model("cells").description


def test_a_reviews_numbers_are_of_the_logged_model_and_of_the_held_out_events(
    story: Story, client: MlflowClient
) -> None:
    model = client.get_logged_model(logged_model_of(client.get_model_version("cells", "1")))
    measured = {metric.key: (metric.dataset_name, metric.dataset_digest) for metric in model.metrics}
    run = client.get_run(run_of_last(client.get_model_version("cells", "1").tags))
    held_out = next(entry.dataset for entry in run.inputs.dataset_inputs if entry.dataset.name.endswith(" held out"))
    assert measured["headline/emd_after"] == (held_out.name, held_out.digest)
    assert measured["review/recon_mse"][0] == story.place.cells.name
    assert [each.model_id for each in run.inputs.model_inputs] == [model.model_id]


def test_a_transform_by_alias_records_the_version_and_how_its_gates_stood(story: Story) -> None:
    manifest = json.loads((story.place.folder / "edited/_manifest.json").read_text())
    assert manifest["config"]["model"] == "models:/cells@champion"
    assert (manifest["model"]["uri"], manifest["model"]["gates"]["state"]) == ("models:/cells/1", "pass")
    allowed = json.loads((story.place.folder / "bad/_manifest.json").read_text())
    assert allowed["model"]["gates"]["state"] == "fail"
    assert allowed["config"]["allow_failed_gates"] == "true"


def test_lineage_leads_from_the_output_to_the_data_that_its_model_learned_from(story: Story) -> None:
    told = story.said["lineage"].out
    for expected in (
        f"output {story.place.output}\n",
        "model models:/cells/1\n",
        "asked for as: models:/cells@champion",
        "verdict: ▲ Use it on B (role = validation), C (role = validation). Measured: on 2 held-out comparisons it",
        "gates: pass",
        "champion: 2 → 1 by ada (promote)",
        "populations: control A 600, control B 500, control C 350",
    ):
        assert expected in told
    assert "!!" not in told


def test_lineage_as_json_tells_the_override(story: Story) -> None:
    trail = json.loads(story.said["lineage as JSON"].out)
    model = next(origin for origin in trail["origins"] if origin["kind"] == "model")
    assert model["facts"]["gates when it was applied"] == "fail"
    assert model["facts"]["override"].endswith("by ada for expected_error, quantile_map: the auditors ask for it")


def test_the_comparison_tells_which_is_better_on_the_same_cells(story: Story, client: MlflowClient) -> None:
    lines = [line for line in story.said["compare"].out.splitlines() if " → A, role = " in line and ": models" in line]
    assert len(lines) == 4  # two training pairs, two held out
    assert all("models:/cells/2 is worse than models:/cells/1" in line for line in lines)
    page = (story.place.folder / "compare/compare.html").read_text()
    assert '<td>training.epochs</td><td class="text">8</td><td class="text">–</td>' in page
    assert '<td>quantile_map</td><td class="text"><span class="green">▲ pass ' in page
    assert '<span class="red">▼ fail ' in page
    headline = "Of 2 held-out comparisons, models:/cells/2 is worse than models:/cells/1 on 2."
    assert headline in page
    assert headline in story.said["compare"].out
    experiment = client.get_experiment_by_name("tests").experiment_id
    (run,) = client.search_runs([experiment], filter_string="tags.`neuronedit.job` = 'compare'")
    assert run.data.metrics["compare/emd_first"] < run.data.metrics["compare/emd_second"]
    assert "compare/compare.html" in [file.path for file in client.list_artifacts(run.info.run_id, "compare")]
