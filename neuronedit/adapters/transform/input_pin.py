"""What a part of the input held when it was edited, for its receipt: its SHA-256, or the storage's own ETag."""

import hashlib

from pyarrow import fs

from neuronedit.adapters.files.blocks import FilePart
from neuronedit.adapters.files.storage import Location, storage_errors
from neuronedit.adapters.files.walk import entry_of
from neuronedit.errors import StorageError

READ_BYTES = 4 * 1024**2


def pin(filesystem: fs.FileSystem, part: FilePart) -> str:
    """Tell a part's content: ``etag:…`` where the storage keeps an ETag of it, otherwise ``sha256:…`` of its bytes.

    Args:
        filesystem: The file system of the input.
        part: Its bytes from ``first_byte`` to ``stop_byte`` are read.

    Raises:
        StorageError: The file was written again since it was listed, or the storage does not hand out its bytes.
    """
    check_as_listed(filesystem, part)
    path = part.file.path
    with storage_errors(path):
        # Not the patient subclass's method: what it opens hides the metadata.
        with fs.FileSystem.open_input_file(filesystem, path) as stream:
            told = {key.lower(): text for key, text in stream.metadata().items()}
        if etag := told.get("etag"):
            return f"etag:{etag.decode()}"
        digest, left = hashlib.sha256(), part.stop_byte - part.first_byte
        with filesystem.open_input_file(path) as stream:
            stream.seek(part.first_byte)
            while piece := stream.read(min(READ_BYTES, left)):
                digest.update(piece)
                left -= len(piece)
        return f"sha256:{digest.hexdigest()}"


def check_as_listed(filesystem: fs.FileSystem, part: FilePart) -> None:
    """Check that the file of a part is the one that was listed.

    Raises:
        StorageError: It was written again, or is gone.
    """
    file = part.file
    if file.stamp and entry_of(Location(filesystem, file.path)).stamp != file.stamp:
        raise StorageError(
            f"{file.path}: the file was written again, or touched, since it was listed. Let nothing write to the input "
            "while it is read; restore the file and run again with resume = true."
        )


def check_same_input(filesystem: fs.FileSystem, part: FilePart, content: str) -> None:
    """Check that a part still holds what its finished output was made of.

    Args:
        filesystem: The file system of the input.
        part: The part.
        content: What it held then, as ``pin`` told it.

    Raises:
        StorageError: It holds something else.
    """
    found = pin(filesystem, part)
    if found != content:
        raise StorageError(
            f"{part.file.path}: not the input of which {part.output} was made: expected {content}, found {found}. "
            "Restore the file, or write all files anew with overwrite = true."
        )
