from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from neuronedit_jobs.benchmarks.review.planted import planted_neurons
from neuronedit_jobs.benchmarks.review.review_problems import Problems

from neuronedit.cells.design import ControlsDesign, PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.cells.scaling import fit_scaling
from neuronedit.edits.edit import Edit
from neuronedit.edits.operators.percentiles import PercentileShift, percentiles
from neuronedit.edits.operators.table import EditStep
from neuronedit.edits.plans import EditConfig
from neuronedit.edits.spikes import Spikes
from neuronedit.edits.steps import FittedStep, Member
from neuronedit.edits.support import Support
from neuronedit.fitting.fit import fit_model
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.plan import TrainingPlan
from neuronedit.review.neurons.conductance import Conductance
from neuronedit.review.page.report import Review
from neuronedit.review.page.review_model import review_model
from neuronedit.review.subject import EditSubject
from neuronedit.review.transfer.transfer import HELD_OUT, TRAINING_PAIR, Comparison
from tests.review.planted import MARKERS, TRUE_SHIFT, planted_events

CELLS = Path(__file__).parents[3] / "shared" / "data" / "cytonorm_ptlg" / "cells.parquet"
REFERENCE, BATCHES = "PTLG021", ("PTLG026", "PTLG028")


@pytest.fixture(scope="session")
def planted_model() -> Callable[[np.ndarray], EditModel]:
    """Builds a model whose edit, wired by hand, adds a given shift to every event (arcsinh units)."""

    def build(shift: np.ndarray) -> EditModel:
        panel = Panel(MARKERS, (5.0,) * len(MARKERS))
        scaling = fit_scaling([planted_events(500, 0), planted_events(500, 1, TRUE_SHIFT)], panel.transforms)
        knots = np.zeros((1, len(MARKERS)), dtype=np.float32)
        standardised = (shift / scaling.spreads).astype(np.float32)[None]
        step = FittedStep(EditStep(layer="visible"), {"visible": PercentileShift(knots, standardised, "linear")})
        autoencoder = Autoencoder(len(MARKERS), Architecture(hidden=(8,), code=4)).eval().requires_grad_(False)
        design = PairDesign(source={"drug": "no"}, target={"drug": "yes"})
        source, target = (scaling.standardise(scaling.transform(planted_events(500, seed))) for seed in (0, 1))
        support = Support.fit(source, target, seed=0)
        members = (Member("planted", 1.0, 0, (step,)),)
        edit = Edit("pair", members, Spikes.none(panel.n_markers), support, percentiles(target))
        return EditModel(panel, scaling, (autoencoder,), {"pair": edit}, design)

    return build


@pytest.fixture(scope="session")
def planted_comparisons() -> list[Comparison]:
    """The pair, and another donor whose effect is the same."""
    fitted = planted_events(800, 2), planted_events(800, 3, TRUE_SHIFT)
    unseen = planted_events(800, 4, 0.2), planted_events(800, 5, 0.2 + TRUE_SHIFT)
    return [
        Comparison("the pair", TRAINING_PAIR, "pair", *fitted, *fitted),
        Comparison("donor <2>", HELD_OUT, "pair", *fitted, *unseen),
    ]


@pytest.fixture(scope="session")
def review_of(
    planted_model: Callable[[np.ndarray], EditModel], planted_comparisons: list[Comparison]
) -> Callable[[np.ndarray], Review]:
    """Reviews the planted model that adds a given shift, each once."""
    made: dict[bytes, Review] = {}

    def build(shift: np.ndarray) -> Review:
        if shift.tobytes() not in made:
            made[shift.tobytes()] = reviewed(shift)
        return made[shift.tobytes()]

    def reviewed(shift: np.ndarray) -> Review:
        populations = {"source": planted_events(200, 0), "target": planted_events(200, 1, TRUE_SHIFT)}
        losses = pd.DataFrame({"epoch": [1, 2, 3], "train_loss": [3.0, 2.0, 1.0], "validation_loss": [3.0, 1.5, 1.6]})
        return review_model(
            planted_model(shift), planted_comparisons, populations, losses, {"name": "planted", "version": "7"}
        )

    return build


@pytest.fixture(scope="session")
def problems() -> Problems:
    """The problems of the benchmark's checks: with 10,000 events, percentiles find no change where there is none."""
    return Problems(10_000)


@pytest.fixture(scope="session")
def planted_edit(problems: Problems) -> EditSubject:
    """The network wired by hand."""
    return problems.planted


@pytest.fixture(scope="session")
def trained_edit(problems: Problems) -> EditSubject:
    """The same programs in a small network that was trained."""
    return problems.trained


@pytest.fixture(scope="session")
def planted_conductance(problems: Problems) -> Conductance:
    """The conductance of ``planted_edit``."""
    return problems.planted_context.conductance


@pytest.fixture(scope="session")
def trained_conductance(problems: Problems) -> Conductance:
    """The conductance of ``trained_edit``."""
    return problems.trained_context.conductance


@pytest.fixture(scope="session")
def few_planted() -> EditSubject:
    """The network wired by hand, with 2,000 events of source and of target."""
    return planted_neurons()


@pytest.fixture(scope="session")
def refits(problems: Problems) -> list[Autoencoder]:
    """The trained network twice more, from other seeds."""
    return problems.refits


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
    design = ControlsDesign(
        batch_column="batch", control={"role": "control"}, reference=REFERENCE, extrapolation={"role": "validation"}
    )
    fitted = fit_model(
        samples,
        panel,
        design,
        network=Architecture(hidden=(100,), code=30),
        training=TrainingPlan(epochs=8, minibatch=512),
        edit=EditConfig(preset="neurons-then-markers", serve="teacher"),
    )
    identity = {"name": "blood", "version": "1", "digest": "0" * 64, "data": "cytonorm_ptlg"}
    return review_model(fitted.model, blood_comparisons(samples), samples, fitted.loss_table, identity)


def blood_comparisons(samples: dict[str, np.ndarray]) -> list[Comparison]:
    comparisons = []
    for batch in BATCHES:
        fitted = (samples[f"control {batch}"], samples[f"control {REFERENCE}"])
        unseen = (samples[f"extrapolation {batch}"], samples[f"extrapolation {REFERENCE}"])
        title = f"{batch} → {REFERENCE}"
        comparisons.append(Comparison(f"{title} control", TRAINING_PAIR, batch, *fitted, *fitted))
        comparisons.append(Comparison(f"{title} donor 2", HELD_OUT, batch, *fitted, *unseen))
    return comparisons
