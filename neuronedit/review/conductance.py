"""Edit conductance: through which neurons an edit changes which markers, and how much of that cancels."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuronedit.review.neurons import Neurons
from neuronedit.review.secants import BLOCK, N_SEGMENTS, Decoder, each_marker

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Conductance:
    """The change of each marker by each neuron's shift, mean over the source's events, standard deviations.

    Attributes:
        marker_names: (n_markers,) names, in the panel's order.
        values: (n_neurons, n_markers) float64; a column's sum is what the edit does to the decoded marker.
        change: (n_markers,) float64, the same sums, measured: the mean decoded marker after the edit, minus before.

    Source: Dhamdhere et al. 2018 (arXiv 1805.12233), equation 2, with the neurons as inputs.
    """

    marker_names: tuple[str, ...]
    values: Floats
    change: Floats

    @cached_property
    def share(self) -> Floats:
        """(n_neurons,) each neuron's share of all changes, undone or not: Σ_m |C_jm| / Σ_jm |C_jm|; sum 1."""
        gross = np.abs(self.values).sum(axis=1)
        return _ratio(gross, gross.sum())

    @cached_property
    def net_share(self) -> Floats:
        """(n_neurons,) each neuron's share of the net change D: Σ_m C_jm D_m / Σ_m D_m²; sum 1, negative against it."""
        net = self.values.sum(axis=0)
        return _ratio(self.values @ net, float((net**2).sum()))

    @cached_property
    def cancellation(self) -> float:
        """The share of all changes that neurons undo among themselves: 1 − Σ_m |Σ_j C_jm| / Σ_jm |C_jm|, 0 to 1."""
        gross = np.abs(self.values).sum()
        return max(float(1 - np.abs(self.values.sum(axis=0)).sum() / gross), 0.0) if gross else 0.0

    @cached_property
    def neuron_cancellation(self) -> Floats:
        """(n_neurons,) the markers' cancellation, mean weighed by each neuron's change of them, 0 to 1."""
        gross = np.abs(self.values)
        # Nothing is undone of what is nothing.
        undone = np.clip(1 - _ratio(np.abs(self.values.sum(axis=0)), gross.sum(axis=0)), 0, 1)
        return _ratio(gross @ undone, gross.sum(axis=1))

    @property
    def completeness_error(self) -> float:
        """The largest difference between a column's sum and the change measured, standard deviations."""
        return float(np.abs(self.values.sum(axis=0) - self.change).max())

    @property
    def order(self) -> npt.NDArray[np.int64]:
        """(n_neurons,) int64, neurons by their net share without sign, the largest first."""
        return np.argsort(-np.abs(self.net_share), kind="stable")

    def table(self) -> pd.DataFrame:
        """A row for each neuron and marker, in ``order``. Columns: neuron, marker, conductance."""
        return long_table(self.order, self.marker_names, conductance=self.values)

    def neuron_table(self) -> pd.DataFrame:
        """A row for each neuron, in ``order``. Columns: neuron, share, net_share, cancellation."""
        columns = {"share": self.share, "net_share": self.net_share, "cancellation": self.neuron_cancellation}
        return pd.DataFrame(columns).rename_axis("neuron").iloc[self.order].reset_index()


def edit_conductance(subject: Neurons, n_segments: int = N_SEGMENTS) -> Conductance:
    """Compute each neuron's part in the edit's change of each decoded marker.

    Args:
        subject: The edit, as a layer's neurons see it.
        n_segments: Each event's path is cut into so many; see ``Decoder``.
    """
    before, after, change = subject.source.activations, subject.edited, subject.change
    decoder = Decoder.at_layer(subject.autoencoder, subject.layer)
    n_markers = len(subject.marker_names)
    total = np.zeros((n_markers, subject.n_neurons))
    slopes = decoder.path_slopes(before, after, each_marker(n_markers), n_segments)
    for start, block in zip(range(0, len(before), BLOCK), slopes, strict=True):
        total += np.einsum("nmj,nj->mj", block, change[start : start + BLOCK])
    decoded = subject.decode(after).mean(axis=0, dtype=np.float64)
    moved = decoded - subject.decode(before).mean(axis=0, dtype=np.float64)
    return Conductance(subject.marker_names, total.T / len(before), moved)


def long_table(neurons: npt.NDArray[np.int64], marker_names: tuple[str, ...], **values: Floats) -> pd.DataFrame:
    """A row for each of some neurons and each marker, with a column for each array of (n_neurons, n_markers)."""
    return pd.DataFrame(
        {
            "neuron": np.repeat(neurons, len(marker_names)),
            "marker": np.tile(np.array(marker_names, dtype=object), len(neurons)),
            **{name: array[neurons].ravel() for name, array in values.items()},
        }
    )


def _ratio(numerator: Floats, denominator: Floats | float) -> Floats:
    """Divide; 0 where the denominator is 0."""
    found = np.zeros_like(numerator)
    return np.divide(numerator, denominator, out=found, where=np.broadcast_to(denominator != 0, numerator.shape))
