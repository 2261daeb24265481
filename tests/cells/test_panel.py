import logging

import numpy as np
import pytest

from neuronedit.cells.panel import Panel, PanelConfig, read_panel
from neuronedit.cells.scaling import tell_small_cofactors
from neuronedit.cells.transforms import Arcsinh, Linear, Logicle
from neuronedit.errors import PanelError

PANEL = Panel(("CD3", "CD4", "CD45RA"), (5.0, 5.0, 150.0))


@pytest.fixture
def panel_file(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "panel.csv"
        path.write_text(text, encoding=encoding)
        return path

    return write


@pytest.mark.parametrize(
    ("markers", "cofactors", "message"),
    [
        ((), (), r"The panel has no markers\. Name at least one"),
        (
            ("CD3", "CD4"),
            (5.0,),
            r"2 markers but 1 transforms\. Give one transform, or cofactor of arcsinh, per marker",
        ),
        (("CD3", "CD4", "CD3"), (5.0,) * 3, r"names 'CD3' more than once\. Name each marker once"),
        (("CD3", ""), (5.0,) * 2, r"Marker 2 of the panel has no name"),
        (
            ("CD3",),
            (0.0,),
            r"^Marker 'CD3': arcsinh has cofactor 0.0; expected a positive number \(5 for mass, 150 for fluor",
        ),
        (("CD3",), (-5.0,), r"has cofactor -5.0; expected a positive number"),
        (("CD3",), (float("inf"),), r"has cofactor inf; expected a positive number"),
        (("CD3",), (float("nan"),), r"has cofactor nan; expected a positive number"),
    ],
)
def test_a_panel_that_makes_no_sense_is_refused(markers, cofactors, message):
    with pytest.raises(PanelError, match=message):
        Panel(markers, cofactors)


def test_columns_may_come_in_any_order_and_with_passengers():
    PANEL.check_columns(["batch_id", "CD45RA", "CD4", "Time", "CD3"], "a.parquet")


def test_a_missing_marker_is_named_with_the_nearest_column():
    with pytest.raises(
        PanelError,
        match=r"^cells/b7.parquet: marker 'CD45RA' is missing \(the panel has 3 markers; this file has 2 of them; "
        r"nearest name 'cd45-ra'\)\. Rename the column, or train a model on a panel without the marker\.$",
    ):
        PANEL.check_columns(["CD3", "CD4", "cd45-ra"], "cells/b7.parquet")


def test_several_missing_markers_are_listed():
    with pytest.raises(PanelError, match=r"markers 'CD3', 'CD4' are missing .* this file has 1 of them\)"):
        PANEL.check_columns(["CD45RA", "xyz"], "a.parquet")


def test_a_marker_of_the_panel_is_not_offered_as_nearest_name():
    with pytest.raises(PanelError, match=r"this file has 2 of them\)"):
        PANEL.check_columns(["CD3", "CD45RA"], "a.parquet")


def test_a_column_name_that_stands_twice_is_refused():
    with pytest.raises(PanelError, match=r"a.parquet: the column name 'CD4' stands more than once\. Rename or drop"):
        PANEL.check_columns(["CD3", "CD4", "CD4", "CD45RA"], "a.parquet")


def test_a_panel_file_gives_markers_channels_and_cofactors_in_its_order(panel_file):
    panel, channels = read_panel(panel_file("channel,marker,cofactor\nY89Di,CD45RA,150\nNd142Di, CD3 ,\n,CD4,5\n"))
    assert panel == Panel(("CD45RA", "CD3", "CD4"), (150.0, 5.0, 5.0))
    assert channels == {"Y89Di": "CD45RA", "Nd142Di": "CD3"}


def test_channels_and_cofactors_may_be_left_out(panel_file):
    assert read_panel(panel_file("marker\nCD3\nCD4\n")) == (Panel(("CD3", "CD4"), (5.0, 5.0)), {})


def test_a_panel_file_names_a_transform_for_each_marker(panel_file):
    text = (
        "marker,transform,cofactor,top,width,decades,negatives\n"
        "CD3,,,,,,\nCD4,arcsinh,150,,,,\nCD8,logicle,,,,,\nCD19,logicle,,1000,1,4,0.2\nscore, linear ,,,,,\n"
    )
    panel, _ = read_panel(panel_file(text))
    assert panel.transforms == (Arcsinh(), Arcsinh(150.0), Logicle(), Logicle(1000, 1, 4, 0.2), Linear())


def test_numbers_are_cofactors_of_arcsinh():
    assert Panel(["CD3", "CD4"], [5, Logicle()]) == Panel(("CD3", "CD4"), (Arcsinh(5.0), Logicle()))


def test_the_unit_is_that_of_all_markers():
    assert PANEL.unit == "arcsinh units"
    assert Panel(("CD3", "CD4"), (Logicle(), Logicle(top=1000))).unit == "logicle units"
    assert Panel(("CD3", "CD4"), (5.0, Linear())).unit == "transformed units"


def test_a_panel_file_saved_by_excel_is_read(panel_file):
    panel, _ = read_panel(panel_file("marker,cofactor\r\nCD3,5\r\n", encoding="utf-8-sig"))
    assert panel.markers == ("CD3",)


def test_rows_that_excel_left_empty_are_none(panel_file):
    panel, channels = read_panel(panel_file("channel,marker,cofactor\nNd1,CD3,5\n,,\n , ,\n,,,,\nNd2,CD4,\n,,\n"))
    assert (panel.markers, channels) == (("CD3", "CD4"), {"Nd1": "CD3", "Nd2": "CD4"})


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\x03\x04", r"a damaged workbook"),
        (b"\xd0\xcf\x11\xe0\xa1", r"an older or a protected workbook \(\.xls\)"),
    ],
)
def test_a_workbook_that_cannot_be_a_panel_is_told(tmp_path, content, kind):
    (tmp_path / "panel.xlsx").write_bytes(content)
    message = rf"panel\.xlsx: expected a panel file that is a CSV in UTF-8, or \.xlsx; found {kind}\. Save it as one\."
    with pytest.raises(PanelError, match=message):
        read_panel(tmp_path / "panel.xlsx")


def test_a_panel_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(
        PanelError, match=r"none.csv: the panel file cannot be read \(.*No such file.*\)\. Check the path"
    ):
        read_panel(tmp_path / "none.csv")


def test_a_panel_file_in_another_encoding_is_told(panel_file):
    with pytest.raises(
        PanelError, match=r"panel.csv: the panel file is not a CSV in UTF-8 \(.*utf-8.*\)\. Save it as one"
    ):
        read_panel(panel_file("marker\nCD3\n", encoding="utf-16"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"expected a CSV or \.xlsx with the column 'marker' \(and 'channel', 'cofactor', …\); found no rows"),
        ("marker\n", r"found no rows"),
        ("name,cofactor\nCD3,5\n", r"found 'name', 'cofactor'"),
        ("marker,cofactor\nCD3,five\n", r"marker 'CD3': cofactor is 'five'; expected a number"),
        ("channel,marker\n,,\n,\n", r"found no rows"),
        ("channel,marker\n,,\nNd1,CD3\n,,\n,CD3\n", r"panel.csv, lines 3, 5: marker 'CD3' stands more than once"),
        (
            "channel,marker\nNd1,CD3\nNd1,CD4\n",
            r"panel.csv, lines 2, 3: channel 'Nd1' stands more than once\. Name each channel once",
        ),
        (
            "channel,marker\nNd1,CD3\nNd2,CD3\n",
            r"panel.csv, lines 2, 3: marker 'CD3' stands more than once\. Name each marker once",
        ),
        (
            "channel,marker\nNd1,CD3\n,\nTime,\n",
            r"panel.csv, line 4: the marker has no name\. Name it, or leave its row",
        ),
        (
            "marker,cofactor\nCD3,-1\n",
            r"panel.csv, line 2: marker 'CD3': arcsinh has cofactor -1.0; expected a positive",
        ),
        ("marker,transform\nCD3,logicel\n", r"marker 'CD3': there is no transform 'logicel'; .*nearest name 'logicle'"),
        (
            "marker,transform,cofactor\nCD3,linear,5\n",
            r"'CD3': the transform 'linear' is given 'cofactor'; expected no",
        ),
        (
            "marker,transform,cofactor\nCD3,logicle,5\n",
            r"'CD3': the transform 'logicle' is given 'cofactor'; expected 't",
        ),
        (
            "marker,role\nCD3,linage\n",
            r"line 2: marker 'CD3' has the role 'linage'; expected 'lineage', 'state', 'ignore' or nothing; nearest "
            r"name 'lineage'\. Correct it, or rename the column if it means something else\.$",
        ),
        ("marker,role\nCD3,ignore\n", r"panel.csv: every marker has the role 'ignore'\. Empty the cell of those to"),
        ("marker,role\nCD3,\n,ignore\n", r"panel.csv, line 3: the marker has no name"),
        ("marker,role\nCD3,\nCD3,ignore\n", r"panel.csv, lines 2, 3: marker 'CD3' stands more than once"),
        ("marker,top\nCD3,1000\n", r"'CD3': the transform 'arcsinh' is given 'top'; expected 'cofactor'"),
        ("marker,transform,top\nCD3,logicle,x\n", r"marker 'CD3': top is 'x'; expected a number"),
        ("marker,transform,width\nCD3,logicle,9\n", r"marker 'CD3': logicle has top 262144, width 9, .*; expected top"),
    ],
)
def test_a_panel_file_that_makes_no_sense_is_refused(panel_file, text, message):
    with pytest.raises(PanelError, match=message):
        read_panel(panel_file(text))


@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_a_panel_of_excel_with_its_own_separator_capitals_and_empty_rows(panel_file, separator):
    text = "Channel,Marker,Cofactor,\r\nY89Di,CD45,5,\r\n,,,\r\nNd142Di,CD3,150,\r\n,,,\r\n"
    panel, channels = read_panel(panel_file(text.replace(",", separator), encoding="utf-8-sig"))
    assert panel == Panel(("CD45", "CD3"), (5.0, 150.0))
    assert channels == {"Y89Di": "CD45", "Nd142Di": "CD3"}


def test_a_column_that_is_nearly_named_right_is_told(panel_file, caplog):
    path = panel_file("marker,cofactors,role,note\nCD3,150,lineage,x\n")
    panel, _ = read_panel(path)
    assert panel.transforms == (Arcsinh(5.0),)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"{path}: the column 'cofactors' is not read; nearest name 'cofactor'. Rename it, if that is meant."
    ]


def test_markers_that_only_look_alike_are_refused(panel_file):
    message = (
        "lines 2, 3: marker 'TNF-\u00b5', 'TNF-\u03bc' stands more than once, in two kinds of letters that look alike"
    )
    with pytest.raises(PanelError, match=message):
        read_panel(panel_file("marker\nTNF-\u00b5\nTNF-\u03bc\n"))


def test_too_many_cells_are_refused_with_their_line(panel_file):
    with pytest.raises(
        PanelError, match=r"panel\.csv, line 2: expected 2 cells, as the first line has; found 3\. Quote"
    ):
        read_panel(panel_file("marker,cofactor\nCD3,1,5\n"))


@pytest.mark.parametrize("name", ["Time", "FSC-A", "Event_length", "Center", "Residual", "SSC-B-H", "140Ce_beads"])
def test_a_marker_that_is_none_by_its_name_is_told(name, caplog):
    config = PanelConfig(markers=("CD3", name, "SSEA-4", "CD16", "Width7"))
    assert config.read().markers[1] == name
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"panel.markers: {name!r}: no marker by its name, and yet an edit would change it like one. Take it out of the "
        "panel, unless that is meant."
    ]


def test_a_marker_that_is_none_and_left_out_is_not_told(caplog):
    PanelConfig(markers=("CD3", "Time"), exclude=("Time",)).read()
    assert not caplog.records


def test_fluorescence_with_the_cofactor_of_mass_cytometry_is_told(caplog):
    random = np.random.default_rng(0)
    dim, bright, ions = (
        random.normal(40, 120, 999),
        random.lognormal(8, 1, 999),
        random.poisson(4, 999) - random.random(999),
    )
    events = np.column_stack([dim, bright, ions, dim])
    tell_small_cofactors(Panel(("CD3", "CD4", "CD8", "CD19"), (5.0, 5.0, 5.0, 150.0)), [np.zeros((9, 4)), events])
    assert [record.getMessage() for record in caplog.records] == [
        "The cofactor of 'CD3' is 5, that of mass cytometry, and many of their values are far below zero, as those of "
        "fluorescence are: 150 is usual there. Set panel.cofactor, or the column cofactor of the panel file."
    ]


ROLES = (
    "channel,marker,Role,cofactor\nY89Di,CD45,,5\nNd1,CD3,Lineage,5\nNd2,pS6,state,5\nCe140Di,beads,ignore,\n"
    "Eu1,,ignore,x\n"
)


def test_roles_are_kept_and_what_is_to_be_ignored_is_no_marker(panel_file, caplog):
    caplog.set_level(logging.INFO)
    panel, channels = read_panel(panel_file(ROLES))
    assert (panel.markers, panel.n_markers) == (("CD45", "CD3", "pS6"), 3)
    assert panel.roles == {"CD3": "lineage", "pS6": "state", "beads": "ignore"}
    assert channels == {"Y89Di": "CD45", "Nd1": "CD3", "Nd2": "pS6", "Ce140Di": "beads"}
    assert [message.partition("panel.csv")[2] for message in caplog.messages] == [
        ": by their role neither modelled nor edited: 'beads', 'Eu1'"
    ]


def test_a_marker_that_is_excluded_keeps_no_role(panel_file):
    panel = PanelConfig(file=str(panel_file(ROLES)), exclude=("CD3",)).read()
    assert (panel.markers, panel.roles) == (("CD45", "pS6"), {"pS6": "state", "beads": "ignore"})
    with pytest.raises(PanelError, match=r"^panel\.exclude: 'beads' is not in the panel"):
        PanelConfig(file=str(panel_file(ROLES)), exclude=("beads",)).read()


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"CD4": "ignore"}, r"^'CD4' has the role 'ignore' and is in the panel\. Correct the role\.$"),
        ({"CD8": "state"}, r"^'CD8' has the role 'state' and is not in the panel\. Correct the role\.$"),
    ],
)
def test_roles_that_do_not_fit_the_markers_are_refused(roles, message):
    with pytest.raises(PanelError, match=message):
        Panel(("CD3", "CD4"), (5.0, 5.0), roles)
