"""Fitting edits side by side: each is a Ray task of its own."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import ray

from neuronedit.adapters.task_results import task_result
from neuronedit.auto import Choice
from neuronedit.autoencoder import Autoencoder
from neuronedit.edit import Edit, fit_edit
from neuronedit.edit_config import EditConfig
from neuronedit.pair_events import PairEvents
from neuronedit.percentiles import FloatArray

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EditFitting:
    """How all edits of a model are fitted.

    Attributes:
        config: Plan, percentiles, what becomes of events beyond the support.
        zeros: (n_markers,) what zero intensity is when standardised.
        seed: See ``Fitting``.
    """

    config: EditConfig
    zeros: FloatArray
    seed: int


def fit_edits(
    autoencoders: tuple[Autoencoder, ...],
    events: Mapping[str, PairEvents],
    fitting: EditFitting,
    choices: Mapping[str, Choice] | None = None,
) -> dict[str, Edit]:
    """Fit an edit for each pair of events, by the edit's name.

    Each is a task on one core, which also keeps its bits the same on every machine.

    Args:
        autoencoders: Trained.
        events: By the edit's name.
        fitting: How.
        choices: By the edit's name, plans that were chosen before and stay; others are chosen now.

    Raises:
        ClusterError: A worker was lost.
        NeuroneditError: As ``fit_edit`` raises it.
    """
    networks = ray.put(autoencoders)
    tasks = {
        name: _fit_edit.remote(name, networks, of, fitting, (choices or {}).get(name)) for name, of in events.items()
    }
    edits = {}
    for name, task in tasks.items():
        edits[name] = _fitted(task, name)
        log.info("edit %s: %s", name, edits[name].summary)
    return edits


def _fitted(task: "ray.ObjectRef[Edit]", name: str) -> Edit:
    remedy = "No model was registered: run again, or lower sample.events_per_population if memory ran out."
    edit: Edit = task_result(task, f"fitted the edit {name!r}", remedy)
    return edit


@ray.remote(num_cpus=1)  # type: ignore[untyped-decorator]  # Ray is untyped
def _fit_edit(
    name: str, autoencoders: tuple[Autoencoder, ...], events: PairEvents, fitting: EditFitting, choice: Choice | None
) -> Edit:
    return fit_edit(
        name,
        autoencoders,
        fitting.config.plan,
        events.source,
        events.target,
        zeros=fitting.zeros,
        fitting=events.fitting(fitting.config.n_percentiles, fitting.seed),
        beyond_support=fitting.config.beyond_support,
        choice=choice,
    )
