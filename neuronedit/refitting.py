"""Refits: a model's autoencoder trained anew, from other seeds, to see what is the data's and what is chance's."""

from collections.abc import Mapping

from neuronedit.autoencoder import Autoencoder
from neuronedit.minibatches import InMemory
from neuronedit.model import EditModel
from neuronedit.percentiles import FloatArray
from neuronedit.training import train
from neuronedit.training_plan import TrainingPlan, without_retired


def refit(model: EditModel, populations: Mapping[str, FloatArray], number: int) -> Autoencoder:
    """Train an autoencoder of the model's architecture as the model's own were, from a seed that none of them had.

    Args:
        model: Its facts hold the settings of its training; without them the defaults are taken.
        populations: Raw intensities, (n_events, n_markers) each, of the populations that the model was trained on.
        number: Of the refit, from 0; each has a seed of its own.

    Raises:
        ModelError: Training diverged.
    """
    plan = TrainingPlan.model_validate(without_retired(model.facts.get("training", {})))
    plan = plan.model_copy(update={"seed": plan.seed + len(model.autoencoders) + number})
    autoencoder = Autoencoder(model.panel.n_markers, model.autoencoder.architecture, plan.seed)
    standardised = {name: model.standardised(intensities) for name, intensities in populations.items()}
    train(autoencoder, InMemory.from_populations(standardised, plan, markers=model.panel.markers), plan)
    return autoencoder.eval().requires_grad_(False)
