"""A job's output folder: complete or absent, and replaced only where an earlier run of the same job wrote it."""

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from neuronedit.adapters.files.storage import storage_error, storage_errors
from neuronedit.errors import OutputError, listing

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
        _swap(staging, output)
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            raise storage_error(str(output), error) from error
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write_record(folder: Path, record: str, facts: dict[str, Any]) -> None:
    """Write a job's record, with the names of all files in the folder, so that the folder is recognised later."""
    written = sorted([*(entry.name for entry in folder.iterdir()), record])
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
    foreign = sorted({entry.name for entry in output.iterdir()} - written)
    if foreign:
        raise OutputError(
            f"{output}: the folder holds files that the earlier {job} did not write: {listing(foreign)}. "
            "Move them elsewhere, or choose another folder."
        )


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
    return set(facts["written"])


def _swap(staging: Path, output: Path) -> None:
    earlier = output.with_name(f".{output.name}-{uuid4().hex}")
    try:
        if output.exists():
            output.rename(earlier)
        staging.rename(output)
    except OSError as error:
        if earlier.exists():
            earlier.rename(output)
        raise OutputError(f"{output}: the folder cannot be replaced ({error.strerror}). Choose another.") from error
    shutil.rmtree(earlier, ignore_errors=True)
