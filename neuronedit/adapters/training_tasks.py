"""Training small networks side by side: each in a Ray task of its own, on one core."""

from collections.abc import Mapping, Sequence

import ray

from neuronedit.adapters.task_results import task_result
from neuronedit.autoencoder import Autoencoder
from neuronedit.continual import continue_training
from neuronedit.loss_history import EpochLosses
from neuronedit.percentiles import FloatArray
from neuronedit.training_plan import TrainingPlan

Trained = tuple[Autoencoder, tuple[EpochLosses, ...]]


def train_on(
    autoencoders: Sequence[Autoencoder], populations: Mapping[str, FloatArray], plan: TrainingPlan
) -> list[Trained]:
    """Train copies of autoencoders further, each by a seed of its own.

    Args:
        autoencoders: Where to start.
        populations: Standardised, (n_events, n_markers) float32 each.
        plan: Its seed is the first autoencoder's.

    Raises:
        ClusterError: A worker was lost.
        ModelError: Training diverged.
    """
    events = ray.put(dict(populations))
    tasks = [
        _train_on.remote(autoencoder, events, plan.model_copy(update={"seed": plan.seed + number}))
        for number, autoencoder in enumerate(autoencoders)
    ]
    remedy = "No model was registered: run again, or lower replay.events_per_population if memory ran out."
    return [task_result(task, f"trained autoencoder {number}", remedy) for number, task in enumerate(tasks, start=1)]


@ray.remote(num_cpus=1)  # type: ignore[untyped-decorator]  # Ray is untyped
def _train_on(autoencoder: Autoencoder, populations: Mapping[str, FloatArray], plan: TrainingPlan) -> Trained:
    return continue_training(autoencoder, populations, plan)
