import numpy as np
import pytest
from neuronedit_jobs.channels import main

from tests.fcs_files import fcs_bytes


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.fcs"
    keywords = {"$P2S": "CD3", "$P2G": "0"}
    path.write_bytes(fcs_bytes(np.ones((2, 2), np.float32), ["FSC-A", "FITC-A"], keywords=keywords))
    return path


def test_channels_and_oddities_are_printed_and_a_panel_is_written(path, capsys):
    panel = path.with_name("panel.csv")
    assert main([str(path), "--panel", str(panel)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "channel  label  range   gain  files",
        "FSC-A    -      262144  1     1 of 1",
        "FITC-A   CD3    262144  1     1 of 1",
        f"{path}: $P2G is 0, which is no gain: nothing is divided out",
        f"{panel}: name the markers; the role ignore leaves a channel out; check cofactors; then give it to ingest "
        "and train",
    ]
    assert panel.read_text() == "channel,marker,role,transform,cofactor\nFITC-A,CD3,,arcsinh,150\n"


def test_a_panel_that_exists_is_spared(path, capsys):
    panel = path.with_name("panel.csv")
    panel.write_text("mine")
    assert main([str(path), "--panel", str(panel)]) == 2
    assert panel.read_text() == "mine"
    said = capsys.readouterr().err
    assert said == f"neuronedit channels: {panel}: the file exists. Choose another name, or remove it.\n"


def test_a_file_that_cannot_be_read_is_told(path, capsys):
    path.write_bytes(b"")
    assert main([str(path)]) == 2
    assert capsys.readouterr().err == (
        f"neuronedit channels: {path}: the FCS file is empty (0 bytes). Export or copy it again.\n"
    )
