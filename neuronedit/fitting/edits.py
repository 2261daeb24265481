"""The edits of a model: fitted by trained autoencoders, and scored before any truth is seen."""

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from neuronedit.arrays import Float32s
from neuronedit.edits.edit import Edit, fit_edit
from neuronedit.edits.pair_events import PairEvents
from neuronedit.edits.plans import EditConfig
from neuronedit.errors import listing
from neuronedit.fitting.students import needs_student, with_student
from neuronedit.fitting.train import TASK_REMEDY, RunAll, one_after_another
from neuronedit.measures.evidence import EditEvidence, read_evidence
from neuronedit.model.edit_model import EditModel
from neuronedit.model.expected_error import expected_extrapolation_errors, expected_sentence
from neuronedit.network.autoencoder import Autoencoder

log = logging.getLogger(__name__)

EXPECTED: Final = "expected_extrapolation_error"
"""The key of a model's facts and metrics that has this number of each edit."""


@dataclass(frozen=True)
class EditFitting:
    """Settings by which all edits of a model are fitted.

    Attributes:
        config: Plan, percentiles, and the treatment of events beyond the support.
        zeros: (n_markers,) float32, standardised value of zero intensity.
        seed: Seed of ``Fitting``.
        markers: (n_markers,) names, for messages; by default they are told by their places.
    """

    config: EditConfig
    zeros: Float32s
    seed: int
    markers: tuple[str, ...] = ()


def fit_edits(
    autoencoders: tuple[Autoencoder, ...],
    events: Mapping[str, PairEvents],
    fitting: EditFitting,
    run_all: RunAll = one_after_another,
    markers: Mapping[str, Float32s] | None = None,
) -> dict[str, Edit]:
    """Fit an edit for each pair of events, by the edit's name.

    Args:
        autoencoders: The trained autoencoders.
        events: Source and target events, by the edit's name.
        fitting: The settings.
        run_all: Runs tasks, one for each edit.
        markers: Standardised, (n_events, n_markers) float32 each, by population: students are tried on those to be
            edited.

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
    tasks = {
        f"fitted the edit {name!r}": (name, pooled, to_be_edited(name, markers or {}))
        for name, pooled in events.items()
    }
    edits = {}
    for edit, doubt in run_all(partial(_fit_edit, autoencoders, fitting), tasks, TASK_REMEDY):
        log.log(logging.INFO if edit.members else logging.WARNING, "edit %s: %s", edit.name, edit.summary)
        if found := edit.fidelity:
            log.log(
                logging.INFO if found.passes else logging.WARNING,
                "edit %s: %s",
                edit.name,
                found.sentence(fitting.markers),
            )
        if doubt:
            log.warning("edit %s: the plan was given and is applied, although %s", edit.name, doubt)
        edits[edit.name] = edit
    return edits


def _fit_edit(
    autoencoders: tuple[Autoencoder, ...], fitting: EditFitting, task: tuple[str, PairEvents, Float32s | None]
) -> tuple[Edit, str]:
    """Fit an edit and measure it; a plan that was given is applied in any case: say what speaks against it."""
    name, events, extrapolation = task
    config = fitting.config
    edit = fit_edit(
        name,
        autoencoders,
        config.plan,
        events.source,
        events.target,
        zeros=fitting.zeros,
        fitting=events.fitting(config.n_percentiles, fitting.seed),
        shrinks=config.beyond_support == "shrink",
        measured=True,
        unlearnable=events.unlearnable,
    )
    doubt = edit.errors.nothing_to_learn if config.given and edit.errors else ""
    edit = edit if config.given else edit.as_measured(config.beyond_support)
    if config.serve == "student" and needs_student(edit):
        edit = with_student(edit, autoencoders, events, extrapolation, fitting.seed)
    return edit, doubt


def to_be_edited(edit: str, markers: Mapping[str, Float32s]) -> Float32s | None:
    """Find the events that an edit is to be applied to; None where none are known.

    Args:
        edit: The edit's name.
        markers: Standardised, (n_events, n_markers) float32 each, by population.

    Example:
        >>> to_be_edited("day2", {"control day2": [1], "extrapolation day2": [2]})
        [2]
    """
    events = markers.get("extrapolation", markers.get(f"extrapolation {edit}"))
    return events if events is not None and len(events) else None


def judge_extrapolations(edits: Mapping[str, Edit], markers: Mapping[str, Float32s]) -> dict[str, dict[str, Any]]:
    """Judge, for each edit, whether it can be expected to hold for its extrapolation population, and say so.

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
        if (events := to_be_edited(name, markers)) is not None:
            found = edit.support.judge(events)
            judged[name] = {**asdict(found), "flagged": found.flagged, "sentence": found.sentence}
            log.log(logging.WARNING if found.flagged else logging.INFO, "edit %s: %s", name, found.sentence)
    return judged


def judge_errors(
    edits: Mapping[str, Edit], judged: Mapping[str, Mapping[str, Any]], evidence: Mapping[str, EditEvidence]
) -> dict[str, float | None]:
    """Give each edit's expected extrapolation error, by its name, as JSON has it, and say so.

    Args:
        edits: The edits, by name.
        judged: See ``judge_extrapolations``.
        evidence: What was found by leaving samples out, by the edit's name.

    Example:
        >>> judge_errors({}, {}, {})
        {}
    """
    errors = expected_extrapolation_errors(edits, judged, evidence)
    for name, error in errors.items():
        worse = edits[name].members and error >= 1
        sentence = expected_sentence(edits[name], error, evidence.get(name), named=name in judged)
        log.log(logging.WARNING if worse else logging.INFO, "edit %s: %s", name, sentence)
    return {name: error if math.isfinite(error) else None for name, error in errors.items()}  # JSON has no NaN


def edits_sentence(model: EditModel) -> str:
    """Count a model's edits for a person, and name those that change nothing and the markers that they leave.

    Example:
        >>> import numpy as np
        >>> from neuronedit import EditConfig, PairDesign, Panel, TrainingPlan, fit_model
        >>> cells = np.random.default_rng(0).lognormal(3.0, 0.5, (100, 2))
        >>> pair, panel = {"source": cells, "target": cells * [2.0, 0.0]}, Panel(("CD4", "CD8"), (5.0, 5.0))
        >>> preset = EditConfig(preset="quantile-map")
        >>> fitted = fit_model(pair, panel, PairDesign.of_arrays(), training=TrainingPlan(epochs=1), edit=preset)
        >>> edits_sentence(fitted.model)
        "1 edit(s) of 2 markers; 'pair' leaves 'CD8' as it is"
    """
    idle = [name for name, edit in model.edits.items() if not edit.members]
    unmoved = dict.fromkeys(tuple(markers) for markers in model.unmoved.values())
    left = [f"edit.markers leaves {listing(markers)} as it is" for markers in unmoved]
    left += [f"{name!r} leaves {listing(markers)} as it is" for name, markers in model.unlearnable.items()]
    return "; ".join(
        [
            f"{len(model.edits) - len(idle)} edit(s) of {model.panel.n_markers} markers",
            *([f"{len(idle)} without effect: {listing(idle)}"] if idle else []),
            *left,
        ]
    )


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
    judged, evidence = model.facts.get("extrapolation", {}), read_evidence(model.facts)
    expected = expected_extrapolation_errors(model.edits, judged, evidence)
    for name, edit in model.edits.items():
        found = {**judged.get(name, {}), EXPECTED: expected[name]}
        found |= evidence[name].scalars if name in evidence else {}
        if edit.errors:
            found |= {
                "left_out_error": edit.errors.left_out,
                "within_error": edit.errors.within,
                "neurons_contribution": edit.errors.neurons_contribution,
            }
        numbers = {key: float(value) for key, value in found.items() if isinstance(value, int | float)}
        scores[name] = {key: value for key, value in numbers.items() if math.isfinite(value)}
    return scores
