"""The edits of a model: fitted by trained autoencoders, and scored before any truth is seen."""

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from neuronedit.arrays import Float32s
from neuronedit.edits.auto import PlanChoice
from neuronedit.edits.edit import Edit, EditConfig, fit_edit
from neuronedit.edits.pair_events import PairEvents
from neuronedit.fitting.tasks import TASK_REMEDY, RunAll, one_after_another
from neuronedit.model.edit_model import EditModel
from neuronedit.network.autoencoder import Autoencoder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EditFitting:
    """Settings by which all edits of a model are fitted.

    Attributes:
        config: Plan, percentiles, and the treatment of events beyond the support.
        zeros: (n_markers,) float32, standardised value of zero intensity.
        seed: Seed of ``Fitting``.
    """

    config: EditConfig
    zeros: Float32s
    seed: int


def fit_edits(
    autoencoders: tuple[Autoencoder, ...],
    events: Mapping[str, PairEvents],
    fitting: EditFitting,
    choices: Mapping[str, PlanChoice] | None = None,
    run_all: RunAll = one_after_another,
) -> dict[str, Edit]:
    """Fit an edit for each pair of events, by the edit's name.

    Args:
        autoencoders: The trained autoencoders.
        events: Source and target events, by the edit's name.
        fitting: The settings.
        choices: Plans that were chosen before and stay, by the edit's name; others are chosen now.
        run_all: Runs tasks, one for each edit.

    Raises:
        NeuroneditError: As ``fit_edit`` raises it.

    Example:
        >>> import numpy as np
        >>> from neuronedit.network.autoencoder import Architecture
        >>> networks, cells = (Autoencoder(1, Architecture()),), np.linspace(0, 1, 200, dtype=np.float32)[:, None]
        >>> fitting = EditFitting(EditConfig(preset="quantile-map"), zeros=np.full(1, -9, np.float32), seed=0)
        >>> edits = fit_edits(networks, {"day2": PairEvents(cells, cells + 1)}, fitting)
        >>> np.allclose(edits["day2"].apply(networks, cells), cells + 1, atol=1e-6)
        True
    """
    tasks = {f"fitted the edit {name!r}": (name, pooled, (choices or {}).get(name)) for name, pooled in events.items()}
    edits = {}
    for edit in run_all(partial(_fit_edit, autoencoders, fitting), tasks, TASK_REMEDY):
        log.info("edit %s: %s", edit.name, edit.summary)
        edits[edit.name] = edit
    return edits


def _fit_edit(
    autoencoders: tuple[Autoencoder, ...], fitting: EditFitting, task: tuple[str, PairEvents, PlanChoice | None]
) -> Edit:
    name, events, choice = task
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


def judge_extrapolations(edits: Mapping[str, Edit], markers: Mapping[str, Float32s]) -> dict[str, dict[str, Any]]:
    """Judge, for each edit, whether it can be expected to hold for its extrapolation population.

    Args:
        edits: The edits, by name.
        markers: Standardised, (n_events, n_markers) float32 each, by population.

    Example:
        >>> import numpy as np
        >>> from neuronedit.network.autoencoder import Architecture
        >>> networks, cells = (Autoencoder(1, Architecture()),), np.linspace(0, 1, 200, dtype=np.float32)[:, None]
        >>> fitting = EditFitting(EditConfig(preset="quantile-map"), zeros=np.full(1, -9, np.float32), seed=0)
        >>> edits = fit_edits(networks, {"pair": PairEvents(cells, cells + 1)}, fitting)
        >>> [judge_extrapolations(edits, {"extrapolation": cells + far})["pair"]["flagged"] for far in (0, 9)]
        [False, True]
    """
    judged = {}
    for name, edit in edits.items():
        events = markers.get("extrapolation", markers.get(f"extrapolation {name}"))
        if events is not None and len(events):
            found = edit.support.judge(events)
            expected = edit.choice.expected_error(found.unsupported) if edit.choice else float("nan")
            judged[name] = {
                **asdict(found),
                "flagged": found.flagged,
                "sentence": found.sentence,
                "expected_error": expected if math.isfinite(expected) else None,  # JSON has no NaN
            }
            log.log(logging.WARNING if found.flagged else logging.INFO, "edit %s: %s", name, found.sentence)
    return judged


def edit_scores(model: EditModel) -> dict[str, dict[str, float]]:
    """Scores of each edit before any truth is seen: errors on events left out, and on the extrapolation.

    All are finite numbers, by the edit's name and the score's.

    Example:
        >>> from dataclasses import replace
        >>> from neuronedit.model.example import example_model
        >>> facts = {"extrapolation": {"pair": {"unsupported": 0.02, "sentence": "Nearly all are like the source."}}}
        >>> edit_scores(replace(example_model(), facts=facts))
        {'pair': {'unsupported': 0.02}}
    """
    scores = {}
    for name, edit in model.edits.items():
        found = dict(model.facts.get("extrapolation", {}).get(name, {}))
        if edit.choice:
            found |= {
                "expected_extrapolation_error": edit.choice.left_out_error,
                "within_error": edit.choice.within_error,
                "neurons_contribution": edit.choice.neurons_contribution,
                **{f"weight/{plan}": weight for plan, weight in edit.choice.weights.items()},
            }
        numbers = {key: float(value) for key, value in found.items() if isinstance(value, int | float)}
        scores[name] = {key: value for key, value in numbers.items() if math.isfinite(value)}
    return scores
