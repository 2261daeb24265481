"""Output folders as drivers claim and fill them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from neuronedit.adapters.files.blocks import FilePart
from neuronedit.adapters.transform.committed import Layout, Receipt, commit_parquet
from neuronedit.adapters.transform.event_editor import OUTCOMES
from neuronedit.adapters.transform.manifest import OutputOrigin, make_manifest
from neuronedit.adapters.transform.output_folder import OutputFolder, claimed_output
from neuronedit.adapters.transform.plan import TransformPlan

COUNTS = dict(zip(OUTCOMES, (3, 1, 0, 0, 0), strict=True))
CONTENTS = {"model.json": b"{}", "model.safetensors": b""}
NO_QUALITY = pd.DataFrame({"group": []})
CONFIG = {"compression": "zstd", "where": "{}"}


@contextmanager
def claim(
    target: Path, plan: TransformPlan, *, overwrite: bool = False, resume: bool = False
) -> Iterator[OutputFolder]:
    with claimed_output(str(target), plan, CONTENTS, overwrite=overwrite, resume=resume) as output:
        yield output


def start(target: Path, plan: TransformPlan, **flags: bool) -> OutputFolder:
    """A claim whose driver is gone."""
    with claim(target, plan, **flags) as output:
        return output


def write_file(output: OutputFolder, plan: TransformPlan, name: str) -> Receipt:
    table = pq.read_table(f"{plan.inputs.uri}/{name}")
    written = commit_parquet(output.location / name, table.schema, [table], Layout("zstd"), lambda written: written)
    receipt = Receipt(output.claim, name, "sha256:0", name, written.events, written.n_bytes, written.sha256, COUNTS)
    return output.accept(receipt)


def parts(plan: TransformPlan) -> list[FilePart]:
    return [FilePart.whole(file) for file in plan.inputs.files]


def standing(output: OutputFolder, plan: TransformPlan) -> list[str]:
    return [part.output for part in parts(plan) if output.receipt(part)]


def leave(target: Path, plan: TransformPlan, state: str) -> None:
    """Leave a finished output, one that was only claimed (started), or one of whose files some are written (begun)."""
    if state == "finished":
        finish(target, plan)
        return
    with claim(target, plan) as output:
        if state == "begun":
            write_file(output, plan, "A-control.parquet")


def finish(target: Path, plan: TransformPlan, *, overwrite: bool = False, resume: bool = False) -> OutputFolder:
    with claim(target, plan, overwrite=overwrite, resume=resume) as output:
        receipts = [write_file(output, plan, file.name) for file in plan.inputs.files]
        output.complete(
            make_manifest(
                plan,
                parts(plan),
                receipts,
                {},
                OutputOrigin(
                    {"uri": plan.model_uri, "sha256": plan.model_digest}, CONFIG, "run", output.started, output.claim
                ),
            ),
            receipts,
            NO_QUALITY,
        )
    return output


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
