"""Streams of a command: its output, whose reader may leave before the end, and its log lines."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from neuronedit.errors import masked


class Heard:
    """A stream to a reader who may leave, as ``head`` does: what is written afterwards is dropped.

    Args:
        stream: The stream that is written to as long as it is read.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, and give its length."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._drop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _drop(self) -> None:
        """Lead the stream nowhere from here on, also for what it still holds when the process ends."""
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())


@contextmanager
def heard_streams() -> Iterator[None]:
    """Let a command go on when nobody reads its output any more, without an error or a traceback.

    Example:
        >>> with heard_streams():
        ...     print("told")
        told
    """
    out, err = Heard(sys.stdout), Heard(sys.stderr)
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        try:
            yield
        finally:
            out.flush()
            err.flush()


class _MaskedFormatter(logging.Formatter):
    """Writes log lines, other libraries' too, without credentials."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


def log_to_stderr(*, verbose: bool) -> None:
    """Write log lines to stderr: neuronedit's own, and warnings of other libraries.

    Args:
        verbose: Write other libraries' further lines, too.

    Example:
        >>> log_to_stderr(verbose=False)
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_MaskedFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("neuronedit").setLevel(logging.INFO)
