"""The preferred treated cell: the likeliest cell that a classifier takes for a treated one, beside a control cell."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from torch import Tensor

from neuronedit.autoencoder import tensor
from neuronedit.percentiles import FloatArray
from neuronedit.review.effect_logit import TreatedHead
from neuronedit.review.neurons import Neurons
from neuronedit.review.prior import CodePrior

TREATED_PERCENTILE: Final = 99
"""Percentile of the treated events' logits: as treated as the most treated hundredth."""


@dataclass(frozen=True)
class PreferredCell:
    """The likeliest cell that is as treated as can be, and the likeliest control cell of the same kind.

    The largest logit within a radius ‖u‖ ≤ r and the least ‖u‖ for a logit are the same points; the logit is set here,
    because it has a meaning: the 99th percentile of treated events.

    Attributes:
        marker_names: (n_markers,) names, in the panel's order.
        treated: (n_markers,) float32, standardised.
        control: (n_markers,) float32, standardised: the logit is the median of control events.
        measured: (n_markers,) float64, mean of the decoded target minus that of the decoded source.
        logits: The logits of both cells, control first.
        met: Whether both logits were reached.

    Source: Nguyen et al. 2016 (arXiv 1605.09304), preferred inputs through a generator.
    """

    marker_names: tuple[str, ...]
    treated: FloatArray
    control: FloatArray
    measured: FloatArray
    logits: tuple[float, float]
    met: bool

    @property
    def change(self) -> FloatArray:
        """(n_markers,) float32, treated cell minus control cell, standard deviations."""
        return self.treated - self.control

    def table(self) -> pd.DataFrame:
        """A row for each marker, the largest change first. Columns: marker, control, treated, change, measured."""
        columns = {
            "marker": np.array(self.marker_names, dtype=object),
            "control": self.control,
            "treated": self.treated,
            "change": self.change,
            "measured": self.measured,
        }
        order = np.argsort(-np.abs(self.change), kind="stable")
        return pd.DataFrame(columns).iloc[order].reset_index(drop=True)


def preferred_cell(subject: Neurons, prior: CodePrior, head: TreatedHead) -> PreferredCell:
    """Find the likeliest treated cell and its control.

    Args:
        subject: The edit, as a layer's neurons see it.
        prior: The layer's likely activations.
        head: The classifier of treated and control.
    """
    weights = tensor(head.weights)
    decoded = [subject.decode(population.activations) for population in (subject.source, subject.target)]
    logits = [head.logits(markers) for markers in decoded]
    levels = [np.percentile(logits[1], TREATED_PERCENTILE), np.percentile(logits[0], 50)]
    scale = np.array([np.concatenate(logits).std() or 1], dtype=np.float32)

    def logit(codes: Tensor) -> Tensor:
        return subject.autoencoder.decode(codes, subject.layer) @ weights + head.bias

    treated = prior.likeliest(logit, np.array(levels[:1], dtype=np.float32), scale)
    control = prior.only(int(treated.kinds[0])).likeliest(logit, np.array(levels[1:], dtype=np.float32), scale)
    cells = subject.decode(np.concatenate([treated.neurons, control.neurons]))
    found = head.logits(cells)
    return PreferredCell(
        subject.marker_names,
        cells[0],
        cells[1],
        decoded[1].mean(axis=0, dtype=np.float64) - decoded[0].mean(axis=0, dtype=np.float64),
        (float(found[1]), float(found[0])),
        bool(treated.met.all() and control.met.all()),
    )
