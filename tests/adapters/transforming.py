"""A transform as the job does it, by Ray or by one worker in this process, and what it leaves."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from pyarrow import fs

from neuronedit.adapters.files.blocks import FilePart, file_parts
from neuronedit.adapters.files.dataset import check_unchanged, list_dataset
from neuronedit.adapters.files.parquet import marker_matrix
from neuronedit.adapters.transform.committed import Layout, Receipt
from neuronedit.adapters.transform.event_editor import TransformRules
from neuronedit.adapters.transform.file_transformer import FileRules, FileTransformer
from neuronedit.adapters.transform.manifest import OutputOrigin, make_manifest, verify_output
from neuronedit.adapters.transform.output_folder import OutputFolder, claimed_output
from neuronedit.adapters.transform.plan import TransformPlan
from neuronedit.adapters.transform.pool import transform_parts
from neuronedit.model.edit_model import EditModel
from neuronedit.model.quality.table import manifest_facts, quality_table
from neuronedit.model.quality.tally import Tally
from neuronedit.model.saved.files import model_contents, model_digest, save_model

PLAIN = TransformRules()
FILES = FileRules(Layout("zstd"))

Transform = Callable[..., list[Receipt]]


def here(
    parts: Sequence[FilePart],
    filesystem: fs.FileSystem,
    output: OutputFolder,
    rules: TransformRules,
    files: FileRules,
    tally: Tally,
    device: str | None = None,
) -> list[Receipt]:
    """What ``transform_parts`` does, by one worker in this process: starting an actor takes five seconds."""
    worker = FileTransformer(filesystem, output, rules, files, device=device)
    receipts = [worker.transform(part) for part in parts]
    for receipt in receipts:
        tally.add(Tally.from_text(receipt.quality))
    return receipts


def run(
    cells: Path,
    target: Path,
    model: EditModel,
    rules: TransformRules = PLAIN,
    files: FileRules = FILES,
    *,
    resume: bool = False,
    overwrite: bool = False,
    max_bytes: int = 2**30,
    transform: Transform = transform_parts,
) -> dict[str, Any]:
    """What the job does between claiming the output and logging; the manifest."""
    folder = target.with_name(f"{target.name}-model")
    if not folder.exists():
        save_model(model, folder)
    settings = {"where": rules.where, "unknown_batch": rules.route.unknown_batch, "strength": rules.route.strength}
    settings |= {"serve": rules.serve}
    inputs = list_dataset(str(cells), pass_over=files.quarantine)
    plan = TransformPlan("m", model_digest(folder), settings, inputs)
    parts = file_parts(inputs.files, inputs.filesystem, max_bytes)
    with claimed_output(str(target), plan, model_contents(folder), overwrite=overwrite, resume=resume) as output:
        tally = Tally(model.scaling.zeros)
        receipts = transform(parts, inputs.filesystem, output, rules, files, tally)
        check_unchanged(inputs)
        quality = quality_table(tally, model, rules.route)
        manifest = make_manifest(
            plan, parts, receipts, manifest_facts(quality), OutputOrigin({}, {}, "run", output.started, output.claim)
        )
        output.complete(manifest, receipts, quality)
    return manifest


def expected_markers(path: Path, model: EditModel, batch_id: str) -> dict[str, np.ndarray]:
    edited, _, _ = model.transform(marker_matrix(pq.read_table(path), model.panel, "x"), [batch_id] * rows(path))
    return dict(zip(model.panel.markers, edited.T, strict=True))


def rows(path: Path) -> int:
    return pq.ParquetFile(path).metadata.num_rows


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("[!_]*.parquet")}


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.part")]


def check(target: Path, undisturbed: Path) -> None:
    """The output is complete, and byte for byte that of an undisturbed run."""
    assert outputs(target) == outputs(undisturbed)
    assert verify_output(str(target)).problems == ()
    assert leftovers(target) == []
    assert not list(target.glob("_lease-*"))


def spoil(path: Path) -> bytes:
    """Damage a file within its rows; gives what it was."""
    good = path.read_bytes()
    path.write_bytes(good[:4] + b"\xff" * 3000 + good[3004:])
    return good
