import json
import re
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from mlflow.tracking import MlflowClient
from neuronedit_jobs import lineage, transform

from neuronedit.adapters.registry.versions import pinned_model
from tests.jobs.story import Story
from tests.synthetic_cells import MARKERS, with_column, with_value

pytestmark = pytest.mark.ray


@pytest.fixture
def here(story: Story, cells: Path, tmp_path: Path) -> list[str]:
    """Arguments for the job in this process, with input and output of the test's own."""
    return [story.place.transform, "--set", f"data.path={cells}", "--set", f"output={tmp_path / 'edited'}"]


def test_the_job_says_what_it_wrote(story: Story) -> None:
    said = story.said["transform"]
    assert said.status == 0, said.err
    assert said.out.endswith(
        f"{story.place.output}: 2,500 events in 6 files (1,600 edited, 900 reference) by models:/cells/1\n"
    )
    assert len(said.err.splitlines()) < 20, said.err


def test_output_and_manifest_are_what_the_model_makes_of_the_input(story: Story, cells_once: Path) -> None:
    workplace = story.place
    mlflow.set_tracking_uri(workplace.uri)
    mlflow.set_registry_uri(workplace.uri)
    pinned = pinned_model("models:/cells/1")
    manifest = json.loads((workplace.output / "_manifest.json").read_text())
    gates = manifest["model"].pop("gates")
    assert (gates["state"], gates["override"]) == ("pass", None)
    assert manifest["model"] == {
        "uri": "models:/cells/1",
        "sha256": pinned.digest,
        "run": pinned.run_id,
        "registry": workplace.uri,
        "unlearnable": {},
        "unmoved": {},
        "caution": "",
        "served_by": {name: edit.server for name, edit in pinned.model.edits.items()},
    }
    assert manifest["config"].items() >= {"unknown_batch": "error", "compression": "zstd"}.items()
    for path in cells_once.iterdir():
        before, after = pq.read_table(path), pq.read_table(workplace.output / path.name)
        intensities = np.column_stack([before.column(marker).to_numpy() for marker in MARKERS])
        expected, _, _ = pinned.model.transform(intensities, before.column("batch_id").to_pylist())
        assert np.array_equal(np.column_stack([after.column(marker).to_numpy() for marker in MARKERS]), expected)
        assert after.column("event_id").equals(before.column("event_id"))


def test_the_run_names_model_counts_and_input(story: Story) -> None:
    mlflow.set_tracking_uri(story.place.uri)
    experiment = mlflow.get_experiment_by_name("tests").experiment_id
    runs = MlflowClient().search_runs([experiment], filter_string="tags.`neuronedit.job` = 'transform'")
    run = next(run for run in runs if run.data.params["output"] == str(story.place.output))
    assert run.info.status == "FINISHED"
    assert run.data.tags["neuronedit.model"] == "models:/cells/1"
    assert run.data.metrics["events/edited"] == 1600
    assert run.info.run_name == "transform cells v1"
    inputs = MlflowClient().get_run(run.info.run_id).inputs  # a search gives no models
    assert len(inputs.dataset_inputs) == len(inputs.model_inputs) == 1


def test_quality_is_in_the_manifest_a_table_and_the_run(story: Story) -> None:
    workplace = story.place
    table = pd.read_csv(workplace.output / "_quality.csv")
    assert table.groupby("group")["events"].first().to_dict() == {"A": 900, "B": 900, "C": 700}
    assert table["marker"].tolist() == list(MARKERS) * 3
    facts = json.loads((workplace.output / "_manifest.json").read_text())["quality"]
    for batch_id in "BC":
        rows = table[table["group"] == batch_id]
        assert facts[batch_id]["emd_after"] == pytest.approx(rows["emd_after"].mean(), abs=1e-5)
        # The batch's gain is 2 or 1/2, log 2 = 0.69 on the arcsinh scale; the rest is scatter of a few hundred events.
        assert facts[batch_id]["emd_after"] < facts[batch_id]["emd_before"] / 2
    mlflow.set_tracking_uri(workplace.uri)
    experiment = mlflow.get_experiment_by_name("tests").experiment_id
    runs = MlflowClient().search_runs([experiment], filter_string="tags.`neuronedit.job` = 'transform'")
    run = next(run for run in runs if run.data.params["output"] == str(workplace.output))
    assert run.data.metrics["quality/B/emd_after"] == pytest.approx(facts["B"]["emd_after"], abs=1e-5)
    figures = [file.path for file in MlflowClient().list_artifacts(run.info.run_id, "figures")]
    assert figures == ["figures/quality.png"]


def test_verify_checks_what_the_transform_wrote(story: Story) -> None:
    said = story.said["verify"]
    assert said.status == 0, said.err
    assert said.out == f"{story.place.output}: 2,500 events in 6 files, all as the manifest says\n"


def test_quarantine_goes_on_and_says_so_by_its_exit_status(
    here: list[str], cells: Path, tmp_path: Path, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (cells / "C-control.parquet").write_bytes(b"PAR1, not")
    pq.write_table(
        with_value(pq.read_table(cells / "B-control.parquet"), "CD3", 7, np.nan), cells / "B-control.parquet"
    )
    assert transform.main([*here, "--on-error", "quarantine"]) == 3
    output = tmp_path / "edited"
    counts, left_out = capsys.readouterr().out.splitlines()[-2:]  # on a busy machine, Ray may tell of an ended worker
    assert counts.startswith(f"{output}: 2,149 events in 5 files (")
    assert left_out == (
        "left out 1 events in 1 places and 1 whole files, whose number of events is unknown: "
        f"see {output}/_manifest.json"
    )
    manifest = json.loads((output / "_manifest.json").read_text())
    assert [(part["file"], part["row_group"], part["events"]) for part in manifest["left_out"]] == [
        ("C-control.parquet", None, None),
        ("B-control.parquet", 0, 1),
    ]
    assert manifest["quality"]["left out"]["not_finite"] == {"CD3": 1}


def test_mlflow_predicts_what_the_transform_writes(
    story: Story, cells_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace = story.place
    events = pq.read_table(cells_once / "C-control.parquet").slice(0, 50).to_pandas()[[*MARKERS, "batch_id"]]
    events.to_csv(tmp_path / "events.csv", index=False)
    paths = ["--input-path", str(tmp_path / "events.csv"), "--output-path", str(tmp_path / "edited.json")]
    arguments = ["--model-uri", "models:/cells/1", "--content-type", "csv", "--env-manager", "local"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", workplace.uri)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    subprocess.run(
        [sys.executable, "-m", "mlflow", "models", "predict", *arguments, *paths], check=True, capture_output=True
    )
    predicted = pd.DataFrame(json.loads((tmp_path / "edited.json").read_text())["predictions"])
    written = pq.read_table(workplace.output / "C-control.parquet").slice(0, 50).to_pandas()
    assert predicted["batch_id"].tolist() == ["C"] * 50
    # The file's columns are float32, so the transform rounds to seven digits what prediction gives as float64.
    assert np.allclose(predicted[list(MARKERS)], written[list(MARKERS)], rtol=1e-6, atol=0)


def test_an_existing_output_is_refused_and_resume_of_a_finished_one_changes_nothing(
    story: Story, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    workplace = story.place
    before = {path: path.stat().st_mtime_ns for path in workplace.output.glob("[!_]*.parquet")}
    assert transform.main([workplace.transform]) == 2
    assert f"{workplace.output}: the output exists and is not empty." in capsys.readouterr().err
    assert transform.main([workplace.transform, "--set", "resume=true"]) == 0
    assert "2,500 events in 6 files (1,600 edited, 900 reference)" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in workplace.output.glob("[!_]*.parquet")} == before
    assert (workplace.output / "_manifest.json").exists()
    assert transform.main([workplace.transform, "--set", "resume=true", "--set", "compression=snappy"]) == 2
    assert (
        f'{workplace.output}: expected compression = "zstd", with which it was started; found compression = "snappy", '
        "so it cannot be resumed. Use what it was started with, or set overwrite = true."
    ) in capsys.readouterr().err
    assert transform.main([workplace.transform, "--resume", "--serve", "teacher"]) == 2
    assert 'expected serve = "student", with which it was started; found serve = "teacher"' in capsys.readouterr().err


def test_the_teacher_serves_where_it_is_asked_for(
    story: Story, here: list[str], cells: Path, tmp_path: Path, ray_cluster: None
) -> None:
    assert transform.main([*here, "--serve", "teacher"]) == 0
    manifest = json.loads((tmp_path / "edited/_manifest.json").read_text())
    assert manifest["model"]["served_by"] == {"B": "teacher", "C": "teacher"}
    assert (manifest["config"]["serve"], manifest["settings"]["serve"]) == ("teacher", "teacher")
    model = pinned_model("models:/cells/1").model.served_by("teacher")
    before, after = (pq.read_table(folder / "B-control.parquet") for folder in (cells, tmp_path / "edited"))
    expected = model.apply(np.column_stack([before.column(marker).to_numpy() for marker in MARKERS]), "B")
    assert np.array_equal(np.column_stack([after.column(marker).to_numpy() for marker in MARKERS]), expected)


def test_an_unknown_batch_ends_the_job_with_one_message_and_status_2(
    here: list[str], cells: Path, tmp_path: Path, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = cells / "C-control.parquet"
    table = pq.read_table(path)
    pq.write_table(with_column(table, "batch_id", pa.array(["D"] * table.num_rows)), path)
    assert transform.main(here) == 2
    said = capsys.readouterr()
    assert (
        f"neuronedit transform: {path}: 'batch_id' is 'D', a batch that the model does not know (known: 'B', 'C', 'A')."
    ) in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "edited/C-control.parquet").exists()
    assert not (tmp_path / "edited/_manifest.json").exists()


def test_a_promoted_model_on_another_kind_of_cell_warns_or_where_it_is_asked_for_publishes_nothing(
    story: Story, here: list[str], cells: Path, tmp_path: Path, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = cells / "B-validation.parquet", tmp_path / "edited"
    table = pq.read_table(path)
    pq.write_table(with_column(table, "HLA-DR", pa.array([1e4] * table.num_rows, pa.float32())), path)
    assert transform.main([*here, "--max-unsupported", "0.2"]) == 2
    said = capsys.readouterr().err
    assert f"neuronedit transform: {output}: nothing was edited: expected at most 20% of an edit's events" in said
    assert "these are batch_id = B." in said
    assert {path.name for path in output.iterdir()} == {"_started.json", "_model"}

    # A look at a part of the events may miss what the whole has: what is written then is not published.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transform, "look_ahead", lambda *_: [])
        assert transform.main([*here, "--max-unsupported", "0.2", "--resume"]) == 2
    assert f"{output}: edited, but not published: no manifest was written: expected" in capsys.readouterr().err
    assert len(list(output.glob("*.parquet"))) == 6
    assert not (output / "_manifest.json").exists()

    assert transform.main([*here, "--resume"]) == 0
    told = capsys.readouterr()
    manifest = json.loads((output / "_manifest.json").read_text())
    [warning] = manifest["scope"]["warnings"]
    assert (warning in told.out, f"WARNING neuronedit_jobs.transform: {warning}" in told.err) == (True, True)
    assert re.search(
        r"^4\d% of the 900 events of batch_id = B \(900 were looked at\) have nothing like them among the events that "
        r"the edit 'B' was learned on \(batch_id = B and role = control\)\. Do not trust the edit on them: .* "
        r"models:/cells/1 was reviewed for 'batch_id = B and role = validation', "
        r"'batch_id = C and role = validation'; these are batch_id = B\.$",
        warning,
    )
    assert manifest["quality"]["B"]["scored"] == 900
    assert [line.partition(" (")[0] for line in manifest["scope"]["reviewed for"]] == [
        "batch_id = B and role = validation",
        "batch_id = C and role = validation",
    ]
    assert lineage.main([str(output)]) == 0
    told = capsys.readouterr().out
    assert f"warned of: {warning}" in told
    assert "reviewed for: batch_id = B and role = validation (400 events by 'B': " in told


@pytest.mark.skipif(torch.cuda.is_available(), reason="the cluster has a GPU")
def test_use_gpu_without_a_gpu_is_told(
    here: list[str], tmp_path: Path, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert transform.main([*here, "--use-gpu"]) == 2
    assert "neuronedit transform: use_gpu: the Ray cluster has 0 GPU; expected at least 1." in capsys.readouterr().err
    assert not list((tmp_path / "edited").glob("*.parquet"))


def test_an_unknown_edit_is_told_before_anything_is_claimed(
    here: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert transform.main([*here, "--set", 'edits=["B", "C inverse"]']) == 2
    message = "neuronedit transform: The model has no edit 'C inverse' (edits: 'B', 'C')."
    assert message in capsys.readouterr().err
    assert not (tmp_path / "edited").exists()


def test_a_truncated_file_is_told_before_anything_is_claimed(
    here: list[str], cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = cells / "C-control.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    assert transform.main(here) == 2
    assert f"{path}: not a Parquet file, or truncated (" in capsys.readouterr().err
    assert not (tmp_path / "edited").exists()


def test_a_model_that_is_not_there_is_told(here: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert transform.main([*here, "--model", "models:/cells@nobody"]) == 2
    assert (
        "neuronedit transform: models:/cells@nobody: model 'cells' has no such version or alias (versions: 1, 2; "
        in (capsys.readouterr().err)
    )
    assert not (tmp_path / "edited").exists()
