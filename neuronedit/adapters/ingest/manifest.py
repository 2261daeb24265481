"""The output of an ingest: its plan, what it takes the place of, and the manifest that vouches for it."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import neuronedit
from neuronedit.adapters.fcs.looks import Findings, look_at_batches
from neuronedit.adapters.files.dataset import EventDataset
from neuronedit.adapters.files.staged_folder import remove_earlier
from neuronedit.adapters.files.storage import Location
from neuronedit.adapters.ingest.ingester import LOCAL, IngestItem, rows_digest
from neuronedit.adapters.ingest.survey import Survey, none_usable
from neuronedit.adapters.transform.committed import LeftOut, Receipt
from neuronedit.adapters.transform.output_folder import QUARANTINE, OutputFolder, manifest_time
from neuronedit.adapters.transform.plan import INGEST, TransformPlan
from neuronedit.errors import OutputError, listing

log = logging.getLogger(__name__)

RECORD = "_ingest.json"
"""What ingest once wrote in the place of a manifest."""


def ingest_plan(survey: Survey) -> TransformPlan:
    """Make the plan of an ingest; its input is the sheet with its files."""
    sheet = Location(LOCAL, str(Path(survey.sheet).absolute()))
    inputs = EventDataset(survey.sheet, sheet, tuple(item.file for item in survey.items))
    settings = {"job": INGEST, "rows": rows_digest(survey.items), **survey.rules.settings()}
    return TransformPlan(INGEST, "", settings, inputs, INGEST)


def replace_record(output: str, *, overwrite: bool, resume: bool) -> None:
    """Remove an ingest of an earlier version, which has another record than a manifest, where it is to be replaced.

    Raises:
        OutputError: It is to be resumed; or the folder holds what that ingest did not write.
        StorageError: The disk fails.
    """
    if not (Path(output) / RECORD).exists():
        return
    if resume:
        raise OutputError(
            f"{output}: an earlier version of ingest wrote it ({RECORD}), and it cannot be resumed. Set overwrite = "
            "true to replace it, or choose another folder."
        )
    if overwrite:
        remove_earlier(Path(output), RECORD)


def _told_and_left_out(survey: Survey, receipts: Sequence[Receipt]) -> list[LeftOut]:
    """Log what looked wrong with the events, and list the files that are left out.

    Args:
        survey: The first look at the files.
        receipts: Those of the files.

    Raises:
        DataError: No file is left.
    """
    told = Findings()
    for receipt in receipts:
        for note in receipt.notes:
            told.add(receipt.input, note)
        for entry in receipt.left_out:
            log.warning("quarantined: %s", entry.reason)
    told.tell()
    left_out = [*survey.left_out, *(entry for receipt in receipts for entry in receipt.left_out)]
    written = {receipt.output for receipt in receipts if receipt.written}
    if not written:
        raise none_usable(survey.sheet, left_out)
    look_at_batches([item.labels for item in survey.items if item.output in written], survey.sheet)
    return left_out


def complete_ingest(
    survey: Survey, plan: TransformPlan, receipts: Sequence[Receipt], config: Mapping[str, str], output: OutputFolder
) -> dict[str, Any]:
    """Write the list of files that are left out, and, last, the manifest.

    Args:
        survey: The first look at the files.
        plan: The plan of the ingest.
        receipts: Those of the files.
        config: The job's whole configuration.
        output: The claimed folder.

    Raises:
        DataError: No file is left.
        OutputError: A file has no receipt; another job took the output over; or somebody put files of their own into
            it.
    """
    by_name = {receipt.output: receipt for receipt in receipts}
    if missing := [item.output for item in survey.items if item.output not in by_name]:
        raise OutputError(f"The outputs of {listing(missing)} are missing. Run again with resume = true.")
    left_out = _told_and_left_out(survey, receipts)
    manifest = {
        "neuronedit": neuronedit.__version__,
        "job": INGEST,
        "model": {},
        "config": dict(config),
        "plan_sha256": plan.digest(),
        "claim": output.claim,
        "input": plan.inputs.uri,
        "input_sha256": plan.inputs.digest(),
        "columns": list(survey.rules.columns),
        "events": sum(receipt.events for receipt in receipts),
        "left_out": [asdict(entry) for entry in left_out],
        "inputs": [{"file": file.name, "events": file.n_events, "bytes": file.n_bytes} for file in plan.inputs.files],
        "outputs": [_output(item, by_name[item.output]) for item in survey.items if by_name[item.output].written],
        "versions": {name: version(name) for name in ("pyarrow", "numpy")},
        "started": output.started,
        "finished": manifest_time(),
    }
    if left_out:
        output.lease.write(output.location / QUARANTINE, _quarantine(left_out))
    output.complete(manifest, receipts)
    return manifest


def ingest_summary(manifest: Mapping[str, Any], place: str) -> str:
    """Tell a person what an ingest wrote, and where what it left out is listed.

    Args:
        manifest: The output's manifest.
        place: The output, as it may be shown.
    """
    lines = [f"{place}: {manifest['events']:,} events of {len(manifest['outputs'])} files"]
    if manifest["left_out"]:
        lines.append(f"quarantined {len(manifest['left_out'])} files: see {place}/{QUARANTINE}")
    return "\n".join(lines)


def _output(item: IngestItem, receipt: Receipt) -> dict[str, Any]:
    return {
        "file": receipt.output,
        "input": receipt.input,
        "input_content": receipt.content,
        "fcs_version": item.version,
        "sample_id": item.labels["sample_id"],
        "events": receipt.events,
        "bytes": receipt.n_bytes,
        "sha256": receipt.sha256,
    }


def _quarantine(left_out: Iterable[LeftOut]) -> bytes:
    listed = [{"file": entry.file, "reason": entry.reason} for entry in left_out]
    return (json.dumps(listed, indent=2, ensure_ascii=False) + "\n").encode()
