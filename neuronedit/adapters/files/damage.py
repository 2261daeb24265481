"""Damaged Parquet files that would end the process that reads them, without an exception."""

import io
import os
import pickle
import signal
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from neuronedit.errors import DataError

CODECS = ("UNCOMPRESSED", "SNAPPY", "GZIP", "BROTLI", "LZ4", "ZSTD")


def check_footer(parquet: pq.ParquetFile) -> None:
    """Check a footer's names and numbers of rows.

    Raises:
        Exception: The footer is damaged; Arrow and pyarrow have many kinds for it.
    """
    _ = parquet.schema_arrow.names  # may not be UTF-8
    metadata = parquet.metadata
    n_rows = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    if min(n_rows, default=0) < 0 or sum(n_rows) != metadata.num_rows:
        raise ValueError(f"the footer contradicts itself: {metadata.num_rows} rows, and {sum(n_rows)} in row groups")


def check_chunks(parquet: pq.ParquetFile) -> None:
    """Check a footer's column chunks before anything asks for one; nothing is read from the storage.

    pyarrow hands out a column chunk (``row_group(i).column(j)``) without catching Arrow's exceptions, which end the
    process. A reader of batches meets the same chunks before its first read, and its exceptions are caught.

    Raises:
        Exception: The footer is damaged; Arrow and pyarrow have many kinds for it.
    """
    metadata = parquet.metadata
    numbers = range(metadata.num_row_groups)
    empty = _NoBytes()
    look_only = pq.ParquetFile(pa.PythonFile(empty, mode="r"), metadata=metadata, pre_buffer=True)
    try:
        next(look_only.iter_batches(1, row_groups=numbers, use_threads=False), None)
    except Exception:
        if not empty.asked:
            raise
    groups = [metadata.row_group(number) for number in numbers]
    for column in (group.column(index) for group in groups for index in range(group.num_columns)):
        start, size, codec = column.data_page_offset, column.total_compressed_size, column.compression
        if start < 0 or size < 0 or codec not in CODECS:
            raise ValueError(f"column {column.path_in_schema!r} has {size} bytes of {codec} at {start}")


CRASHES = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
"""Signals of a library's own fault; a process that is killed, for want of memory or by a person, tells nothing of a
file."""

_CHILD = (
    "import pickle, sys; from neuronedit.adapters.files.blocks import read_through; "
    "read_through(*pickle.load(sys.stdin.buffer))"
)


def probe(filesystem: fs.FileSystem, path: str) -> None:
    """Read all of a file in a process of its own, after a worker was lost over it.

    Raises:
        DataError: Reading it ends the process.
    """
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=pickle.dumps((filesystem, path)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(place for place in sys.path if place)},
        check=False,
    )
    if -done.returncode in CRASHES:
        raise DataError(
            f"{path}: reading it ends the process ({signal.Signals(-done.returncode).name}): the file is damaged. "
            "Write it again, or move it away; with on_error = quarantine, transform does without it."
        )


class _NoBytes(io.RawIOBase):
    """A large file that ends wherever it is read, and notes that it was.

    An exception of its own would come back through Arrow's threads with the readers that met it, which nothing frees.

    Attributes:
        asked: Whether bytes were asked for.
    """

    def __init__(self) -> None:
        self.asked = False
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: 2**62}[whence]
        self.position = start + offset
        return self.position

    def read(self, size: int = -1) -> bytes:
        self.asked = True
        return b""
