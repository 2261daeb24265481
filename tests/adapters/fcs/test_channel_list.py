import numpy as np
import pytest

from neuronedit.adapters.fcs.channel_list import channel_table, differences, list_channels, panel_text
from neuronedit.adapters.fcs.file import read_fcs
from neuronedit.cells.panel import Panel, read_panel
from neuronedit.cells.transforms import Arcsinh
from neuronedit.errors import PanelError
from tests.fcs_files import fcs_bytes


@pytest.fixture
def files(tmp_path):
    def save(name, channels, labels, **keywords):
        text = {f"$P{n}S": label for n, label in enumerate(labels, start=1)}
        text |= {key.replace("_", "$", 1): value for key, value in keywords.items()}
        path = tmp_path / name
        path.write_bytes(fcs_bytes(np.ones((2, len(channels)), np.float32), channels, keywords=text))
        return name, read_fcs(path)

    return dict(
        [
            save("a.fcs", ["FSC-A", "FITC-A", "FITC-H", "PE-A"], ["", "CD3", "CD3", ""], _P2R="1000", _P2G="8"),
            save("b.fcs", ["FSC-A", "FITC-A", "FITC-H", "APC-A"], ["", "CD4", "CD3", "CD8"], _SPILL="1,FITC-A,1"),
            save("c.fcs", ["FSC-A", "FITC-A", "FITC-H", "APC-A"], ["", "CD3", "CD3", "CD3"], _P2R="NA"),
        ]
    )


def test_channels_are_listed_with_what_differs(files):
    channels = list_channels(files)
    assert channel_table(channels, 3) == [
        "channel  label      range           gain    files",
        "FSC-A    -          262144          1       3 of 3",
        "FITC-A   CD3 | CD4  1000 to 262144  1 to 8  3 of 3",
        "FITC-H   CD3        262144          1       3 of 3",
        "PE-A     -          262144          1       1 of 3",
        "APC-A    CD8 | CD3  262144          1       2 of 3",
    ]
    assert differences(files, channels) == [
        "channel 'FITC-A' has different labels: CD3 in 'a.fcs', 'c.fcs'; CD4 in 'b.fcs'",
        "channel 'FITC-A' has different gains: 8 in 'a.fcs'; 1 in 'b.fcs', 'c.fcs'",
        "channel 'PE-A' is missing in 'b.fcs', 'c.fcs'",
        "channel 'APC-A' is missing in 'a.fcs'",
        "channel 'APC-A' has different labels: CD8 in 'b.fcs'; CD3 in 'c.fcs'",
        "no spillover matrix in 'a.fcs', 'c.fcs'; the identity as spillover matrix of 1 channels ($SPILL) in 'b.fcs'",
    ]


def test_files_that_agree_have_no_differences(files):
    alone = {"a.fcs": files["a.fcs"]}
    assert differences(alone, list_channels(alone)) == []


def test_the_panel_to_fill_in_names_what_is_labelled_and_ignores_the_rest(files, tmp_path):
    text = panel_text(list_channels(files))
    assert text == (
        "channel,marker,role,transform,cofactor\n"
        "FITC-A,CD3,,arcsinh,150\nPE-A,,ignore,arcsinh,150\nAPC-A,CD8,,arcsinh,150\n"
    )
    path = tmp_path / "panel.csv"
    path.write_text(text)
    assert read_panel(path) == (Panel(("CD3", "CD8"), (150.0,) * 2), {"FITC-A": "CD3", "APC-A": "CD8"})
    path.write_text(text.replace("PE-A,,ignore", "PE-A,,"))
    with pytest.raises(PanelError, match=r"panel\.csv, line 3: the marker has no name\. Name it, or leave its row out"):
        read_panel(path)
    path.write_text(text.replace("PE-A,,ignore", "PE-A,CD19,"))
    panel, channels = read_panel(path)
    assert channels == {"FITC-A": "CD3", "PE-A": "CD19", "APC-A": "CD8"}
    assert panel.transforms == (Arcsinh(150.0),) * 3


def test_where_no_channel_has_a_label_all_are_to_be_named(tmp_path):
    path = tmp_path / "a.fcs"
    path.write_bytes(fcs_bytes(np.ones((2, 3), np.float32), ["FSC-A", "FITC-A", "PE-A"]))
    text = panel_text(list_channels({"a.fcs": read_fcs(path)}))
    assert text == "channel,marker,role,transform,cofactor\nFITC-A,,,arcsinh,150\nPE-A,,,arcsinh,150\n"


def test_markers_of_two_channels_are_told_apart_and_mass_has_its_cofactor(tmp_path):
    path = tmp_path / "a.fcs"
    labels = {"$P2S": "CD3", "$P3S": "CD3", "$P4S": "beads"}
    names = ["Time", "Nd142Di", "Nd143Di", "Ce140Di"]
    path.write_bytes(fcs_bytes(np.ones((2, 4), np.float32), names, keywords=labels))
    text = panel_text(list_channels({"a.fcs": read_fcs(path)}))
    assert text == "channel,marker,role,transform,cofactor\nNd142Di,CD3,,arcsinh,5\nNd143Di,CD3 (Nd143Di),,arcsinh,5\n"
