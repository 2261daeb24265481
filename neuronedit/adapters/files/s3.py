"""S3 through pyarrow with the patience that a long job needs: more retries and longer timeouts than a URI can set."""

import os
import time
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pyarrow import fs

ATTEMPTS = 11
"""Attempts at a request before it is given up, 26 s in all; $AWS_MAX_ATTEMPTS overrides it."""

CONNECT_SECONDS, SILENT_SECONDS = 5.0, 30.0
"""Timeouts of an answer; the SDK's 3 s without a byte are too few for a server that copies gigabytes."""

OVERRUN = "Failed to flush response stream"
"""The SDK's error if a server's error text is longer than the bytes asked for; the SDK does not try again."""


class PatientS3FileSystem(fs.S3FileSystem):  # type: ignore[misc]
    """S3 that is asked again, on Ray's workers as well (pyarrow pickles all but the retries), and for a few bytes, too.

    Files of less than 10 MB are written by one request, not three.
    """

    def __init__(self, attempts: int, options: Mapping[str, Any]) -> None:
        retries = fs.AwsDefaultS3RetryStrategy(max_attempts=attempts - 1)  # its own is the number of repetitions
        super().__init__(**options, retry_strategy=retries)
        self.attempts = attempts

    @classmethod
    def like(cls, plain: fs.S3FileSystem) -> "PatientS3FileSystem":
        """Make a patient file system of the same storage, with the same credentials."""
        _, (options,) = plain.__reduce__()
        attempts = int(os.environ.get("AWS_MAX_ATTEMPTS", ATTEMPTS))
        patience = {"connect_timeout": CONNECT_SECONDS, "request_timeout": SILENT_SECONDS, "allow_delayed_open": True}
        return cls(attempts, options | patience)

    def __reduce__(self) -> Any:
        _, (options,) = super().__reduce__()
        return PatientS3FileSystem, (self.attempts, options)

    def open_input_file(self, path: str) -> pa.NativeFile:
        """Open an object for reading anywhere in it."""
        return pa.PythonFile(_PatientReader(super().open_input_file(path), self.attempts), mode="r")

    def open_input_stream(self, path: str, compression: str | None = None, **settings: Any) -> pa.NativeFile:
        """Open an object for reading from its start; only what is compressed is read through pyarrow's own stream."""
        if compression is not None:
            return super().open_input_stream(path, compression=compression, **settings)
        return self.open_input_file(path)


class _PatientReader:
    """A file whose reads are repeated where the SDK does not."""

    def __init__(self, file: pa.NativeFile, attempts: int) -> None:
        self.file = file
        self.attempts = attempts

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def read(self, n_bytes: int | None = None) -> bytes:
        for attempt in range(self.attempts):
            try:
                content: bytes = self.file.read(n_bytes)
                return content
            except OSError as error:  # the position stays where it was
                if OVERRUN not in str(error) or attempt + 1 == self.attempts:
                    raise
                time.sleep(0.025 * 2**attempt)  # as long as the SDK's own retries wait
        raise AssertionError
