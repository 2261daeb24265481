"""FCS files that were written here, as other programs read them, each in an environment of its own."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neuronedit.adapters.fcs.keywords import DELIMITERS
from neuronedit.adapters.fcs.writing import Channel, Events, write_fcs
from tests.adapters.export.test_round_trip import ingested
from tests.adapters.exporting import columns_of, export, write_cells
from tests.fcs_files import write_float_fcs
from tests.flowcore import events_of, read_by_flowcore
from tests.oracles.reading import LIBRARIES, Found, Registry

pytestmark = pytest.mark.faults

CHANNELS = ("FSC-A", "FITC-A", "µ-A", "Time")
MARKERS = ("", "CD3", "IFN-γ 白血病 🔬", "")

DELIMITED = {f"delimiter {ord(sign):#04x}": {"COM": f"a{sign}b"} for sign in DELIMITERS} | {
    "all delimiters": {f"OWN{number}": f"a{sign}b" for number, sign in enumerate(DELIMITERS)}
}
"""Keywords by file: a file for each delimiter that may be chosen, and one with all of them, so that one is doubled."""

NO_LABELS = (
    "AssertionError: PnN or PnS field not found in the file!\nPlease check your file content with `readfcs.view`!"
)
"""What readfcs says of every file without a single $PnS, which the standard does not ask for."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files by name, written here: of an ingested source, of a table, with delimiters in values, and a large one."""
    folder = tmp_path_factory.mktemp("written")
    rng = np.random.default_rng(3)
    intensities = rng.lognormal(5, 2, (300, 4)).astype(np.float32) - np.float32([0, 100, 100, 0])
    source = write_float_fcs(folder / "p1.fcs", intensities, CHANNELS, MARKERS, {"cyt": "Aurora", "$TIMESTEP": "0.01"})
    cells = ingested(folder, [source])
    export(cells, folder / "fcs")
    table = {"CD3": rng.normal(0, 1e30, 50), "id": np.arange(50), "neuronedit_support": pa.array([None, 2.0] * 25)}
    export(write_cells(folder / "table/a.parquet", table).parent, folder / "fcs2")
    files = {"ingested": folder / "fcs/Norm_p1.fcs", "table": folder / "fcs2/Norm_a.fcs"}
    for number, (name, keywords) in enumerate(DELIMITED.items()):
        files[name] = _written(folder / f"{number}.fcs", np.float32([[1, 2], [3, 4]]), 1, keywords)
    block = rng.lognormal(5, 2, (25_000, 10)).astype(np.float32)
    files["more than 100 MB"] = _written(folder / "large.fcs", block, 104, {})
    return files


def _written(path: Path, block: np.ndarray, times: int, keywords: dict[str, str]) -> Path:
    n_events, n_channels = block.shape
    channels = [Channel(f"m{i}", f"D{i}", f"m{i}", 2**40) for i in range(n_channels)]
    part = Events(pa.table({f"m{i}": values for i, values in enumerate(block.T)}), "a.parquet", np.arange(n_events))
    with path.open("wb") as sink:
        write_fcs(sink, channels, keywords, times * n_events, (part for _ in range(times)))
    return path


@pytest.fixture(scope="module", params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def read(
    library: str,
    registry: Registry,
    written: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Found | str]:
    """The files by name, as a library reads them."""
    found = registry.read(library, list(written.values()), tmp_path_factory.mktemp("read"))
    return dict(zip(written, found, strict=True))


def test_events_and_names_are_those_that_were_written(
    library: str, read: dict[str, Found | str], written: dict[str, Path]
) -> None:
    assert written["more than 100 MB"].stat().st_size > 100_000_000
    for name, path in written.items():
        found = read[name]
        if library.startswith("readfcs") and name == "table":
            assert found == NO_LABELS
            continue
        assert isinstance(found, Found), (name, found)
        text, events = read_by_flowcore(path.read_bytes(), empty_value=name != "all delimiters")
        numbers = range(1, int(text["$PAR"]) + 1)
        assert found.values.tobytes() == events.astype(np.float32).tobytes(), name
        assert found.names == [text[f"$P{number}N"] for number in numbers], name
        assert found.labels == [text.get(f"$P{number}S", "") for number in numbers], name


def test_keywords_are_read_whatever_delimiters_they_hold(read: dict[str, Found | str]) -> None:
    for name, keywords in DELIMITED.items():
        found = read[name]
        assert isinstance(found, Found), (name, found)
        told = {key.removeprefix("$").upper(): value for key, value in found.keywords.items()}
        assert told.items() >= keywords.items(), name


def test_what_other_programs_read_is_what_was_ingested(read: dict[str, Found | str], written: dict[str, Path]) -> None:
    found = read["ingested"]
    assert isinstance(found, Found)
    cells = written["ingested"].parents[1] / "cells/p1.parquet"
    names = [label or name for name, label in zip(CHANNELS, MARKERS, strict=True)]
    assert found.values.tobytes() == columns_of(cells, names).tobytes()


def test_what_they_read_is_ingested_again(written: dict[str, Path], tmp_path: Path) -> None:
    """The same bits as other programs read, since both are those of the file."""
    again = ingested(tmp_path, [written["table"]]) / "Norm_a.parquet"
    names = pq.read_schema(again).names[-3:]
    assert columns_of(again, names).tobytes() == events_of(written["table"]).tobytes()
