from pathlib import Path

import pytest
from pyarrow import fs

from neuronedit.adapters.storage import locate
from neuronedit.errors import DataError


def test_a_relative_path_is_taken_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate("cells/b7.parquet").path == str(tmp_path / "cells/b7.parquet")


def test_a_file_uri_and_a_path_are_one_place(tmp_path: Path) -> None:
    assert locate(f"file://{tmp_path}") == locate(str(tmp_path))


@pytest.mark.parametrize("uri", ["s4://bucket/cells", "s3//:x://", "file://cells/b 7"])
def test_a_uri_that_means_nothing_is_told(uri: str) -> None:
    with pytest.raises(DataError, match=r"cannot be opened \(.+\)\. Expected a path, or a URI such as s3://bucket/"):
        locate(uri)


def test_kind_and_exists_tell_file_folder_and_nothing_apart(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kinds = [(locate(str(path)).kind, locate(str(path)).exists) for path in (tmp_path, tmp_path / "file")]
    assert kinds == [(fs.FileType.Directory, True), (fs.FileType.File, True)]
    assert not locate(str(tmp_path / "none")).exists


def test_files_are_found_at_any_depth_in_order(tmp_path: Path) -> None:
    for name in ("b/2", "a", "b/1", "c/d/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [Path(info.path).relative_to(tmp_path).as_posix() for info in locate(str(tmp_path)).files()] == [
        "a",
        "b/1",
        "b/2",
        "c/d/e",
    ]
    assert locate(str(tmp_path / "none")).files() == []


def test_what_is_written_is_read_and_replaces_what_was_there(tmp_path: Path) -> None:
    target = locate(str(tmp_path)) / "deep/er/note.json"
    target.write_json({"n": 1})
    target.write_json({"n": 2})
    assert target.read_json() == {"n": 2}
    assert [path.name for path in (tmp_path / "deep/er").iterdir()] == ["note.json"]


def test_staged_names_are_hidden_unique_and_beside_their_target(tmp_path: Path) -> None:
    target = locate(str(tmp_path)) / "b7.parquet"
    names = {Path(target.staged().path).name for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith(".b7.parquet.") and name.endswith(".part") for name in names)
    assert Path(target.staged().path).parent == tmp_path
