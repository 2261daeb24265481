"""``Location`` on a real S3 server: requests, patience, errors, and what is visible after a failure."""

import contextlib
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyarrow import fs

from neuronedit.adapters.files.storage import Location, locate
from neuronedit.errors import DataError, StorageError
from tests.s3_server import ACCESS_KEY, SECRET_KEY, Bucket, Fault

pytestmark = pytest.mark.s3

ROOT = Path(__file__).parents[3]


def test_what_is_written_is_read_and_replaces_what_was_there(s3: Bucket) -> None:
    target = locate(s3.uri("edited")) / "deep/er/note.json"
    target.write_json({"n": 1})
    target.write_json({"n": 2})
    assert target.read_json() == {"n": 2}
    assert (target.kind, target.size) == (fs.FileType.File, 13)
    assert s3.keys() == ["edited/deep/er/note.json"]


def test_a_small_file_costs_one_request_and_reading_two(s3: Bucket) -> None:
    target = locate(s3.uri("note.json"))
    s3.server.inject()
    target.write_json({"n": 1})
    assert s3.server.counts() == {"PUT": 1}
    target.read_json()
    assert s3.server.counts() == {"PUT": 1, "HEAD": 1, "GET": 1}


def test_staging_makes_no_objects_that_stand_for_folders(s3: Bucket) -> None:
    s3.server.inject()
    staged = (locate(s3.uri("edited")) / "batch_id=B/b7.parquet").staged()
    assert re.fullmatch(rf"{s3.name}/edited/batch_id=B/\.b7\.parquet\.\w+\.part", staged.path)
    assert s3.server.counts(s3.name) == {"BUCKET": 1}


def test_a_moved_file_has_its_new_name_only(s3: Bucket) -> None:
    target = locate(s3.uri("a/b.bin"))
    staged = target.staged()
    staged.write_bytes(b"12")
    staged.move_to(target)
    assert s3.keys() == ["a/b.bin"]
    target.delete()
    assert s3.keys() == []
    target.delete()


def test_folders_are_known_by_what_is_in_them(s3: Bucket) -> None:
    s3.put("cells/batch_id=B/a.parquet", b"1")
    assert locate(s3.uri("cells")).kind == locate(s3.uri("cells/")).kind == fs.FileType.Directory
    assert not locate(s3.uri("none")).exists
    assert locate(s3.uri("none")).files() == []
    assert locate(s3.uri("none")).size is None


def test_every_page_of_a_long_listing_is_read(s3: Bucket) -> None:
    names = [f"{number:05}.parquet" for number in range(10_000)]
    s3.server.put_empty([f"{s3.name}/cells/{int(name[:5]) % 7}/{name}" for name in names])
    location = locate(s3.uri("cells"))
    s3.server.inject()
    assert sorted(info.base_name for info in location.files()) == names
    assert s3.server.counts() == {"LIST": 10}  # of 1,000 each


class TestPatience:
    def test_six_failures_in_a_row_are_outlasted_by_a_file_system_that_went_to_a_worker(self, s3: Bucket) -> None:
        s3.put("note", b"12")
        location = pickle.loads(pickle.dumps(locate(s3.uri("note"))))
        s3.server.inject(Fault("SlowDown", kinds=("HEAD",), times=6))
        assert location.read_bytes() == b"12"
        assert s3.server.counts() == {"HEAD": 7, "GET": 1}

    @pytest.mark.parametrize("n_bytes", [0, 2, 100, 1000])
    def test_so_are_failures_whose_text_is_longer_than_what_was_asked_for(self, s3: Bucket, n_bytes: int) -> None:
        # The SDK reports a full buffer then, and does not try again.
        s3.put("note", bytes(n_bytes))
        s3.server.inject(Fault("SlowDown", kinds=("GET",), times=4))
        assert locate(s3.uri("note")).read_bytes() == bytes(n_bytes)

    def test_pyarrows_own_gives_up_after_three(self, s3: Bucket) -> None:
        # Should this ever fail, pyarrow pickles retries, and PatientS3FileSystem may go.
        s3.put("note", b"12")
        plain, path = fs.FileSystem.from_uri(s3.uri("note"))
        worker = pickle.loads(pickle.dumps(plain))
        s3.server.inject(Fault(kinds=("HEAD",), times=8))
        with pytest.raises(OSError, match="HTTP status 500"):
            worker.open_input_stream(path)
        assert s3.server.counts()["HEAD"] == 3

    def test_the_number_of_attempts_is_awss_setting(self, s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
        location = pickle.loads(pickle.dumps(locate(s3.uri("note"))))
        s3.server.inject(Fault())
        with pytest.raises(StorageError, match="note: the storage keeps failing"):
            location.read_bytes()
        assert s3.server.counts() == {"HEAD": 2}

    def test_an_answer_is_waited_for_longer_than_the_sdk_does(self, s3: Bucket) -> None:
        s3.put("note", b"12")
        location = locate(s3.uri("note"))
        s3.server.inject(Fault("", kinds=("HEAD",), seconds=4.5))
        assert location.read_bytes() == b"12"
        assert s3.server.counts() == {"HEAD": 1, "GET": 1}

    @pytest.mark.parametrize("kind", ["GET", "UPLOAD_PART"])
    def test_a_connection_cut_amid_the_body_is_made_again(self, s3: Bucket, kind: str) -> None:
        content = os.urandom(11_000_000)
        target = locate(s3.uri("large.bin"))
        s3.server.inject(Fault("cut", kinds=(kind,), times=1))
        target.write_bytes(content)
        assert target.read_bytes() == content
        assert [fault for _, _, fault in s3.server.requests() if fault] == ["cut"]


class TestErrors:
    def test_an_unknown_bucket_is_told_at_once(self, s3: Bucket) -> None:
        with pytest.raises(StorageError, match=r"^s3://\*\*\*@no-such/cells\?.*: the bucket 'no-such' is not there\."):
            locate(s3.server.uri("no-such/cells"))

    def test_denied_access_is_told_with_what_is_needed(self, s3: Bucket) -> None:
        location = locate(s3.uri("note"))
        s3.server.inject(Fault("AccessDenied"))
        message = r"access is denied \(.*ACCESS_DENIED.*\)\. Check the credentials .* may list, read, write and delete"
        with pytest.raises(StorageError, match=rf"^s3://\*\*\*@{s3.name}/note\?.*: {message}"):
            locate(s3.uri("note"))
        for ask in (location.read_bytes, location.files, lambda: location.exists, lambda: location.write_bytes(b"")):
            with pytest.raises(StorageError, match=rf"^{s3.name}/note: {message}"):
                ask()

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("127.0.0.1:{port}", "127.0.0.1:1", r"no answer \(.*connect.*\)\. Check the network and the endpoint"),
            ("scheme=http", "scheme=https", r"no encrypted connection \(.*\)\. .* plain HTTP, add scheme=http"),
        ],
    )
    def test_an_endpoint_that_does_not_answer_is_told_within_seconds(
        self, s3: Bucket, old: str, new: str, message: str
    ) -> None:
        started = time.monotonic()
        with pytest.raises(StorageError, match=message):
            locate(s3.uri("cells").replace(old.format(port=s3.server.port), new))
        assert time.monotonic() - started < 20

    @pytest.mark.parametrize("ending", ["?nonsense=1", "?request_timeout=3"])
    def test_an_unknown_option_is_told_without_credentials(self, ending: str) -> None:
        with pytest.raises(DataError, match=r"^s3://\*\*\*@lab/x\?.* \(Unexpected query parameter") as told:
            locate(f"s3://{ACCESS_KEY}:{SECRET_KEY}@lab/x{ending}")
        assert SECRET_KEY not in str(told.value)

    def test_what_is_larger_than_s3_copies_is_told(self, s3: Bucket) -> None:
        staged, target = locate(s3.uri("staged")), locate(s3.uri("target"))
        staged.write_bytes(b"1")
        said = "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
        s3.server.inject(Fault("InvalidRequest", kinds=("COPY",), message=said))
        with pytest.raises(StorageError, match=r"/target: too large: S3 copies objects of at most 5 GB \(.*\)\. Split"):
            staged.move_to(target)

    def test_an_object_that_is_not_there_is_told(self, s3: Bucket) -> None:
        with pytest.raises(StorageError, match=rf"^{s3.name}/none: not there \(.*\)\. Check its name"):
            locate(s3.uri("none")).read_bytes()


class TestFailuresMidway:
    def test_pyarrow_completes_what_an_exception_interrupts(self, s3: Bucket) -> None:
        # Why output is staged on S3, too. Should this ever fail, it need no longer be.
        target = locate(s3.uri("target"))
        with contextlib.suppress(RuntimeError), target.filesystem.open_output_stream(target.path) as stream:
            stream.write(b"half")
            raise RuntimeError
        target.filesystem.open_output_stream(f"{target.path}-2").write(b"half")  # destroyed, never closed
        assert s3.keys() == ["target", "target-2"]

    def test_a_part_that_cannot_be_uploaded_leaves_nothing_visible(
        self, s3: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
        target = locate(s3.uri("target"))
        s3.server.inject(Fault(kinds=("UPLOAD_PART",)))
        with pytest.raises(StorageError, match=rf"^{s3.name}/target: the storage keeps failing"):
            target.write_bytes(bytes(11_000_000))
        assert s3.keys() == []

    def test_a_killed_process_leaves_nothing_visible(self, s3: Bucket) -> None:
        script = (
            "import os, sys, time; from neuronedit.adapters.files.storage import locate\n"
            "target = locate(sys.argv[1])\n"
            "stream = target.filesystem.open_output_stream(target.path)\n"
            "stream.write(os.urandom(25_000_000)); stream.flush(); print('written', flush=True); time.sleep(60)\n"
        )
        s3.server.inject()
        writer = subprocess.Popen(
            [sys.executable, "-c", script, s3.uri("target")], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        counts = s3.server.counts()
        assert (counts["CREATE_UPLOAD"], counts["UPLOAD_PART"], counts["COMPLETE"], counts["ABORT"]) == (1, 2, 0, 0)
        assert s3.keys() == []


def test_credentials_and_endpoint_may_come_from_the_environment(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.server.environment.items():
        monkeypatch.setenv(name, value)
    location = locate(f"s3://{s3.name}/note")
    location.write_bytes(b"12")
    pickled = pickle.dumps(location)
    assert SECRET_KEY.encode() not in pickled  # a worker finds its own
    assert pickle.loads(pickled).read_bytes() == b"12"


def test_two_ways_to_one_place_are_equal(s3: Bucket) -> None:
    assert locate(s3.uri("cells")) == locate(s3.uri("cells")) == pickle.loads(pickle.dumps(locate(s3.uri("cells/"))))
    assert isinstance(locate(s3.uri("cells")), Location)
