"""Students of fitted edits: distilled on some of the source's events, compared with the edit on the others."""

from dataclasses import replace

import numpy as np

from neuronedit.arrays import Float32s
from neuronedit.edits.edit import Edit
from neuronedit.edits.learnable import hide
from neuronedit.edits.pair_events import PairEvents
from neuronedit.edits.students.distillation import distil
from neuronedit.edits.students.fidelity import measure_fidelity
from neuronedit.network.autoencoder import Autoencoder
from neuronedit.network.chunks import in_chunks

HELD_OUT = 0.2
"""The share of the source's events, and of those to be edited, that a student does not learn from: its fidelity is
measured on them."""

MAX_COMPARED = 5_000
"""Events of each population that student and teacher are compared on, at most."""

LOOKUPS = ("step", "linear")
"""Operators that look each marker up by itself: there is nothing to gain from a student of such an edit."""


def needs_student(edit: Edit) -> bool:
    """Tell whether a student would make an edit cheaper: it has members, and looks at more than single markers.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> needs_student(example_model().edits["pair"])
        True
    """
    steps = [step.plan for member in edit.members for step in member.steps]
    return any(step.latent or step.operator not in LOOKUPS for step in steps)


def with_student(
    edit: Edit,
    autoencoders: tuple[Autoencoder, ...],
    events: PairEvents,
    extrapolation: Float32s | None,
    seed: int,
) -> Edit:
    """Distil a student from a fitted edit, measure its fidelity, and let it serve where this is good enough.

    Args:
        edit: The edit, as its members make it.
        autoencoders: The model's.
        events: The events that the edit was fitted on.
        extrapolation: (n_events, n_markers) float32, standardised, to be edited; None where none are known.
        seed: Draws events, and the student's weights.

    Returns:
        The edit with its fidelity, and with its student where this passes.

    Raises:
        ModelError: The edit's change of some events is not finite.

    Example:
        >>> from neuronedit.model.example import example_cells, example_model
        >>> model = example_model()
        >>> pair = PairEvents(*(model.standardised(example_cells(seed, treated=seed)) for seed in (0, 1)))
        >>> edit = with_student(model.edits["pair"], model.autoencoders, pair, None, seed=0)
        >>> edit.student is not None, edit.fidelity.passes
        (True, True)
    """
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(events.source))
    n_held_out = max(int(HELD_OUT * len(rows)), 1)

    def spread(population: Float32s) -> Float32s:
        return in_chunks(edit.spikes.spread, hide(population, edit.support.hidden))

    def change(spread_events: Float32s) -> Float32s:
        return in_chunks(lambda chunk: edit._blended(autoencoders, chunk), spread_events) - spread_events

    learned, target = spread(events.source[rows[n_held_out:]]), spread(events.target)
    others, tried = (None, None) if extrapolation is None else _divided(generator.permutation(extrapolation))
    taught = distil(change, learned, target, edit.spikes.ranges, seed, None if others is None else spread(others))
    student = replace(edit, student=taught)
    fidelity = measure_fidelity(
        lambda population: edit.apply(autoencoders, population),
        lambda population: student.apply(autoencoders, population),
        events.source[rows[: min(n_held_out, MAX_COMPARED)]],
        _led_to(events, generator),
        tried,
        seed,
    )
    return replace(student if fidelity.passes else edit, fidelity=fidelity)


def _divided(events: Float32s) -> tuple[Float32s | None, Float32s]:
    """Divide events into those to learn from, none where there is but one, and those to measure fidelity on."""
    n_held_out = max(int(HELD_OUT * len(events)), 1)
    return (events[n_held_out:] if len(events) > n_held_out else None), events[:n_held_out][:MAX_COMPARED]


def _led_to(events: PairEvents, generator: np.random.Generator) -> Float32s:
    """Draw events of the target, by their weights where they have any."""
    if events.target_weights is None:
        return generator.permutation(events.target)[:MAX_COMPARED]
    chances = events.target_weights / events.target_weights.sum()
    return events.target[generator.choice(len(events.target), MAX_COMPARED, p=chances)]
