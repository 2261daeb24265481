"""Sound files are read as flowio reads them; fcsparser and FlowKit need other versions of NumPy and pandas."""

import numpy as np
import pytest

from neuronedit.adapters.fcs.file import read_fcs
from tests.fcs_files import fcs_bytes

CHANNELS = ["FSC-A", "FITC-A", "PE-A", "Time"]
FLOATS = np.random.default_rng(0).lognormal(5, 2, (25, 4))
KINDS = [np.float32, np.float64, np.uint8, np.uint16, np.uint32]


def sound(tmp_path, version, kind, order, **keywords):
    values = (
        np.clip(FLOATS, 0, np.iinfo(kind).max).astype(kind) if np.issubdtype(kind, np.integer) else FLOATS.astype(kind)
    )
    text = {"$P2S": "CD3", "$P3S": "CD4 / α", "$OP": "Zoë | Ada", **keywords}
    text = {key: value.replace("|", "||") for key, value in text.items()}
    path = tmp_path / "a.fcs"
    path.write_bytes(fcs_bytes(values, CHANNELS, version=version, order=order, keywords=text))
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", ["2.0", "3.0", "3.1"])
def test_flowio_reads_the_same(tmp_path, version, kind, order):
    flowio = pytest.importorskip("flowio")
    integers = np.issubdtype(kind, np.integer)
    scales = {"$P2E": "4,1", "$P2R": "256", "$P3G": "8"} if integers else {"$P2G": "2", "$P3G": "8"}
    path = sound(tmp_path, version, kind, order, **scales, **{"$TIMESTEP": "0.25"})
    theirs, ours = flowio.FlowData(path), read_fcs(path)
    np.testing.assert_array_equal(np.concatenate(list(ours.blocks())), theirs.as_array())
    assert list(ours.channels) == theirs.pnn_labels
    assert [channel.label for channel in ours.described] == theirs.pns_labels
    assert [channel.range for channel in ours.described] == theirs.pnr_values


def test_a_file_that_flowio_wrote_gives_what_was_written(tmp_path):
    flowio = pytest.importorskip("flowio")
    path, labels = tmp_path / "a.fcs", ["", "CD3", "CD4 / α", ""]
    with path.open("wb") as file:
        flowio.create_fcs(file, FLOATS.ravel().tolist(), CHANNELS, labels, {"$P2G": "4", "note": "a/b//c"})
    fcs = read_fcs(path)
    np.testing.assert_array_equal(fcs.intensities, np.float32(np.float32(FLOATS) / np.float64([1, 4, 1, 1])))
    assert fcs.markers == ("FSC-A", "CD3", "CD4 / α", "Time")
    assert (fcs.keywords["NOTE"], fcs.notes) == ("a/b//c", ())
