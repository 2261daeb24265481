# %% [markdown]
# # A stimulation across donors, and a combination
#
# What does irradiation do to a tumour that was never irradiated? Eight head-and-neck cancer cell lines were measured
# with 0 Gy and with 10 Gy in one barcoded run of mass cytometry (data of the R package RUCova, `HNSCC_data.rda`: 500
# cells for each line and dose). Seven lines teach the change, the eighth is predicted, and as it was measured, too, we
# can see what the prediction was worth. It takes three minutes on two cores; `pip install neuronedit` is enough.
#
# The cells are a table with a column for each marker, raw intensities, and the columns `donor` (the line) and
# `condition`:

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from neuronedit import NeuronEdit, TrainingPlan

data = Path(os.environ.get("NEURONEDIT_DATA", "data"))
cells = pd.read_parquet(data / "rucova_hnscc/cells.parquet")
markers = cells.columns[4:].tolist()
print(f"{len(cells):,} cells, {len(markers)} markers, {cells.donor.nunique()} lines: {', '.join(cells.donor.unique())}")

# %% [markdown]
# ## Learn on seven lines
#
# `y` is what each cell was treated with. `sample` says which line it is from: every line is then left out in turn,
# and the effect learned without it is compared with what it did to that line. That is the only way to know beforehand
# how an effect carries over to another line; with one line it would be *unknown*.

# %%
new_line = "UPCISCC099"
known = cells[cells.donor != new_line]
plan = TrainingPlan(epochs=40)
learned = NeuronEdit(source="0Gy", target="10Gy", training=plan)
learned.fit(known[markers], known.condition, sample=known.donor)
found = pd.DataFrame(learned.model_.facts["evidence"]["pair"]["samples"]["units"]).set_index("name")
errors = pd.DataFrame(
    {how: [np.mean(list(scores.values())) for scores in found[how]] for how in ("edit", "quantile_map")}
)
print(errors.set_index(found.index).round(2).to_string())
print(f"\nexpected error {learned.expected_error_:.2f}; a per-marker quantile map's {errors.quantile_map.mean():.2f}")

# %% [markdown]
# 0 is as good as a second measurement, 1 is doing nothing. This is a hard case, and the numbers say so before anything
# is predicted: irradiation is not one effect. On four lines the edit takes away a part of the difference, on three it
# is worse than doing nothing, and a quantile map does as well. With one line to learn from nobody would have known.
#
# ## Predict the eighth
#
# `transform` takes the cells for untreated ones. Each marker's mean change, as predicted and as measured:

# %%
untreated = cells[(cells.donor == new_line) & (cells.condition == "0Gy")]
measured = cells[(cells.donor == new_line) & (cells.condition == "10Gy")]
predicted = pd.DataFrame(learned.transform(untreated[markers]), columns=markers)


def mean_change(after):
    """Mean change from the untreated cells, arcsinh units."""
    return np.arcsinh(after[markers] / 5).mean() - np.arcsinh(untreated[markers] / 5).mean()


figure, axis = plt.subplots(figsize=(4.5, 4.5))
axis.axline((0, 0), slope=1, color="grey", linewidth=1)
axis.scatter(mean_change(measured), mean_change(predicted), s=18)
for name in mean_change(measured).abs().nlargest(5).index:
    axis.annotate(name, (mean_change(measured)[name], mean_change(predicted)[name]), fontsize=8)
axis.set(xlabel="measured change, arcsinh units", ylabel="predicted change", title=f"10 Gy on {new_line}")
print(f"correlation of mean changes: {mean_change(measured).corr(mean_change(predicted)):.2f}")
print(f"events unlike all that was learned from: {(learned.support(untreated[markers]) > 1).mean():.0%}")

# %% [markdown]
# The direction is right for the markers that change most, and pS6 falls far more than in any other line. Nothing in
# the untreated cells tells so, nor are they unlike those that were learned from: that is why the errors on lines left
# out matter more than any single number, and why the [review](reading_a_review.md) says *measure first* where there
# are none.
#
# ## Two things at once
#
# T cells need their antigen and a signal of danger. In an experiment of mouse T cells (R package CytoExploreR,
# *Activation*: flow cytometry, four stimulations `Stim-A` to `Stim-D`, four doses of the antigen ovalbumin) we take
# antigen alone, a stimulation alone, and both. An edit learned from one of them, applied to cells that had the other,
# predicts both:

# %%
wells = pd.read_parquet(data / "ot_activation_flow/cells.parquet")
wells = wells[wells.cell_type == "CD4T_OTII"]
seen = ["CD69", "CD44", "CD8", "CD4", "Va2", "CD11c"]
arms = {"nothing": ("Stim-A", 0.0), "antigen": ("Stim-A", 0.5), "signal": ("Stim-D", 0.0), "both": ("Stim-D", 0.5)}
arm = {
    name: wells[(wells.treatment == stim) & np.isclose(wells.ova, dose)][seen] for name, (stim, dose) in arms.items()
}
print({name: len(events) for name, events in arm.items()})

single = pd.concat([arm["nothing"], arm["antigen"]])
treated = np.repeat(["nothing", "antigen"], [len(arm["nothing"]), len(arm["antigen"])])
antigen = NeuronEdit(source="nothing", target="antigen", transforms=150.0, training=TrainingPlan(epochs=15))
together = pd.DataFrame(antigen.fit(single, treated).transform(arm["signal"]), columns=seen)

table = pd.DataFrame({name: np.arcsinh(events / 150).mean() for name, events in arm.items()})
table["predicted both"] = np.arcsinh(together / 150).mean()
table["more than additive"] = table["both"] - table["antigen"] - table["signal"] + table["nothing"]
print(table.round(2).to_string())

# %% [markdown]
# CD69, the mark of activation, hardly moves with either alone and rises with both: synergy. No edit foresees it,
# because neither single treatment shows it; an edit foresees what each treatment alone gives away, such as
# saturation. The job [`combine`](../guide/combine.md) makes this comparison in full, with intervals over wells and a
# call for each marker (synergistic, antagonistic, additive, undecided).
