"""Evidence of how edits carry over, before any truth is seen, gathered once they are fitted.

Samples and labelled kinds of cell are left out in turn; the autoencoders of an ensemble may disagree; events to be
edited may be unlike those that an edit was learned on.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from neuronedit.arrays import Float32s
from neuronedit.cells.design import INVERSE, EditPair
from neuronedit.edits.edit import Edit
from neuronedit.errors import listing
from neuronedit.fitting.edits import EXPECTED, judge_errors, judge_extrapolations
from neuronedit.fitting.left_out_samples import KINDS, MAX_EVENTS, SAMPLES, LeaveOut, left_out_groups, left_out_units
from neuronedit.fitting.prepare import Prepared
from neuronedit.fitting.train import TASK_REMEDY, RunAll, one_after_another
from neuronedit.measures.evidence import EVIDENCE, EditEvidence, judge_knowledge
from neuronedit.measures.left_out import LeftOut, LeftOutUnit
from neuronedit.network.autoencoder import Autoencoder

log = logging.getLogger(__name__)

NO_COLUMN: Final = "no column says which sample an event is from (design.sample_column)"


def judge_edits(
    edits: Mapping[str, Edit],
    prepared: Prepared,
    autoencoders: tuple[Autoencoder, ...],
    seed: int,
    run_all: RunAll = one_after_another,
) -> dict[str, dict[str, Any]]:
    """Judge edits before any truth is seen, and say so: support, samples and kinds left out, the expected error.

    Args:
        edits: The edits, by name.
        prepared: The populations that they were fitted on.
        autoencoders: The trained autoencoders.
        seed: Draws events, and halves the left-out ones for noise floors.
        run_all: Runs tasks, one for each fit.

    Returns:
        What a model's facts record of it, each by the edit's name.

    Example:
        >>> from neuronedit.fitting.fit import fit_model
        >>> from neuronedit.model.example import example_cells, example_model
        >>> from neuronedit import PairDesign
        >>> pair = {"source": example_cells(), "target": example_cells(1, treated=1.0)}
        >>> sorted(fit_model(pair, example_model().panel, PairDesign.of_arrays()).model.facts["evidence"]["pair"])
        ['disagreement', 'kinds', 'samples']
    """
    judged = judge_extrapolations(edits, prepared.markers)
    evidence = gather_evidence(edits, prepared, autoencoders, seed, run_all)
    changing = [name for name, edit in edits.items() if edit.members]
    for known in judge_knowledge(changing, prepared.design, evidence, {}):
        level = logging.WARNING if known.level == "estimated" and not known.proven else logging.INFO
        log.log(level, "edit %s: %s", known.edit, known.told())
    return {
        "extrapolation": judged,
        EVIDENCE: {name: found.model_dump(mode="json") for name, found in evidence.items()},
        EXPECTED: judge_errors(edits, judged, evidence),
    }


def gather_evidence(
    edits: Mapping[str, Edit],
    prepared: Prepared,
    autoencoders: tuple[Autoencoder, ...],
    seed: int,
    run_all: RunAll = one_after_another,
) -> dict[str, EditEvidence]:
    """Leave out each sample and each labelled kind of cell in turn, of every edit that leads forth and does something.

    Args:
        edits: The edits, by name.
        prepared: The populations that they were fitted on.
        autoencoders: The trained autoencoders.
        seed: Draws events, and halves the left-out ones for noise floors.
        run_all: Runs tasks, one for each fit.

    Example:
        Three donors of one effect, each led by the edit of the others:

        >>> from neuronedit import EditConfig, PairDesign
        >>> from neuronedit.cells.draw import DrawnPopulations
        >>> from neuronedit.fitting.fit import fit_prepared
        >>> from neuronedit.fitting.prepare import prepare
        >>> from neuronedit.model.example import example_cells, example_model
        >>> from neuronedit.network.autoencoder import Architecture
        >>> from neuronedit.network.plan import TrainingPlan
        >>> pair = {"source": example_cells(), "target": example_cells(1, treated=1.0)}
        >>> donors = dict.fromkeys(pair, np.repeat(np.array(["P1", "P2", "P3", "P4"], object), 100))
        >>> drawn = DrawnPopulations(pair, dict.fromkeys(pair, 400), samples=donors)
        >>> design, edit = PairDesign.of_arrays(sample_column="donor"), EditConfig(preset="quantile-map")
        >>> prepared = prepare(drawn, example_model().panel, design, edit)
        >>> model = fit_prepared(prepared, Architecture(hidden=(), code=3), TrainingPlan(epochs=1)).model
        >>> samples = gather_evidence(model.edits, prepared, model.autoencoders, seed=0)["pair"].samples
        >>> [unit.name for unit in samples.units], samples.proven
        (['P1', 'P2', 'P3', 'P4'], True)
    """
    forth = [pair for pair in prepared.pairs if not pair.name.endswith(INVERSE)]
    pairs = {pair.name: pair for pair in forth if pair.name in edits and edits[pair.name].members}
    units = left_out_units(prepared)
    tasks = {
        f"fitted the edit {name!r} without {found.column} {listing(left)} (fit {number})": (pair, kind, tuple(left))
        for kind, found in units.items()
        for name, pair in pairs.items()
        for number, left in enumerate(left_out_groups(found.common(pair), seed), start=1)
    }
    scored: dict[tuple[str, str], list[LeftOutUnit]] = {}
    unscored: dict[tuple[str, str], dict[str, str]] = {}
    leave_out = LeaveOut.from_prepared(prepared, edits, autoencoders, seed)
    for (pair, kind, left), found in zip(tasks.values(), run_all(leave_out, tasks, TASK_REMEDY), strict=True):
        if isinstance(found, str):
            log.warning("edit %s: not fitted without %s: %s", pair.name, listing(left), found)
            unscored.setdefault((pair.name, kind), {}).update(dict.fromkeys(left, found))
        else:
            scored.setdefault((pair.name, kind), []).extend(found)
    gathered = {}
    for name, pair in pairs.items():
        by_kind = {
            kind: LeftOut(
                column=found.column,
                units=tuple(sorted(scored.get((name, kind), []), key=lambda unit: unit.name)),
                unscored=unscored.get((name, kind), {}),
                why_none="" if len(found.common(pair)) > 1 else found.why_none(pair),
            )
            for kind, found in units.items()
        }
        samples = by_kind.get(SAMPLES, LeftOut(column="", why_none=NO_COLUMN))
        events = _applied_to(name, pair, prepared.markers)
        differ = disagreement(edits[name], autoencoders, events)
        gathered[name] = EditEvidence(samples=samples, kinds=by_kind.get(KINDS), disagreement=differ)
    return gathered


def disagreement(edit: Edit, autoencoders: Sequence[Autoencoder], events: Float32s) -> float | None:
    """Measure how far the autoencoders' changes of events are from one another, in parts of the change; None for one.

    It is the root mean square over events and markers of their standard deviation, over that of their mean change.

    Args:
        edit: The edit.
        autoencoders: The model's.
        events: (n_events, n_markers) float32, standardised.

    Example:
        >>> from neuronedit.model.example import example_cells, example_model
        >>> model = example_model()
        >>> disagreement(model.edits["pair"], model.autoencoders, model.standardised(example_cells())) is None
        True
    """
    latent = [any(step.plan.latent for step in member.steps) for member in edit.members]
    if len(autoencoders) < 2 or not any(latent):
        return None
    changes = []
    for number in range(len(autoencoders)):
        members = tuple(
            replace(member, weight=member.weight * len(autoencoders)) if of_neurons else member
            for member, of_neurons in zip(edit.members, latent, strict=True)
            if not of_neurons or member.autoencoder == number
        )
        changes.append(replace(edit, members=members, student=None).apply(autoencoders, events) - events)
    mean_square = float(np.mean(np.mean(changes, axis=0, dtype=np.float64) ** 2))
    spread = float(np.mean(np.var(changes, axis=0, ddof=1, dtype=np.float64)))
    return float(np.sqrt(spread / mean_square)) if mean_square > 0 else None


def _applied_to(edit: str, pair: EditPair, markers: Mapping[str, Float32s]) -> Float32s:
    """The events that an edit is to be applied to, as far as they were named; otherwise its source's."""
    named = [name for name in ("extrapolation", f"extrapolation {edit}") if len(markers.get(name, ()))]
    return np.concatenate([markers[name][:MAX_EVENTS] for name in named or pair.source])
