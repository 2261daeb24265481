import errno
import re
import shutil
from pathlib import Path

import pytest

from neuronedit.adapters.files.staged_folder import staged_folder, write_record
from neuronedit.errors import OutputError, StorageError

RECORD = "_ingest.json"


def fill(folder, text, **options):
    with staged_folder(folder, RECORD, **{"overwrite": True, **options}) as staging:
        (staging / "cells").write_text(text)
        (staging / "figures").mkdir()
        (staging / "figures/1.svg").write_text(text)
        write_record(staging, RECORD, {})


def contents(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_appears_only_when_the_block_ends(tmp_path):
    output = tmp_path / "new" / "output"
    with staged_folder(output, RECORD, overwrite=False) as staging:
        (staging / "cells").touch()
        assert not output.exists()
        assert staging.parent == output.parent
    assert [path.name for path in output.iterdir()] == ["cells"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_earlier_output_and_nothing_else(tmp_path, error):
    fill(tmp_path / "output", "earlier")
    before = contents(tmp_path)

    def fail():
        with staged_folder(tmp_path / "output", RECORD, overwrite=True) as staging:
            (staging / "cells").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert contents(tmp_path) == before


def test_an_output_that_appears_meanwhile_is_not_replaced(tmp_path):
    output = tmp_path / "output"
    with (
        pytest.raises(OutputError, match="the output exists"),
        staged_folder(output, RECORD, overwrite=False),
    ):
        fill(output, "of another run")
    assert contents(tmp_path)["output/cells"] == "of another run"
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


def test_the_earlier_output_returns_where_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    output = tmp_path / "output"
    fill(output, "earlier")
    before, rename = contents(tmp_path), Path.rename

    def fail_once(path, target):
        if (path / "cells").read_text() == "later":
            raise OSError(16, "Device or resource busy")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    message = f"{output}: the folder cannot be replaced (Device or resource busy). Choose another."
    with pytest.raises(OutputError, match=re.escape(message)):
        fill(output, "later")
    assert contents(tmp_path) == before


def test_a_link_to_an_earlier_output_is_not_replaced(tmp_path):
    fill(tmp_path / "real", "earlier")
    (tmp_path / "output").symlink_to(tmp_path / "real")
    with pytest.raises(OutputError, match="expected a folder that an earlier ingest wrote"):
        fill(tmp_path / "output", "later")


@pytest.mark.parametrize("name", ["notes.txt", "figures/notes.txt", ".hidden", "mine/notes.txt"])
def test_a_file_of_somebody_else_is_named_and_nothing_is_touched(tmp_path, name):
    fill(tmp_path / "output", "earlier")
    (tmp_path / "output" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "output" / name).write_text("years of work")
    before = contents(tmp_path)
    message = f"the folder holds files that the earlier ingest did not write: '{name}'. Move them elsewhere, or choose"
    with pytest.raises(OutputError, match=re.escape(message)):
        fill(tmp_path / "output", "later")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["cells", "figures", "figures/1.svg", "raw"])
def test_a_link_is_named_and_what_it_leads_to_stays(tmp_path, name):
    fill(tmp_path / "output", "earlier")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/1.svg").write_text("years of work")
    place = tmp_path / "output" / name
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(tmp_path / "raw")
    with pytest.raises(OutputError, match=rf"the earlier ingest did not write: '{name}'"):
        fill(tmp_path / "output", "later")
    assert (tmp_path / "raw/1.svg").read_text() == "years of work"
    assert place.is_symlink()


def test_what_comes_in_the_last_moment_stays(tmp_path, monkeypatch, caplog):
    fill(tmp_path / "output", "earlier")
    rename = Path.rename

    def meanwhile(path, target):
        if path.name == "output":
            (path / "figures/notes.txt").write_text("years of work")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", meanwhile)
    fill(tmp_path / "output", "later")
    assert contents(tmp_path / "output")["cells"] == "later"
    (kept,) = tmp_path.glob(".output-*")
    assert contents(kept) == {"figures/notes.txt": "years of work"}
    assert f"{kept}: holds files that no job of ours wrote" in caplog.text


def test_a_disk_that_fills_while_a_job_writes_is_told_and_leaves_nothing(tmp_path):
    def fill_up():
        with staged_folder(tmp_path / "output", RECORD, overwrite=False) as staging:
            (staging / "cells").write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match=rf"^{tmp_path}/output: no room is left \(.*\)\. Make room\.$"):
        fill_up()
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_too_long_is_told(tmp_path):
    with pytest.raises(StorageError, match=r": the name is too long \(.*\)\. Shorten it: most file systems take 255"):
        fill(tmp_path / ("a" * 300), "")


def test_a_uri_is_told_to_be_no_folder_of_this_machine():
    expected = "s3://***@lab/out: expected a folder of this machine; found a URI. Write here, then copy it."
    with pytest.raises(OutputError, match=rf"^{re.escape(expected)}$"):
        fill("s3://AKIA:secret@lab/out", "")
