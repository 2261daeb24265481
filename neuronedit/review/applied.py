"""The populations that a model's edits are to be applied to, and how far each is from what its edit was learned on."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from neuronedit.arrays import Float32s
from neuronedit.cells.design import INVERSE, Design
from neuronedit.edits.support import Extrapolation
from neuronedit.measures.evidence import Knowledge
from neuronedit.model.edit_model import EditModel
from neuronedit.model.scope import ReviewedPopulation, Scope, extrapolation_name, source_name


@dataclass(frozen=True)
class Applied:
    """A population that an edit is to be applied to.

    Attributes:
        edit: The edit's name.
        n_events: Events that were looked at.
        found: How far they are from the events that the edit was learned on.
        held_out: Whether the truth was measured; otherwise the model's design names these events.
    """

    edit: str
    n_events: int
    found: Extrapolation
    held_out: bool


HELD_OUT_MARK: Final = " (held out)"
"""Ends the name of a population whose truth was measured."""

HeldOutEvents = Mapping[str, tuple[str, Float32s]]
"""Held-out events, (n_events, n_markers) raw intensities, by their comparison's name, with the edit that they get."""


def judge_applied(model: EditModel, held_out: HeldOutEvents, populations: Mapping[str, Float32s]) -> dict[str, Applied]:
    """Judge the populations that edits are to be applied to, by name: held-out events, and the design's extrapolation.

    Args:
        model: The model.
        held_out: Held-out events.
        populations: All of the model's design by name, (n_events, n_markers) raw intensities each.

    Example:
        >>> from neuronedit.model.example import example_cells, example_model
        >>> applied = judge_applied(example_model(), {"donor 2": ("pair", example_cells(seed=2))}, {})
        >>> applied["donor 2 (held out)"].n_events, applied["donor 2 (held out)"].found.flagged
        (400, False)
    """
    events = {f"{name}{HELD_OUT_MARK}": (edit, of, True) for name, (edit, of) in held_out.items()}
    for name, (edit, population) in named_extrapolations(model, populations).items():
        events[name] = (edit, populations[population], False)
    return {
        name: Applied(edit, len(of), model.get_edit(edit).support.judge(model.standardised(of)), known)
        for name, (edit, of, known) in events.items()
    }


def named_extrapolations(model: EditModel, populations: Container[str]) -> dict[str, tuple[str, str]]:
    """Name the populations that a model's design names to be edited, by their column values where it has them.

    Args:
        model: The model.
        populations: The names of the design's populations that there are.

    Returns:
        The edit and the population of each; one to which several edits are applied is there by each.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> named_extrapolations(example_model(), {"source", "extrapolation"})
        {'extrapolation': ('pair', 'extrapolation')}
    """
    named = {}
    for edit in model.edits:
        for population in ("extrapolation", f"extrapolation {edit}"):
            if population in populations:
                name = extrapolation_name(model.design, edit) if model.design.extrapolation else population
                several = population == "extrapolation" and len(model.edits) > 1
                named[f"{name} by {edit}" if several else name] = (edit, population)
    return named


def scope_of(
    applied: Mapping[str, Applied], design: Design, held_out: Design | None, known: Sequence[Knowledge]
) -> Scope:
    """Make the scope of a review: each population by its column values, with its support and the error there.

    An error that was measured on held-out events is theirs; one that was estimated is of any events.

    Args:
        applied: The populations that edits are to be applied to.
        design: The model's.
        held_out: The design that names the held-out events as source; None where there are none.
        known: What is known of how each edit carries over.

    Example:
        >>> from neuronedit.cells.design import PairDesign
        >>> near = Extrapolation(0.02, 0.55, 0.3, 1.0)
        >>> cd4, cd8 = (PairDesign(source={"type": name}, target={"drug": "PMA"}) for name in ("cd4+", "cd8+"))
        >>> scope_of({"cd8+ (held out)": Applied("pair", 900, near, True)}, cd4, cd8, []).sentence
        "was reviewed for 'type = cd8+'"
    """
    levels = {each.edit: each for each in known}
    populations = []
    for each in applied.values():
        if each.edit.endswith(INVERSE):
            continue  # the events that a design names are to be led forth
        named = (
            source_name(held_out, each.edit) if each.held_out and held_out else extrapolation_name(design, each.edit)
        )
        found = levels.get(each.edit)
        tells = found is not None and found.level == ("measured" if each.held_out else "estimated")
        error = found.error if found and tells else None
        populations.append(ReviewedPopulation(each.edit, named, each.n_events, each.found, error))
    return Scope.of(populations)
