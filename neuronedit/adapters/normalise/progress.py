"""The progress of a job of several steps: which are done is noted in its output folder, so that it goes on there."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pyarrow import fs

from neuronedit.adapters.files.storage import Location, locate
from neuronedit.adapters.transform.lease import LEASE, Lease, lease
from neuronedit.errors import OutputError, listing

log = logging.getLogger(__name__)

NOTE = "_normalise.json"


@dataclass(frozen=True)
class Progress:
    """The steps of a job that were begun in an output folder, under the right to write it.

    Attributes:
        location: The folder.
        lease: The right to write it.
        settings: What the job was begun with, text by text.
        steps: Of each step that was begun, what the next ones ask of it; None until it is done.
        overwrites: An earlier job's steps may be replaced.
    """

    location: Location
    lease: Lease
    settings: Mapping[str, str]
    steps: dict[str, Any]
    overwrites: bool

    def done(self, step: str) -> Any:
        """Give what a step left for the next ones; None where it is not done."""
        return self.steps.get(step)

    def begin(self, step: str) -> dict[str, bool]:
        """Note that a step begins, and say how: it goes on where it was begun before, else may replace an earlier one.

        Returns:
            The settings ``resume`` and ``overwrite`` of the step's own job.
        """
        begun = step in self.steps
        log.info("%s %s", step, "goes on" if begun else "begins")
        if not begun:
            self.steps[step] = None
            self._write()
        overwrite = self.overwrites and not begun
        return {"resume": not overwrite, "overwrite": overwrite}

    def end(self, step: str, left: Any) -> None:
        """Note that a step is done, and what it left for the next ones: anything that JSON has."""
        self.steps[step] = left
        self._write()

    def _write(self) -> None:
        facts = {"settings": dict(self.settings), "steps": self.steps, "overwrites": self.overwrites}
        self.lease.write_json(self.location / NOTE, facts)


@contextmanager
def claimed_progress(uri: str, settings: Mapping[str, str], *, overwrite: bool) -> Iterator[Progress]:
    """Claim an output folder, which no other job writes while the block runs; go on where an earlier run ended.

    Args:
        uri: A folder of this machine.
        settings: All that decides the output: a folder that was begun with others is refused.
        overwrite: Begin anew in a folder that an earlier run wrote.

    Raises:
        OutputError: It is not a local folder; or it has other content; or it was begun with other settings, or its
            note is damaged; or another job is writing it.
    """
    if "://" in uri:
        raise OutputError(f"{uri}: expected a folder of this machine; found a URI. Write here, then copy it.")
    location = locate(uri)
    _note(location, settings, uri, overwrite=overwrite)
    with lease(location) as held:
        steps, overwrites = _note(location, settings, uri, overwrite=overwrite)  # another driver may have begun since
        yield Progress(location, held, settings, steps, overwrites)


def _note(location: Location, settings: Mapping[str, str], uri: str, *, overwrite: bool) -> tuple[dict[str, Any], bool]:
    """Read what was begun: the steps, and whether they may replace older ones."""
    if location.kind not in (fs.FileType.NotFound, fs.FileType.Directory):
        raise OutputError(f"{uri}: the output exists and is not a folder. Choose another place.")
    if not (location / NOTE).exists:
        _check_empty(location, uri)
        return {}, False
    try:
        known = (location / NOTE).read_json()
        before, steps, overwrites = dict(known["settings"]), dict(known["steps"]), bool(known["overwrites"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        if overwrite:
            return {}, True
        raise OutputError(
            f"{(location / NOTE).path}: damaged ({type(error).__name__}), so what was begun is not known. Set "
            "overwrite = true to begin anew."
        ) from error
    if overwrite:
        return {}, True
    if changed := sorted(key for key in before.keys() | settings.keys() if before.get(key) != settings.get(key)):
        raise OutputError(
            f"{uri}: was begun with other settings or files ({listing(changed)}). Use those that it was begun with, "
            "choose another folder, or set overwrite = true to begin anew."
        )
    if steps:
        log.info("%s: goes on after %s", uri, listing([name for name, left in steps.items() if left is not None]))
    return steps, overwrites


def _check_empty(location: Location, uri: str) -> None:
    if location.kind == fs.FileType.NotFound:
        return
    found = location.filesystem.get_file_info(fs.FileSelector(location.path))
    if names := sorted(info.base_name for info in found if not info.base_name.startswith(LEASE)):
        raise OutputError(
            f"{uri}: the output exists and is not empty (it has {listing(names, limit=3)}, and no {NOTE} of an earlier "
            "run). Choose another folder."
        )
