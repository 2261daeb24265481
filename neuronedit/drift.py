"""What an update of a model does to the edits that it had already."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuronedit.model import EditModel
from neuronedit.moments import rms
from neuronedit.percentiles import FloatArray


@dataclass(frozen=True)
class EditDrift:
    """How far an edit's results moved, on the same events.

    Attributes:
        edit: The edit's name.
        rms: Root mean square over events and markers of what the model after makes of them less what the one before
            does, arcsinh units.
        change: Root mean square of what the edit changes by the model before, arcsinh units.
    """

    edit: str
    rms: float
    change: float

    @property
    def relative(self) -> float:
        """The drift in units of the edit's own change; infinite where an edit that did nothing now does something."""
        if self.rms == 0:
            return 0.0
        return self.rms / self.change if self.change > 0 else float("inf")

    def facts(self) -> dict[str, Any]:
        """All of it as JSON has it: None for a drift that is infinite."""
        relative = self.relative if np.isfinite(self.relative) else None
        return {"rms": self.rms, "change": self.change, "relative": relative}


def edit_drift(edit: str, before: EditModel, after: EditModel, intensities: FloatArray) -> EditDrift:
    """Compare what two models make of events by the edit of one name.

    Args:
        edit: The name.
        before: The model that was updated.
        after: The updated one, of the same panel.
        intensities: (n_events, n_markers) raw, such as the edit was fitted on.

    Raises:
        ModelError: A model has no such edit.
        DataError: A value is not finite.
    """
    unedited, old, new = (
        before.scaling.arcsinh(events).astype(np.float64)
        for events in (intensities, before.apply(intensities, edit), after.apply(intensities, edit))
    )
    return EditDrift(edit, float(rms(new - old)), float(rms(old - unedited)))
