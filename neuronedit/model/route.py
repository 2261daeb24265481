"""Routes by which events are edited, and what came of each event."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from neuronedit.arrays import Float32s, Floats, Texts

UnknownBatch = Literal["error", "pass"]

EDITED, REFERENCE, UNKNOWN, NO_EFFECT = "edited", "reference", "unknown batch", "edit without effect"
NOT_CHOSEN = "not chosen"
"""The outcome of events that are not asked to be edited, and are not handed to a model."""

Observer = Callable[[str, Float32s, Float32s, Float32s | None], None]
"""Called with some events at a time that had the same edits: their batch, or the edits' names joined by " → "; the
standardised markers before and after, (n_events, n_markers) each; support scores, (n_events,), or None. The arrays
are written over afterwards."""


@dataclass(frozen=True)
class Route:
    """A choice of the edits that events get.

    Attributes:
        edits: Applied one after another to every event, in place of its batch's own; () for the batch's own.
        unknown_batch: ``error``, or ``pass`` to leave events of unknown batches as they are.
        strength: The share of each edit's change that is made.
        support: Score how far each event is from those that its edit was learned on.
    """

    edits: tuple[str, ...] = ()
    unknown_batch: UnknownBatch = "error"
    strength: float = 1.0
    support: bool = False


BATCHES_OWN = Route()
"""Each event gets the edit of its batch; an unknown batch is an error."""


class Transformed(NamedTuple):
    """Events after their edits.

    Attributes:
        intensities: (n_events, n_markers), shape and dtype of those given.
        outcomes: (n_events,) ``edited``, ``reference``, ``unknown batch`` or ``edit without effect``.
        support: (n_events,) float32, the first edit's ``Support.scores``, NaN without an edit; None if not asked for.
    """

    intensities: Floats
    outcomes: Texts
    support: Float32s | None


def same_outcome(n_events: int, outcome: str) -> Texts:
    """Give all events the same outcome, (n_events,), as one object: ``np.full`` would make a string of each.

    Example:
        >>> same_outcome(2, EDITED).tolist()
        ['edited', 'edited']
    """
    return np.repeat(np.array([outcome], dtype=object), n_events)
