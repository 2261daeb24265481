import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT.parent / "shared" / "data" / "cytonorm_ptlg" / "cells.parquet"


def run(script, *arguments, **environment):
    return subprocess.run(
        [sys.executable, f"jobs/{script}.py", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def fake_wheel(folder):
    path = folder / "cytonormpy-1.0.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        info = "cytonormpy-1.0.2.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: cytonormpy\nVersion: 1.0.2\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_the_demo_refuses_a_package_of_another_digest(tmp_path):
    links = tmp_path / "links"
    links.mkdir()
    fake_wheel(links)
    done = run("demo_cells", tmp_path / "fcs", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(links))
    assert done.returncode == 2
    expected = "cytonormpy-1.0.2-py3-none-any.whl: expected SHA-256 e809849906.*; found .*: check pip's index settings"
    assert re.search(expected, done.stderr), done.stderr
    assert sorted(tmp_path.iterdir()) == [links]


def test_the_demo_says_when_pip_cannot_download(tmp_path):
    done = run("demo_cells", tmp_path / "fcs", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path))
    assert done.returncode == 2
    expected = (
        r"cytonormpy==1\.0\.2: pip could not download the package with the demo's FCS files \(.*Check the network"
    )
    assert re.search(expected, done.stderr), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.bench
def test_the_demos_cells_agree_with_the_reference_that_was_read_elsewhere(tmp_path):
    if not REFERENCE.is_file():
        pytest.skip(f"the reference {REFERENCE} is missing")
    demo = run("demo_cells", tmp_path / "fcs")
    if "pip could not download" in demo.stderr:
        pytest.skip(demo.stderr.strip())
    assert (demo.returncode, len(demo.stdout.splitlines())) == (0, 1), demo.stderr
    assert "is complete" in run("demo_cells", tmp_path / "fcs").stdout
    sheet, output = tmp_path / "fcs" / "samples.csv", tmp_path / "cells"
    done = run("ingest", "jobs/ingest.toml", "--set", f"sample_sheet={sheet}", "--set", f"output={output}")
    assert done.returncode == 0, done.stderr
    found = ds.dataset(output).to_table().to_pandas()
    reference = pq.read_table(REFERENCE).to_pandas()
    markers = list(reference.columns[5:])
    assert len(markers) == 37
    for batch_id in ("PTLG021", "PTLG028", "PTLG034"):
        for donor in ("volunteer1", "volunteer2"):
            ours = found[(found["batch_id"] == batch_id) & (found["donor"] == donor)]
            theirs = reference[(reference["batch"] == batch_id) & (reference["donor"] == donor)]
            assert list(ours["role"].unique()) == list(theirs["role"].unique())
            np.testing.assert_array_equal(ours[markers].to_numpy(), theirs[markers].to_numpy())  # both raw float32
