"""The folder that a transform writes: claimed first, filled file by file, and vouched for by a manifest."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pyarrow import fs

import neuronedit
from neuronedit.adapters.committed_file import read_stamp
from neuronedit.adapters.parquet import FOOTER_READERS, EventDataset, EventFile
from neuronedit.adapters.storage import Location, locate
from neuronedit.errors import DataError, OutputError, listing
from neuronedit.model import EditModel
from neuronedit.model_files import ARRAYS, FACTS, parse_model

STARTED, MANIFEST, MODEL = "_started.json", "_manifest.json", "_model"

VERSIONED = ("ray", "torch", "numpy", "pyarrow", "mlflow")


@dataclass(frozen=True)
class TransformPlan:
    """What decides every bit of the output: the model, the settings and the input files."""

    model_uri: str
    model_digest: str
    settings: Mapping[str, Any]
    inputs: EventDataset

    def digest(self) -> str:
        """SHA-256; an output file that carries it was written by this plan."""
        content = [self.model_digest, dict(self.settings), self.inputs.digest()]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class FileReport:
    """What became of one file: its name, rows, size, and how many events were edited or passed, and why."""

    file: str
    events: int
    bytes: int
    counts: Mapping[str, int]


@dataclass(frozen=True)
class OutputFolder:
    """A claimed output folder, and the digest of the plan that fills it."""

    location: Location
    plan_digest: str
    started: str

    def model(self) -> EditModel:
        """The model that fills the folder, from the folder itself: every node that can write here can read it."""
        folder = self.location / MODEL
        return parse_model({name: (folder / name).read_bytes() for name in (FACTS, ARRAYS)}, folder.path)

    def report(self, file: EventFile) -> FileReport | None:
        """What became of an input file; None unless its output stands complete, written by this very plan."""
        target = self.location / file.name
        try:
            stamp = read_stamp(target)
        except DataError:  # damaged since: as good as not there, it will be written again
            return None
        if stamp is None or stamp["plan"] != self.plan_digest or stamp["rows"] != file.n_events:
            return None
        size = target.filesystem.get_file_info(target.path).size
        return FileReport(file.name, file.n_events, size, stamp["counts"])

    def reports(self, files: Sequence[EventFile]) -> list[FileReport]:
        """The reports of those files that are finished."""
        with ThreadPoolExecutor(FOOTER_READERS) as pool:
            return [report for report in pool.map(self.report, files) if report]

    def complete(self, plan: TransformPlan, reports: Sequence[FileReport], config: Mapping[str, str]) -> dict[str, Any]:
        """Remove what does not belong to the output, then write the manifest: it comes last.

        Args:
            plan: What was to be written.
            reports: What was written, file by file.
            config: The job's whole configuration, for the record.

        Raises:
            OutputError: A file is missing or surplus, or its rows differ from its input's.
        """
        expected = {file.name: file.n_events for file in plan.inputs.files}
        written = {report.file: report.events for report in reports}
        if written != expected:
            wrong = [name for name in expected | written if expected.get(name) != written.get(name)]
            raise OutputError(
                f"{self.location.path}: the outputs of {listing(wrong)} are missing or have other rows than the input. "
                "Run again with resume = true."
            )
        self._remove_others(set(expected))
        manifest = {
            "neuronedit": neuronedit.__version__,
            "model": {"uri": plan.model_uri, "sha256": plan.model_digest},
            "config": dict(config),
            "plan_sha256": self.plan_digest,
            "input": plan.inputs.uri,
            "events": sum(expected.values()),
            "counts": {name: sum(report.counts[name] for report in reports) for name in reports[0].counts},
            "inputs": [
                {"file": file.name, "events": file.n_events, "bytes": file.n_bytes} for file in plan.inputs.files
            ],
            "outputs": [
                {"file": report.file, "events": report.events, "bytes": report.bytes, **report.counts}
                for report in sorted(reports, key=lambda report: report.file)
            ],
            "versions": {name: version(name) for name in VERSIONED},
            "started": self.started,
            "finished": _now(),
        }
        (self.location / MANIFEST).write_json(manifest)
        self.location.filesystem.delete_file((self.location / STARTED).path)
        return manifest

    def _remove_others(self, expected: set[str]) -> None:
        # What an interrupted actor staged, and what an overwritten output had besides.
        start = len(self.location.path.rstrip("/")) + 1
        for info in self.location.files():
            name = info.path[start:]
            if name.endswith((".part", ".parquet", ".pq")) and name not in expected:
                self.location.filesystem.delete_file(info.path)


def claim_output(
    uri: str, plan: TransformPlan, model: Mapping[str, bytes], *, overwrite: bool, resume: bool
) -> OutputFolder:
    """Make sure that an output folder may be written; leave in it the model and a note of what is to happen.

    Args:
        uri: The folder.
        plan: What is to be written.
        model: The contents of the model's files, by name.
        overwrite: Replace an earlier output.
        resume: Continue an earlier output of the same plan.

    Raises:
        OutputError: It exists and neither flag is set; or it was not written by a transform; or it was
            started with another model, other settings or other input; or it lies within the input.
    """
    if overwrite and resume:
        raise OutputError("overwrite and resume exclude each other. Set one of them.")
    location = locate(uri)
    _check_apart(location, plan.inputs)
    started = {"plan_sha256": plan.digest(), "model": plan.model_uri, "started": _now()}
    asked = overwrite or resume
    if location.kind == fs.FileType.File or (location.files() if asked else _written(location)):
        _check_may_be_touched(location, uri, asked)
        if resume:
            started = _earlier_start(location, started, uri)
    (location / STARTED).write_json(started)
    for name, content in model.items():
        (location / MODEL / name).write_bytes(content)
    if (location / MANIFEST).exists:
        # From here on the folder may not hold what the old manifest vouches for.
        location.filesystem.delete_file((location / MANIFEST).path)
    return OutputFolder(location, started["plan_sha256"], started["started"])


def _written(location: Location) -> list[str]:
    """The names of the files in the folder, but for what claiming alone leaves: a start that wrote nothing is none."""
    start = len(location.path.rstrip("/")) + 1
    names = [info.path[start:] for info in location.files()]
    return [name for name in names if name != STARTED and not name.startswith(f"{MODEL}/")]


def _check_may_be_touched(location: Location, uri: str, asked: bool) -> None:
    if not asked:
        raise OutputError(
            f"{uri}: the output exists and is not empty. Choose another folder, or set overwrite = true to replace it, "
            "or resume = true to continue a transform that was stopped."
        )
    if not ((location / STARTED).exists or (location / MANIFEST).exists):
        raise OutputError(
            f"{uri}: not the output of a transform (neither {STARTED} nor {MANIFEST} is in it), so it is not touched. "
            "Choose another folder, or empty this one yourself."
        )


def _earlier_start(location: Location, now: dict[str, str], uri: str) -> dict[str, str]:
    known = location / STARTED if (location / STARTED).exists else location / MANIFEST
    before = known.read_json()
    if before["plan_sha256"] != now["plan_sha256"]:
        raise OutputError(
            f"{uri}: was started with another model, other settings or other input files, so it cannot be resumed. "
            "Use what it was started with, or set overwrite = true."
        )
    return {**now, "started": before["started"]}


def _check_apart(location: Location, inputs: EventDataset) -> None:
    source = locate(inputs.uri)
    if source.filesystem != location.filesystem:
        return
    folder, other = _real_path(location), _real_path(source)
    if folder.startswith(other) or other.startswith(folder):
        raise OutputError(
            f"{location.path}: the output lies in the input {source.path}, or the input in it. Choose a folder apart."
        )


def _real_path(location: Location) -> str:
    local = isinstance(location.filesystem, fs.LocalFileSystem)  # only there can links and ".." hide a place
    path = str(Path(location.path).resolve()) if local else location.path
    return f"{path.rstrip('/')}/"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
