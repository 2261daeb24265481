"""Results that MLflow does not take: kept beside the output, and logged when it answers again."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from neuronedit.adapters.files.staged_folder import staged_folder, write_record
from neuronedit.adapters.registry.results import Results, folder_results
from neuronedit.adapters.registry.reviews import VersionTags, review_history
from neuronedit.adapters.registry.runs import TrackingConfig, connect, tracked_run
from neuronedit.adapters.registry.unlogged import log_in_run, log_kept, log_or_keep
from neuronedit.errors import OutputError, TrackingError
from neuronedit.model.standing import review_tags

GONE = "http://127.0.0.1:9"
"""Nothing listens there."""


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR"):
        monkeypatch.setenv(name, "0")


def results(**more: object) -> Results:
    return folder_results("evaluate", {"emd": 0.5}, **more)


def evaluated(output: Path, tracking: TrackingConfig, *, gone: bool = True) -> tuple[str, bool]:
    """A job that writes a folder, whose MLflow is gone at its end; its run, and whether that was told."""
    with (
        staged_folder(output, "_evaluate.json", overwrite=True) as folder,
        tracked_run("evaluate", {"a": "1"}) as run_id,
    ):
        (folder / "scores.csv").write_text("emd\n0.5\n")
        write_record(folder, "_evaluate.json", {"run": run_id})
        if gone:
            mlflow.set_tracking_uri(GONE)
        logged = log_or_keep(results(), run_id, folder, str(output), "_evaluate.json")
    connect(tracking)
    return run_id, logged


def test_what_is_not_taken_is_kept_in_the_output_and_told_in_one_message(
    tracking: TrackingConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "evaluation"
    run_id, logged = evaluated(output, tracking)
    assert not logged
    assert {path.name for path in output.iterdir()} == {"scores.csv", "_evaluate.json", "_unlogged.json"}
    (told,) = (record.message for record in caplog.records if record.levelname == "WARNING")
    assert told.startswith(f"{output}: complete, but its run was not logged. MLflow at {GONE}: no answer, or refused (")
    assert told.endswith(
        f"Check tracking.uri and $MLFLOW_TRACKING_URI. What was to be logged is kept in _unlogged.json there: run "
        f"`neuronedit log {output}` when MLflow answers again."
    )
    assert json.loads((output / "_unlogged.json").read_text())["run"] == run_id
    assert mlflow.active_run() is None


def test_it_is_logged_later_once_and_the_file_removed(tracking: TrackingConfig, tmp_path: Path) -> None:
    output = tmp_path / "evaluation"
    run_id, _ = evaluated(output, tracking)
    assert MlflowClient().get_run(run_id).info.status == "RUNNING"
    assert log_kept(str(output), tracking.uri) == f"{output}: logged in run {run_id}."
    run = MlflowClient().get_run(run_id)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"evaluate/emd": 0.5})
    names = [file.path for file in MlflowClient().list_artifacts(run_id, "evaluate")]
    assert names == ["evaluate/_evaluate.json", "evaluate/scores.csv"]
    assert not (output / "_unlogged.json").exists()
    assert log_kept(str(output), tracking.uri) == f"{output}: nothing to log: there is no _unlogged.json in it."


def test_the_output_is_the_jobs_own_before_and_after(tracking: TrackingConfig, tmp_path: Path) -> None:
    output = tmp_path / "evaluation"
    evaluated(output, tracking)
    evaluated(output, tracking)  # with overwrite: _unlogged.json is none of others' files
    log_kept(str(output), tracking.uri)
    run_id, logged = evaluated(output, tracking, gone=False)
    assert logged
    assert MlflowClient().get_run(run_id).info.status == "FINISHED"
    assert not (output / "_unlogged.json").exists()


def test_as_long_as_mlflow_is_gone_nothing_is_lost(tracking: TrackingConfig, tmp_path: Path) -> None:
    output = tmp_path / "evaluation"
    evaluated(output, tracking)
    before = (output / "_unlogged.json").read_bytes()
    with pytest.raises(TrackingError, match=rf"^MLflow at {GONE}: .* Nothing was lost: try again, with --tracking-uri"):
        log_kept(str(output))  # by default where it was
    assert (output / "_unlogged.json").read_bytes() == before


def test_a_store_without_the_run_is_told(tracking: TrackingConfig, tmp_path: Path) -> None:
    output = tmp_path / "evaluation"
    evaluated(output, tracking)
    facts = json.loads((output / "_unlogged.json").read_text())
    (output / "_unlogged.json").write_text(json.dumps(facts | {"run": "0" * 32}))
    with pytest.raises(TrackingError, match=r"there is no such run \(Run with id=0{32} not found\).* Nothing was lost"):
        log_kept(str(output), tracking.uri)
    MlflowClient().delete_run(facts["run"])
    (output / "_unlogged.json").write_text(json.dumps(facts))
    with pytest.raises(TrackingError, match=r"deleted.* Nothing was lost"):
        log_kept(str(output), tracking.uri)


@pytest.mark.parametrize("content", ["", "[]", "{}", "7", '{"run": 1, "store": "x", "results": 7}', "[" * 100_000])
def test_what_was_kept_and_is_damaged_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "_unlogged.json").write_text(content)
    with pytest.raises(
        OutputError,
        match=rf"^{tmp_path}: _unlogged\.json is damaged \(.*\)\. The output itself does not need it: remove it, or re",
    ):
        log_kept(str(tmp_path))


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"nowhere: no folder, or empty\. Expected the output of a job; check"):
        log_kept(str(tmp_path / "nowhere"))


def test_a_run_that_cannot_even_be_opened_is_opened_later(tracking: TrackingConfig, tmp_path: Path) -> None:
    client = MlflowClient()
    client.create_registered_model("cells")
    client.create_model_version("cells", "file:///nowhere/1")
    with tracked_run("train", {"epochs": "3"}) as trained:
        pass
    (tmp_path / "page.html").write_text("<p>")
    write_record(tmp_path, "_review.json", {})
    version = VersionTags("cells", "1", review_tags("d", [], "Good.", "2026 by ada"))
    reviewed = folder_results("review", {"emd": 0.5}, version=version)
    mlflow.set_tracking_uri(GONE)
    named = {"name": "review cells v1 ▲", "parent": trained}
    assert not log_in_run(reviewed, tracking, {"model": "m"}, tmp_path, "review", **named)
    assert "_unlogged.json" in json.loads((tmp_path / "_review.json").read_text())["written"]
    told = log_kept(str(tmp_path), tracking.uri)
    run = MlflowClient().get_run(told.rpartition(" ")[2].rstrip("."))
    assert (run.info.run_name, run.data.tags["mlflow.parentRunId"]) == ("review cells v1 ▲", trained)
    assert run.data.params == {"model": "m"}
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"review/emd": 0.5})
    tags = MlflowClient().get_model_version("cells", "1").tags
    assert tags["neuronedit.verdict"] == "Good."
    assert [record.run for record in review_history(tags)] == [run.info.run_id]


def test_credentials_are_not_kept(tracking: TrackingConfig, tmp_path: Path) -> None:
    with tracked_run("evaluate", {}) as run_id:
        mlflow.set_tracking_uri("http://ada:secret@127.0.0.1:9")
        log_or_keep(results(), run_id, tmp_path, str(tmp_path))
    assert "secret" not in (tmp_path / "_unlogged.json").read_text()


@pytest.mark.faults  # it lasts for the seconds that a lock is waited for
def test_a_database_that_is_locked_at_the_end_does_not_hold_up_the_output(
    tracking: TrackingConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert tracking.uri
    (tmp_path / "out").mkdir()
    with closing(sqlite3.connect(tracking.uri.removeprefix("sqlite:///"), isolation_level=None)) as other:
        with tracked_run("evaluate", {}) as run_id:
            other.execute("BEGIN EXCLUSIVE")
            started = time.monotonic()
            assert not log_or_keep(results(), run_id, tmp_path / "out", "out")
        assert time.monotonic() - started < 60
        with pytest.raises(
            TrackingError, match=r"its database is locked by another process \(.*\)\. Try again when that"
        ):
            log_kept(str(tmp_path / "out"))
    assert "Traceback" not in capfd.readouterr().err
    log_kept(str(tmp_path / "out"))
    assert MlflowClient().get_run(run_id).info.status == "FINISHED"
