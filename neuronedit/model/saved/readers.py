"""Readers of saved models, one for each format: facts and arrays become a model, once they are checked."""

import re

import numpy as np
import torch

from neuronedit.arrays import Arrays
from neuronedit.cells.events import MAX_INTENSITY
from neuronedit.cells.panel import Panel
from neuronedit.cells.transforms import make_transform
from neuronedit.edits.edit import Edit
from neuronedit.edits.learnable import by_column, hidden_columns
from neuronedit.edits.operators.table import OPERATORS
from neuronedit.edits.spikes import Spikes
from neuronedit.edits.steps import FittedStep, Member
from neuronedit.edits.students.fidelity import Fidelity
from neuronedit.edits.students.student import Student
from neuronedit.edits.support import Support
from neuronedit.errors import EditedError, ModelError, PanelError
from neuronedit.model.edit_model import EditModel
from neuronedit.model.saved.arrays import Rule, Rules, checked_scaling
from neuronedit.model.saved.facts import REMEDY, EditFacts, ModelFacts
from neuronedit.network.autoencoder import Architecture, Autoencoder

MOVES = re.compile(r"^autoencoders\.|\.network\.|shifts$|drift$|student\.values$")
"""Arrays that move events: weights and shifts; with others, an event is only looked up."""

STRANGE = 30
"""Models of real cells have hardly a larger weight or shift; where there is one, edits are tried before any is used."""

N_TRIED = 64
"""Events that a strange model's edits are tried on."""


def _read_3(facts: ModelFacts, arrays: Arrays, where: str) -> EditModel:
    """Read format 3, in which every marker is transformed by arcsinh."""
    panel = Panel(facts.panel.markers, facts.panel.cofactors or ())
    return _model(facts, panel, arrays, {"scaling.cofactors": Rule((panel.n_markers,), above=0)}, where)


def _read_4(facts: ModelFacts, arrays: Arrays, where: str) -> EditModel:
    """Read format 4, which names each marker's transform, or 5, in which edits may have students.

    Raises:
        ModelError: There is no such transform.
    """
    try:
        transforms = [make_transform(each.name, each.model_extra or {}) for each in facts.panel.transforms or ()]
        panel = Panel(facts.panel.markers, transforms, facts.panel.roles)
    except PanelError as error:
        raise ModelError(f"{where}: {error} Or use the neuronedit that wrote the model.") from error
    return _model(facts, panel, arrays, {}, where)


READERS = {3: _read_3, 4: _read_4, 5: _read_4}
"""Readers by format; ``tests/golden`` has a model of each."""


def _model(facts: ModelFacts, panel: Panel, arrays: Arrays, further: Rules, where: str) -> EditModel:
    scaling = checked_scaling(facts, panel.transforms, arrays, further, where)
    model = EditModel(
        panel,
        scaling,
        tuple(
            _autoencoder(panel.n_markers, facts.architecture, _below(f"autoencoders.{number}.", arrays))
            for number in range(facts.autoencoders)
        ),
        {
            name: _edit(name, found, panel, facts.architecture, _below(f"edits.{name}.", arrays))
            for name, found in facts.edits.items()
        },
        facts.design,
        facts.facts,
    )
    if any(MOVES.search(name) and (np.abs(array) > STRANGE).any() for name, array in arrays.items()):
        _check_overflow(model, where)
    return model


def _check_overflow(model: EditModel, where: str) -> None:
    """Apply every edit to events that it was learned on: they must stay finite."""
    with np.errstate(all="ignore"):
        for name, edit in model.edits.items():
            markers = edit.support.landmarks[:N_TRIED]
            events = model.scaling.intensities(model.scaling.unstandardise(markers))
            try:
                for served in (model, model.served_by("teacher")):
                    served.apply(np.clip(events, -MAX_INTENSITY, MAX_INTENSITY), name)
            except EditedError as error:
                raise ModelError(
                    f"{where}: the edit {name!r} overflows on events that it was learned on: weights or shifts of its "
                    f"steps are too large. {REMEDY}"
                ) from error


def _autoencoder(n_markers: int, architecture: Architecture, weights: Arrays) -> Autoencoder:
    autoencoder = Autoencoder(n_markers, architecture)
    autoencoder.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return autoencoder.eval().requires_grad_(False)


def _edit(name: str, facts: EditFacts, panel: Panel, architecture: Architecture, arrays: Arrays) -> Edit:
    unlearnable = by_column(facts.unlearnable, panel.markers)
    members = tuple(
        Member(
            member.plan,
            member.weight,
            member.autoencoder,
            tuple(
                FittedStep(
                    step,
                    {
                        layer: OPERATORS[step.operator].restore(step, _below(f"{number}.{index}.{place}", arrays))
                        for place, layer in step.places(architecture).items()
                    },
                )
                for index, step in enumerate(member.steps)
            ),
        )
        for number, member in enumerate(facts.members)
    )
    return Edit(
        name,
        members,
        Spikes.from_arrays(_below("spikes.", arrays)),
        Support.from_arrays(_below("support.", arrays), hidden_columns(unlearnable, panel.n_markers)),
        arrays["target.percentiles"],
        facts.shrinks,
        errors.measured() if (errors := facts.errors or facts.choice) else None,
        unlearnable,
        tuple(by_column(dict.fromkeys(facts.unmoved, ""), panel.markers)),
        Student.from_arrays(_below("student.", arrays)) if facts.student else None,
        Fidelity.from_facts(facts.fidelity.model_dump()) if facts.fidelity else None,
    )


def _below(prefix: str, arrays: Arrays) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
