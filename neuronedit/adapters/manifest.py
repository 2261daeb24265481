"""The manifest: what an output consists of, what made it, and what of the input is not in it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import neuronedit
from neuronedit.adapters.event_editor import OUTCOMES
from neuronedit.adapters.file_parts import FilePart
from neuronedit.adapters.output_folder import MANIFEST, TransformPlan, now
from neuronedit.adapters.receipt import LeftOut, Receipt
from neuronedit.errors import OutputError, listing

VERSIONED = ("ray", "torch", "numpy", "pyarrow", "mlflow")


@dataclass(frozen=True)
class Origin:
    """What an output came from, for the record.

    Attributes:
        model: What is known of it (see ``PinnedModel.facts``).
        config: The job's whole configuration.
        run_id: The transform's own run.
        started: When.
    """

    model: Mapping[str, Any]
    config: Mapping[str, str]
    run_id: str
    started: str


def make_manifest(
    plan: TransformPlan,
    parts: Sequence[FilePart],
    receipts: Sequence[Receipt],
    quality: Mapping[str, Any],
    origin: Origin,
) -> dict[str, Any]:
    """What vouches for an output.

    Args:
        plan: What was to be written.
        parts: Of the input, each of which has a receipt.
        receipts: What was written.
        quality: What the edits did to each batch (see ``manifest_facts``).
        origin: Of all of it.

    Raises:
        OutputError: An output is missing or surplus, or its rows and those left out are not its input's.
    """
    _check_accounts(parts, receipts)
    receipts = sorted(receipts, key=lambda receipt: receipt.output)
    unreadable = [LeftOut(name, None, 0, None, reason) for name, reason in plan.inputs.unreadable.items()]
    left_out = [*unreadable, *(left_out for receipt in receipts for left_out in receipt.left_out)]
    return {
        "neuronedit": neuronedit.__version__,
        "run": origin.run_id,
        "model": dict(origin.model),
        "config": dict(origin.config),
        "plan_sha256": plan.digest(),
        "input": plan.inputs.uri,
        "input_sha256": plan.inputs.digest(),
        "events": sum(receipt.events for receipt in receipts),
        "counts": {outcome: sum(receipt.counts[outcome] for receipt in receipts) for outcome in OUTCOMES},
        "quality": dict(quality),
        "left_out": [asdict(entry) for entry in left_out],
        "inputs": [{"file": file.name, "events": file.n_events, "bytes": file.n_bytes} for file in plan.inputs.files],
        "outputs": [_output(receipt) for receipt in receipts if receipt.written],
        "versions": {name: version(name) for name in VERSIONED},
        "started": origin.started,
        "finished": now(),
    }


def summary(manifest: Mapping[str, Any], place: str) -> str:
    """What a transform wrote and what it left out, for a person.

    Args:
        manifest: Of the output.
        place: The output, as it may be shown.
    """
    counts = ", ".join(f"{n:,} {outcome}" for outcome, n in manifest["counts"].items() if n)
    written = f"{manifest['events']:,} events in {len(manifest['outputs'])} files ({counts})"
    lines = [f"{place}: {written} by {manifest['model']['uri']}"]
    if manifest["left_out"]:
        n_left_out = sum(left_out["events"] or 0 for left_out in manifest["left_out"])
        lines.append(f"left out {n_left_out:,} events in {len(manifest['left_out'])} places: see {place}/{MANIFEST}")
    return "\n".join(lines)


def _output(receipt: Receipt) -> dict[str, Any]:
    return {
        "file": receipt.output,
        "input": receipt.input,
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
