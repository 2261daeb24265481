# %% [markdown]
# # Reading a review
#
# Before a model corrects anything, its review says whether to trust it, on which cells, and why. This tutorial reads
# the review of [From FCS to FCS](fcs_to_fcs.md) as a program can, beside what a person sees on the page, and then
# shows what the checks do when somebody tries to talk them round. Run that one first, in the same folder: this one
# takes seconds where `corrected/` stands.

# %%
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

if not Path("corrected/review").exists():
    raise SystemExit("Run the tutorial fcs_to_fcs in this folder first.")
review = Path("corrected/review")
print(Path("corrected/summary.txt").read_text())

# %% [markdown]
# ## The first screen
#
# `corrected/review/review.html` opens with one of five answers: *use it*, *use it with care*, *use the per-marker
# quantile map instead*, *measure first*, *do not use it*; on which cells; and why. Below stand the checks, or gates,
# the failed ones first. The same as a table:

# %%
gates = pd.read_csv(review / "gates.csv")
print(gates[["gate", "outcome", "value", "rule", "threshold"]].round(2).to_string(index=False))
print()
print("\n".join(gates.reason))

# %% [markdown]
# ## How near to the truth
#
# Every comparison by the two distances that decide: the EMD, marker by marker, and the energy distance, of all
# markers together. What is left of the difference: 0 is a second measurement of the same sample, 1 is doing nothing.
# Training pairs show how well the edit was learned; only held-out samples say whether it is true.

# %%
summary = pd.read_csv(review / "summary.csv")
left = pd.DataFrame({"comparison": summary.comparison.str.split(",").str[0], "kind": summary.kind})
for distance in ("emd", "energy"):
    gap = summary[f"{distance}_before"] - summary[f"{distance}_floor"]
    left[f"{distance} left"] = (summary[f"{distance}_after"] - summary[f"{distance}_floor"]) / gap
    left["by the best simple method" if distance == "emd" else "by it"] = (
        summary[f"{distance}_best_simple"] - summary[f"{distance}_floor"]
    ) / gap
left["markers worse"] = summary.markers_worse
print(left.round(2).to_string(index=False))

# %% [markdown]
# ## Marker by marker
#
# A mean hides markers that were made worse. Below the line the edit brings a marker nearer to the truth. One is called
# *worse* only where its EMD surely grows by more than its own noise:

# %%
markers = pd.read_csv(review / "markers.csv")
held_out = markers[markers.kind != "training pair"]
worse = held_out.worse.astype(bool)
figure, axis = plt.subplots(figsize=(4.5, 4.5))
axis.axline((0, 0), slope=1, color="grey", linewidth=1)
axis.scatter(held_out.before[~worse], held_out.after[~worse], s=14)
axis.scatter(held_out.before[worse], held_out.after[worse], s=30, color="crimson", label="worse")
for _, row in held_out[worse].iterrows():
    axis.annotate(row.marker, (row.before, row.after), fontsize=8)
axis.set(xlabel="EMD to the truth before", ylabel="after", title="each marker of volunteer 2")
if worse.any():
    axis.legend()
print("worse:", ", ".join(held_out.marker[worse]) or "none")

# %% [markdown]
# These markers are a restriction of use: do not read a difference in them between batches. To leave one alone from the
# beginning: [a marker to be left alone](../howto.md#a-marker-to-be-left-alone).
#
# ## What cannot be talked round
#
# Suppose that somebody reviews the model again, without the held-out samples and with a limit that lets anything
# pass, and wants to promote it on that:

# %%
store = ["--set", "tracking.uri=sqlite:///corrected/steps/mlflow.db"]
again = [
    "review",
    "--model",
    "models:/batches/1",
    "--set",
    "data.path=corrected/steps/cells",
    "--output",
    "again",
    *store,
]
command = [sys.executable, "-m", "neuronedit_jobs"]
told = subprocess.run([*command, *again, "--set", "gates.support=50", "--overwrite"], capture_output=True, text=True)
print("\n".join(line for line in told.stdout.splitlines() if line[:1] in "▲◆▼" or line.startswith("check")))

promote = ["promote", "batches", "1", "--alias", "prod", *store]
refused = subprocess.run([*command, *promote], capture_output=True, text=True)
print(f"\nexit status {refused.returncode}\n{refused.stderr[refused.stderr.index('neuronedit promote:') :]}")

# %% [markdown]
# The version remembers what earlier reviews looked at: comparisons that are lost count as *overridden* (`evidence`), as
# looser limits do, and need `--override` with a reason, which stays with the version.
#
# [More about reviews](../guide/review.md).
