"""The log job's answers where there is nothing to do for MLflow; what it logs is tested where it is kept."""

from pathlib import Path

import pytest
from neuronedit_jobs import log


def test_an_output_whose_run_was_logged_has_nothing_to_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "_manifest.json").write_text("{}")
    assert log.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}: nothing to log: there is no _unlogged.json in it.\n"


def test_what_is_no_output_is_told_with_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert log.main([str(tmp_path / "nowhere")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"neuronedit log: {tmp_path}/nowhere: no folder, or empty. Expected the output of a job; check its name.\n"
    )
