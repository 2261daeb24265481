from pathlib import Path

import pytest
from pydantic import Field

from neuronedit.command import run_job
from neuronedit.config import Config
from neuronedit.errors import DataError


class Settings(Config):
    """A job's settings."""

    path: str = Field(description="where the cells are")
    status: int = Field(0, description="what to return")


def job(config: Settings) -> int:
    """Do as told."""
    if config.path == "bad":
        raise DataError("bad: expected good cells. Remove them.")
    return config.status


def test_the_jobs_status_is_the_exit_status() -> None:
    assert run_job("x", Settings, job, ["--set", "path=p"]) == 0
    assert run_job("x", Settings, job, ["--set", "path=p", "--set", "status=3"]) == 3


def test_a_users_error_is_one_message_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_job("x", Settings, job, ["--set", "path=bad"]) == 2
    assert capsys.readouterr().err == "neuronedit x: bad: expected good cells. Remove them.\n"


def test_a_bad_configuration_is_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_job("x", Settings, job, [str(tmp_path / "no.toml")]) == 2
    assert "no.toml: the configuration cannot be read" in capsys.readouterr().err


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    def broken(config: Settings) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_job("x", Settings, broken, ["--set", "path=p"])


def test_help_shows_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run_job("x", Settings, job, ["--help"])
    text = capsys.readouterr().out
    assert "path  (text, required)\n      where the cells are" in text
    assert "status  (integer, default 0)" in text
