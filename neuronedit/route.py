"""Which edits events get, and what became of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from neuronedit.scaling import FloatArray

UnknownBatch = Literal["error", "pass"]

EDITED, REFERENCE, UNKNOWN = "edited", "reference", "unknown batch"

Float32Array = npt.NDArray[np.float32]

Observer = Callable[[str, Float32Array, Float32Array, Float32Array | None], None]
"""Told of events that went the same way: their batch, or their edits' names joined by " → " where the batch does not
choose; their standardised markers before and after, (n_events, n_markers) each; their support scores, (n_events,), or
None where they were not asked for or nothing was applied."""


@dataclass(frozen=True)
class Route:
    """Which edits events get.

    Attributes:
        edits: Applied one after another to every event, in place of its batch's own; () for the batch's own.
        unknown_batch: ``error``, or ``pass`` to leave events of unknown batches as they are.
        strength: Of each edit's whole change, 1.
        support: Whether to say how far each event is from what its edit was learned on.
    """

    edits: tuple[str, ...] = ()
    unknown_batch: UnknownBatch = "error"
    strength: float = 1.0
    support: bool = False


BATCHES_OWN = Route()
"""Each event gets the edit of its batch; an unknown batch is an error."""


class Transformed(NamedTuple):
    """What became of events.

    Attributes:
        intensities: (n_events, n_markers), shape and dtype of those given.
        outcomes: (n_events,) what was done to each: ``edited``, ``reference`` or ``unknown batch``.
        support: (n_events,) float32, distance from what the (first) edit was learned on, see ``Support.scores``; NaN
            where no edit was applied, None where it was not asked for.
    """

    intensities: FloatArray
    outcomes: npt.NDArray[np.object_]
    support: npt.NDArray[np.float32] | None


def alike(n_events: int, outcome: str) -> npt.NDArray[np.object_]:
    """(n_events,) the same outcome, one object: ``np.full`` would make a string of each."""
    outcomes = np.empty(n_events, dtype=object)
    outcomes.fill(outcome)
    return outcomes
