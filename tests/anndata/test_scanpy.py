"""From an FCS file through readfcs and neuronedit to scanpy, as a user of scanpy goes."""

import numpy as np
import pandas as pd
import pytest
import readfcs
import scanpy as sc
from anndata import concat

from neuronedit import Architecture, EditConfig, NeuronEdit, TrainingPlan
from neuronedit.anndata import edit, fit
from neuronedit.model.example import MARKERS, example_cells
from tests.fcs_files import write_float_fcs

CHANNELS = ["Er170Di", "Nd145Di", "Yb172Di", "Time"]


@pytest.fixture
def adata(tmp_path):
    """Two FCS files of two days, read by readfcs; on the second pSTAT1 is measured higher."""
    read = {}
    for day, treated in (("day1", 0.0), ("day2", 1.0)):
        events = np.column_stack([example_cells(0, treated), np.arange(400)])
        path = write_float_fcs(tmp_path / f"{day}.fcs", events, CHANNELS, [*MARKERS, ""], {"$CYT": "CyTOF"})
        read[day] = readfcs.read(str(path))
        read[day].X = np.asarray(read[day].X, np.float32)
    return concat(read, label="batch", index_unique="-", merge="same", uns_merge="first")


def test_fcs_read_by_readfcs_is_edited_and_goes_on_to_a_umap(adata):
    meta = dict(adata.uns["meta"])
    markers = [name for name in adata.var_names if name in MARKERS]
    assert sorted(markers) == sorted(MARKERS)
    estimator = NeuronEdit(
        kind="controls",
        target="day2",
        network=Architecture(hidden=(8,), code=2),
        training=TrainingPlan(epochs=1),
        edit=EditConfig(preset="quantile-map"),
    )
    edit(adata, fit(adata, "batch", estimator, markers=markers), support=True)
    assert adata.uns["meta"].keys() == meta.keys()
    rise = np.arcsinh(adata[:, "pSTAT1"].layers["neuronedit"] / 5) - np.arcsinh(np.asarray(adata[:, "pSTAT1"].X) / 5)
    day1 = (adata.obs["batch"] == "day1").to_numpy()
    assert 0.8 < rise[day1].mean() < 1.2
    assert not rise[~day1].any()
    corrected = adata[:, markers].copy()
    corrected.X = np.arcsinh(corrected.layers["neuronedit"] / 5)
    sc.pp.pca(corrected, n_comps=2)
    sc.pp.neighbors(corrected, use_rep="X_pca", n_neighbors=10)
    sc.tl.umap(corrected)
    assert np.isfinite(corrected.obsm["X_umap"]).all()
    centres = pd.DataFrame(corrected.obsm["X_pca"]).groupby(corrected.obs["batch"].to_numpy()).mean()
    assert np.abs(centres.loc["day1"] - centres.loc["day2"]).max() < 0.2
