from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from neuronedit_jobs.ingest import IngestConfig

from tests.adapters.ingesting import ingest
from tests.fcs_files import write_float_fcs

CHANNELS = ("Time", "Nd142Di", "Nd145Di")
NAMES = ("a", "b", "c", "d")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four FCS files of 20,000 events and their sheet."""
    fcs = tmp_path / "fcs"
    fcs.mkdir()
    for number, name in enumerate(NAMES):
        events = np.random.default_rng(number).gamma(2, 20, (20_000, 3))
        write_float_fcs(fcs / f"{name}.fcs", events, CHANNELS, ("", "CD19", "CD4"))
    write_sheet(fcs, NAMES)
    return tmp_path


def write_sheet(fcs: Path, names: Sequence[str]) -> None:
    lines = [f"{name}.fcs,{name},b1" for name in names]
    (fcs / "samples.csv").write_text("\n".join(["file,sample_id,batch_id", *lines, ""]))


@pytest.fixture
def whole(folder: Path) -> dict[str, bytes]:
    """The outputs of an ingest that nothing disturbed."""
    ingest(config(folder, folder / "whole"))
    return written(folder / "whole")


def config(folder: Path, output: Path | str, **changes: object) -> IngestConfig:
    sheet = str(folder / "fcs/samples.csv")
    return IngestConfig.model_validate({"sample_sheet": sheet, "output": str(output), **changes})


def written(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.glob("*.parquet")}
