"""The folder that a transform writes: claimed first, filled file by file, and vouched for by a manifest."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import fs

from neuronedit.adapters.files.blocks import FilePart
from neuronedit.adapters.files.parquet import EventDataset
from neuronedit.adapters.files.storage import Location, locate
from neuronedit.adapters.transform.committed import RECEIPTS, Receipt, receipt_name, standing_receipt
from neuronedit.adapters.transform.lease import LEASE, Lease, lease
from neuronedit.errors import OutputError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.files import ARRAYS, FACTS, parse_model

STARTED, MANIFEST, MODEL = "_started.json", "_manifest.json", "_model"

QUALITY = "_quality.csv"
"""The table of quality; not Parquet, so that readers of ``*.parquet`` do not take it for events."""


@dataclass(frozen=True)
class TransformPlan:
    """Everything that decides the output's bits: the model, the settings and the input files."""

    model_uri: str
    model_digest: str
    settings: Mapping[str, Any]
    inputs: EventDataset

    def digest(self) -> str:
        """SHA-256; an output whose receipt has it was written by this plan."""
        content = [self.model_digest, dict(self.settings), self.inputs.digest()]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class OutputFolder:
    """A claimed output folder, the digest of the plan that fills it, and the right to write it."""

    location: Location
    plan_digest: str
    started: str
    lease: Lease

    def model(self) -> EditModel:
        """Read the model that fills the folder from the folder itself: every node that can write here can read it."""
        folder = self.location / MODEL
        return parse_model({name: (folder / name).read_bytes() for name in (FACTS, ARRAYS)}, folder.path)

    def receipt(self, part: FilePart) -> Receipt | None:
        """Read the receipt of a part whose output stands complete, written by this very plan; None otherwise."""
        return standing_receipt(self.location, part.output, self.plan_digest)

    def accept(self, receipt: Receipt) -> Receipt:
        """Write the receipt of an output that is complete."""
        self.lease.write(self.location / receipt_name(receipt.output), receipt.to_json().encode())
        return receipt

    def complete(self, manifest: Mapping[str, Any], receipts: Sequence[Receipt], quality: pd.DataFrame) -> None:
        """Remove files that do not belong to the output, then write the quality table and, last, the manifest.

        Args:
            manifest: Vouches for the output (see ``make_manifest``).
            receipts: The receipts of all parts of the input.
            quality: The table of the edits' quality (see ``quality_table``).

        Raises:
            OutputError: Another transform took the output over.
        """
        self.lease.check()
        self._remove_others({receipt.output: receipt.written for receipt in receipts})
        self.lease.write(self.location / QUALITY, quality.to_csv(index=False).encode())
        self.lease.write(self.location / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
        (self.location / STARTED).delete()

    def _remove_others(self, outputs: Mapping[str, bool]) -> None:
        # What an interrupted actor staged, and what an overwritten output had besides.
        start = len(self.location.path.rstrip("/")) + 1
        receipts = {receipt_name(output) for output in outputs}
        for info in self.location.files():
            name = info.path[start:]
            stale = name.endswith((".part", ".parquet", ".pq")) and not outputs.get(name)
            if stale or (name.startswith(f"{RECEIPTS}/") and name not in receipts):
                (self.location / name).delete()


@contextmanager
def claimed_output(
    uri: str, plan: TransformPlan, model: Mapping[str, bytes], *, overwrite: bool, resume: bool
) -> Iterator[OutputFolder]:
    """Claim an output folder, which no other transform writes while the block runs.

    The folder gets the model and a note of the start.

    Args:
        uri: The folder.
        plan: The plan of the transform.
        model: The contents of the model's files, by name.
        overwrite: Replace an earlier output.
        resume: Continue an earlier output of the same plan.

    Raises:
        OutputError: It exists and neither flag is set; or it was not written by a transform; or it was
            started with another model, other settings or other input; or it lies within the input; or another
            transform is writing it.
    """
    if overwrite and resume:
        raise OutputError("overwrite and resume exclude each other. Set one of them.")
    location = locate(uri)
    _check_apart(location, plan.inputs)
    _note_of_start(location, plan, uri, overwrite=overwrite, resume=resume)
    with lease(location) as held:
        # Asked again: another driver may have finished since.
        started = _note_of_start(location, plan, uri, overwrite=overwrite, resume=resume)
        (location / STARTED).write_json(started)
        for name, content in model.items():
            (location / MODEL / name).write_bytes(content)
        # From here on the folder may not hold what an old manifest vouches for.
        (location / MANIFEST).delete()
        if not resume:
            (location / RECEIPTS).delete_folder()  # all work is done again
        yield OutputFolder(location, started["plan_sha256"], started["started"], held)


def _note_of_start(
    location: Location, plan: TransformPlan, uri: str, *, overwrite: bool, resume: bool
) -> dict[str, str]:
    started = {"plan_sha256": plan.digest(), "model": plan.model_uri, "started": manifest_time()}
    asked = overwrite or resume
    if location.kind == fs.FileType.File or (_file_names(location) if asked else _claimed_work(location)):
        _check_may_be_touched(location, uri, asked)
        if resume:
            return _earlier_start(location, started, uri)
    return started


def _file_names(location: Location) -> list[str]:
    """The names of the files in the folder, but for drivers' leases."""
    start = len(location.path.rstrip("/")) + 1
    names = [info.path[start:] for info in location.files()]
    return [name for name in names if not name.startswith(LEASE)]


def _claimed_work(location: Location) -> list[str]:
    """The names of the files in the folder, but for those of the claim itself: a start that wrote nothing is none."""
    return [name for name in _file_names(location) if name != STARTED and not name.startswith(f"{MODEL}/")]


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
    source = inputs.root
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


def manifest_time() -> str:
    """The time now, UTC, to the second, as manifests have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
