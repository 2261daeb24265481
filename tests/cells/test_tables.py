import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neuronedit.cells.tables import csv_text, write_csv


@pytest.mark.parametrize(
    "text",
    ["=cmd|' /C calc'!A0", "+a", "-CD3", "@SUM(1)", "\tx", "\rx", "\nx", " =1", "'=1", '"=1', "＝1+1", "-"],
)
def test_no_text_is_a_formula(text: str) -> None:
    columns = {text: [text, "CD3"], "kind": pd.Categorical([text, "x"])}
    table = pd.DataFrame(columns, index=pd.Index([text, "b"], name="row"))
    text = text.replace("\r", "\n")
    read = pd.read_csv(io.StringIO(csv_text(table, index=True)), dtype=str, keep_default_na=False)
    assert [*read.columns] == ["row", f"'{text}", "kind"]
    assert read["kind"].to_list() == [f"'{text}", "x"]
    assert read[f"'{text}"].to_list() == [f"'{text}", "CD3"]
    assert read.iloc[:, 0].to_list() == [f"'{text}", "b"]


def test_what_is_no_formula_is_written_as_it_is(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "marker": ["CD3", "IFN-γ", "a=b", "-0.5", "+inf", None],
            "shift": [-0.5, 1.0, np.nan, -np.inf, 0.0, -1e-9],
            "n": [-1, 2, 3, 4, 5, 6],
            "known": [True, False, True, False, True, False],
        }
    )
    write_csv(table, tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text(encoding="utf-8") == table.to_csv(index=False)


def test_the_table_itself_stays_as_it_is() -> None:
    table = pd.DataFrame({"=x": ["=1"]})
    before = table.copy()
    csv_text(table)
    pd.testing.assert_frame_equal(table, before)


def test_no_text_begins_a_row_of_its_own() -> None:
    read = pd.read_csv(io.StringIO(csv_text(pd.DataFrame({"marker": ["CD3\r=1", "CD4\r\n=1"]}))))
    assert read["marker"].to_list() == ["CD3\n=1", "CD4\n=1"]


@pytest.mark.parametrize(
    "table", [pd.DataFrame({"marker": []}), pd.DataFrame(), pd.DataFrame([["=1", 2]], columns=["a"] * 2)]
)
def test_a_table_may_be_empty_or_repeat_a_column(table: pd.DataFrame) -> None:
    assert csv_text(table) == table.to_csv(index=False).replace("=1", "'=1")
