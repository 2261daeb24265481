"""The composition-matched edit: what a layer's edit does to each marker, and what it would with the mix matched."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from neuronedit.arrays import Float32s, Float64s
from neuronedit.edits.mix.composition import Composition
from neuronedit.edits.operators.table import EditStep, Fitting
from neuronedit.edits.steps import apply_steps, fit_steps
from neuronedit.errors import DataError
from neuronedit.measures.moments import rms
from neuronedit.review.charts import before_after_figure
from neuronedit.review.part import Drawing, Part
from neuronedit.review.populations.confounding import compose
from neuronedit.review.subject import EditSubject
from neuronedit.review.wording import from_to, settled, short

N_SHOWN = 30
"""Markers drawn, those first whose change depends most on the mix."""


SEEN = 0.05
"""A change of a marker's shift, standard deviations, that can be seen in a figure."""


@dataclass(frozen=True)
class Matched:
    """The layer's edit, fitted twice on the same events.

    Attributes:
        before: (n_source, n_markers) changes of the source's events, by percentiles of the populations as they are.
        after: (n_source, n_markers) changes with the target's events weighted to the source's mix.
    """

    before: Float32s
    after: Float32s

    @cached_property
    def rms(self) -> tuple[Float64s, Float64s]:
        """(n_markers,) root mean squares of both changes, standard deviations."""
        return rms(self.before, axis=0), rms(self.after, axis=0)

    @property
    def by_mix(self) -> float:
        """Share of the unmatched edit's change, over all markers, that matching takes back; 0 where it adds to it."""
        before, after = (float(rms(change)) for change in self.rms)
        return max(0.0, 1 - after / before) if before > 0 else 0.0


def refit_on_matched(subject: EditSubject, composition: Composition) -> Matched:
    """Fit percentile shifts of the layer as populations are, and matched.

    Args:
        subject: Gives source and target.
        composition: Their strata: labels, kinds found in the events, or activation patterns.

    Example:
        >>> from neuronedit.review.subject import example_subject
        >>> subject = example_subject()
        >>> matched = refit_on_matched(subject, compose(subject, None, seed=0))
        >>> [change.round(1).tolist() for change in matched.rms]
        [[0.0, 0.0, 1.4], [0.0, 0.0, 1.4]]
    """
    plan = (EditStep(layer=subject.layer),)

    def change(weights: Float64s | None) -> Float32s:
        source, target = subject.source.markers, subject.target.markers
        steps = fit_steps(subject.autoencoder, plan, source, target, Fitting(target_weights=weights))
        return apply_steps(steps, subject.autoencoder, source) - source

    return Matched(change(None), change(composition.target_weights))


def matching_part(subject: EditSubject, column: str | None = None, seed: int = 0) -> Part:
    """Row 11: each marker's change before and after the mix is matched.

    Args:
        subject: Gives source and target.
        column: The label that names kinds of cell; None: kinds are found in the events.
        seed: Starts the search for kinds.

    Raises:
        DataError: Source or target lacks the column.

    Example:
        Source and target have the same mix of cells, so that matching changes nothing:

        >>> from neuronedit.review.subject import example_subject
        >>> part = matching_part(example_subject(), "type")
        >>> part.tables["matching"][["marker", "before", "after"]].round(1).values.tolist()
        [['CD3', 0.0, 0.0], ['CD4', 0.0, 0.0], ['pSTAT1', 1.4, 1.4]]
    """
    name, title = "matching", "Composition-matched edit"
    labels = None if column is None else (subject.source.label(column), subject.target.label(column))
    try:
        composition = compose(subject, labels, seed)
    except DataError as error:  # no overlap
        return Part(name, title, "composition", "The mix cannot be matched.", warning=str(error))
    matched = refit_on_matched(subject, composition)
    table = _table(subject, matched)
    shown = table.nlargest(N_SHOWN, "by_mix").set_index("marker")[["before", "after"]]
    words = ("as it is", "mix matched")
    drawing = Drawing(
        "matching",
        lambda: before_after_figure(shown, "change of the source's events (RMS, standard deviations)", words),
        "Dots: root mean square change of each marker by the edit as it is, and with the mix matched",
        _read_markers(table),
    )
    return Part(
        name,
        title,
        "composition",
        _read(matched),
        {"matching": table},
        (drawing,) if table["by_mix"].max() >= SEEN else (),
        {"change_by_mix": matched.by_mix},
    )


def _table(subject: EditSubject, matched: Matched) -> pd.DataFrame:
    """Columns marker, before and after (RMS of the change, standard deviations), mean_before, mean_after, by_mix."""
    before, after = matched.rms
    return pd.DataFrame(
        {
            "marker": subject.marker_names,
            "before": before,
            "after": after,
            "mean_before": settled(matched.before.mean(axis=0, dtype=np.float64)),
            "mean_after": settled(matched.after.mean(axis=0, dtype=np.float64)),
            "by_mix": settled(rms(matched.before - matched.after, axis=0)),
        }
    )


def _read(matched: Matched) -> str:
    before, after = matched.rms
    fallen = int((after < before / 2).sum())
    texts = [short(float(rms(change)), ".3f") for change in (before, after)]
    if texts[0] == texts[1] and not fallen:
        return f"To match the mix changes nothing: the layer's edit moves markers by {texts[0]} standard deviations."
    return (
        f"With the mix matched, the layer's edit changes markers by {texts[1]} standard "
        f"deviations (root mean square) in the place of {texts[0]}; {fallen} of {len(before)} "
        "markers move less than half as much."
    )


def _read_markers(table: pd.DataFrame) -> str:
    most = table.iloc[int(table["by_mix"].argmax())]
    return (
        f"Matching changes the shift of {most['marker']} most: {from_to(most['before'], most['after'])} standard "
        "deviations."
    )
