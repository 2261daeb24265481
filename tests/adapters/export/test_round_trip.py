"""FCS to Parquet to FCS and back: values bit for bit, names, and keywords that stay true."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from neuronedit_jobs import ingest

from tests.adapters.exporting import columns_of, export, write_cells
from tests.fcs_files import write_float_fcs
from tests.flowcore import events_of, read_by_flowcore

CHANNELS = ("FSC-A", "FITC-A", "PE-A", "Time")
MARKERS = ("", "CD3", "IFN-γ", "")


@pytest.fixture
def intensities(rng: np.random.Generator) -> np.ndarray:
    matrix = rng.lognormal(5, 2, (300, 4)).astype(np.float32)
    matrix[:, 1:3] -= 100
    matrix[:, 3] = np.linspace(0, 60, 300, dtype=np.float32)
    return matrix


def ingested(folder: Path, fcs: Sequence[Path], *options: str, name: str = "cells") -> Path:
    """The folder of Parquet that ``neuronedit ingest`` makes of FCS files."""
    folder.mkdir(exist_ok=True)
    lines = [f"{path},{path.stem},day1" for path in fcs]
    sheet = folder / f"{name}.csv"
    sheet.write_text("\n".join(["file,sample_id,batch_id", *lines, ""]))
    assert ingest.main(["--sample-sheet", str(sheet), "--output", str(folder / name), *options]) == 0
    return folder / name


@pytest.fixture
def source(tmp_path: Path, intensities: np.ndarray) -> Path:
    return write_float_fcs(tmp_path / "p1.fcs", intensities, CHANNELS, MARKERS, {"cyt": "Aurora"})


def test_events_and_names_are_the_sources(tmp_path: Path, source: Path, intensities: np.ndarray) -> None:
    export(ingested(tmp_path, [source]), tmp_path / "fcs")
    written = tmp_path / "fcs/Norm_p1.fcs"
    assert events_of(written).tobytes() == intensities.tobytes()
    text, cut = read_by_flowcore(written.read_bytes())
    assert np.array_equal(cut, intensities), "$PnR cuts nothing"
    assert [text[f"$P{number}N"] for number in (1, 2, 3, 4)] == list(CHANNELS)
    assert [text.get(f"$P{number}S", "") for number in (1, 2, 3, 4)] == list(MARKERS), "no label where there was none"
    assert (text["$FIL"], text["FILE"], text["SAMPLE_ID"]) == ("Norm_p1.fcs", str(source), "p1")
    assert text["NEURONEDIT_SOURCE_FILE"] == str(source)
    assert {text[f"$P{number}G"] for number in (1, 2, 3, 4)} == {"1"}


def test_what_was_exported_is_ingested_bit_for_bit_again_and_again(tmp_path: Path, source: Path) -> None:
    first = ingested(tmp_path, [source])
    for number in (1, 2):
        export(first, tmp_path / f"fcs{number}")
        again = ingested(tmp_path, [tmp_path / f"fcs{number}/Norm_p1.fcs"], name=f"cells{number}")
        names = ["FSC-A", "CD3", "IFN-γ", "Time"]
        before, after = first / "p1.parquet", again / "Norm_p1.parquet"
        assert pq.read_schema(after).names[-4:] == names
        assert columns_of(after, names).tobytes() == columns_of(before, names).tobytes()


def test_a_panels_markers_are_labels_of_their_detectors(tmp_path: Path, source: Path) -> None:
    panel = tmp_path / "panel.csv"
    panel.write_text("channel,marker,cofactor\nPE-A,gamma,150\nFITC-A,CD3,150\n")
    export(ingested(tmp_path, [source], "--panel", str(panel)), tmp_path / "fcs")
    text, _ = read_by_flowcore((tmp_path / "fcs/Norm_p1.fcs").read_bytes())
    assert (text["$P2N"], text["$P2S"], text["$P3N"], text["$P3S"]) == ("FITC-A", "CD3", "PE-A", "gamma")


@pytest.mark.parametrize("kind", ["float64", "int32", "uint16"])
def test_markers_of_any_number_type_come_back_as_float32(tmp_path: Path, intensities: np.ndarray, kind: str) -> None:
    matrix = np.abs(intensities).astype(kind)
    cells = write_cells(tmp_path / "cells/a.parquet", {f"m{i}": values for i, values in enumerate(matrix.T)})
    export(cells.parent, tmp_path / "fcs")
    assert np.array_equal(events_of(tmp_path / "fcs/Norm_a.fcs"), matrix.astype(np.float32))


FACTS = {
    "file": "day1/p1.fcs",
    "sha256": "5" * 64,
    "channels": {"Time": "Time", "FITC-A": "CD3", "PE-A": "CD4"},
    "compensated": True,
    "keywords": {
        "$P1N": "Time",
        "$P2N": "FITC-A",
        "$P3N": "PE-A",
        "$P2V": "450",
        "$P2G": "8",
        "$P2R": "262144",
        "$P3R": "NA",
        "$TIMESTEP": "0.01",
        "$CYT": "Aurora",
        "$DATE": "01-JAN-2026",
        "$SPILLOVER": "2,FITC-A,PE-A,1,0.1,0,1",
        "GUID": "old",
        "BATCH_ID": "of an earlier export",
    },
}


def with_facts(tmp_path: Path, facts: object = FACTS) -> dict[str, str]:
    columns = {
        "CD4": pa.array([1.0, 7.5], pa.float32()),
        "CD3": pa.array([-1.0, 2.0], pa.float32()),
        "Time": pa.array([0.0, 0.5], pa.float32()),
        "batch_id": ["B", "B"],
        "date": ["Monday", "Monday"],
        "donor": ["P1", "P2"],
    }
    cells = write_cells(tmp_path / "cells/a.parquet", columns, json.dumps(facts).encode())
    export(cells.parent, tmp_path / "fcs")
    return read_by_flowcore((tmp_path / "fcs/Norm_a.fcs").read_bytes())[0]


def test_keywords_that_ingest_kept_are_written_where_they_stay_true(tmp_path: Path) -> None:
    text = with_facts(tmp_path)
    assert (
        text.items()
        >= {
            "$CYT": "Aurora",
            "$DATE": "01-JAN-2026",
            "$P1N": "PE-A",
            "$P1S": "CD4",
            "$P1R": "9",
            "$P2N": "FITC-A",
            "$P2V": "450",
            "$P2G": "1",
            "$P2R": "262144",
            "$TIMESTEP": "1",
            "ORIGINALGUID": "old",
            "$ORIGINALITY": "DataModified",
            "NEURONEDIT_SOURCE_FILE": "day1/p1.fcs",
            "NEURONEDIT_SOURCE_SHA256": "5" * 64,
            "NEURONEDIT_SPILLOVER": "2,FITC-A,PE-A,1,0.1,0,1",
        }.items()
    )
    assert "$SPILLOVER" not in text, "it would be applied twice"
    assert text["GUID"] != "old"


def test_columns_that_are_constant_become_keywords_of_their_own(tmp_path: Path) -> None:
    text = with_facts(tmp_path)
    assert text["BATCH_ID"] == "B"
    assert text["COLUMN_DATE"] == "Monday", "DATE alone would be taken for $DATE"
    assert not [key for key in text if "DONOR" in key]


@pytest.mark.parametrize("facts", [None, [], {"channels": ["CD3"], "keywords": "none"}, {"channels": {"x": 3}}, "text"])
def test_metadata_of_other_programs_is_no_hindrance(tmp_path: Path, facts: object) -> None:
    text = with_facts(tmp_path, facts)
    assert [text[f"$P{number}N"] for number in (1, 2, 3)] == ["CD4", "CD3", "Time"]
    assert "$P1S" not in text
