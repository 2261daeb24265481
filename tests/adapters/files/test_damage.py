"""Damaged Parquet files are told as such, whatever Arrow makes of them."""

import gc
import io
import os
import random
import re
import signal
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from pyarrow import fs

from neuronedit.adapters.files import damage
from neuronedit.adapters.files.blocks import FilePart, file_parts, read_through
from neuronedit.adapters.files.damage import probe
from neuronedit.adapters.files.dataset import list_dataset
from neuronedit.errors import DataError

LOCAL = fs.LocalFileSystem()


def events() -> bytes:
    content = io.BytesIO()
    markers = {name: np.arange(40, dtype=np.float32) for name in ("CD3", "CD4")}
    table = pa.table({**markers, "batch_id": pa.array(["B", None] * 20).dictionary_encode()})
    pq.write_table(table, content, row_group_size=20, compression="snappy")
    return content.getvalue()


SOUND = events()
FOOTER = len(SOUND) - 8 - int.from_bytes(SOUND[-8:-4], "little")


def damaged(seed: int) -> bytes:
    random_, content = random.Random(seed), bytearray(SOUND)
    for _ in range(random_.choice([1, 1, 2, 8])):
        first = FOOTER if random_.random() < 0.8 else 4
        content[random_.randrange(first, len(content) - 8)] ^= 1 << random_.randrange(8)
    return bytes(content)


def fault(path: Path, content: bytes) -> str:
    """What is told of a file; empty if it is read."""
    path.write_bytes(content)
    try:
        read_through(LOCAL, str(path))
    except DataError as error:
        return str(error)
    return ""


def test_any_damage_is_told_or_harmless_and_no_process_ends(tmp_path: Path) -> None:
    told = [fault(tmp_path / "a.parquet", damaged(seed)) for seed in range(600)]
    assert all(message.startswith(f"{tmp_path}/a.parquet: ") for message in told if message)
    # pyarrow itself ends the process at these, when it is asked for a column chunk.
    (one, *_) = [message for message in told if "histogram size mismatch" in message]
    assert re.search(
        r"a\.parquet: the footer is damaged \((Definition|Repetition) level histogram size mismatch.*\)\. "
        r"Write the file again, or move it away; with on_error = quarantine, transform does without it\.$",
        one,
    )


def test_a_column_name_that_is_not_utf8_is_told_and_may_be_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(SOUND.replace(b"CD3", b"C\xff3"))
    (tmp_path / "b.parquet").write_bytes(SOUND)
    message = r"a\.parquet: not a Parquet file, or truncated \('utf-8' codec can't decode byte 0xff.*\)\. Write it"
    with pytest.raises(DataError, match=message):
        list_dataset(str(tmp_path))
    dataset = list_dataset(str(tmp_path), pass_over=True)
    assert [file.name for file in dataset.files] == ["b.parquet"]
    assert re.search(message, dataset.unreadable["a.parquet"])


def test_a_footer_that_contradicts_itself_is_told(tmp_path: Path) -> None:
    # FileMetaData's third field, i64, zigzag: 40 rows are 80.
    at = SOUND.rindex(b"\x16\x50", FOOTER)
    message = fault(tmp_path / "a.parquet", SOUND[:at] + b"\x16\x52" + SOUND[at + 2 :])
    assert "the footer contradicts itself: 41 rows, and 40 in row groups" in message


def test_a_large_file_with_a_damaged_footer_is_left_to_the_worker_that_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    seed = next(seed for seed in range(600) if "histogram size mismatch" in fault(path, damaged(seed)))
    path.write_bytes(damaged(seed))
    dataset = list_dataset(str(tmp_path))
    assert file_parts(dataset.files, dataset.filesystem, 1) == [FilePart.whole(dataset.files[0])]


def test_a_footer_that_was_checked_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[damage._NoBytes]] = []

    class Noted(damage._NoBytes):
        def __init__(self) -> None:
            super().__init__()
            made.append(weakref.ref(self))

    monkeypatch.setattr(damage, "_NoBytes", Noted)
    assert fault(tmp_path / "a.parquet", SOUND) == ""
    gc.collect()
    assert [alive() for alive in made] == [None]


class EndsItsReader(LocalFileSystem):  # type: ignore[misc]
    """Files that end whatever process opens one, as a fault of a library does."""

    def open(self, path: str, *arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), int(Path(path).read_text()))


@pytest.fixture
def dangerous() -> fs.FileSystem:
    return fs.PyFileSystem(fs.FSSpecHandler(EndsItsReader()))


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
def test_a_file_that_ends_its_reader_is_told_by_the_signal(
    tmp_path: Path, dangerous: fs.FileSystem, number: signal.Signals
) -> None:
    (tmp_path / "a.parquet").write_text(str(int(number)))
    expected = (
        f"{tmp_path}/a.parquet: reading it ends the process ({number.name}): the file is damaged. "
        "Write it again, or move it away; with on_error = quarantine, transform does without it."
    )
    with pytest.raises(DataError, match=f"^{re.escape(expected)}$"):
        probe(dangerous, f"{tmp_path}/a.parquet")


@pytest.mark.parametrize("content", [SOUND, b"PAR1 not"], ids=["sound", "refused"])
def test_a_file_that_its_reader_survives_is_not_to_blame(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    probe(LOCAL, str(tmp_path / "a.parquet"))


def test_a_reader_that_is_killed_tells_nothing_of_the_file(tmp_path: Path, dangerous: fs.FileSystem) -> None:
    (tmp_path / "a.parquet").write_text(str(int(signal.SIGKILL)))
    probe(dangerous, f"{tmp_path}/a.parquet")
