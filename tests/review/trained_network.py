"""An edit of the same programs as ``planted_network``'s, in a network that was trained: its neurons share the work."""

import numpy as np

from neuronedit.autoencoder import Architecture, Autoencoder
from neuronedit.design import PairDesign
from neuronedit.edit import fit_edit
from neuronedit.minibatches import InMemory
from neuronedit.model import EditModel
from neuronedit.panel import Panel
from neuronedit.review.neurons import Neurons
from neuronedit.scaling import Scaling
from neuronedit.training import train
from neuronedit.training_plan import TrainingPlan
from tests.review.planted_network import CODE_EDIT, MARKERS, N_MARKERS, SHIFT, planted_cells


def trained_autoencoder(
    n_events: int = 2_000, epochs: int = 30, seed: int = 0, decorrelation: float = 0
) -> Autoencoder:
    """A small network trained on the planted source and target."""
    source, target = planted_cells(n_events, 0), planted_cells(n_events, 1, shift=SHIFT)
    autoencoder = Autoencoder(N_MARKERS, Architecture(hidden=(64, 48), code=32), seed)
    plan = TrainingPlan(epochs=epochs, minibatch=256, seed=seed, decorrelation=decorrelation)
    train(autoencoder, InMemory.of({"source": source.markers, "target": target.markers}, plan), plan)
    return autoencoder.eval().requires_grad_(False)


def trained_neurons(n_events: int = 2_000, epochs: int = 30) -> Neurons:
    """The trained network, and its edit of the code."""
    source, target = planted_cells(n_events, 0), planted_cells(n_events, 1, shift=SHIFT)
    autoencoder = trained_autoencoder(n_events, epochs)
    scaling = Scaling(*(np.full(N_MARKERS, value, dtype=np.float32) for value in (5, 3, 1)))
    edit = fit_edit("pair", (autoencoder,), CODE_EDIT, source.markers, target.markers, zeros=scaling.zeros)
    design = PairDesign(source={"drug": "no"}, target={"drug": "yes"})
    model = EditModel(Panel(MARKERS, (5.0,) * N_MARKERS), scaling, (autoencoder,), {"pair": edit}, design)
    return Neurons.of(model, "pair", source.labelled, target.labelled)
