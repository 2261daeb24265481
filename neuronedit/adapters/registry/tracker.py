"""MLflow's failures, told as errors for a user; and how long MLflow is waited for.

MLflow's client raises its own errors, those of its database's driver, of the artifacts' storage, and of packages that
are not installed; and by default it asks a server that is gone for minutes. All calls of it lie in ``tracker_errors``.
"""

import errno
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final
from urllib.parse import urlsplit

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.store.db.db_types import DATABASE_ENGINES
from sqlalchemy import create_engine, inspect, make_url
from sqlalchemy.exc import ArgumentError

from neuronedit.errors import TrackingError

PATIENCE: Final[Mapping[str, str]] = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
"""How long a server is waited for, 50 s in all, unless the environment says otherwise; MLflow's own is minutes."""

FIRST_PATIENCE: Final[Mapping[str, str]] = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "8",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
}
"""The same where nothing has been done yet, and where it has failed before."""

UPLOAD_PATIENCE: Final[Mapping[str, str]] = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "120"}
"""The same while a model is handed over, which a server may have to hand on before it answers; MLflow's own."""

MAX_TOLD: Final = 300
"""Characters of MLflow's own message."""

_STORAGE_ERRORS: Final = (
    ("sqlalchemy.exc", "SQLAlchemyError"),
    ("alembic.util.exc", "CommandError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("boto3.exceptions", "Boto3Error"),
    ("google.api_core.exceptions", "GoogleAPIError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("azure.core.exceptions", "AzureError"),
)
"""Errors of what MLflow keeps its records and artifacts with, by module and name."""

_CHECK: Final = "Check tracking.uri and $MLFLOW_TRACKING_URI."

_USABLE: Final = ("it cannot be used", "Use a server (http://…) or a database (sqlite:///FILE, postgresql://…)")

_MEANINGS: Final = (
    (
        "database is locked|database table is locked",
        ("its database is locked by another process", "Try again when that has ended"),
    ),
    ("file is not a database|malformed", ("its file is no database, or damaged", "Name another file, or restore it")),
    ("unable to open database|readonly database|read-only", ("its database cannot be written", "Check its folder")),
    ("No space left|disk is full|ENOSPC|Disk quota", ("no room is left for records or artifacts", "Make room")),
    (
        "Can't locate revision|out-of-date|schema",
        ("its database is of another version of MLflow", "Use that version, or run mlflow db upgrade"),
    ),
    ("No such artifact|NoSuchKey", ("files are missing", "Restore them in the artifact store")),
    ("Run with id=.* not found|Run '.*' not found", ("there is no such run", "")),
    ("FileStore|file store|filesystem tracking", ("a folder is no store any more", "Use a database or a server")),
    (
        "Unsupported|unsupported|Model registry functionality is unavailable|Could not parse|Can't load plugin",
        _USABLE,
    ),
)


def set_patience() -> None:
    """Have MLflow give up after a minute, without a warning for each attempt or a traceback for each failure."""
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    for name in ("urllib3", "mlflow.system_metrics", "mlflow.store.db"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def impatient() -> AbstractContextManager[None]:
    """Wait less for MLflow while the block runs, unless the environment has its own limits."""
    return _waiting(FIRST_PATIENCE)


def uploading() -> AbstractContextManager[None]:
    """Wait longer for MLflow's answers while the block runs, unless the environment has its own limits."""
    return _waiting(UPLOAD_PATIENCE)


@contextmanager
def _waiting(limits: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in limits}
    changed = {name: value for name, value in limits.items() if before[name] in (None, PATIENCE[name])}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name in changed:
            if (value := before[name]) is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def tracker_errors() -> Iterator[None]:
    """Turn whatever MLflow raises in this block into one error for a user; the block does nothing else.

    Raises:
        TrackingError: MLflow does not answer, refuses, or cannot be used.
    """
    try:
        yield
    except (MlflowException, OSError, ImportError, *_loaded_errors()) as error:
        raise TrackingError(_told(error)) from error


@contextmanager
def told_with(consequence: str) -> Iterator[None]:
    """Add to MLflow's errors in this block what follows for the job, as a sentence.

    Raises:
        TrackingError: MLflow does not answer, refuses, or cannot be used.
    """
    try:
        yield
    except TrackingError as error:
        raise TrackingError(f"{error} {consequence}") from error


def check_uri(uri: str) -> None:
    """Check that a store's URI can be read.

    Raises:
        TrackingError: It makes no sense.
    """
    try:
        if uri.startswith(("http:", "https:")):
            _ = urlsplit(uri).port
        elif _is_database(uri):
            make_url(uri)
    except (ValueError, ArgumentError) as error:
        raise TrackingError(f"MLflow at {uri}: {_USABLE[0]} ({error}). {_USABLE[1]}. {_CHECK}") from error


def check_database(uri: str) -> None:
    """Look into a database once, before MLflow does, which asks one that does not open fifteen times.

    Args:
        uri: A store's; a server is not asked.

    Raises:
        TrackingError: It does not open, is locked, or its driver is not installed.
    """
    if _is_database(uri):
        with tracker_errors():
            engine = create_engine(uri)
            inspect(engine).has_table("experiments")
            engine.dispose()


def _is_database(uri: str) -> bool:
    return uri.partition(":")[0].partition("+")[0] in DATABASE_ENGINES


def is_missing(error: MlflowException) -> bool:
    """Tell whether MLflow has answered that there is no such thing."""
    missing = (RESOURCE_DOES_NOT_EXIST, INVALID_PARAMETER_VALUE)
    return error.error_code in [ErrorCode.Name(code) for code in missing]


def _loaded_errors() -> tuple[type[Exception], ...]:
    """The errors of libraries that are loaded: others raise none."""
    modules = ((sys.modules.get(module), name) for module, name in _STORAGE_ERRORS)
    return tuple(found for module, name in modules if module and (found := getattr(module, name, None)))


def _told(error: Exception) -> str:
    detail = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    cause, remedy = next(
        (meaning for pattern, meaning in _MEANINGS if re.search(pattern, str(error))), ("no answer, or refused", "")
    )
    if isinstance(error, ImportError):
        cause, remedy = "a package that it needs is not installed", f"Install {error.name or 'it'}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        cause, remedy = "no room is left for records or artifacts", "Make room"
    if caused := re.search(r"\(Caused by (.*)\)$", detail):  # what MLflow and others tell before it is long
        detail = caused[1]
    shown = detail if len(detail) <= MAX_TOLD else f"{detail[:MAX_TOLD]}…"
    return f"MLflow at {mlflow.get_tracking_uri()}: {cause} ({shown}). {f'{remedy}. ' if remedy else ''}{_CHECK}"
