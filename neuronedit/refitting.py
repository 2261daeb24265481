"""Refits: a model's autoencoder trained anew, from other seeds, to see what is the data's and what is chance's."""

import logging
from collections.abc import Mapping
from functools import partial

from neuronedit.autoencoder import Autoencoder
from neuronedit.fitting.tasks import RunAll, one_after_another
from neuronedit.minibatches import InMemory
from neuronedit.model import EditModel
from neuronedit.percentiles import FloatArray
from neuronedit.training import train
from neuronedit.training_plan import TrainingPlan, without_retired

log = logging.getLogger(__name__)


def model_refits(
    model: EditModel, populations: Mapping[str, FloatArray], n_refits: int, run_all: RunAll = one_after_another
) -> tuple[Autoencoder, ...]:
    """Autoencoders to compare a model's first with: the others of its ensemble, and as many trained anew as asked for.

    Args:
        model: Reviewed.
        populations: Raw intensities, (n_events, n_markers) each, of the populations that the model was trained on.
        n_refits: How many to train.
        run_all: Runs tasks, one for each refit.

    Raises:
        ModelError: Training diverged.
    """
    tasks = {f"trained refit {number}": number - 1 for number in range(1, n_refits + 1)}
    remedy = "Nothing was written: run again, or lower sample.events_per_population if memory ran out."
    trained: list[Autoencoder] = []
    for autoencoder in run_all(partial(refit, model, dict(populations)), tasks, remedy):
        trained.append(autoencoder)
        log.info("refit %d of %d trained", len(trained), n_refits)
    return (*model.autoencoders[1:], *trained)


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
