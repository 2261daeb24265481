from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neuronedit.autoencoder import Architecture, Autoencoder
from neuronedit.design import ControlsDesign
from neuronedit.edit import DEFAULT_PLAN
from neuronedit.model import EditModel, fit_edits
from neuronedit.panel import Panel
from neuronedit.review.report import Review, review_model
from neuronedit.review.transfer import HELD_OUT, TRAINING_PAIR, Comparison
from neuronedit.scaling import fit_scaling
from neuronedit.training import EpochLosses, TrainingPlan, train

CELLS = Path(__file__).parents[3] / "shared" / "data" / "cytonorm_ptlg" / "cells.parquet"
REFERENCE, BATCHES = "PTLG021", ("PTLG026", "PTLG028")


@pytest.fixture(scope="session")
def blood_review() -> Review:
    """Two batches of real blood led to a reference: 37 markers, a training pair and a held-out donor each."""
    if not CELLS.exists():
        pytest.skip(f"the real data is not there: {CELLS}")
    cells = pd.read_parquet(CELLS)
    panel = Panel(tuple(cells.columns[5:]), (5.0,) * (len(cells.columns) - 5))
    chosen = cells[cells["batch"].isin([REFERENCE, *BATCHES])]
    samples = {
        f"{'control' if role == 'control' else 'extrapolation'} {batch}": rows[list(panel.markers)].to_numpy(np.float32)
        for (role, batch), rows in chosen.groupby(["role", "batch"], observed=True)
    }
    design = ControlsDesign(batch_column="batch", control={"role": "control"}, reference=REFERENCE)
    model, losses = trained_model(panel, design, samples, TrainingPlan(epochs=8, minibatch=512))
    identity = {"name": "blood", "version": "1", "digest": "0" * 64, "data": "cytonorm_ptlg"}
    return review_model(model, blood_comparisons(samples), samples, losses, identity)


def blood_comparisons(samples: dict[str, np.ndarray]) -> list[Comparison]:
    comparisons = []
    for batch in BATCHES:
        fitted = (samples[f"control {batch}"], samples[f"control {REFERENCE}"])
        unseen = (samples[f"extrapolation {batch}"], samples[f"extrapolation {REFERENCE}"])
        title = f"{batch} → {REFERENCE}"
        comparisons.append(Comparison(f"{title} control", TRAINING_PAIR, batch, *fitted, *fitted))
        comparisons.append(Comparison(f"{title} donor 2", HELD_OUT, batch, *fitted, *unseen))
    return comparisons


def trained_model(
    panel: Panel, design: ControlsDesign, samples: dict[str, np.ndarray], plan: TrainingPlan
) -> tuple[EditModel, pd.DataFrame]:
    scaling = fit_scaling(samples.values(), panel.cofactors)
    markers = {name: scaling.standardise(scaling.arcsinh(events)) for name, events in samples.items()}
    autoencoder = Autoencoder(panel.n_markers, Architecture(hidden=(100,), code=30))
    losses: list[EpochLosses] = []
    train(autoencoder, markers, plan, on_epoch=losses.append)
    autoencoder.eval().requires_grad_(False)
    pairs = design.edits({name: len(events) for name, events in samples.items()})
    edits = fit_edits(autoencoder, markers, pairs, DEFAULT_PLAN)
    return EditModel(panel, scaling, autoencoder, edits, design), pd.DataFrame(losses)
