"""The plan of a job that fills an output folder: what decides its bits, and what it may write over."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pyarrow import fs

from neuronedit.adapters.files.dataset import MANIFEST, STARTED, EventDataset
from neuronedit.adapters.files.storage import Location
from neuronedit.errors import OutputError

TRANSFORM, EXPORT, INGEST = "transform", "export", "ingest"
"""The jobs that fill output folders."""

LATER: Final = {"serve": "student", "to": "fcs"}
"""Settings that earlier versions did not have, with the value that does as these did: an output begun by one of them
has the same digest, and is resumed."""

MAX_TOLD = 60
"""Characters of a setting, earlier and now, that a message shows, at most."""


@dataclass(frozen=True)
class TransformPlan:
    """Everything that decides the output's bits: the model, the settings and the input files.

    Attributes:
        model_uri: The model; a job without one has its own name here.
        model_digest: SHA-256 of the model.
        settings: The settings that decide the output's bits.
        inputs: The input files.
        job: The job's name: an output is only replaced by the job that wrote it.
    """

    model_uri: str
    model_digest: str
    settings: Mapping[str, Any]
    inputs: EventDataset
    job: str = TRANSFORM

    def digest(self) -> str:
        """SHA-256; an output whose receipt has it was written by this plan."""
        settings = {key: value for key, value in self.settings.items() if key not in LATER or value != LATER[key]}
        content = [self.model_digest, settings, self.inputs.digest()]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def changed_since(self, earlier: Mapping[str, Any]) -> str:
        """Say which settings are others than in an earlier start, and what they were; empty where none can be named.

        Args:
            earlier: The note or the manifest of that start; earlier versions and other jobs noted no settings.
        """
        before = earlier.get("settings")
        if not isinstance(before, dict):
            return ""
        was, now = (
            {key: json.dumps(settings[key], sort_keys=True) for key in self.settings if key in before}
            for settings in (before, self.settings)
        )
        others = [key for key in now if was[key] != now[key] and len(was[key] + now[key]) <= MAX_TOLD]
        if not others:
            return ""
        expected, found = (", ".join(f"{key} = {texts[key]}" for key in others) for texts in (was, now))
        return f"expected {expected}, with which it was started; found {found}"


def check_same_job(location: Location, job: str, *, overwrite: bool) -> None:
    """Check that what a job is to replace or to continue is its own.

    Args:
        location: The output folder.
        job: The job.
        overwrite: Whether the output is to be replaced; to continue a damaged one is refused in any case.

    Raises:
        OutputError: Another job wrote it; or its note or manifest is damaged, and may be another job's.
    """
    for note in (location / STARTED, location / MANIFEST):
        if not note.exists:
            continue
        writer = _writer(note)
        if writer is None and overwrite and job != TRANSFORM:
            raise OutputError(
                f"{note.path}: expected the note or manifest of an earlier {job}, to replace it; found a damaged one, "
                "which may be another job's. Nothing was touched: choose another folder, or remove this one yourself."
            )
        if writer not in (job, None):
            raise OutputError(
                f"{location.path}: expected an output of {job}; found one of {writer}, which only {writer} may replace "
                "or continue. Nothing was touched: choose another folder, or remove this one yourself."
            )


def check_apart(location: Location, inputs: EventDataset) -> None:
    """Check that the output and the input do not lie in each other.

    Raises:
        OutputError: One does.
    """
    source = inputs.root
    if source.filesystem != location.filesystem:
        return
    folder, other = _real_path(location), _real_path(source)
    within = (_real_path(Location(source.filesystem, file.path)).startswith(folder) for file in inputs.files)
    if folder.startswith(other) or other.startswith(folder) or any(within):
        raise OutputError(
            f"{location.path}: the output lies in the input {source.path}, or the input in it. Choose a folder apart."
        )


def _real_path(location: Location) -> str:
    local = isinstance(location.filesystem, fs.LocalFileSystem)  # only there can links and ".." hide a place
    path = str(Path(location.path).resolve()) if local else location.path
    return f"{path.rstrip('/')}/"


def _writer(note: Location) -> str | None:
    """The job that wrote a note or manifest; None where it is damaged."""
    try:
        found = note.read_json()
        return str(found.get("job") or (EXPORT if found.get("model") == EXPORT else TRANSFORM))
    except (ValueError, AttributeError, RecursionError):
        return None
