"""Bad input: told with its place, and nothing of its file is left."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.transform.committed import Receipt
from neuronedit.adapters.transform.event_editor import TransformRules
from neuronedit.errors import DataError, ModelError, NeuroneditError, PanelError, StorageError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.route import Route
from tests.adapters.transforming import PLAIN, here, leftovers, run
from tests.synthetic_cells import with_column, with_value


def _renamed(table: pa.Table) -> pa.Table:
    return table.rename_columns([{"CD45RA": "CD45ra"}.get(name, name) for name in table.column_names])


BAD_INPUTS: list[tuple[str, Callable[[pa.Table], pa.Table], TransformRules, type[NeuroneditError], str]] = [
    (
        "unknown batch",
        lambda table: with_column(table, "batch_id", pa.array(["b"] * table.num_rows)),
        PLAIN,
        ModelError,
        "'batch_id' is 'b', a batch that the model does not know (known: 'B', 'C', 'A'; nearest name 'B')",
    ),
    (
        "no batch",
        lambda table: with_value(table, "batch_id", 7, None),
        PLAIN,
        ModelError,
        "'batch_id' has no value, a batch that the model does not know (known: 'B', 'C', 'A')",
    ),
    (
        "no batch column",
        lambda table: table.drop_columns(["batch_id"]),
        PLAIN,
        DataError,
        "the column 'batch_id' is missing; it chooses the events of a population",
    ),
    ("missing marker", _renamed, PLAIN, PanelError, "marker 'CD45RA' is missing"),
    (
        "repeated column",
        lambda table: table.append_column("Time", table.column("Time")),
        PLAIN,
        PanelError,
        "the column name 'Time' stands more than once",
    ),
    (
        "text marker",
        lambda table: with_column(table, "CD3", pa.array(["1"] * table.num_rows)),
        PLAIN,
        DataError,
        "marker 'CD3' has type string",
    ),
    ("NaN", lambda table: with_value(table, "CD3", 499, np.nan), PLAIN, DataError, "marker 'CD3' has NaN in row 499"),
    (
        "null",
        lambda table: with_value(table, "CD3", 0, None),
        PLAIN,
        DataError,
        "marker 'CD3' has no value (null) in row 0",
    ),
    (
        "where column",
        lambda table: table.drop_columns(["donor"]),
        TransformRules({"donor": "P1"}),
        DataError,
        "the column 'donor' is missing",
    ),
    (
        "flag column",
        lambda table: table.append_column("neuronedit", table.column("Time")),
        TransformRules(route=Route(unknown_batch="pass")),
        DataError,
        "has a column 'neuronedit' already, which this transform is to write. Rename it.",
    ),
]


@pytest.mark.parametrize(
    ("spoil", "rules", "error", "message"), [case[1:] for case in BAD_INPUTS], ids=[case[0] for case in BAD_INPUTS]
)
def test_bad_input_is_told_and_leaves_no_output_of_its_file(
    cells: Path,
    tmp_path: Path,
    controls_model: EditModel,
    spoil: Callable[[pa.Table], pa.Table],
    rules: TransformRules,
    error: type[NeuroneditError],
    message: str,
) -> None:
    path = cells / "B-control.parquet"
    pq.write_table(spoil(pq.read_table(path)), path)
    with pytest.raises(error, match=rf"^{re.escape(f'{path}: {message}')}"):
        run(cells, tmp_path / "edited", controls_model, rules, transform=here)
    assert not (tmp_path / "edited/B-control.parquet").exists()
    assert not (tmp_path / "edited/_manifest.json").exists()
    assert leftovers(tmp_path / "edited") == []


def test_a_file_damaged_within_its_rows_is_told_and_leaves_nothing(
    cells: Path, tmp_path: Path, controls_model: EditModel
) -> None:
    path = cells / "B-control.parquet"
    content = bytearray(path.read_bytes())
    content[4:4000] = b"\xff" * 3996
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"B-control\.parquet: row group 0 is damaged \(from row 0 on, of rows 0 to "):
        run(cells, tmp_path / "edited", controls_model, transform=here)
    assert not (tmp_path / "edited/B-control.parquet").exists()


def test_a_file_that_lost_rows_since_it_was_listed_is_told(
    cells: Path, tmp_path: Path, controls_model: EditModel
) -> None:
    path = cells / "B-control.parquet"

    def loses_rows(*arguments: Any) -> list[Receipt]:
        pq.write_table(pq.read_table(path).slice(0, 100), path)
        return here(*arguments)

    with pytest.raises(
        StorageError,
        match=r"B-control\.parquet: the file was written again, or touched, since it was listed\. Let nothing",
    ):
        run(cells, tmp_path / "edited", controls_model, transform=loses_rows)
    assert not (tmp_path / "edited/B-control.parquet").exists()
