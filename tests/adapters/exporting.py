"""An export as the job does it, by one worker in this process."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from neuronedit_jobs.export import ExportConfig

from neuronedit.adapters.export.exporter import Exporter
from neuronedit.adapters.export.manifest import (
    export_items,
    make_export_manifest,
    transform_manifest,
)
from neuronedit.adapters.files.dataset import check_unchanged, list_dataset
from neuronedit.adapters.transform.output_folder import claimed_output
from neuronedit.adapters.transform.plan import EXPORT, TransformPlan


def export(cells: Path | str, target: Path | str, worker: type = Exporter, **settings: Any) -> dict[str, Any]:
    """What the job does but for Ray; the manifest."""
    config = ExportConfig.model_validate({"data": {"path": str(cells)}, "output": str(target), **settings})
    inputs = list_dataset(config.data.path)
    transform = transform_manifest(config.data.path, inputs)
    items = export_items(inputs, config.prefix, transform, csv=config.csv, as_one=config.as_one)
    plan = TransformPlan(EXPORT, "", config.settings(), inputs, EXPORT)
    with claimed_output(config.output, plan, {}, overwrite=config.overwrite, resume=config.resume) as output:
        exporter = worker(inputs.filesystem, output, config.rules())
        receipts = [exporter.export(item) for item in items]
        check_unchanged(inputs)
        manifest = make_export_manifest(plan, items, receipts, transform, config.flat(), output)
        output.complete(manifest, receipts)
    return manifest


def write_cells(path: Path, columns: Mapping[str, Any], facts: bytes | None = None, **options: Any) -> Path:
    """A Parquet file, with what ingest would note."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(dict(columns))
    pq.write_table(table.replace_schema_metadata({b"neuronedit": facts}) if facts else table, path, **options)
    return path


def columns_of(path: Path, names: Sequence[str]) -> np.ndarray:
    """Columns of a Parquet file, (n_events, n_columns)."""
    table = pq.read_table(path)
    return np.column_stack([table.column(name).to_numpy() for name in names])
