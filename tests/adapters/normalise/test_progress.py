"""The progress of a job of several steps: noted, gone on with, and never mixed with anything else."""

import json
import re
from pathlib import Path

import pytest

from neuronedit.adapters.normalise.progress import NOTE, claimed_progress
from neuronedit.errors import OutputError

SETTINGS = {"reference": "day1", "samples file": "1f"}
RESUMES, REPLACES = {"resume": True, "overwrite": False}, {"resume": False, "overwrite": True}


def test_a_step_is_done_once_and_leaves_what_the_next_ones_need(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    with claimed_progress(output, SETTINGS, overwrite=False) as progress:
        assert progress.begin("ingest") == RESUMES
        progress.end("ingest", 0)
        assert progress.begin("train") == RESUMES
    with claimed_progress(output, SETTINGS, overwrite=False) as progress:
        assert (progress.done("ingest"), progress.done("train"), progress.done("review")) == (0, None, None)
    assert [path.name for path in Path(output).iterdir()] == [NOTE]


def test_to_begin_anew_replaces_each_earlier_step_once(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    with claimed_progress(output, SETTINGS, overwrite=False) as progress:
        progress.end("ingest", 0)
    with claimed_progress(output, {"reference": "day2"}, overwrite=True) as progress:
        assert progress.done("ingest") is None
        assert progress.begin("ingest") == REPLACES
    with claimed_progress(output, {"reference": "day2"}, overwrite=False) as progress:
        assert progress.begin("ingest") == RESUMES  # it was begun under these settings
        assert progress.begin("train") == REPLACES  # the folder still has the one of the settings before


def test_other_settings_or_files_are_refused_by_name(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    with claimed_progress(output, SETTINGS, overwrite=False) as progress:
        progress.begin("ingest")
    message = (
        f"{output}: was begun with other settings or files ('reference', 'samples file'). Use those that it was begun "
        "with, choose another folder, or set overwrite = true to begin anew."
    )
    other = {"reference": "day2", "samples file": "2f"}
    with pytest.raises(OutputError, match=f"^{re.escape(message)}$"), claimed_progress(output, other, overwrite=False):
        pass


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_anything_else_is_left_as_it_is(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "raw.fcs").write_text("raw")
    message = (
        f"{tmp_path}: the output exists and is not empty (it has 'raw.fcs', and no _normalise.json of an earlier run). "
        "Choose another folder."
    )
    claim = claimed_progress(str(tmp_path), SETTINGS, overwrite=overwrite)
    with pytest.raises(OutputError, match=f"^{re.escape(message)}$"), claim:
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["raw.fcs"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"settings": {}}', '{"settings": 1, "steps": 2, "overwrites": 3}'])
def test_a_damaged_note_is_told_and_may_be_begun_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / NOTE).write_text(content)
    with (
        pytest.raises(OutputError, match=r"_normalise\.json: damaged \(\w+\), so what was begun is not known\. Set ov"),
        claimed_progress(str(tmp_path), SETTINGS, overwrite=False),
    ):
        pass
    with claimed_progress(str(tmp_path), SETTINGS, overwrite=True) as progress:
        assert progress.begin("ingest") == REPLACES
    assert json.loads((tmp_path / NOTE).read_text())["settings"] == SETTINGS


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    with claimed_progress(output, SETTINGS, overwrite=False) as progress:
        progress.begin("ingest")
        with pytest.raises(OutputError, match="is writing it"), claimed_progress(output, SETTINGS, overwrite=False):
            pass


def test_a_place_that_is_no_local_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place, found in (("s3://bucket/out", "expected a folder of this machine"), (tmp_path / "file", "not a folder")):
        with pytest.raises(OutputError, match=found), claimed_progress(str(place), SETTINGS, overwrite=False):
            pass
