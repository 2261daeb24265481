# %% [markdown]
# # From FCS to FCS across batches
#
# Six FCS files of mass cytometry: blood of two volunteers, each measured in three experiments, PTLG021, PTLG028 and
# PTLG034 (FlowRepository FR-FCM-Z247). Volunteer 1 is the control that every experiment has; from it a model learns
# how each batch differs from the first. Volunteer 2, whom it never sees, was measured in all three as well: by that
# we can tell whether the correction is right. It takes two minutes on two cores.
#
# `pip install 'neuronedit[jobs]'`, then:

# %%
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from neuronedit_jobs import demo_cells

demo_cells.main(["fcs"])  # fetches the files, 1,000 events each
print(pd.read_csv("fcs/samples.csv").to_string(index=False))

# %% [markdown]
# The sample sheet is all that must be written by hand: a line for each file, with its batch, and which sample is the
# control. The panel says which channels are markers, under which names, and how each is transformed.
# `neuronedit channels fcs/*.fcs --panel panel.csv` writes one to fill in; the demo's is ready:

# %%
panel = Path(demo_cells.__file__).with_name("demo_panel.csv")
print(pd.read_csv(panel).head(4).to_string(index=False))

# %% [markdown]
# One command does the rest. It reads the files, trains, reviews the result against volunteer 2, corrects every event,
# and writes FCS files again. It stops before it corrects anything where the review's checks fail.

# %%
settings = ["--panel", panel, "--reference", "PTLG021", "--controls", "control", "--held-out", "validation"]
training = ["--set", "training.epochs=60", "--set", "training.minibatch=256"]
job = ["neuronedit_jobs", "normalise", "fcs/samples.csv", "--output", "corrected", *settings, *training]
done = subprocess.run([sys.executable, "-m", *map(str, job)], stdout=subprocess.PIPE, text=True, check=True)
print(done.stdout[done.stdout.index("6,000 events in 6 files") :])

# %% [markdown]
# The first sentence of the review is the one to heed; `corrected/review/review.html` says more. What did it do to
# volunteer 2? Below, two markers that differ between PTLG034 and the first experiment: as measured there, after the
# correction, and as measured in the first experiment, which is what the correction should come to. These two are the
# worst: it goes a part of the way, since what differs between the volunteer's batches is not all in the control.

# %%
before = pq.read_table("corrected/steps/cells/PTLG034_volunteer2.parquet").to_pandas()
after = pq.read_table("corrected/steps/edited/PTLG034_volunteer2.parquet").to_pandas()
truth = pq.read_table("corrected/steps/cells/PTLG021_volunteer2.parquet").to_pandas()
markers = pd.read_csv(panel).marker
gap = {name: abs(np.arcsinh(before[name] / 5).mean() - np.arcsinh(truth[name] / 5).mean()) for name in markers}
most = sorted(gap, key=gap.get)[-2:]

figure, axes = plt.subplots(1, 2, figsize=(9, 3))
for axis, name in zip(axes, most):
    for label, cells in {"PTLG034": before, "corrected": after, "PTLG021, the truth": truth}.items():
        axis.hist(np.arcsinh(cells[name] / 5), 40, density=True, histtype="step", linewidth=2, label=label)
    axis.set(title=name, xlabel="arcsinh units", yticks=[])
axes[0].legend()

# %% [markdown]
# The files for FlowJo, Cytobank, OMIQ or R, each with the keywords of its source, and every output's digest in a
# manifest that `neuronedit verify` checks:

# %%
print("\n".join(sorted(path.name for path in Path("corrected/fcs").glob("*.fcs"))))
verify = [sys.executable, "-m", "neuronedit_jobs", "verify", "corrected/fcs"]
print(subprocess.run(verify, capture_output=True, text=True, check=True).stdout)

# %% [markdown]
# Next: [your own files](../guide/normalise.md), [what the review says](reading_a_review.md), [a batch that comes next
# month](../howto.md#a-new-batch-next-month).
