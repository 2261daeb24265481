"""Files by path or URI: local folders, S3, GCS and Azure, through pyarrow's file systems."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from posixpath import join
from typing import Any
from uuid import uuid4

from pyarrow import ArrowException, fs

from neuronedit.errors import DataError


@dataclass(frozen=True)
class Location:
    """A file or folder on a file system."""

    filesystem: fs.FileSystem
    path: str

    def __truediv__(self, name: str) -> "Location":
        return Location(self.filesystem, join(self.path, name))

    @property
    def kind(self) -> fs.FileType:
        """Whether it is a file, a folder, or not there."""
        return self.filesystem.get_file_info(self.path).type

    @property
    def exists(self) -> bool:
        """Whether there is a file or folder."""
        return bool(self.kind != fs.FileType.NotFound)

    def files(self) -> list[fs.FileInfo]:
        """All files below a folder, sorted by path; none where the folder is not there."""
        found = self.filesystem.get_file_info(fs.FileSelector(self.path, recursive=True, allow_not_found=True))
        return sorted((info for info in found if info.type == fs.FileType.File), key=lambda info: info.path)

    def read_bytes(self) -> bytes:
        """The content of a file."""
        with self.filesystem.open_input_stream(self.path) as stream:
            content: bytes = stream.read()
            return content

    def write_bytes(self, content: bytes) -> None:
        """Write a file, complete or not at all."""
        staged = self.staged()
        with self.filesystem.open_output_stream(staged.path) as stream:
            stream.write(content)
        self.filesystem.move(staged.path, self.path)

    def read_json(self) -> Any:
        """The content of a JSON file."""
        return json.loads(self.read_bytes())

    def write_json(self, content: Mapping[str, Any]) -> None:
        """Write a JSON file, complete or not at all."""
        self.write_bytes((json.dumps(content, indent=2) + "\n").encode())

    def staged(self) -> "Location":
        """A hidden, unique name beside this one, to write to before moving into place."""
        folder, _, name = self.path.rpartition("/")
        self.filesystem.create_dir(folder, recursive=True)
        return Location(self.filesystem, join(folder, f".{name}.{uuid4().hex}.part"))


def locate(uri: str) -> Location:
    """The file system and path of a path or URI.

    Raises:
        DataError: The URI's scheme is not supported or its parts make no sense.
    """
    if "://" not in uri:
        return Location(fs.LocalFileSystem(), str(Path(uri).absolute()))
    try:
        filesystem, path = fs.FileSystem.from_uri(uri)
    except (ArrowException, ValueError, OSError) as error:
        raise DataError(
            f"{uri}: cannot be opened ({error}). Expected a path, or a URI such as s3://bucket/folder."
        ) from error
    return Location(filesystem, path)
