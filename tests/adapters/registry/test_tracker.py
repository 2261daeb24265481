"""Stores that cannot be used, each told in one message; and how long one that is gone is waited for."""

import os
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from neuronedit.adapters.registry.runs import TrackingConfig, connect, tracked_run, use_store
from neuronedit.adapters.registry.tracker import PATIENCE, impatient, set_patience, told_with, tracker_errors, uploading
from neuronedit.errors import DataError, TrackingError

CHECK = r"Check tracking\.uri and \$MLFLOW_TRACKING_URI\."


@pytest.fixture
def own_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a user who has set nothing; what a job sets is taken back."""
    for name in PATIENCE:
        monkeypatch.setenv(name, "1")
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (
            "sqlite:////proc/no/mlflow.db",
            r"no answer, or refused \(\[Errno 2\] No such file or directory: '/proc/no'\)\. ",
        ),
        ("sqlite:////dev/null/mlflow.db", r"no answer, or refused \(\[Errno \d+\] .*: '/dev/null'\)\. "),
        (
            "sqlite:///{folder}",
            r"its database cannot be written \(.*unable to open database file.*\)\. Check its folder\. ",
        ),
        (
            "sqlite:///{folder}/text.db",
            r"its file is no database, or damaged \(.*\)\. Name another file, or restore it\. ",
        ),
        (
            "postgresql://ada:secret@127.0.0.1:9/x",
            r"a package that it needs is not installed \(.*\)\. Install psycopg.*\. ",
        ),
        (
            "mysql+pymysql://ada:secret@127.0.0.1:9/x",
            r"a package that it needs is not installed \(.*\)\. Install pymysql",
        ),
        ("nosuch://host/x", r"it cannot be used \(.*\)\. Use a server \(http://…\) or a database \(sqlite:///FILE, "),
        ("postgresql://ada:secret@127.0.0.1:port/x", r"it cannot be used \(invalid literal .*'port'\)\. Use a server "),
        ("http://[::bad", r"it cannot be used \(Invalid IPv6 URL\)\. Use a server "),
        ("http://127.0.0.1:99999", r"it cannot be used \(Port out of range 0-65535\)\. Use a server "),
        ("{folder}/mlruns", r"a folder is no store any more \(.*\)\. Use a database or a server\. "),
        (
            "http://127.0.0.1:9",
            r"no answer, or refused \(.*Connection refused",
        ),
        (
            "http://no.such.host.invalid:80",
            r"no answer, or refused \(.*no\.such\.host\.invalid",
        ),
    ],
)
def test_a_store_that_cannot_be_used_is_told_in_one_line(
    tracking: TrackingConfig, tmp_path: Path, own_patience: None, uri: str, message: str
) -> None:
    (tmp_path / "text.db").write_text("no database" * 1000)
    config, started = TrackingConfig(uri=uri.replace("{folder}", str(tmp_path))), time.monotonic()
    with pytest.raises(TrackingError, match=rf"^MLflow at .*: {message}.*{CHECK}( Nothing was done\.)?$") as told:
        connect(config)
    assert time.monotonic() - started < 20
    assert "secret" not in str(told.value)
    assert len(str(told.value).splitlines()) == 1
    with pytest.raises(TrackingError):
        use_store(config)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """It takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.faults  # it lasts for the seconds that are waited for
def test_a_server_that_never_answers_is_given_up_within_twenty_seconds(
    tracking: TrackingConfig, silent_server: str, own_patience: None
) -> None:
    started = time.monotonic()
    with pytest.raises(
        TrackingError, match=rf"no answer, or refused \(.*ReadTimeoutError.* {CHECK} Nothing was done\.$"
    ):
        connect(TrackingConfig(uri=silent_server))
    assert time.monotonic() - started < 20


def test_patience_is_set_where_the_user_has_set_none(own_patience: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    set_patience()
    patient = {name: os.environ[name] for name in PATIENCE}
    assert patient == PATIENCE | {"MLFLOW_HTTP_REQUEST_TIMEOUT": "77"}
    with impatient():
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    with uploading():
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", PATIENCE["MLFLOW_HTTP_REQUEST_TIMEOUT"])
        with uploading():
            assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "120"
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    assert {name: os.environ[name] for name in PATIENCE} == patient


def test_other_errors_pass_and_a_consequence_is_added_once(tracking: TrackingConfig) -> None:
    with pytest.raises(DataError, match=r"^no cells$"), told_with("Nothing was registered."), tracker_errors():
        raise DataError("no cells")
    with pytest.raises(TrackingError, match=rf"^MLflow at sqlite:.*: no answer, or refused \(gone\)\. {CHECK} Lost\.$"):
        raise_lost()


def test_an_error_of_the_jobs_own_is_not_laid_at_mlflows_door() -> None:
    with pytest.raises(OSError, match=r"^the input's disk$"), told_with("Nothing was registered."):
        raise OSError("the input's disk")


@told_with("Lost.")
def raise_lost() -> None:
    with tracker_errors(), tracker_errors():
        raise MlflowException("gone\nand more")


@tracker_errors()
def raise_full() -> None:
    raise OSError(28, "No space left on device")


def test_a_full_disk_is_told(tracking: TrackingConfig) -> None:
    with pytest.raises(TrackingError, match=r"no room is left for records or artifacts \(.*\)\. Make room\. Check"):
        raise_full()


@pytest.mark.faults  # it lasts for the seconds that are waited for
def test_a_database_that_another_process_has_locked_is_told(
    tracking: TrackingConfig, capfd: pytest.CaptureFixture[str]
) -> None:
    assert tracking.uri
    path = tracking.uri.removeprefix("sqlite:///")
    message = r"its database is locked by another process \(.*\)\. Try again when that has ended\. Check"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        with pytest.raises(TrackingError, match=message):
            connect(tracking)
        with pytest.raises(TrackingError, match=message), tracked_run("train", {}):
            pass
        assert time.monotonic() - started < 60
    connect(tracking)
    assert mlflow.active_run() is None
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.faults  # it lasts for the seconds that are waited for
def test_a_run_whose_end_is_not_recorded_does_not_hide_what_the_job_says(
    tracking: TrackingConfig, caplog: pytest.LogCaptureFixture
) -> None:
    assert tracking.uri
    database = Path(tracking.uri.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(database, isolation_level=None)) as other:

        def fail() -> None:
            with tracked_run("train", {}):
                other.execute("BEGIN EXCLUSIVE")
                raise DataError("no cells")

        with pytest.raises(DataError, match=r"^no cells$"):
            fail()
    assert "that it has ended (FAILED) was not recorded. MLflow at sqlite:" in caplog.text
    assert mlflow.active_run() is None
    with tracked_run("train", {}) as run_id:
        pass
    assert MlflowClient().get_run(run_id).info.status == "FINISHED"
