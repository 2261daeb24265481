"""The errors that neuronedit raises for a user to read.

A message states what was expected, what was found, where, and what to do about it.

Credentials in URIs, hidden from everything that is shown or stored. Numbers and names as a person reads them.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from math import isfinite

_USER_AND_PASSWORD = re.compile(r"(?<=://)[^\s/?#'\"@]*:[^\s?#'\"]*@")
_SECRET_SETTING = re.compile(
    r"(?i)(?<=[?&])([\w.-]*(?:access_?key|secret|_key|token|password|credentials?|sig|signature)[\w.-]*=)[^\s&#'\"]+"
)


def masked(text: str) -> str:
    """Replace the credentials of every URI in a text by ``***``.

    They are user and password before the ``@`` (``s3://key:secret@bucket``), and settings whose names say that they are
    secret (``?sas_token=…``). A password may hold a slash, as AWS's own do, although a URI must not.

    Example:
        >>> masked("s3://key:secret@bucket/cells")
        's3://***@bucket/cells'
    """
    return _SECRET_SETTING.sub(r"\1***", _USER_AND_PASSWORD.sub("***@", text))


class NeuroneditError(Exception):
    """Base of all errors whose message is meant for the user: it never shows the credentials of a URI."""

    def __str__(self) -> str:
        return masked(super().__str__())


class ConfigError(NeuroneditError):
    """The configuration of a job cannot be used."""


class PanelError(NeuroneditError):
    """The markers of the data do not fit the panel."""


class DataError(NeuroneditError):
    """A file or a population of events cannot be used."""


class ModelError(NeuroneditError):
    """A model cannot be found, loaded or applied as asked."""


class CheckpointError(NeuroneditError):
    """A training state is damaged, or belongs to another training run."""


class OutputError(NeuroneditError):
    """An output folder is in use or not empty, or its files are not those of its manifest."""


class StorageError(NeuroneditError):
    """A storage does not answer, or is full."""


class ClusterError(NeuroneditError):
    """The Ray cluster cannot run what was asked of it."""


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Give a hint at the nearest known name, or an empty text if none is near.

    Example:
        >>> nearest_name("CD45ra", ["CD3", "CD45RA"])
        "; nearest name 'CD45RA'"
    """
    known = list(known)
    folded = {candidate.casefold(): candidate for candidate in known}
    near = get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    return f"; nearest name {folded[near[0]]!r}" if near else ""


NOT_MEASURED = "not measured"
"""Stands for a number that nobody knows."""


def told(value: float, form: str = ".2f") -> str:
    """Format a number for a person; one that is not finite was not measured.

    Example:
        >>> told(0.126), told(float("nan")), told(0.126, ".0%")
        ('0.13', 'not measured', '13%')
    """
    return f"{value:{form}}" if isfinite(value) else NOT_MEASURED


def listing(names: Iterable[object], limit: int = 8) -> str:
    """List names in one line, at most ``limit`` of them and the number of the others.

    Example:
        >>> listing(["CD3", "CD4", "CD8"], limit=2)
        "'CD3', 'CD4' and 1 more"
    """
    shown = [repr(name) for name in names]
    rest = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + rest
