"""Files of real instruments, which packages on PyPI carry: read as other programs read them, and exported as read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import flowio
import numpy as np
import pytest

from neuronedit.adapters.fcs.file import read_fcs
from neuronedit.errors import DataError
from tests.adapters.export.test_round_trip import ingested
from tests.adapters.exporting import export
from tests.flowcore import events_of, read_by_flowcore
from tests.oracles.reading import Found, Registry

pytestmark = pytest.mark.faults

FLOWIO, RAW, FCSPARSER = "flowio", "flowio, as stored", "fcsparser 0.2.8"


class Real(NamedTuple):
    """A file of a package.

    Attributes:
        package: Its name and version on PyPI.
        name: Within the package.
        sha256: Of the file.
        oracle: The library that reads it rightly. flowio takes Guava's floating-point values for logarithms, which
            the standard forbids, has no integers of 24 bits, and fails where the HEADER tells no offsets of DATA.
    """

    package: str
    name: str
    sha256: str
    oracle: str = FLOWIO


_OF_FCSPARSER = "fcsparser/tests/data/FlowCytometers"


def _of_fcsparser(name: str, sha256: str, oracle: str = FLOWIO) -> Real:
    return Real("fcsparser==0.2.8", f"{_OF_FCSPARSER}/{name}", sha256, oracle)


_MACSQUANT = "MiltenyiBiotec/FCS3.1/EY_2013-07-19_PBS_FCS_3.1"

FILES = {
    "BD FACSCalibur, FCS 2.0": _of_fcsparser(
        "FACSCaliburHTS/Sample_Well_A02.fcs", "bf3fb0140c63ca583a01ec5d6af46df1d00f2e2cd6151f5533ab13a7d7f34e27"
    ),
    "BD FACSDiva": _of_fcsparser(
        "FACS_Diva/facs_diva_test.fcs", "8d0a72d1d219c880d9120bac0b7501afa23a08b4ecd2b074803e73eaa411802a"
    ),
    "BD Fortessa": _of_fcsparser(
        "Fortessa/FCS_3.0_Fortessa_PBS_Specimen_001_A1_A01.fcs",
        "fa9011c86e8ad043ab623656646f329aea907e9655e20f94ade97eea4b9dc177",
    ),
    "BD LSR II": _of_fcsparser(
        "HTS_BD_LSR-II/HTS_BD_LSR_II_Mixed_Specimen_001_D6_D06.fcs",
        "47ecbe42cc442449aa2739731c2d32d8dbcca58fbaa135cf30583cca234f9277",
    ),
    "BD Fortessa, offsets in TEXT alone": _of_fcsparser(
        "fake_large_fcs/fake_large_fcs.fcs",
        "45234ff32577dc15fb06af813cc103bbd3ceb44a66ba0be5db14a2434a200341",
        FCSPARSER,
    ),
    "Cytek xP5, integers of 24 bits": _of_fcsparser(
        "Cytek_xP5/Cytek_xP5.fcs", "dd6aaa9a034c40ab5f3a2ce1ea4c8eab7d00a053426917e07a09f8d8d76ca51a", FCSPARSER
    ),
    "Guava Muse, four data sets": _of_fcsparser(
        "GuavaMuse/Guava Muse.fcs", "f9b0ca844ecee33c935a6c5e6a7d81c5afe155ce40f0ed663bc51f0d9c98f0e9", RAW
    ),
    "Beckman Coulter Navios, LMD": _of_fcsparser(
        "fake_bitmask_error/fcs1_cleaned.lmd", "6250ffa9c5aca9da3c362297ed481a403594d109ce04f4e5e6504b9a70ed4493"
    ),
    "Beckman Coulter FC 500, two data sets": Real(
        "cytopy==2.0.1",
        "cytopy/tests/assets/test.FCS",
        "b34071272f47dbc91b308970063b3a249630c27721cf78f974a7adb57f3c199b",
    ),
    "Partec CyFlow Cube 8": _of_fcsparser(
        "cyflow_cube_8/cyflow_cube_8.fcs", "08b8ef7fc49d34c56543551cc4c16bbf50c85af49d89b3abbe40d6f6a5d6a8d9"
    ),
    "Fluidigm CyTOF": Real(
        "cytonormpy==1.0.2",
        "cytonormpy/_resources/Gates_PTLG021_Unstim_Control_1.fcs",
        "852c6c346168e4e39e7d990729d41aa6cd53d0794debeb73bc396292678f58b8",
    ),
    "MACSQuant, FCS 2.0": _of_fcsparser(
        "MiltenyiBiotec/FCS2.0/EY_2013-07-19_PBS_FCS_2.0_Custom_Without_Add_Well_A1.001.fcs",
        "28c442794bf920c72cb7c84cdca0e972d5cbace49727ddedde9d717c8b049128",
    ),
    "MACSQuant, FCS 3.0": _of_fcsparser(
        "MiltenyiBiotec/FCS3.0/FCS3.0_Custom_Compatible.fcs",
        "9a56d8825ea533356443c3b849bef82c6027ca3b4eea9e52a4b74e2be25219ff",
    ),
    "MACSQuant, FCS 3.1": _of_fcsparser(
        f"{_MACSQUANT}_Well_A1.001.fcs", "8cfedc08f387a53cd492c98b5150c3a85ad704499aec07190de5bb249897598e"
    ),
    "MACSQuant, FCS 3.1, custom": _of_fcsparser(
        f"{_MACSQUANT}_Custom_Add_Well_A1.001.fcs", "4b79ab8f5fb252de71034136c788a06cf3baf25f7f5c7e6101a97ecb22c0190c"
    ),
    "MACSQuant, FCS 3.1, no additional data": _of_fcsparser(
        f"{_MACSQUANT}_Custom_Without_Add_Well_A1.001.fcs",
        "986a95927a946e11cc15528d80fca891e26aa884509b1f50a04414508dc38516",
    ),
    "MACSQuant VYB, repeated labels": _of_fcsparser(
        "MiltenyiBiotec/FCS3.1/SG_2014-09-26_Duplicate_Names.fcs",
        "7ee7e214e54161ebea46aea860ef6c050dfdb1e093cd1d97684fbfd4bcb87cc4",
    ),
}

DAMAGED = {
    r"expected an FCS file of version .*; found a file that begins b'oi21j0'": _of_fcsparser(
        "corrupted/corrupted.fcs", "20f17232f1485cb999fb594671ab502d37ae44f88fc7eaeb5b3ffa6288c6c96d"
    ),
    r"the FCS file is truncated: expected at least 2165912 bytes, .*; found 3931\. Copy": _of_fcsparser(
        "cytek-nl-2000/sample_header.fcs", "1961e20bab436832ab1fad6f3563993d27181b263d8cc5d54274173b628e1fc3"
    ),
}


def linear(stored: np.ndarray, names: Sequence[str], keywords: Mapping[str, str]) -> np.ndarray:
    """Values as FCS 3.1 has them be read, of those that are stored: (n_events, n_channels), channel by channel."""
    values = stored.astype(float)
    for number, name in enumerate(names, 1):
        decades, least = (float(part) for part in keywords.get(f"$P{number}E", "0,0").split(","))
        if name.lower() == "time":
            values[:, number - 1] *= float(keywords.get("$TIMESTEP", "1"))
        elif decades and keywords["$DATATYPE"] == "I":
            whole = float(keywords[f"$P{number}R"])
            values[:, number - 1] = (least or 1) * 10 ** (decades * values[:, number - 1] / whole)
        else:
            values[:, number - 1] /= float(keywords.get(f"$P{number}G", "1"))
    return values.astype(np.float32)


def expected(path: Path, oracle: str, registry: Registry, folder: Path) -> tuple[list[str], np.ndarray]:
    """Names of the channels and the events of the first data set, (n_events, n_channels) float32, by an oracle."""
    if oracle == FCSPARSER:
        (found,) = registry.read(FCSPARSER, [path], folder)
        assert isinstance(found, Found), found
        return found.names, linear(found.values, found.names, found.keywords)
    flow = flowio.read_multiple_data_sets(path, ignore_offset_error=True)[0]
    values = flow.as_array(preprocess=oracle == FLOWIO)
    if oracle == FLOWIO:
        return flow.pnn_labels, values.astype(np.float32)
    keywords = {f"${key.upper()}": value for key, value in flow.text.items()}
    return flow.pnn_labels, linear(values, flow.pnn_labels, keywords)


@pytest.mark.parametrize("instrument", FILES)
def test_channels_and_events_are_those_that_other_programs_read(
    registry: Registry, tmp_path: Path, instrument: str
) -> None:
    package, name, sha256, oracle = FILES[instrument]
    path = registry.file(package, name, sha256)
    names, events = expected(path, oracle, registry, tmp_path)
    fcs = read_fcs(path)
    assert list(fcs.channels) == names
    assert fcs.n_events == len(events) > 0
    assert np.array_equal(fcs.intensities.astype(np.float32), events)


@pytest.mark.parametrize("instrument", FILES)
def test_what_was_ingested_is_exported_bit_for_bit(registry: Registry, tmp_path: Path, instrument: str) -> None:
    package, name, sha256, _ = FILES[instrument]
    path = registry.file(package, name, sha256)
    export(ingested(tmp_path, [path]), tmp_path / "fcs")
    fcs, (written,) = read_fcs(path), (tmp_path / "fcs").glob("*.fcs")
    assert events_of(written).tobytes() == fcs.intensities.astype("<f4").tobytes()
    text, cut = read_by_flowcore(written.read_bytes())
    assert np.array_equal(cut.astype(np.float32), fcs.intensities.astype(np.float32)), "$PnR cuts nothing"
    assert [text[f"$P{number}N"] for number in range(1, len(fcs.channels) + 1)] == list(fcs.channels)
    assert read_by_flowcore(written.read_bytes(), empty_value=False)[0] == text


@pytest.mark.parametrize("message", DAMAGED)
def test_a_damaged_file_is_refused(registry: Registry, message: str) -> None:
    package, name, sha256, _ = DAMAGED[message]
    with pytest.raises(DataError, match=message):
        read_fcs(registry.file(package, name, sha256))
