"""Tables in memory, of several libraries: the same cells, the same bits as ``EventEditor`` gives."""

import subprocess
import sys

import duckdb
import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest

from neuronedit import edit_table, save_model
from neuronedit.adapters.transform.event_editor import EventEditor
from neuronedit.errors import DataError, ModelError, PanelError
from neuronedit.model.example import MARKERS, example_batches, example_cells


@pytest.fixture
def frame() -> pd.DataFrame:
    """Two days of cells, with an index and columns that are no markers."""
    cells = np.concatenate([example_cells(), example_cells(seed=2)]).astype(np.float32)
    days = pd.Categorical(np.repeat(["day1", "day2"], 400))
    frame = pd.DataFrame(cells, columns=MARKERS, index=np.arange(800) * 3).assign(batch_id=days)
    return frame.assign(note=[None, "x"] * 400, odd=[1, "two"] * 400, gate=pd.array([1, None] * 400, "Int64"))


@pytest.fixture
def expected(frame) -> np.ndarray:
    arrow = pa.Table.from_pandas(frame[[*MARKERS, "batch_id"]])
    edited = EventEditor(example_batches())(arrow)
    return np.column_stack([edited[marker] for marker in MARKERS])


def test_a_data_frame_keeps_its_index_and_all_other_columns(frame, expected):
    before = frame.copy()
    edited = edit_table(frame, example_batches())
    assert np.array_equal(edited[list(MARKERS)].to_numpy(), expected)
    assert not np.array_equal(expected, frame[list(MARKERS)].to_numpy())
    others = ["batch_id", "note", "odd", "gate"]
    pd.testing.assert_frame_equal(edited[others], before[others])
    pd.testing.assert_frame_equal(frame, before)
    assert list(edited.columns) == list(frame.columns)
    assert (edit_table(frame.assign(neuronedit="mine"), example_batches())["neuronedit"] == "mine").all()


def test_arrow_polars_and_duckdb_give_the_same(frame, expected):
    arrow = pa.Table.from_pandas(frame.drop(columns="odd"), preserve_index=False)
    for table, kind in (
        (arrow, pa.Table),
        (polars.DataFrame(arrow), polars.DataFrame),
        (duckdb.sql("select * from arrow"), pa.Table),
    ):
        edited = edit_table(table, example_batches())
        assert isinstance(edited, kind)
        assert np.array_equal(np.column_stack([edited[marker] for marker in MARKERS]), expected)
        assert str(edited["note"][1]) == "x"


def test_a_model_may_be_given_by_its_folder_and_an_edit_by_its_name(frame, tmp_path):
    save_model(example_batches(), tmp_path / "model")
    by_name = edit_table(frame, tmp_path / "model", edits="day1")
    half = edit_table(frame, tmp_path / "model", edits=["day1"], strength=0.5)
    moved, half_moved = (np.arcsinh(t["pSTAT1"] / 5) - np.arcsinh(frame["pSTAT1"] / 5) for t in (by_name, half))
    assert np.allclose(half_moved, moved / 2, atol=1e-4)
    assert (moved != 0).all()


def test_support_and_outcomes_are_columns(frame):
    edited = edit_table(frame, example_batches(), where={"note": "x"}, support=True)
    chosen = frame["note"] == "x"
    assert (edited.loc[chosen & (frame["batch_id"] == "day1"), "neuronedit"] == "edited").all()
    assert (edited.loc[~chosen, "neuronedit"] == "not chosen").all()
    assert edited.loc[~chosen, "neuronedit_support"].isna().all()
    assert edited.index.equals(frame.index)


def test_what_is_no_such_table_is_told(frame):
    with pytest.raises(DataError, match=r"^The table is a LazyFrame; expected a table of pyarrow.*\.collect\(\)"):
        edit_table(polars.LazyFrame({"CD3": [1.0]}), example_batches())
    with pytest.raises(PanelError, match=r"^The data frame.*'CD4'"):
        edit_table(frame.drop(columns="CD4"), example_batches())
    with pytest.raises(PanelError, match=r"more than once|twice"):
        edit_table(pd.concat([frame, frame[["CD4"]]], axis=1), example_batches())
    with pytest.raises(DataError, match="batch_id"):
        edit_table(frame.drop(columns="batch_id"), example_batches())
    for taken in (
        frame.assign(neuronedit_support=1.0),
        pa.table({**frame[list(MARKERS)], "neuronedit_support": [1] * 800}),
    ):
        with pytest.raises(DataError, match=r"has a column 'neuronedit_support' already"):
            edit_table(taken, example_batches(), edits="day1", support=True)
    with pytest.raises(ModelError, match="day9"):
        edit_table(frame.assign(batch_id="day9"), example_batches())
    with pytest.raises(DataError, match="CD4"):
        edit_table(frame.assign(CD4=np.nan), example_batches())


def test_without_pyarrow_the_extra_is_named():
    script = "import sys; sys.modules['pyarrow'] = None; import neuronedit; neuronedit.edit_table"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("It comes with the extra: pip install 'neuronedit[jobs]'.\n")


def test_the_result_of_a_query_goes_back_to_duckdb(frame, expected, tmp_path):
    frame.drop(columns="odd").to_parquet(tmp_path / "cells.parquet")
    corrected = edit_table(duckdb.sql(f"select * from '{tmp_path}/cells.parquet'"), example_batches())
    duckdb.sql(f"copy corrected to '{tmp_path}/corrected.parquet'")
    assert corrected.num_rows == 800
    assert np.array_equal(pd.read_parquet(tmp_path / "corrected.parquet")[list(MARKERS)].to_numpy(), expected)
