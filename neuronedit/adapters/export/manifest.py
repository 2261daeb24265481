"""The output of an export: which Parquet files become which FCS files, and the manifest that vouches for them."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from posixpath import dirname, join, splitext
from typing import Any

from pyarrow import fs

import neuronedit
from neuronedit.adapters.export.exporter import CSV, ExportItem
from neuronedit.adapters.files.dataset import MANIFEST, EventDataset, EventFile
from neuronedit.adapters.files.storage import LONGEST_NAME, locate
from neuronedit.adapters.h5ad.writing import H5AD
from neuronedit.adapters.transform.committed import Receipt
from neuronedit.adapters.transform.manifest import read_manifest
from neuronedit.adapters.transform.output_folder import OutputFolder, manifest_time
from neuronedit.adapters.transform.plan import EXPORT, TRANSFORM, TransformPlan
from neuronedit.errors import DataError, OutputError, listing

FCS = ".fcs"

_PART = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})", re.DOTALL)


def transform_manifest(uri: str, inputs: EventDataset) -> dict[str, Any]:
    """Read the manifest of the transform that wrote a dataset; empty where none did.

    Args:
        uri: The dataset, a folder or one of its files.
        inputs: The same, as it was listed.

    Raises:
        OutputError: The manifest is damaged.
    """
    folder = inputs.root
    if folder.kind == fs.FileType.File and "?" not in uri:
        uri = dirname(uri) or "."
        folder = locate(uri)
    found = read_manifest(uri) if (folder / MANIFEST).exists else {}
    return found if found.get("job", TRANSFORM) == TRANSFORM else {}


def export_items(
    inputs: EventDataset, prefix: str, manifest: Mapping[str, Any], *, csv: bool = False, as_one: str = ""
) -> list[ExportItem]:
    """Tell which files an export writes: one for each Parquet file; parts of a large one are joined again.

    Args:
        inputs: The Parquet files.
        prefix: Stands before the name of each FCS file.
        manifest: Of the transform that wrote them; empty where none did.
        csv: Write a table beside each FCS file, too.
        as_one: The name of the one file that all become; by default each becomes an FCS file.

    Raises:
        DataError: A part of a large file is missing; or two files would have one name, or one a name that is too long.
    """
    outputs = {output["file"]: output for output in manifest.get("outputs", ())}
    joined = list(_joined(inputs.files, outputs))
    if as_one:
        groups = [([as_one], [file for _, files in joined for file in files])]
    else:
        ends = (FCS, *([CSV] if csv else ()))
        groups = [([_prefixed(stem, prefix) + end for end in ends], files) for stem, files in joined]
    items: list[ExportItem] = []
    for names, files in groups:
        written = [outputs[file.name] for file in files if file.name in outputs]
        keywords = _lineage(manifest, written) if written else {}
        sha256 = {output["file"]: output["sha256"] for output in written}
        items += [ExportItem(name, tuple(files), keywords, sha256) for name in names]
    _check_names(items)
    return items


def make_export_manifest(
    plan: TransformPlan,
    items: Sequence[ExportItem],
    receipts: Sequence[Receipt],
    transform: Mapping[str, Any],
    config: Mapping[str, str],
    output: OutputFolder,
) -> dict[str, Any]:
    """Make the manifest of an export.

    Args:
        plan: The plan of the export.
        items: The files to write.
        receipts: Their receipts.
        transform: The manifest of the transform that wrote the input; empty where none did.
        config: The job's whole configuration.
        output: The claimed folder.

    Raises:
        OutputError: A file has no receipt.
        DataError: No event was chosen.
    """
    by_name = {receipt.output: receipt for receipt in receipts}
    if missing := [item.output for item in items if item.output not in by_name]:
        raise OutputError(f"The outputs of {listing(missing)} are missing. Run again with resume = true.")
    if not any(receipt.written for receipt in receipts):
        raise DataError(f"{plan.inputs.uri}: none of the {plan.inputs.n_events} events was chosen. Check where.")
    outputs = [_output(item, by_name[item.output]) for item in sorted(items, key=lambda item: item.output)]
    return {
        "neuronedit": neuronedit.__version__,
        "job": EXPORT,
        "model": dict(transform.get("model", {})),
        "config": dict(config),
        "plan_sha256": plan.digest(),
        "claim": output.claim,
        "input": plan.inputs.uri,
        "input_sha256": plan.inputs.digest(),
        "events": sum(receipt.events for receipt in receipts if not receipt.output.endswith(CSV)),
        "left_out": [],
        "inputs": [{"file": file.name, "events": file.n_events, "bytes": file.n_bytes} for file in plan.inputs.files],
        "outputs": [entry for entry in outputs if entry["sha256"]],
        "without_events": [entry["file"] for entry in outputs if not entry["sha256"]],
        "versions": {name: version(name) for name in ("ray", "numpy", "pyarrow")},
        "started": output.started,
        "finished": manifest_time(),
    }


def export_summary(manifest: Mapping[str, Any], place: str) -> str:
    """Tell a person what an export wrote, and what no FCS file can hold.

    Args:
        manifest: The output's manifest.
        place: The output, as it may be shown.
    """
    names = [entry["file"] for entry in manifest["outputs"] if not entry["file"].endswith(CSV)]
    one = [f"{place}/{name}: {manifest['events']:,} events" for name in names if name.endswith(H5AD)]
    lines = one or [f"{place}: {manifest['events']:,} events in {len(names)} FCS files"]
    if manifest["without_events"]:
        lines.append(f"no event was chosen of {listing(manifest['without_events'])}, which are not written")
    notes: dict[str, list[str]] = {}
    for entry in manifest["outputs"]:
        for note in entry["notes"]:
            notes.setdefault(note.partition(":")[0], []).append(f"{entry['file']}: {note}")
    for same in notes.values():
        others = f" (and {len(same) - 1} more files: see {place}/{MANIFEST})" if len(same) > 1 else ""
        lines.append(f"{same[0]}{others}")
    return "\n".join(lines)


def _joined(files: Sequence[EventFile], listed: Collection[str]) -> Iterator[tuple[str, list[EventFile]]]:
    """Each output's name without its end, and the files that make it up, in order.

    Args:
        files: The Parquet files.
        listed: Names of those that the transform's manifest vouches for; none where there is no manifest.
    """
    groups: dict[tuple[str, int, str], list[EventFile]] = {}
    for file in sorted(files, key=lambda file: file.name):
        stem, extension = splitext(file.name)
        found = _PART.fullmatch(stem)
        key = (found["stem"], int(found["count"]), extension) if found else (stem, 0, extension)
        groups.setdefault(key, []).append(file)
    for (stem, count, extension), group in groups.items():
        names = {file.name for file in group}
        parts = [f"{stem}-{number:05}-of-{count:05}{extension}" for number in range(1, count + 1)]
        missing = [part for part in parts if part not in names]
        # A transform in quarantine may have left out all of a part: then its manifest does not list it.
        if missing and (not listed or any(part in listed for part in missing)):
            raise DataError(
                f"{group[0].path}: expected all {count} parts of the file; missing: {listing(missing)}. Restore them."
            )
        yield stem, group


def _prefixed(stem: str, prefix: str) -> str:
    folder, _, name = stem.rpartition("/")
    return join(folder, f"{prefix}{name}")


def _check_names(items: Sequence[ExportItem]) -> None:
    taken: dict[str, ExportItem] = {}
    for item in items:
        n_bytes = len(item.output.rpartition("/")[2].encode())
        if n_bytes > LONGEST_NAME:
            raise DataError(
                f"{item.sources[0].path}: the name {item.output} would have {n_bytes} bytes; expected at most "
                f"{LONGEST_NAME}. Shorten the file's name, or the prefix."
            )
        if (other := taken.setdefault(item.output.casefold(), item)) is not item:
            raise DataError(
                f"{item.sources[0].path} and {other.sources[0].path} would both become {item.output}. Rename one."
            )


def _lineage(manifest: Mapping[str, Any], outputs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Keywords that lead from an FCS file back to the model that edited it."""
    config, model = manifest.get("config", {}), manifest.get("model", {})
    edits = config.get("edits", "")
    found = {
        "NEURONEDIT_MODEL": model.get("uri", ""),
        "NEURONEDIT_DIGEST": model.get("sha256", ""),
        "NEURONEDIT_EDITS": edits if edits not in ("", "[]", "()") else "each batch's own",
        "NEURONEDIT_STRENGTH": config.get("strength", ""),
        "NEURONEDIT_EDITED": str(sum(output.get("edited", 0) for output in outputs)),
    }
    if finished := manifest.get("finished"):
        found["$LAST_MODIFIED"] = datetime.fromisoformat(finished).strftime("%d-%b-%Y %H:%M:%S").upper()
    return {key: str(value) for key, value in found.items() if value}


def _output(item: ExportItem, receipt: Receipt) -> dict[str, Any]:
    return {
        "file": receipt.output,
        "inputs": [
            {"file": source.name, "content": content}
            for source, content in zip(item.sources, receipt.content.split("\n"), strict=True)
        ],
        "events": receipt.events,
        "bytes": receipt.n_bytes,
        "sha256": receipt.sha256,
        "notes": list(receipt.notes),
    }
