from pathlib import Path

import pytest

from neuronedit.errors import PanelError
from neuronedit.job_configs import PanelConfig
from neuronedit.panel import Panel, read_panel


def test_a_panel_file_gives_markers_cofactors_and_channels(tmp_path: Path) -> None:
    (tmp_path / "panel.csv").write_text("\ufeffchannel, marker, cofactor\nY89Di, CD45, 5\n, CD3, \nB515-A, CD4, 150\n")
    panel, channels = read_panel(tmp_path / "panel.csv")
    assert panel == Panel(("CD45", "CD3", "CD4"), (5.0, 5.0, 150.0))
    assert channels == {"Y89Di": "CD45", "B515-A": "CD4"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name\nCD3\n", r"expected a CSV with the column 'marker'.*found 'name'"),
        ("", r"expected a CSV with the column 'marker'.*found no rows"),
        ("marker,cofactor\nCD3,five\n", r"marker 'CD3' has cofactor 'five'; expected a number"),
        ("marker,cofactor\nCD3,-1\n", r"Marker 'CD3' has cofactor -1.0; expected a positive number"),
        ("marker\nCD3\nCD3\n", r"names 'CD3' more than once"),
        ("channel,marker\na,CD3\na,CD4\n", r"channel 'a' stands more than once"),
    ],
)
def test_a_bad_panel_file_is_explained(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "panel.csv").write_text(content)
    with pytest.raises(PanelError, match=message):
        read_panel(tmp_path / "panel.csv")


def test_a_missing_panel_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(PanelError, match=r"panel\.csv: the panel file cannot be read .*Check the path"):
        read_panel(tmp_path / "panel.csv")


def test_a_missing_marker_is_named_with_the_nearest_column() -> None:
    panel = Panel(("CD3", "CD45", "CD19"), (5.0,) * 3)
    message = (
        r"b7\.parquet: marker 'CD45' is missing \(the panel has 3 markers; "
        r"this file has 2 of them; nearest name 'CD45RA'\)"
    )
    with pytest.raises(PanelError, match=message):
        panel.check_columns(["CD3", "CD45RA", "CD19", "Time"], "b7.parquet")


def test_several_missing_markers_are_all_named() -> None:
    with pytest.raises(PanelError, match=r"markers 'CD45', 'CD19' are missing"):
        Panel(("CD3", "CD45", "CD19"), (5.0,) * 3).check_columns(["CD3"], "x")


def test_a_column_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(PanelError, match=r"x: the column name 'Time' stands more than once"):
        Panel(("CD3",), (5.0,)).check_columns(["CD3", "Time", "Time"], "x")


def test_other_columns_are_passengers() -> None:
    Panel(("CD3",), (5.0,)).check_columns(["event", "CD3", "CD4"], "x")


def test_excluded_markers_are_left_out() -> None:
    assert PanelConfig(markers=("CD3", "CD4"), exclude=("CD3",), cofactor=150).read() == Panel(("CD4",), (150.0,))


def test_excluding_what_is_not_there_is_an_error() -> None:
    with pytest.raises(PanelError, match=r"panel\.exclude: 'CD33' is not in the panel; nearest name 'CD3'"):
        PanelConfig(markers=("CD3", "CD4"), exclude=("CD33",)).read()


def test_a_panel_needs_markers_and_one_cofactor_each() -> None:
    with pytest.raises(PanelError, match="no markers"):
        Panel((), ())
    with pytest.raises(PanelError, match="2 markers but 1 cofactors"):
        Panel(("CD3", "CD4"), (5.0,))
