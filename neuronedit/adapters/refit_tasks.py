"""Refits side by side: each is a Ray task on one core."""

import logging
from collections.abc import Mapping

import ray

from neuronedit.adapters.task_results import task_result
from neuronedit.autoencoder import Autoencoder
from neuronedit.model import EditModel
from neuronedit.percentiles import FloatArray
from neuronedit.refitting import refit

log = logging.getLogger(__name__)


def model_refits(model: EditModel, populations: Mapping[str, FloatArray], n_refits: int) -> tuple[Autoencoder, ...]:
    """Autoencoders to compare a model's first with: the others of its ensemble, and as many trained anew as asked for.

    Args:
        model: Reviewed.
        populations: Raw intensities, (n_events, n_markers) each, of the populations that the model was trained on.
        n_refits: How many to train; for 0 no task is started.

    Raises:
        ClusterError: A worker was lost.
        ModelError: Training diverged.
    """
    shared = [ray.put(of) for of in (model, dict(populations))] if n_refits else []
    tasks = [_refit.remote(*shared, number) for number in range(n_refits)]
    remedy = "Nothing was written: run again, or lower sample.events_per_population if memory ran out."
    trained: list[Autoencoder] = []
    for number, task in enumerate(tasks, start=1):
        trained.append(task_result(task, f"trained refit {number}", remedy))
        log.info("refit %d of %d trained", number, n_refits)
    return (*model.autoencoders[1:], *trained)


@ray.remote(num_cpus=1)  # type: ignore[untyped-decorator]  # Ray is untyped
def _refit(model: EditModel, populations: Mapping[str, FloatArray], number: int) -> Autoencoder:
    return refit(model, populations, number)
