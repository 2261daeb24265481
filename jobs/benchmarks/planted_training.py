"""An edit of the same programs as ``planted``'s, in a network that was trained: its neurons share the work."""

from neuronedit.autoencoder import Architecture, Autoencoder
from neuronedit.minibatches import InMemory
from neuronedit.review.edit_review import ReviewContext
from neuronedit.review.neurons import Neurons
from neuronedit.training import train
from neuronedit.training_plan import TrainingPlan

from .competition import compete
from .planted import N_MARKERS, SHIFT, planted_cells, planted_model

TRAINED = Architecture(hidden=(64, 48), code=32)


def trained_autoencoder(
    n_events: int = 2_000,
    epochs: int = 30,
    seed: int = 0,
    decorrelation: float = 0,
    architecture: Architecture = TRAINED,
    block: int = 1,
) -> Autoencoder:
    """A small network trained on the planted source and target, in whose code blocks of neurons compete."""
    source, target = planted_cells(n_events, 0), planted_cells(n_events, 1, shift=SHIFT)
    autoencoder = Autoencoder(N_MARKERS, architecture, seed)
    if block > 1:
        compete(autoencoder, block)
    plan = TrainingPlan(epochs=epochs, minibatch=256, seed=seed, decorrelation=decorrelation)
    train(autoencoder, InMemory.from_populations({"source": source.markers, "target": target.markers}, plan), plan)
    return autoencoder.eval().requires_grad_(False)


def trained_context(n_events: int = 2_000, epochs: int = 30) -> ReviewContext:
    """The trained network and its edit of the code, ready for the review's parts."""
    source, target = planted_cells(n_events, 0), planted_cells(n_events, 1, shift=SHIFT)
    model = planted_model(source, target, autoencoder=trained_autoencoder(n_events, epochs))
    return ReviewContext(Neurons.from_model(model, "pair", source.labelled, target.labelled), model)
