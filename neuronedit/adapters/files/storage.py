"""Files by path or URI: local folders, S3, GCS and Azure, through pyarrow's file systems.

``s3://bucket/folder``, ``gs://…``, ``abfs(s)://…`` and ``hf://…`` are understood, ``?option=value`` included; any other
file system that fsspec has is reached as ``fsspec+SCHEME://…`` where its package is installed.

Object stores have no folders and no renaming. The content of a stream appears at once and whole when the stream is
closed, but it is closed on an exception as well, so content that can fail midway is written to a hidden name
(``staged``) and moved. On S3, and on Azure without a hierarchical namespace, to move is to copy and to delete; S3
copies objects of at most 5 GB.
"""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from posixpath import join
from typing import Any
from uuid import uuid4

from pyarrow import ArrowException, fs

from neuronedit.adapters.files.s3 import PatientS3FileSystem
from neuronedit.errors import DataError, StorageError, masked

OBJECT_STORES = ("s3", "gcs", "abfs")

LONGEST_NAME = 255
"""Bytes that file systems take for a name."""

GCS_SECONDS = 60.0
"""How long a request to GCS is repeated, unless the URI has retry_limit_seconds; Google's own limit is 15 minutes."""


@dataclass(frozen=True)
class Location:
    """A file or folder on a file system.

    Its methods raise ``StorageError`` if the storage fails or refuses.
    """

    filesystem: fs.FileSystem
    path: str

    def __truediv__(self, name: str) -> "Location":
        return Location(self.filesystem, join(self.path, name))

    @property
    def kind(self) -> fs.FileType:
        """The kind of entry: file, folder, or not found."""
        return self._info().type

    @property
    def exists(self) -> bool:
        """Whether there is a file or folder."""
        return bool(self.kind != fs.FileType.NotFound)

    @property
    def size(self) -> int | None:
        """A file's bytes; None where there is no file."""
        size: int | None = self._info().size
        return size

    def files(self) -> list[fs.FileInfo]:
        """All files below a folder, sorted by path; none where the folder is not there."""
        with storage_errors(self.path):
            found = self.filesystem.get_file_info(fs.FileSelector(self.path, recursive=True, allow_not_found=True))
        return sorted((info for info in found if info.type == fs.FileType.File), key=lambda info: info.path)

    def read_bytes(self) -> bytes:
        """The content of a file."""
        with storage_errors(self.path), self.filesystem.open_input_stream(self.path) as stream:
            content: bytes = stream.read()
            return content

    def write_bytes(self, content: bytes) -> None:
        """Write a file, complete or not at all."""
        whole_at_once = self.filesystem.type_name in OBJECT_STORES
        written = self if whole_at_once else self.staged()
        try:
            with storage_errors(self.path), self.filesystem.open_output_stream(written.path) as stream:
                stream.write(content)
            if not whole_at_once:
                written.move_to(self)
        except StorageError:
            if not whole_at_once:
                written.delete()
            raise

    def read_json(self) -> Any:
        """The content of a JSON file."""
        return json.loads(self.read_bytes())

    def write_json(self, content: Mapping[str, Any]) -> None:
        """Write a JSON file, complete or not at all."""
        self.write_bytes((json.dumps(content, indent=2) + "\n").encode())

    def staged(self) -> "Location":
        """A hidden, unique name beside this one, to write to before moving into place."""
        folder, _, name = self.path.rpartition("/")
        if self.filesystem.type_name not in OBJECT_STORES:  # there it would be an object for every folder in the path
            with storage_errors(folder):
                self.filesystem.create_dir(folder, recursive=True)
        return Location(self.filesystem, join(folder, f".{short_name(name, LONGEST_NAME - 39)}.{uuid4().hex}.part"))

    def move_to(self, target: "Location") -> None:
        """Give a file on the same file system another name; a file of that name is replaced."""
        with storage_errors(target.path):
            move(self, target)

    def delete(self) -> None:
        """Remove a file, if it is there: a request that is repeated after its answer was lost finds nothing."""
        with storage_errors(self.path):
            try:
                self.filesystem.delete_file(self.path)
            except FileNotFoundError:
                return

    def delete_folder(self) -> None:
        """Remove a folder and all in it, if it is there."""
        with storage_errors(self.path):
            if self.exists:
                self.filesystem.delete_dir(self.path)

    def _info(self) -> fs.FileInfo:
        with storage_errors(self.path):
            return self.filesystem.get_file_info(self.path)


def locate(uri: str) -> Location:
    """Find the file system and path of a path or URI; a bucket on S3 is asked for, so that errors show at once.

    Raises:
        DataError: The URI's scheme is not supported or its parts make no sense.
        StorageError: S3 does not answer, refuses, or has no such bucket.
    """
    if "://" not in uri:
        return Location(fs.LocalFileSystem(), str(Path(uri).absolute()))
    try:
        filesystem, path = fs.FileSystem.from_uri(uri)
        if filesystem.type_name == "s3":
            _check_bucket(filesystem, path, uri)
        return Location(_patient(filesystem), path)
    except OSError as error:
        raise storage_error(masked(uri), error) from error
    except (ArrowException, ValueError, ImportError) as error:
        raise DataError(
            f"{masked(uri)}: cannot be opened ({masked(str(error))}). Expected a path, or a URI such as "
            "s3://bucket/folder, gs://…, abfss://… or, for what fsspec knows, fsspec+SCHEME://…"
        ) from error


def short_name(name: str, n_bytes: int) -> str:
    """Give a name, or its SHA-256 where it is longer than so many bytes: for names that are made of another."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= n_bytes else hashlib.sha256(encoded).hexdigest()


def move(source: Location, target: Location) -> None:
    """Move a file as ``Location.move_to`` does, but let the file system's own errors through."""
    try:
        source.filesystem.move(source.path, target.path)
    except NotImplementedError:  # Azure accounts without a hierarchical namespace
        source.filesystem.copy_file(source.path, target.path)
        source.filesystem.delete_file(source.path)


def storage_error(where: str, error: Exception) -> StorageError:
    """Make a user's error of a file system's: cause and remedy.

    Args:
        where: The file, folder or URI, for the message.
        error: As pyarrow raised it.
    """
    message = first_line(error)
    cause, remedy = next((meaning for pattern, meaning in _MEANINGS if re.search(pattern, message)), _UNKNOWN)
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (told := re.search(r"\[errno (\d+)\]", message, re.IGNORECASE)):
        number = int(told[1])
    if number is not None:
        cause, remedy = next((meaning for numbers, meaning in _ERRNO_MEANINGS if number in numbers), _UNKNOWN_ERRNO)
    return StorageError(f"{where}: {cause} ({masked(message)}). {remedy}")


def first_line(error: Exception) -> str:
    """The first line of a library's error, for a message of ours."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _patient(filesystem: fs.FileSystem) -> fs.FileSystem:
    """Make a file system that repeats requests on S3 longer than usual, and on GCS not for ever."""
    if filesystem.type_name == "s3":
        return PatientS3FileSystem.like(filesystem)
    if filesystem.type_name == "gcs":
        _, (options,) = filesystem.__reduce__()
        limit = options["retry_time_limit"] or timedelta(seconds=GCS_SECONDS)
        return fs.GcsFileSystem(**(options | {"retry_time_limit": limit}))
    return filesystem


def _check_bucket(filesystem: fs.FileSystem, path: str, uri: str) -> None:
    bucket = path.partition("/")[0]
    if not bucket:
        raise ValueError("it names no bucket")
    if filesystem.get_file_info(bucket).type == fs.FileType.NotFound:
        raise StorageError(f"{masked(uri)}: the bucket {bucket!r} is not there. Check its name, and the endpoint's.")


@contextmanager
def storage_errors(where: str) -> Iterator[None]:
    """Turn file-system errors raised in this block into StorageError naming ``where``."""
    try:
        yield
    except (OSError, ArrowException) as error:
        raise storage_error(where, error) from error


_MEANINGS = (
    (
        "NO_SUCH_BUCKET|Bucket '.*' not found",
        ("the bucket is not there", "Check its name, and the endpoint's."),
    ),
    (
        "ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|EXPIRED_TOKEN|HTTP status 40[13]"
        "|PERMISSION_DENIED|UNAUTHENTICATED|AuthenticationFailed|AuthorizationFailure",
        (
            "access is denied",
            "Check the credentials ($AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY, or the role of the node) and that "
            "they may list, read, write and delete there.",
        ),
    ),
    (
        "SSL connect error|TLS",
        (
            "no encrypted connection",
            "Check the endpoint and its certificate; if it speaks plain HTTP, add scheme=http to the URI.",
        ),
    ),
    (
        "NETWORK_CONNECTION|UNAVAILABLE|[Cc]ould not (?:connect|resolve)|[Cc]ouldn't (?:connect|resolve)",
        (
            "no answer",
            "Check the network and the endpoint ($AWS_ENDPOINT_URL, or endpoint_override in the URI).",
        ),
    ),
    (
        "larger than the maximum allowable size|ENTITY_TOO_LARGE|EntityTooLarge",
        ("too large: S3 copies objects of at most 5 GB", "Split the input into smaller files."),
    ),
    (
        "HTTP status 5|INTERNAL_FAILURE|SLOW_DOWN|SERVICE_UNAVAILABLE|THROTTLING",
        ("the storage keeps failing", "Try again when it answers."),
    ),
)
_UNKNOWN = ("the storage does not do as asked", "Try again when it answers.")

_ERRNO_MEANINGS = (
    ((errno.ENOENT,), ("not there", "Check its name; if it was there before, restore it.")),
    ((errno.ENOSPC,), ("no room is left", "Make room.")),
    ((errno.EDQUOT,), ("the quota is used up", "Remove files of yours, or have the quota raised.")),
    ((errno.EROFS,), ("read-only", "Choose another folder, or have it mounted for writing.")),
    (
        (errno.EACCES, errno.EPERM),
        ("permission is denied", "Have the right given to the user that runs this, or choose another folder."),
    ),
    ((errno.ENAMETOOLONG,), ("the name is too long", "Shorten it: most file systems take 255 bytes.")),
    ((errno.EILSEQ,), ("the file system does not take the name", "Rename the file, or choose another folder.")),
    ((errno.ESTALE,), ("the network's file system lost it (stale handle)", "Have it mounted anew, then run again.")),
    ((errno.EIO, errno.ENXIO, errno.ENODEV), ("the disk fails", "Have the disk checked, then run again.")),
    ((errno.EISDIR,), ("a folder, where a file is expected", "Move it away, or choose another name.")),
    ((errno.ELOOP,), ("links lead in a circle", "Remove one of them.")),
    ((errno.EFBIG,), ("too large for the file system", "Choose a folder on another one.")),
    ((errno.EMFILE, errno.ENFILE), ("too many files are open", "Raise the limit (ulimit -n), then run again.")),
    ((errno.EBUSY, errno.ETXTBSY), ("in use by another process", "Wait for its end, then run again.")),
    ((errno.EAGAIN, errno.EINTR), ("the storage keeps failing", "Try again when it answers.")),
    (
        (errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN),
        ("no answer", "Check the network and the storage, then run again."),
    ),
    (
        (errno.ENOTDIR, errno.EEXIST),
        ("the storage does not do as asked", "A file is where a folder is needed: move it away."),
    ),
)
_UNKNOWN_ERRNO = ("the storage does not do as asked", "Mend the reason that it gives, then run again.")
