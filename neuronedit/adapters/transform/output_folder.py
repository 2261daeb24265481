"""The folder that a job writes: claimed first, filled file by file, and vouched for by a manifest."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from uuid import uuid4

import pandas as pd
from pyarrow import fs

from neuronedit.adapters.files.blocks import FilePart
from neuronedit.adapters.files.dataset import MANIFEST, STARTED
from neuronedit.adapters.files.storage import Location, locate
from neuronedit.adapters.files.walk import own_entries, printable
from neuronedit.adapters.transform.committed import RECEIPTS, Receipt, receipt_name, standing_receipt
from neuronedit.adapters.transform.lease import LEASE, STAGED, Lease, lease
from neuronedit.adapters.transform.plan import TRANSFORM, TransformPlan, check_apart, check_same_job
from neuronedit.cells.tables import csv_text
from neuronedit.errors import ModelError, OutputError, listing
from neuronedit.model.edit_model import EditModel
from neuronedit.model.saved.files import ARRAYS, FACTS, contents_digest, parse_model

MODEL = "_model"
UNLOGGED, QUARANTINE = "_unlogged.json", "_quarantine.json"

QUALITY = "_quality.csv"
"""The table of quality; not Parquet, so that readers of ``*.parquet`` do not take it for events."""

NOTES = frozenset({STARTED, MANIFEST})
BESIDE = frozenset({QUALITY, UNLOGGED, QUARANTINE, f"{MODEL}/{FACTS}", f"{MODEL}/{ARRAYS}"})
"""What is written when a note is there already."""

_DAMAGE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


@dataclass(frozen=True)
class OutputFolder:
    """A claimed output folder, and the right to write it.

    Attributes:
        location: The folder.
        claim: Named in every receipt: what another claim wrote is not taken for this one's. A resume keeps it.
        model_digest: SHA-256 of the model that fills it.
        started: The time at which the folder was first claimed.
        lease: The right to write.
    """

    location: Location
    claim: str
    model_digest: str
    started: str
    lease: Lease

    def model(self) -> EditModel:
        """Read the model that fills the folder from the folder itself: every node that can write here can read it.

        Raises:
            ModelError: It is damaged, or another model than the one that the folder was claimed for.
        """
        folder = self.location / MODEL
        contents = {name: (folder / name).read_bytes() for name in (FACTS, ARRAYS)}
        if (found := contents_digest(contents)) != self.model_digest:
            raise ModelError(
                f"{folder.path}: expected the model {self.model_digest}, found {found}: something else wrote there. "
                "Run again with resume = true."
            )
        return parse_model(contents, folder.path)

    def receipt(self, part: FilePart) -> Receipt | None:
        """Read the receipt of a part whose output stands complete, written under this claim; None otherwise."""
        return standing_receipt(self.location, part.output, self.claim)

    def accept(self, receipt: Receipt) -> Receipt:
        """Write the receipt of an output that is complete."""
        self.lease.write(self.location / receipt_name(receipt.output), receipt.to_json().encode())
        return receipt

    def complete(
        self, manifest: Mapping[str, Any], receipts: Sequence[Receipt], quality: pd.DataFrame | None = None
    ) -> None:
        """Remove what earlier work left in the folder, then write the quality table and, last, the manifest.

        Args:
            manifest: Vouches for the output (see ``make_manifest``).
            receipts: The receipts of all parts of the input.
            quality: The table of the edits' quality (see ``quality_table``); None where nothing was edited.

        Raises:
            OutputError: Another job took the output over, or somebody put files of their own into it.
        """
        kept = {receipt.output for receipt in receipts if receipt.written}
        kept |= {receipt_name(receipt.output) for receipt in receipts}
        for name in _Contents.of(self.location).stale(kept):
            self.lease.delete(self.location / name)
        if quality is not None:
            self.lease.write(self.location / QUALITY, csv_text(quality).encode())
        self.lease.write_json(self.location / MANIFEST, manifest)
        self.lease.delete(self.location / STARTED)


@dataclass(frozen=True)
class _Contents:
    """What lies in an output folder: what a job wrote, by receipts, manifest and hidden names, and the rest.

    Attributes:
        location: The folder.
        receipts: Names of receipts.
        outputs: Names of the outputs that have one.
        vouched: Names of outputs that stand in the manifest and have none.
        staged: Names of files that were not moved to their place.
        noted: Whether a note of the start or a manifest is there.
        foreign: Names of what no job wrote; every link is.
    """

    location: Location
    receipts: frozenset[str]
    outputs: frozenset[str]
    vouched: frozenset[str]
    staged: frozenset[str]
    noted: bool
    foreign: frozenset[str]

    @classmethod
    def of(cls, location: Location) -> Self:
        entries = own_entries(location)
        files = frozenset(entry.name for entry in entries if entry.kind == "file")
        receipts = frozenset(name for name in files if name.startswith(f"{RECEIPTS}/") and name.endswith(".json"))
        outputs = frozenset(name for name in files if receipt_name(name) in receipts)
        vouched = (_listed(location / MANIFEST) if MANIFEST in files else frozenset()) & files - outputs
        staged = frozenset(name for name in files if STAGED.fullmatch(name.rpartition("/")[2]))
        notes = files & NOTES
        beside = {name for name in files if name.startswith(LEASE) or (name in BESIDE and (notes or receipts))}
        foreign = frozenset(entry.name for entry in entries) - receipts - outputs - vouched - staged - notes - beside
        return cls(location, receipts, outputs, vouched, staged, bool(notes), foreign)

    @property
    def begun(self) -> bool:
        """Whether work was done: more than to claim the folder."""
        return bool(self.receipts or self.outputs or self.vouched)

    def check_no_others(self, foreign: Iterable[str] = ()) -> None:
        """Check that nothing in the folder is somebody else's.

        Raises:
            OutputError: Something is.
        """
        if names := sorted(self.foreign.union(foreign)):
            raise OutputError(
                f"{self.location.path}: expected what neuronedit wrote there and nothing else; found also "
                f"{listing(map(printable, names))}. Nothing was touched: move it elsewhere, or choose another folder."
            )

    def stale(self, kept: AbstractSet[str]) -> list[str]:
        """Name what may be removed, an output before the receipt that shows it to be ours.

        Raises:
            OutputError: Something in the folder is not ours; or a receipt is not one.
        """
        receipts = sorted(self.receipts - kept)
        self.check_no_others(name for name in receipts if not self._is_receipt(name))
        return [*sorted(self.staged), *sorted(self.outputs - kept), *receipts]

    def _is_receipt(self, name: str) -> bool:
        try:
            return receipt_name((self.location / name).read_json()["output"]) == name
        except _DAMAGE:
            return False


@contextmanager
def claimed_output(
    uri: str, plan: TransformPlan, model: Mapping[str, bytes], *, overwrite: bool, resume: bool
) -> Iterator[OutputFolder]:
    """Claim an output folder, which no other job writes while the block runs.

    The folder gets the model and a note of the start.

    Args:
        uri: The folder.
        plan: The plan of the job.
        model: The contents of the model's files, by name.
        overwrite: Replace an earlier output of the same job.
        resume: Continue an earlier output of the same plan.

    Raises:
        OutputError: It exists and neither flag is set; or it was not written by this job; or it was started
            with another model, other settings or other input; or it lies within the input; or another job is writing
            it.
    """
    if overwrite and resume:
        raise OutputError("overwrite and resume exclude each other. Set one of them.")
    location = locate(uri)
    check_apart(location, plan.inputs)
    _note_of_start(location, plan, uri, overwrite=overwrite, resume=resume)
    with lease(location) as held:
        # Asked again: another driver may have finished since.
        started = _note_of_start(location, plan, uri, overwrite=overwrite, resume=resume)
        held.write_json(location / STARTED, started)
        for name, content in model.items():
            held.write(location / MODEL / name, content)
        # From here on the folder may not hold what an old manifest vouches for.
        for name in (*_Contents.of(location).vouched, MANIFEST, UNLOGGED, QUARANTINE):
            held.delete(location / name)
        yield OutputFolder(location, started["claim"], plan.model_digest, started["started"], held)


def _note_of_start(
    location: Location, plan: TransformPlan, uri: str, *, overwrite: bool, resume: bool
) -> dict[str, Any]:
    note: dict[str, Any] = {"plan_sha256": plan.digest(), "job": plan.job, "model": plan.model_uri}
    if plan.job == TRANSFORM:  # others' are not named as users name them
        note["settings"] = dict(plan.settings)
    note |= {"started": manifest_time(), "claim": uuid4().hex}
    if location.kind not in (fs.FileType.NotFound, fs.FileType.Directory):
        raise OutputError(f"{uri}: the output exists and is not a folder. Choose another place.")
    found = _Contents.of(location)
    if not (overwrite or resume):
        if found.foreign or found.begun:
            raise OutputError(
                f"{uri}: the output exists and is not empty. Choose another folder, or set overwrite = true to replace "
                "it, or resume = true to continue what was stopped."
            )
        return note
    found.check_no_others()
    check_same_job(location, plan.job, overwrite=overwrite)
    if not found.noted:
        found.stale(frozenset())  # with no note, all rests on the receipts
    if not resume:
        return note
    if found.noted:
        return _earlier_start(location, plan, note, uri)
    if found.begun:
        raise OutputError(
            f"{uri}: neither {STARTED} nor {MANIFEST} is in it, so what was begun is not known. Set overwrite = true "
            "to write all files anew."
        )
    return note


def _earlier_start(location: Location, plan: TransformPlan, now: dict[str, Any], uri: str) -> dict[str, Any]:
    known = location / STARTED if (location / STARTED).exists else location / MANIFEST
    try:
        before = known.read_json()
        digest, started, claim = (before[key] for key in ("plan_sha256", "started", "claim"))
    except _DAMAGE as error:
        raise OutputError(
            f"{known.path}: damaged ({type(error).__name__}), so what was begun is not known. Set overwrite = true to "
            "write all files anew."
        ) from error
    if digest != now["plan_sha256"]:
        changed = plan.changed_since(before) or "was started with another model, other settings or other input files"
        raise OutputError(
            f"{uri}: {changed}, so it cannot be resumed. Use what it was started with, or set overwrite = true."
        )
    return now | {"started": started, "claim": claim}


def _listed(manifest: Location) -> frozenset[str]:
    """The outputs that a manifest vouches for; none where it is damaged."""
    try:
        return frozenset(output["file"] for output in manifest.read_json()["outputs"])
    except _DAMAGE:
        return frozenset()


def manifest_time() -> str:
    """The time now, UTC, to the second, as manifests have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
