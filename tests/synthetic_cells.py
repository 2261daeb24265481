"""Cells of known structure: two cell types in three batches, each batch with its own gain per marker.

Every batch has a control and a validation sample, drawn from the same two types in the same proportion, so that
the true edit batch → reference is a multiplication of each marker by a known number.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MARKERS = ("CD3", "CD19", "CD45", "CD45RA", "HLA-DR", "pSTAT5")
BATCHES = ("A", "B", "C")
ROLES = ("control", "validation")
GAINS = {"A": 1.0, "B": 2.0, "C": 0.5}
N_EVENTS = {("A", "control"): 600, ("A", "validation"): 300, ("B", "control"): 500, ("B", "validation"): 400}
SCHEMA_METADATA = {b"origin": b"synthetic", b"instrument": b"none"}
MARKER_METADATA = {b"channel": b"Yb172Di"}
SOURCE = {"role": "control", "batch_id": "B"}
TARGET = {"role": "control", "batch_id": "A"}


def intensities(n_events: int, gain: float, generator: np.random.Generator) -> np.ndarray:
    """Raw intensities, (n_events, 6) float32: a T-like and a B-like cell type, log-normal in each marker."""
    t_like = generator.random(n_events) < 0.6
    centres = np.where(t_like[:, None], [40, 2, 80, 20, 3, 5], [2, 40, 60, 30, 50, 4])
    return (gain * centres * np.exp(0.3 * generator.standard_normal(centres.shape))).astype(np.float32)


def sample_table(batch_id: str, role: str, n_events: int, seed: int) -> pa.Table:
    """One sample: markers among passenger columns of several types, with metadata on schema and fields."""
    generator = np.random.default_rng(seed)
    markers = dict(zip(MARKERS, intensities(n_events, GAINS.get(batch_id, 1.0), generator).T, strict=True))
    donors = pa.array([None if i % 7 == 0 else f"P{i % 3}" for i in range(n_events)], pa.string())
    columns = {
        "event_id": pa.array(np.arange(n_events) + seed * 2**40, pa.int64()),
        "CD45": pa.array(markers["CD45"]),
        "sample_id": _dictionary(f"{batch_id}-{role}", n_events),
        "batch_id": _dictionary(batch_id, n_events),
        **{marker: pa.array(markers[marker]) for marker in MARKERS if marker != "CD45"},
        "role": _dictionary(role, n_events),
        "donor": donors,
        "Time": pa.array(np.linspace(0, 1, n_events)),
    }
    fields = [
        pa.field(name, array.type, metadata=MARKER_METADATA if name == "CD45" else None)
        for name, array in columns.items()
    ]
    return pa.Table.from_arrays(list(columns.values()), schema=pa.schema(fields, metadata=SCHEMA_METADATA))


def write_cells(folder: Path) -> Path:
    """One Parquet file per sample: ``A-control.parquet`` … ``C-validation.parquet``."""
    folder.mkdir(parents=True)
    for index, (batch_id, role) in enumerate((batch, role) for batch in BATCHES for role in ROLES):
        table = sample_table(batch_id, role, N_EVENTS.get((batch_id, role), 350), seed=index + 1)
        pq.write_table(table, folder / f"{batch_id}-{role}.parquet", row_group_size=128)
    return folder


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """The table with one column replaced, its type too."""
    index = table.schema.get_field_index(name)
    return table.set_column(index, pa.field(name, values.type), values)


def with_value(table: pa.Table, name: str, row: int, value: float | None) -> pa.Table:
    """The table with one value replaced."""
    values = table.column(name).to_pylist()
    values[row] = value
    return with_column(table, name, pa.array(values, table.schema.field(name).type))


def _dictionary(value: str, n_events: int) -> pa.DictionaryArray:
    return pa.array([value] * n_events, pa.string()).dictionary_encode()
