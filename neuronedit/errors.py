"""The errors that neuronedit raises for a user to read.

A message states what was expected, what was found, where, and what to do about it.

Credentials, hidden from everything that is shown or stored. Passwords may hold what a URI must not (``/``, ``#``,
``?``, ``@``, quotes, spaces), as databases' URIs allow it, so where one ends is a guess, and the guess hides too much.

Numbers and names as a person reads them.
"""

import logging
import re
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from math import isfinite
from typing import Any
from urllib.parse import unquote

_HIDDEN = "***"

_SCHEME = re.compile(r"(?<![\w+.-])(?P<scheme>[\w+.-]{2,}):(?P<slashes>//?)")
_NEXT = re.compile(r"\n|(?<=[\s'\"(\[<=,])(?:[\w+.-]{2,}://|(?:models|runs):/)")
"""Where a URI's text has ended for certain: at the line's end, or where another begins."""

_LONGEST_USER = 4096
"""Of user and password, in characters; Google's tokens have 2,048."""

_ENCODED = re.compile(r"(?i)(?<=%3A%2F%2F)(?:(?!%2F|%3A)[^\s&/])*(?:%3A[^\s&]*)?%40")
"""User and password of a URI that is percent-encoded, since it is another's setting."""

_BEARER = r"(?<=[Bb]earer )[^\s'\",]+"
_IN_QUERY = r"(?i)(?:[?&;]|%3F|%26|%3B)$"
_APART = rf"{_IN_QUERY}|(?:^|[\s'\"(\[{{,$])$"

_NAME = re.compile(
    r"(?i)(?<![\w.+-])(?P<name>(?:[\w.+-]|%(?!0A|2[0267]|3[ABDF])[0-9A-F]{2})+)"
    r"(?:\s?(?P<equals>=|%3D)\s?|['\"]?\s?:(?!/)\s?)"
)
_SECRET_NAME = re.compile(
    "passw|passphrase|pwd|secret|token|credential|signature|authorization|connectionstring|odbcconnect"
    "|(?:access|api|private|account|auth|shared|storage|encryption)key"
)
_SECRET_WORDS = {"pass", "pw", "key", "auth", "sig", "sas"}
_VALUE = re.compile(
    r"(?i)(?:(?:basic|bearer|digest|negotiate|token)\s+)?"
    r"(?:(?P<quote>['\"])[^\n]*?(?P=quote)(?!\w)|\{[^}\n]*\}+"
    r"|(?:[^\s&'\"]|['\"](?![\s.,:;)\]}&'\"]|$))+?(?=[.,:;)\]}]*(?:[\s&]|['\"][\s.,:;)\]}&'\"]|['\"]?$))"
    r"|\s*[^\s&]+)"
)
_REST = re.compile(r"(?!['\"][\s.,:;)\]}]*$)(?:(?![.,:;)](?:\s|$)|\s\(|://)[^&\n])*(?=&[\w.%+-]+=|\n|$)")
"""The rest of a value that holds spaces: to the next setting, or to the line's end if nothing there is a sentence."""


def masked(text: str) -> str:
    """Replace the credentials in a text by ``***``.

    They are what stands before the ``@`` of every URI (``s3://key:secret@bucket``), the values of settings whose names
    say that they are secret (``?sas_token=…``, ``AWS_SECRET_ACCESS_KEY=…``), and tokens (``Bearer …``). The container
    of Azure's ``abfss://container@account`` and Google's ``gs://anonymous@bucket`` are none.

    Example:
        >>> masked("s3://key:secret@bucket/cells")
        's3://***@bucket/cells'
        >>> masked("postgresql://lab@db/runs?password=p@ss")
        'postgresql://***@db/runs?password=***'
    """
    text = _without_settings(text, _APART)  # before URIs, since their secrets may hold an @, too
    text = re.sub(_BEARER, _HIDDEN, text)
    text = _ENCODED.sub(f"{_HIDDEN}%40", _without_users(text))
    return _without_settings(text, "")


def _without_users(text: str) -> str:
    """Hide what stands before the ``@`` of URIs."""
    pieces, done = [], 0
    while found := _SCHEME.search(text, done):
        start = found.end()
        following = _NEXT.search(text, start, start + _LONGEST_USER)
        stop = min(following.start() if following else len(text), start + _LONGEST_USER)
        n_hidden = _user_length(found["scheme"], text[start:stop])
        pieces += [text[done:start], _HIDDEN * bool(n_hidden)]
        done = start + n_hidden
    return "".join([*pieces, text[done:]])


def _user_length(scheme: str, rest: str) -> int:
    """How many characters of the text after a URI's slashes are its user and password."""
    kept = {
        "models": r"",  # models:/NAME@ALIAS
        "runs": r"",
        "file": r"[A-Za-z]:[\\/]",
        "gs": r"anonymous@",
        "gcs": r"anonymous@",
        "abfs": r"[a-z0-9$-]{3,63}@",
        "abfss": r"[a-z0-9$-]{3,63}@",
    }
    if rest.startswith(f"{_HIDDEN}@") or (scheme in kept and re.match(kept[scheme], rest)):
        return 0
    before = rest[: max(rest.rfind("@"), 0)]
    if re.match("[^/:]*:", before):
        return len(before)
    host = re.split(r"/|\?[\w.%+-]+=", rest, maxsplit=1)[0]
    return max(host.rfind("@"), 0)


def _without_settings(text: str, after: str) -> str:
    """Hide the values of settings whose names say that they are secret, and stand after this pattern."""
    pieces, done, start = [], 0, 0
    while name := _NAME.search(text, start):
        start = name.end()
        before = text[max(name.start() - 3, 0) : name.start()]
        if not (re.search(after, before) and _is_secret(name, before)):
            continue
        value = _VALUE.match(text, start)
        if value:
            start = value.end()
            if name["equals"] and not value["quote"] and value[0] != _HIDDEN and (rest := _REST.match(text, start)):
                start = rest.end()
            quote = value["quote"] or ""
            pieces += [text[done : name.end()], f"{quote}{_HIDDEN}{quote}"]
            done = start
    return "".join([*pieces, text[done:]])


def _is_secret(found: re.Match[str], before: str) -> bool:
    in_query = re.search(_IN_QUERY, before)
    name = unquote(found["name"])
    if _SECRET_NAME.search(re.sub(r"[\W_]", "", name).lower()):
        return True
    words = set(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().replace("-", "_").split("_"))
    words = {word for joined in words for word in joined.split(".")} if in_query else words
    named = words & _SECRET_WORDS or name.lower().endswith(("key", "pass"))
    # A folder key=3 is a partition, and section.key=value any setting of a job.
    return bool(named and found["equals"] and (in_query or ("." not in name and not before.endswith("/"))))


class NeuroneditError(Exception):
    """Base of all errors whose message is meant for the user: it never shows the credentials of a URI."""

    def __str__(self) -> str:
        return masked(super().__str__())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


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


class EditedError(DataError):
    """An edit gives events values that are not finite.

    Attributes:
        marker: The first such marker.
        value: What it was given.
        finite: (n_events,) bool, events all of whose values are finite.
    """

    def __init__(self, message: str, marker: str, value: float, finite: Any) -> None:
        super().__init__(message)
        self.marker = marker
        self.value = value
        self.finite = finite


class OutputError(NeuroneditError):
    """An output folder is in use or not empty, or its files are not those of its manifest."""


class StorageError(NeuroneditError):
    """A storage does not answer, or is full."""


class TrackingError(NeuroneditError):
    """MLflow does not answer, refuses, or cannot be used."""


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
