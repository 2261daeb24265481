"""A local file system that tells of each operation before it is done: there, a driver can be paused or killed."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from neuronedit.adapters.files.storage import Location

Step = Callable[[str, str], None]
"""Is told an operation and its path; what it raises, the operation does."""


class Killed(BaseException):
    """Stands in for the end of the process: nothing else is done to the storage afterwards."""


class KillAt:
    """Kills the driver at an operation that changes the storage, from 0: it and all that follow are not done."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.killed = ""

    def __call__(self, operation: str, path: str) -> None:
        if operation.startswith("read"):
            return
        if not self.left:
            self.killed = self.killed or f"{operation} {Path(path).name}"
            raise Killed(self.killed)
        self.left -= 1


def stepping(path: str, step: Step) -> Location:
    """A place of the local file system whose operations are told."""
    return Location(fs.PyFileSystem(_Stepping(step)), path)


class _Stepping(fs.FileSystemHandler):
    def __init__(self, step: Step) -> None:
        self.step = step
        self.inner = fs.LocalFileSystem()

    def get_type_name(self) -> str:
        return "stepping"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        self.step("read facts", paths[0])
        return self.inner.get_file_info(paths)

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        self.step("read folder", selector.base_dir)
        return self.inner.get_file_info(selector)

    def create_dir(self, path: str, recursive: bool) -> None:
        self.step("create folder", path)
        self.inner.create_dir(path, recursive=recursive)

    def delete_dir(self, path: str) -> None:
        # File by file, as a storage does it that may be killed between two.
        for folder, folders, names in os.walk(path, topdown=False):
            for name in names:
                self.delete_file(f"{folder}/{name}")
            for name in folders:
                self.step("delete folder", f"{folder}/{name}")
                Path(folder, name).rmdir()
        self.step("delete folder", path)
        Path(path).rmdir()

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        raise NotImplementedError

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError

    def delete_file(self, path: str) -> None:
        self.step("delete", path)
        self.inner.delete_file(path)

    def move(self, src: str, dest: str) -> None:
        self.step("move", dest)
        self.inner.move(src, dest)

    def copy_file(self, src: str, dest: str) -> None:
        raise NotImplementedError

    def open_input_stream(self, path: str) -> Any:
        self.step("read", path)
        return self.inner.open_input_stream(path)

    def open_input_file(self, path: str) -> Any:
        self.step("read", path)
        return self.inner.open_input_file(path)

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        self.step("create", path)
        return pa.PythonFile(_Writing(path, self.step), mode="w")

    def open_append_stream(self, path: str, metadata: Any) -> Any:
        raise NotImplementedError


class _Writing(io.RawIOBase):
    """A file whose first write is an operation of its own: before it, the file is there and empty."""

    def __init__(self, path: str, step: Step) -> None:
        self.path, self.step, self.begun = path, step, False
        self.stream = Path(path).open("wb")  # noqa: SIM115 — closed with this one

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        if not self.begun:
            self.step("write", self.path)
            self.begun = True
        return self.stream.write(piece)

    def close(self) -> None:
        self.stream.close()
        super().close()
