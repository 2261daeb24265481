"""The preferred cells: real ones that a classifier is surest are of the target, beside like ones of the source."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuronedit.arrays import Float32s
from neuronedit.review.charts import BLACK, MAX_NEURONS, SMALL, of_many, signed_bars, tidy
from neuronedit.review.neurons.logit import TargetHead
from neuronedit.review.neurons.reals import RealCells
from neuronedit.review.part import FEW, Drawing, Part
from neuronedit.review.subject import EditSubject
from neuronedit.review.wording import Wording, short

PERCENTILE: Final = 99
"""Percentile of the target's logits about which preferred cells are: as sure as the surest hundredth."""

MIDDLE: Final = (40, 60)
"""Percentiles of the source's logits between which the cells beside them are: ordinary ones of the source."""

N_PAIRS: Final = 30
"""Preferred cells. Of one alone, what it has of its own leads: on planted cells the largest change of a marker that the
edit leaves alone was 1.5 standard deviations, of 30 it was 0.4; the edited ones changed by 3.7."""


@dataclass(frozen=True)
class PreferredCell:
    """The target's surest cells, each beside the ordinary cell of the source that is most like it: means over pairs.

    Attributes:
        marker_names: (n_markers,) names, in the panel's order.
        target: (n_markers,) float32, standardised, mean of the target's cells.
        source: (n_markers,) float32, standardised, mean of the source's.
        measured: (n_markers,) float64, mean of the target minus that of the source, standard deviations.
        logits: The mean logits of both, the source's first.

    Source: Nguyen et al. 2016 (arXiv 1605.09304), preferred inputs; here by a choice among real cells.
    """

    marker_names: tuple[str, ...]
    target: Float32s
    source: Float32s
    measured: Float32s
    logits: tuple[float, float]

    @property
    def change(self) -> Float32s:
        """(n_markers,) float32, the target's cells minus the source's, standard deviations."""
        return self.target - self.source

    def table(self) -> pd.DataFrame:
        """A row for each marker, the largest change first. Columns: marker, source, target, change, measured."""
        columns = {
            "marker": np.array(self.marker_names, dtype=object),
            "source": self.source,
            "target": self.target,
            "change": self.change,
            "measured": self.measured,
        }
        order = np.argsort(-np.abs(self.change), kind="stable")
        return pd.DataFrame(columns).iloc[order].reset_index(drop=True)


def preferred_cell(subject: EditSubject, cells: RealCells, head: TargetHead) -> PreferredCell:
    """Choose the target's cells, and for each the source's.

    Args:
        subject: The edit, as the neurons of one place see it.
        cells: The place's source and target.
        head: The classifier of target and source.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> subject = example_subject()
        >>> head = TargetHead(np.float32([0.0, 0.0, 2.0]), 0.0, 0.9)
        >>> found = preferred_cell(subject, RealCells.of(subject), head)
        >>> found.table()["marker"][0], round(float(found.measured[2]), 1)
        ('pSTAT1', 1.4)
    """
    logits = head.logits(subject.decode(cells.activations))
    of_source, of_target = logits[cells.source], logits[cells.target]
    aim = np.percentile(of_target, PERCENTILE)
    target = cells.target[np.argsort(np.abs(of_target - aim), kind="stable")[:N_PAIRS]]
    low, high = np.percentile(of_source, MIDDLE)
    source = cells.nearest(target, cells.source[(of_source >= low) & (of_source <= high)])
    chosen, all_of = (source, target), (cells.source, cells.target)
    shown, means = ([cells.markers[rows].mean(axis=0) for rows in sides] for sides in (chosen, all_of))
    of_chosen = [float(logits[rows].mean()) for rows in chosen]
    return PreferredCell(subject.marker_names, shown[1], shown[0], means[1] - means[0], (of_chosen[0], of_chosen[1]))


def _preferred_figure(markers: pd.DataFrame, wording: Wording) -> Figure:
    """Draw each marker's difference of the preferred cells from the source's, from ``PreferredCell.table``."""
    shown = markers.head(MAX_NEURONS)
    figure = Figure(figsize=(7.2, 1.2 + 0.22 * len(shown)), layout="constrained")
    axes = figure.subplots()
    heights = np.arange(len(shown))
    signed_bars(axes, shown["change"].to_numpy(dtype=float), "preferred cells minus like ones")
    axes.scatter(shown["measured"], heights, marker="|", s=90, color=BLACK, lw=2, zorder=3, label="means of all")
    axes.set_yticks(heights, list(shown["marker"]), fontsize=SMALL)
    axes.set_xlabel(f"{wording.after} minus {wording.before} (standard deviations)", fontsize=9)
    axes.legend(loc="lower right", fontsize=SMALL, frameon=False)
    figure.suptitle(of_many("markers", len(shown), len(markers)), fontsize=9, x=0.01, ha="left")
    tidy(axes)
    return figure


def preferred_part(subject: EditSubject, cells: RealCells, head: TargetHead) -> Part:
    """Real cells that the model is surest are of the target, beside like ones of the source.

    Args:
        subject: The edit, as the neurons of one place see it.
        cells: The place's source and target.
        head: Tells target from source events.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> subject = example_subject()
        >>> part = preferred_part(subject, RealCells.of(subject), TargetHead.fit(subject))
        >>> part.tables["preferred_cell"]["marker"][0]
        'pSTAT1'
    """
    found = preferred_cell(subject, cells, head)
    table, reading = found.table(), read_preferred(found, subject.wording)
    return Part(
        "preferred",
        "Preferred cells",
        "neurons",
        reading,
        {"preferred_cell": table},
        (
            Drawing(
                "preferred",
                lambda: _preferred_figure(table, subject.wording),
                f"Bars: by how much each marker of the surest cells {subject.wording.after} differs from the most "
                f"similar ordinary ones {subject.wording.before}",
                reading,
            ),
        ),
    )


def read_preferred(found: PreferredCell, wording: Wording) -> str:
    """Name the markers that differ most between the preferred cells and the source's.

    Example:
        >>> target, source, measured = np.float32([[3.0, 0.5], [1.0, 1.0], [1.0, -0.1]])
        >>> read_preferred(PreferredCell(("CD3", "CD4"), target, source, measured, (-1.0, 2.0)), Wording())
        'Cells of which the classifier is surest that they are after the change differ from the most similar ordinary
        cells before the change most in CD3 (+2.0; means of all +1.0), CD4 (-0.5; means of all -0.1) standard
        deviations; all were measured.'
    """
    order = np.argsort(-np.abs(found.change), kind="stable")[:FEW]
    markers = ", ".join(
        f"{found.marker_names[marker]} ({short(found.change[marker], '+.1f')}; means of all "
        f"{short(found.measured[marker], '+.1f')})"
        for marker in order
    )
    return (
        f"Cells of which the classifier is surest that they are {wording.after} differ from the most similar ordinary "
        f"cells {wording.before} most in {markers} standard deviations; all were measured."
    )
