"""Cycle consistency: whether the way back undoes the edit, and whether the network reads what it has written.

Cycle consistency on the page.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuronedit.arrays import Float64s
from neuronedit.cells.design import INVERSE
from neuronedit.edits.edit import Edit, fit_edit
from neuronedit.edits.operators.table import Fitting
from neuronedit.measures.moments import rms
from neuronedit.model.edit_model import EditModel
from neuronedit.review.charts import bar_figure
from neuronedit.review.part import Drawing, Part
from neuronedit.review.subject import EditSubject
from neuronedit.review.wording import settled, short


@dataclass(frozen=True)
class Cycle:
    """Distances of the source's events from their places after the edit and after the way back.

    Attributes:
        marker_names: (n_markers,) names, in the panel's order.
        left: (n_markers,) float64, root mean square over events of x − inverse(edit(x)), standard deviations.
        moved: (n_markers,) float64, root mean square over events of x − edit(x), standard deviations.
        drift: (n_neurons,) float64, root mean square over events of encode(decode(z')) − z' for edited activations z',
            in units of the layer's root mean square spread.
        own_inverse: Whether the way back is the model's own edit; otherwise it was fitted for the review.
    """

    marker_names: tuple[str, ...]
    left: Float64s
    moved: Float64s
    drift: Float64s
    own_inverse: bool

    @property
    def rmse(self) -> float:
        """The distance left after the way back: root mean square over events and markers, standard deviations."""
        return float(rms(self.left))

    @property
    def share(self) -> float:
        """The distance left after the way back over the edit's own; 0 where the edit moves nothing."""
        return self.rmse / float(rms(self.moved)) if self.moved.any() else 0.0

    @property
    def mean_drift(self) -> float:
        """The drift: root mean square over events and neurons, in spreads of the layer."""
        return float(rms(self.drift))

    def marker_table(self) -> pd.DataFrame:
        """A row for each marker, those that come back least well first: marker, moved, left."""
        table = pd.DataFrame({"marker": self.marker_names, "moved": self.moved, "left": self.left})
        return table.sort_values("left", ascending=False, kind="stable", ignore_index=True)

    def neuron_table(self) -> pd.DataFrame:
        """A row for each neuron: neuron, drift."""
        return pd.DataFrame({"neuron": np.arange(len(self.drift)), "drift": self.drift})


def cycle(subject: EditSubject, model: EditModel, seed: int) -> Cycle:
    """Apply the edit and the way back to the source's events, and measure the distances.

    Args:
        subject: The edit under review and its events.
        model: The edit's model. Its edit ``NAME inverse`` is the way back; without one, the edit's own plans are
            fitted from target to source.
        seed: Draws events for fitting.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.subject import example_subject
        >>> found = cycle(example_subject(), example_model(), seed=0)
        >>> found.moved.round(1).tolist(), found.left.round(1).tolist()
        ([0.0, 0.0, 1.4], [0.0, 0.0, 0.0])
    """
    name, x = f"{subject.edit.name}{INVERSE}", subject.source.markers
    own = model.edits.get(name)
    there = subject.edit.apply(model.autoencoders, x)
    back = (own or fit_way_back(subject, model, seed)).apply(model.autoencoders, there)
    return Cycle(
        subject.marker_names,
        settled(rms(x - back, axis=0)),
        settled(rms(x - there, axis=0)),
        settled(np.concatenate([_drift(part) for part in subject.each()])),
        own is not None,
    )


def _drift(part: EditSubject) -> Float64s:
    """How far one place's edited activations are from themselves when decoded and encoded again: (n_neurons,)."""
    again = part.encode(part.decode(part.edited))
    spread = float(np.sqrt(part.source.activations.var(axis=0, dtype=np.float64).mean()))
    drift = rms(again - part.edited, axis=0)
    return np.asarray(drift / spread if spread else drift)


def fit_way_back(subject: EditSubject, model: EditModel, seed: int) -> Edit:
    """Fit the edit's plans from target to source, with the weights that they have in the edit.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.subject import example_subject
        >>> subject, model = example_subject(), example_model()
        >>> back = fit_way_back(subject, model, seed=0).apply(model.autoencoders, subject.target.markers)
        >>> (back - subject.target.markers).mean(axis=0, dtype=float).round(1).tolist()
        [0.0, 0.0, -1.4]
    """
    edit = subject.edit
    if not edit.members:
        return edit
    return fit_edit(
        f"{edit.name}{INVERSE}",
        model.autoencoders,
        edit.plan,
        subject.target.markers,
        subject.source.markers,
        zeros=model.scaling.zeros,
        fitting=Fitting(seed=seed, unmoved=edit.unmoved),
        unlearnable=edit.unlearnable,
    )


def cycle_part(subject: EditSubject, model: EditModel, seed: int = 0) -> Part:
    """Row 19: the distance left after the edit and the way back, and the drift of edited activations encoded again.

    Example:
        >>> from neuronedit.model.example import example_model
        >>> from neuronedit.review.subject import example_subject
        >>> cycle_part(example_subject(), example_model()).tables["cycle_markers"].round(1).values.tolist()
        [['pSTAT1', 1.4, 0.0], ['CD3', 0.0, 0.0], ['CD4', 0.0, 0.0]]
    """
    found = cycle(subject, model, seed)
    markers = found.marker_table()
    drawing = Drawing(
        "cycle",
        lambda: bar_figure(
            markers.set_index("marker")[["left"]].rename(columns={"left": "left after there and back"}),
            "root mean square distance of an event from where it was (standard deviations)",
        ),
        "Each marker's distance from where it was after the edit and its inverse, the largest first",
        _read_cycle_markers(found),
    )
    return Part(
        "cycle",
        "Cycle consistency",
        "consistency",
        _read_cycle(found),
        {"cycle_markers": markers, "cycle_neurons": subject.called(found.neuron_table())},
        (drawing,),
        {"cycle_rmse": found.rmse, "cycle_share": found.share, "reencode_drift": found.mean_drift},
        "" if found.own_inverse else "The model has no inverse edit; the way back was fitted for this review.",
    )


def _read_cycle(found: Cycle) -> str:
    """Say how much is left after the way back, and how far the network misreads its own output."""
    left, drift = short(found.rmse, ".3f"), short(found.mean_drift, ".3f")
    return (
        f"After the edit and its inverse the source's events are {left} standard deviations from where they were, "
        f"{short(found.share, '.0%')} of the edit's own size; edited activations that are decoded and encoded again "
        f"drift by {drift} of the layer's spread."
    )


def _read_cycle_markers(found: Cycle) -> str:
    """Name the marker that comes back least well."""
    furthest = found.marker_table().iloc[0]
    return (
        f"{furthest['marker']} comes back least well: the edit moves it by {short(furthest['moved'], '.3f')}, and "
        f"{short(furthest['left'], '.3f')} is left after the way back."
    )
