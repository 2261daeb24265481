"""An autoencoder that knows old events, and a kind of cell that it has never seen."""

import numpy as np

from neuronedit.cells.design import PairDesign
from neuronedit.cells.panel import Panel
from neuronedit.cells.scaling import Scaling
from neuronedit.cells.transforms import Arcsinh
from neuronedit.edits.edit import fit_edit
from neuronedit.edits.operators.table import EditStep
from neuronedit.fitting.drift import edit_drift
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Architecture, Autoencoder
from neuronedit.network.minibatches import InMemory
from neuronedit.network.plan import TrainingPlan
from neuronedit.network.training import train

N_MARKERS = 12
SCALING = Scaling((Arcsinh(5.0),) * N_MARKERS, *(np.full(N_MARKERS, value, dtype=np.float32) for value in (0, 1)))
PLAN = TrainingPlan(epochs=30, minibatch=128, learning_rate=3e-3)
MORE = TrainingPlan(epochs=30, minibatch=128, learning_rate=3e-3)


def events(n_events: int, seed: int, plane: int, shift: float = 0.0) -> np.ndarray:
    """Events about a plane of three dimensions among twelve markers; another plane is a kind of cell never seen."""
    axes = np.random.default_rng(100 + plane).normal(size=(3, N_MARKERS)) / np.sqrt(3)
    generator = np.random.default_rng(seed)
    found = generator.normal(size=(n_events, 3)) @ axes + 0.1 * generator.normal(size=(n_events, N_MARKERS)) + shift
    return found.astype(np.float32)


OLD = {"control A": events(600, 1, 0), "control B": events(600, 2, 0, shift=0.7)}
STRANGE = {"control C": events(600, 3, 1)}


def trained_on_old() -> Autoencoder:
    network = Autoencoder(N_MARKERS, Architecture(hidden=(16,), code=6), seed=0)
    train(network, InMemory.from_populations(OLD, PLAN), PLAN)
    return network.eval().requires_grad_(False)


def model_of(network: Autoencoder) -> EditModel:
    """The old edit, fitted for a network on the old events."""
    edit = fit_edit("B", (network,), (EditStep(layer="code"),), OLD["control B"], OLD["control A"], zeros=SCALING.zeros)
    panel = Panel(tuple(f"m{number}" for number in range(N_MARKERS)), (5.0,) * N_MARKERS)
    return EditModel(panel, SCALING, (network,), {"B": edit}, PairDesign(source={"a": 1}, target={"a": 2}))


def drift(before: Autoencoder, after: Autoencoder) -> float:
    raw = SCALING.intensities(OLD["control B"]).astype(np.float32)
    return edit_drift("B", model_of(before), model_of(after), raw).relative
