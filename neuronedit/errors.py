"""Every error that neuronedit raises for a user to read.

A message says what was expected, what was found, where, and what to do about it.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from neuronedit.credentials import masked


class NeuroneditError(Exception):
    """Base of all errors whose message is meant for the user: it never shows the credentials of a URI."""

    def __str__(self) -> str:
        return masked(super().__str__())


class ConfigError(NeuroneditError):
    """A job's configuration cannot be used."""


class PanelError(NeuroneditError):
    """The markers of the data do not fit the panel."""


class DataError(NeuroneditError):
    """A file or a population of events cannot be used."""


class ModelError(NeuroneditError):
    """A model cannot be found, loaded or applied as asked."""


class CheckpointError(NeuroneditError):
    """A state of training is damaged, or not of this training."""


class OutputError(NeuroneditError):
    """An output folder is not free to be written, or not what it claims to be."""


class StorageError(NeuroneditError):
    """A storage does not answer, or has no room."""


class ClusterError(NeuroneditError):
    """The Ray cluster cannot run what was asked of it."""


def nearest_name(name: str, known: Iterable[str]) -> str:
    """A hint such as ``; nearest name 'CD45RA'``, or nothing where no known name is near."""
    known = list(known)
    folded = {candidate.casefold(): candidate for candidate in known}
    near = get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    return f"; nearest name {folded[near[0]]!r}" if near else ""


def listing(names: Iterable[object], limit: int = 8) -> str:
    """Names in one line, cut after ``limit`` with the count of those left out."""
    shown = [repr(name) for name in names]
    rest = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + rest
