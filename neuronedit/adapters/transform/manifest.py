"""The manifest of an output: its files, their origin and the events left out; an output is verified by it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from posixpath import splitext
from typing import Any

from pydantic import BaseModel

import neuronedit
from neuronedit.adapters.files.blocks import FilePart
from neuronedit.adapters.files.dataset import MANIFEST, PARQUET_NAMES, check_finished
from neuronedit.adapters.files.parquet import open_parquet
from neuronedit.adapters.files.storage import Location, first_line, locate
from neuronedit.adapters.files.walk import hidden, own_entries, printable
from neuronedit.adapters.transform.committed import LeftOut, Receipt, sha256_of
from neuronedit.adapters.transform.event_editor import OUTCOMES
from neuronedit.adapters.transform.output_folder import manifest_time
from neuronedit.adapters.transform.plan import TransformPlan
from neuronedit.errors import DataError, OutputError, listing
from neuronedit.model.quality.unsupported import told_warnings

VERSIONED = ("ray", "torch", "numpy", "pyarrow", "mlflow")


READERS = 8
"""Files that are read at once."""


@dataclass(frozen=True)
class OutputOrigin:
    """The origin of an output.

    Attributes:
        model: Facts of the model (see ``PinnedModel.facts``).
        config: The job's whole configuration.
        run_id: The transform's MLflow run.
        started: The time at which the transform started.
        claim: The claim of the output folder (see ``OutputFolder``).
        scope: What the model was reviewed for, and warnings of events that it is not for (see ``scope_facts``).
    """

    model: Mapping[str, Any]
    config: Mapping[str, str]
    run_id: str
    started: str
    claim: str
    scope: Mapping[str, Any] = field(default_factory=dict)


def make_manifest(
    plan: TransformPlan,
    parts: Sequence[FilePart],
    receipts: Sequence[Receipt],
    quality: Mapping[str, Any],
    origin: OutputOrigin,
) -> dict[str, Any]:
    """Make the manifest of an output.

    Args:
        plan: The plan of the transform.
        parts: The parts of the input; each has a receipt.
        receipts: The receipts of these parts.
        quality: The quality of the edits, by batch (see ``manifest_facts``).
        origin: The origin of the output.

    Raises:
        OutputError: An output is missing or surplus, or its rows and those left out are not its input's.
    """
    _check_accounts(parts, receipts)
    receipts = sorted(receipts, key=lambda receipt: receipt.output)
    unreadable = [LeftOut(name, None, 0, None, reason) for name, reason in plan.inputs.unreadable.items()]
    left_out = [*unreadable, *(left_out for receipt in receipts for left_out in receipt.left_out)]
    return {
        "neuronedit": neuronedit.__version__,
        "job": plan.job,
        "run": origin.run_id,
        "model": dict(origin.model),
        "config": dict(origin.config),
        "plan_sha256": plan.digest(),
        "settings": dict(plan.settings),
        "claim": origin.claim,
        "input": plan.inputs.uri,
        "input_sha256": plan.inputs.digest(),
        "events": sum(receipt.events for receipt in receipts),
        "counts": {outcome: sum(receipt.counts.get(outcome, 0) for receipt in receipts) for outcome in OUTCOMES},
        "quality": dict(quality),
        "scope": dict(origin.scope),
        "left_out": [asdict(entry) for entry in left_out],
        "inputs": [{"file": file.name, "events": file.n_events, "bytes": file.n_bytes} for file in plan.inputs.files],
        "outputs": [_output(receipt) for receipt in receipts if receipt.written],
        "versions": {name: version(name) for name in VERSIONED},
        "started": origin.started,
        "finished": manifest_time(),
    }


def summary(manifest: Mapping[str, Any], place: str) -> str:
    """Tell a person what a transform wrote, what it left out, and which events the model is not for.

    Args:
        manifest: The output's manifest.
        place: The output, as it may be shown.
    """
    counts = ", ".join(f"{n:,} {outcome}" for outcome, n in manifest["counts"].items() if n)
    written = f"{manifest['events']:,} events in {len(manifest['outputs'])} files ({counts})"
    lines = [f"{place}: {written} by {manifest['model']['uri']}"]
    if manifest["left_out"]:
        known = [left_out["events"] for left_out in manifest["left_out"] if left_out["events"] is not None]
        n_unknown = len(manifest["left_out"]) - len(known)
        counted = [f"{sum(known):,} events in {len(known)} places"] * bool(known)
        whole = [f"{n_unknown} whole files, whose number of events is unknown"] * bool(n_unknown)
        lines.append(f"left out {' and '.join([*counted, *whole])}: see {place}/{MANIFEST}")
    return "\n".join([*told_warnings(manifest.get("scope", {})), *lines])


def read_manifest(uri: str) -> dict[str, Any]:
    """Read the manifest of an output.

    Raises:
        OutputError: There is none, or it is damaged: the folder is not a job's finished output.
        StorageError: The storage does not answer.
    """
    location = locate(uri)
    check_finished(location, uri)
    if not (location / MANIFEST).exists:
        raise OutputError(f"{uri}: no {MANIFEST}. Expected the output folder of an ingest, transform or export.")
    try:
        return _Manifest.model_validate((location / MANIFEST).read_json()).model_dump()
    except (ValueError, RecursionError) as error:
        raise OutputError(
            f"{uri}: {MANIFEST} is damaged ({first_line(error)}), so that nothing vouches for the output. Restore it, "
            "or run the job again with overwrite = true."
        ) from error


class _Listed(BaseModel, extra="allow"):
    """What verification asks of a manifest's entry of an output; it has more."""

    file: str
    events: int
    bytes: int
    sha256: str


class _Manifest(BaseModel, extra="allow"):
    """What readers ask of a manifest; it has more."""

    events: int
    outputs: list[_Listed]


@dataclass(frozen=True)
class Verification:
    """The result of a verification: the manifest's files and events, and a sentence for each problem."""

    files: int
    events: int
    problems: tuple[str, ...]


def verify_output(uri: str) -> Verification:
    """Compare every file of an output with the manifest: presence, size, rows, SHA-256; and look for surplus files.

    Raises:
        OutputError: There is no manifest: the folder is not a finished output of an ingest, transform or export.
        StorageError: The storage does not answer.
    """
    location, manifest = locate(uri), read_manifest(uri)
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(lambda output: _problem(location, output), manifest["outputs"])
        problems = [problem for problem in found if problem]
    problems += _surplus(location, {output["file"] for output in manifest["outputs"]})
    return Verification(len(manifest["outputs"]), manifest["events"], tuple(problems))


def _output(receipt: Receipt) -> dict[str, Any]:
    return {
        "file": receipt.output,
        "input": receipt.input,
        "input_content": receipt.content,
        "events": receipt.events,
        "bytes": receipt.n_bytes,
        "sha256": receipt.sha256,
        **receipt.counts,
    }


def _check_accounts(parts: Sequence[FilePart], receipts: Sequence[Receipt]) -> None:
    expected = Counter({part.output: part.n_events for part in parts})
    written: Counter[str] = Counter()
    for receipt in receipts:
        written[receipt.output] += receipt.events + sum(left_out.events or 0 for left_out in receipt.left_out)
    if len(receipts) != len(parts) or written != expected:
        wrong = [name for name in expected | written if expected.get(name) != written.get(name)]
        raise OutputError(
            f"The outputs of {listing(wrong)} are missing or have other rows than the input. "
            "Run again with resume = true."
        )


def _problem(location: Location, output: Mapping[str, Any]) -> str | None:
    name, target = output["file"], location / output["file"]
    if (size := target.size) is None:
        return f"{name}: missing"
    if size != output["bytes"]:
        return f"{name}: {size:,} bytes, expected {output['bytes']:,}"
    if sha256_of(target) != output["sha256"]:
        return f"{name}: the content changed (SHA-256 differs)"
    if not name.lower().endswith(PARQUET_NAMES):
        return None  # an export's: these bytes were written with these events
    try:
        with open_parquet(target.filesystem, target.path) as parquet:
            n_events = parquet.metadata.num_rows
    except DataError as error:
        return f"{name}: {error}"
    return None if n_events == output["events"] else f"{name}: {n_events:,} events, expected {output['events']:,}"


def _surplus(location: Location, expected: set[str]) -> Iterator[str]:
    ends = (*PARQUET_NAMES, *{splitext(name)[1].lower() for name in expected} - {""})
    for entry in own_entries(location):
        seen = entry.kind == "link" or entry.name.lower().endswith(ends)  # a link may be one to a folder
        if seen and not hidden(entry.name) and entry.name not in expected:
            yield f"{printable(entry.name)}: not of this output, and readers would take it for a part"
