import errno
import os
import pickle
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem
from pyarrow import fs

from neuronedit.adapters.files.storage import Location, locate, storage_error
from neuronedit.errors import DataError, StorageError


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


class WithoutMove(fs.FSSpecHandler):
    """Files that can be copied but not be given another name, as on Azure without a hierarchical namespace."""

    def move(self, src: str, dest: str) -> None:
        raise NotImplementedError(f"Move() is not implemented: {src} to {dest}")


def test_a_file_is_moved_by_copying_where_the_storage_knows_no_other_way(tmp_path: Path) -> None:
    storage = fs.PyFileSystem(WithoutMove(LocalFileSystem()))
    staged, target = (Location(storage, str(tmp_path / name)) for name in ("staged", "target"))
    (tmp_path / "staged").write_bytes(b"new")
    (tmp_path / "target").write_bytes(b"old")
    staged.move_to(target)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"target": b"new"}


def test_staged_names_are_hidden_unique_and_beside_their_target(tmp_path: Path) -> None:
    target = locate(str(tmp_path)) / "b7.parquet"
    names = {Path(target.staged().path).name for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith(".b7.parquet.") and name.endswith(".part") for name in names)
    assert Path(target.staged().path).parent == tmp_path


def test_size_and_delete_of_a_file(tmp_path: Path) -> None:
    target = locate(str(tmp_path)) / "note"
    assert target.size is None
    target.write_bytes(b"12")
    assert target.size == 2
    target.delete()
    target.delete()
    assert not target.exists


def test_a_file_that_is_not_there_or_may_not_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=rf"^{tmp_path}/none: not there \(.*\)\. Check its name"):
        locate(str(tmp_path / "none")).read_bytes()
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=rf"^{tmp_path}/file: the storage does not do as asked \(.*A file is where"):
        (locate(str(tmp_path / "file")) / "note").write_bytes(b"")


@pytest.mark.parametrize(
    ("number", "cause", "remedy"),
    [
        (errno.EROFS, "read-only", "Choose another folder, or have it mounted for writing."),
        (errno.EACCES, "permission is denied", "Have the right given to the user that runs this"),
        (errno.EPERM, "permission is denied", "Have the right given to the user that runs this"),
        (errno.EDQUOT, "the quota is used up", "Remove files of yours, or have the quota raised."),
        (errno.ENAMETOOLONG, "the name is too long", "Shorten it: most file systems take 255 bytes."),
        (errno.ESTALE, "the network's file system lost it (stale handle)", "Have it mounted anew, then run again."),
        (errno.EIO, "the disk fails", "Have the disk checked, then run again."),
        (errno.ETIMEDOUT, "no answer", "Check the network and the storage, then run again."),
        (errno.ENOTDIR, "the storage does not do as asked", "A file is where a folder is needed: move it away."),
        (errno.EXDEV, "the storage does not do as asked", "Mend the reason that it gives, then run again."),
    ],
)
def test_each_fault_of_a_storage_has_its_own_remedy(number: int, cause: str, remedy: str) -> None:
    reason = os.strerror(number)
    told = str(storage_error("/out/b7", OSError(number, reason)))
    assert told.startswith(f"/out/b7: {cause} ([Errno {number}] {reason}). {remedy}")
    assert "Try again when it answers" not in told
    # Arrow gives the number in the text only where it has no exception of that kind.
    assert cause in str(storage_error("/out/b7", OSError(f"Cannot do it. Detail: [errno {number}] {reason}")))


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r": the name is too long \(.*\)\. Shorten it: most file systems take 255"):
        (locate(str(tmp_path)) / ("a" * 300)).read_bytes()


def test_no_room_is_told() -> None:
    with pytest.raises(StorageError, match=r"^/out/b7: no room is left \(.*\)\. Make room\.$"):
        raise storage_error("/out/b7", OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.parametrize(
    ("uri", "kind", "path"),
    [
        ("gs://anonymous@lab/cells", fs.GcsFileSystem, "lab/cells"),
        ("gcs://anonymous@lab/cells", fs.GcsFileSystem, "lab/cells"),
        ("abfs://lab:a2V5@cells/day1", fs.AzureFileSystem, "cells/day1"),
        ("abfss://cells@lab.dfs.core.windows.net/day1", fs.AzureFileSystem, "cells/day1"),
    ],
)
def test_google_and_azure_are_found_without_a_network(uri: str, kind: type, path: str) -> None:
    location = locate(uri)
    assert (type(location.filesystem), location.path) == (kind, path)
    assert pickle.loads(pickle.dumps(location)) == location


def test_google_that_does_not_answer_is_given_up() -> None:
    location = locate("gs://anonymous@lab/cells?endpoint_override=127.0.0.1:1&scheme=http&retry_limit_seconds=1")
    with pytest.raises(StorageError, match=r"^lab/cells: no answer \(.*\)\. Check the network and the endpoint"):
        location.read_bytes()


def test_what_fsspec_knows_is_reached_by_its_prefix() -> None:
    target = locate("fsspec+memory://neuronedit-test") / "deep/note.json"
    target.write_json({"n": 1})
    assert target.read_json() == {"n": 1}
    assert [info.base_name for info in locate("fsspec+memory://neuronedit-test").files()] == ["note.json"]


@pytest.mark.parametrize("uri", ["fsspec+nonsense://lab/x", "memory://lab/x", "s3a://lab/x"])
def test_a_scheme_that_nothing_knows_is_told(uri: str) -> None:
    with pytest.raises(DataError, match=r"cannot be opened \(.+\)\. Expected .* what fsspec knows, fsspec\+SCHEME://"):
        locate(uri)
