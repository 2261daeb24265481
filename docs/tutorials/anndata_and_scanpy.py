# %% [markdown]
# # AnnData and scanpy
#
# The same six FCS files as in [From FCS to FCS](fcs_to_fcs.md), now in scanpy's world: read by readfcs, corrected
# into a layer, embedded by scanpy. It takes a minute and a half on two cores.
#
# `pip install 'neuronedit[anndata]' readfcs scanpy`, and the files (`python -m neuronedit_jobs.demo_cells fcs`; that
# command alone needs `neuronedit[jobs]`):

# %%
import warnings
from pathlib import Path

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import readfcs
import scanpy as sc
from neuronedit_jobs import demo_cells

from neuronedit import NeuronEdit, TrainingPlan
from neuronedit.anndata import edit, fit

warnings.filterwarnings("ignore")  # of the others: indices made text, and the like
demo_cells.main(["fcs"])
sheet = pd.read_csv("fcs/samples.csv").set_index("sample_id")
panel = pd.read_csv(Path(demo_cells.__file__).with_name("demo_panel.csv"))

samples = {name: readfcs.read(f"fcs/{file}") for name, file in sheet.file.items()}
adata = ad.concat(samples, label="sample", index_unique="-", merge="same")
adata = adata[:, adata.var["channel"].isin(panel.channel)].copy()  # markers alone: no time, no bar codes
adata.var_names = panel.set_index("channel").marker[adata.var["channel"]].to_numpy()
adata.obs = adata.obs.join(sheet[["batch_id", "role", "donor"]], on="sample")
print(adata)

# %% [markdown]
# ## Learn from the controls, correct everything
#
# Three lines. `X` stays raw; the corrected intensities are a layer, and `support` tells which cells the control has
# nothing like.

# %%
controls = adata[adata.obs["role"] == "control"]
learned = fit(controls, "batch_id", NeuronEdit(kind="controls", target="PTLG021", training=TrainingPlan(epochs=60)))
edit(adata, learned, support=True)
print(adata)
print(
    adata.obs.groupby("batch_id", observed=True)["neuronedit_support"].agg(lambda scores: (scores > 1).mean()).round(3)
)

# %% [markdown]
# Volunteer 2, whom it never saw, before and after: cells of the same blood should lie together whatever batch they
# were measured in.

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2))
for axis, layer in zip(axes, [None, "neuronedit"]):
    shown = adata[adata.obs["role"] == "validation"].copy()
    shown.X = np.arcsinh((shown.X if layer is None else shown.layers[layer]) / 5)
    sc.pp.pca(shown, n_comps=15, random_state=0)
    sc.pp.neighbors(shown, n_neighbors=15, random_state=0)
    sc.tl.umap(shown, random_state=0)
    title = "as measured" if layer is None else "corrected"
    legend = None if layer is None else "right margin"
    sc.pl.umap(shown, color="batch_id", ax=axis, show=False, title=title, legend_loc=legend, size=8)

# %% [markdown]
# A picture proves little. In the marker space itself, the distance of each batch's mean to the first batch's:

# %%
validation = adata[adata.obs["role"] == "validation"]
for title, values in {"as measured": validation.X, "corrected": validation.layers["neuronedit"]}.items():
    means = pd.DataFrame(np.arcsinh(values / 5)).groupby(validation.obs["batch_id"].to_numpy()).mean()
    gaps = (means - means.loc["PTLG021"]).abs().mean(axis=1).astype(float).round(3)
    print(f"{title}: {gaps[gaps > 0].to_dict()}")

# %% [markdown]
# The model is the same artefact that the jobs use: a folder without pickle. On a cluster it edits what does not fit
# into memory, bit for bit alike.

# %%
learned.to_model_folder("model")
edit(adata, "model", key_added="again")
print((adata.layers["again"] == adata.layers["neuronedit"]).all())

# %% [markdown]
# What goes into which slot, and files larger than memory: [AnnData and scanpy](../guide/anndata.md).
