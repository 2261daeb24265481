"""The preferred treated cell: the likeliest cell that a classifier takes for a treated one, beside a control cell."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from neuronedit.arrays import Float32s
from neuronedit.network.autoencoder import tensor
from neuronedit.review.charts import BLACK, BLUE, MAX_NEURONS, SMALL, VERMILLION, of_many, tidy
from neuronedit.review.neurons.logit import TreatedHead
from neuronedit.review.neurons.prior import CodePrior
from neuronedit.review.part import FEW, Drawing, Part
from neuronedit.review.subject import EditSubject

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
    treated: Float32s
    control: Float32s
    measured: Float32s
    logits: tuple[float, float]
    met: bool

    @property
    def change(self) -> Float32s:
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


def preferred_cell(subject: EditSubject, prior: CodePrior, head: TreatedHead) -> PreferredCell:
    """Find the likeliest treated cell and its control.

    Args:
        subject: The edit, as the neurons of one place see it.
        prior: The layer's likely activations.
        head: The classifier of treated and control.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> subject = example_subject()
        >>> prior = CodePrior.fit(subject.source.activations, seed=0)
        >>> found = preferred_cell(subject, prior, TreatedHead(np.float32([0.0, 0.0, 2.0]), 0.0, 0.9))
        >>> found.table()["marker"][0], round(float(found.measured[2]), 1), found.met
        ('pSTAT1', 1.4, True)
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


def _preferred_figure(markers: pd.DataFrame) -> Figure:
    """Draw each marker's difference of the preferred treated cell from its control, from ``PreferredCell.table``."""
    shown = markers.head(MAX_NEURONS)
    figure = Figure(figsize=(7.2, 1.2 + 0.22 * len(shown)), layout="constrained")
    axes = figure.subplots()
    heights = np.arange(len(shown))
    change = shown["change"].to_numpy(dtype=float)
    axes.barh(
        heights, change, 0.65, color=np.where(change < 0, VERMILLION, BLUE), label="preferred cell minus its control"
    )
    axes.scatter(shown["measured"], heights, marker="|", s=90, color=BLACK, lw=2, zorder=3, label="measured means")
    axes.axvline(0, color=BLACK, lw=0.8)
    axes.set_yticks(heights, list(shown["marker"]), fontsize=SMALL)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel("treated minus control (standard deviations)", fontsize=9)
    axes.legend(loc="lower right", fontsize=SMALL, frameon=False)
    figure.suptitle(of_many("markers", len(shown), len(markers)), fontsize=9, x=0.01, ha="left")
    tidy(axes)
    return figure


def preferred_part(subject: EditSubject, prior: CodePrior, head: TreatedHead) -> Part:
    """The likeliest cell that the model calls treated, beside its control.

    Args:
        subject: The edit, as the neurons of one place see it.
        prior: The layer's likely activations.
        head: Tells treated from control events.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> subject = example_subject()
        >>> prior = CodePrior.fit(subject.source.activations, seed=0)
        >>> part = preferred_part(subject, prior, TreatedHead.fit(subject))
        >>> part.tables["preferred_cell"]["marker"][0], part.warning
        ('pSTAT1', '')
    """
    found = preferred_cell(subject, prior, head)
    table, reading = found.table(), read_preferred(found)
    return Part(
        "preferred",
        "Preferred treated cell",
        "neurons",
        reading,
        {"preferred_cell": table},
        (
            Drawing(
                "preferred",
                lambda: _preferred_figure(table),
                "Bars: by how much each marker of the preferred treated cell differs from its control",
                reading,
            ),
        ),
        warning=warn_preferred(found),
    )


def read_preferred(found: PreferredCell) -> str:
    """Name the markers that differ most between the preferred treated cell and its control.

    Example:
        >>> treated, control, measured = np.float32([[3.0, 0.5], [1.0, 1.0], [1.0, -0.1]])
        >>> read_preferred(PreferredCell(("CD3", "CD4"), treated, control, measured, (-1.0, 2.0), met=True))
        'From the likeliest control cell to the likeliest one that is as treated as the most treated hundredth, CD3
        (+2.0; measured +1.0), CD4 (-0.5; measured -0.1) change most, standard deviations.'
    """
    table = found.table().head(FEW)
    markers = ", ".join(f"{row.marker} ({row.change:+.1f}; measured {row.measured:+.1f})" for row in table.itertuples())
    return (
        "From the likeliest control cell to the likeliest one that is as treated as the most treated hundredth, "
        f"{markers} change most, standard deviations."
    )


def warn_preferred(found: PreferredCell) -> str:
    """Warn where no likely cell has the classifier's logits asked for.

    Example:
        >>> treated, control, measured = np.float32([[3.0, 0.5], [1.0, 1.0], [1.0, -0.1]])
        >>> warn_preferred(PreferredCell(("CD3", "CD4"), treated, control, measured, (-1.0, 2.0), met=False))
        'No likely cell has the logits that were asked for: this is the nearest found.'
    """
    return "" if found.met else "No likely cell has the logits that were asked for: this is the nearest found."
