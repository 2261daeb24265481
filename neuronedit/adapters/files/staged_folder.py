"""A job's output folder: complete or absent, and replaced only where an earlier run of the same job wrote it."""

import errno
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from pyarrow.fs import LocalFileSystem

from neuronedit.adapters.files.storage import Location, storage_error, storage_errors
from neuronedit.adapters.files.walk import own_entries, printable
from neuronedit.errors import OutputError, listing

log = logging.getLogger(__name__)

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.ESTALE)


@contextmanager
def staged_folder(output: str | Path, record: str, *, overwrite: bool) -> Iterator[Path]:
    """Make a hidden folder beside ``output`` to write into; it takes the output's place when the block ends well.

    If the block fails, nothing is left, and an earlier output stays as it was.

    Args:
        output: The folder to write.
        record: The file that the job writes last, by which it recognises its own output (see ``write_record``).
        overwrite: Replace an earlier output of the same job.

    Raises:
        OutputError: The output is no local folder, exists and may not be replaced, or cannot be written.
        StorageError: The disk fails or is full.
    """
    if "://" in str(output):
        raise OutputError(f"{output}: expected a folder of this machine; found a URI. Write here, then copy it.")
    output = Path(output)
    with storage_errors(str(output)):
        check_replaceable(output, record, overwrite=overwrite)
    staging = output.with_name(f".{output.name}-{uuid4().hex}")
    try:
        staging.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"{output}: the folder cannot be written ({error.strerror}). Choose another.") from error
    try:
        yield staging
        check_replaceable(output, record, overwrite=overwrite)
        _swap(staging, output, record)
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            raise storage_error(str(output), error) from error
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write_record(folder: Path, record: str, facts: dict[str, Any]) -> None:
    """Write a job's record, with the names of all files below the folder, so that the folder is recognised later."""
    written = sorted([*(entry.name for entry in own_entries(_here(folder))), record])
    text = json.dumps({"job": _job(record), "written": written, **facts}, indent=2, ensure_ascii=False)
    (folder / record).write_text(text + "\n", encoding="utf-8")


def check_replaceable(output: Path, record: str, *, overwrite: bool) -> None:
    """Check that nothing is lost when ``output`` is written.

    Raises:
        OutputError: The output exists and was not asked to be replaced, or holds what the job did not write.
    """
    job = _job(record)
    if not (output.exists() or output.is_symlink()):
        return
    if not overwrite:
        raise OutputError(
            f"{output}: the output exists. Choose another folder, or set overwrite = true to replace what an earlier "
            f"{job} wrote."
        )
    written = _earlier_files(output / record, job)
    if output.is_symlink() or written is None:
        raise OutputError(
            f"{output}: expected a folder that an earlier {job} wrote, to replace it; found no {record} of one. "
            "Choose another folder, or remove this one yourself."
        )
    foreign = _foreign(output, written)
    if foreign:
        raise OutputError(
            f"{output}: the folder holds files that the earlier {job} did not write: "
            f"{listing(map(printable, foreign))}. Move them elsewhere, or choose another folder."
        )


def remove_earlier(output: Path, record: str) -> None:
    """Remove what an earlier run wrote, out of its readers' sight at once.

    Raises:
        OutputError: The folder holds what that job did not write.
        StorageError: The disk fails.
    """
    with storage_errors(str(output)):
        check_replaceable(output, record, overwrite=True)
        earlier = _aside(output)
        output.rename(earlier)
        _remove(earlier, _earlier_files(earlier / record, _job(record)) or set())


def _here(folder: Path) -> Location:
    return Location(LocalFileSystem(), str(folder))


def _foreign(folder: Path, written: set[str]) -> list[str]:
    """The names below a folder that are not of files that were written there; a link is not, whatever its name."""
    return [entry.name for entry in own_entries(_here(folder)) if entry.kind != "file" or entry.name not in written]


def _job(record: str) -> str:
    return Path(record).stem.lstrip("_")


def _earlier_files(record: Path, job: str) -> set[str] | None:
    """The names of the files that an earlier run wrote; None where the record is absent or of something else."""
    try:
        facts = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(facts, dict) or facts.get("job") != job or not isinstance(facts.get("written"), list):
        return None
    return {name for name in facts["written"] if isinstance(name, str)}


def _swap(staging: Path, output: Path, record: str) -> None:
    earlier = _aside(output)
    try:
        if output.exists():
            output.rename(earlier)
        staging.rename(output)
    except OSError as error:
        if earlier.exists():
            earlier.rename(output)
        raise OutputError(f"{output}: the folder cannot be replaced ({error.strerror}). Choose another.") from error
    if earlier.exists():
        _remove(earlier, _earlier_files(earlier / record, _job(record)) or set())


def _aside(output: Path) -> Path:
    return output.with_name(f".{output.name}-{uuid4().hex}")


def _remove(folder: Path, written: set[str]) -> None:
    """Remove the files that were written, and the folders that are empty then; what came at the last moment stays."""
    for entry in own_entries(_here(folder)):
        if entry.kind == "file" and entry.name in written:
            (folder / entry.name).unlink(missing_ok=True)
    for place, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):  # not empty
            Path(place).rmdir()
    if folder.exists():
        log.warning("%s: holds files that no job of ours wrote, which were moved there with its folder", folder)
