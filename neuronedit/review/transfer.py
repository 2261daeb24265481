"""Transfer: how near an edit, and the simple methods, bring events to a measured truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuronedit.baselines import NO_EDIT, QUANTILE_MAP, baselines
from neuronedit.design import MIN_EVENTS
from neuronedit.errors import DataError
from neuronedit.metrics import FLOOR, Distance, distance_to_truth, made_worse, noise_floor
from neuronedit.model import EditModel

FloatArray = npt.NDArray[np.float32]

NEURONEDIT: Final = "neuronedit"

TRAINING_PAIR: Final = "training pair"
HELD_OUT: Final = "held out"
Kind = Literal["training pair", "held out"]


@dataclass(frozen=True)
class Comparison:
    """Events to apply an edit to, and the measured truth that they should then be like.

    Attributes:
        name: Its name for people, e.g. ``PTLG028 → PTLG021``.
        kind: ``training pair``: the edit was fitted on these events and this truth; ``held out``: it was not.
        edit: The edit's name in the model.
        source: (n_source, n_markers) raw intensities that the edit was fitted from.
        target: (n_target, n_markers) raw intensities that the edit was fitted to.
        events: (n_events, n_markers) raw intensities to apply it to; the source in a training pair.
        truth: (n_truth, n_markers) raw intensities of their measured counterpart; the target in a training pair.

    Raises:
        DataError: A population is too small, has no two axes, or holds values that are not finite.
    """

    name: str
    kind: Kind
    edit: str
    source: FloatArray
    target: FloatArray
    events: FloatArray
    truth: FloatArray

    def __post_init__(self) -> None:
        for role in ("source", "target", "events", "truth"):
            shape = np.shape(getattr(self, role))
            if len(shape) != 2 or shape[0] < MIN_EVENTS or shape[1] != self.events.shape[-1]:
                raise DataError(
                    f"comparison {self.name!r}: {role} has the shape {shape}; expected at least {MIN_EVENTS} events "
                    f"by {self.events.shape[-1]} markers. Draw more events, or leave the comparison out."
                )
            if not np.isfinite(getattr(self, role)).all():
                raise DataError(
                    f"comparison {self.name!r}: {role} holds intensities that are not finite. "
                    "Remove these events before the review."
                )


@dataclass(frozen=True)
class Transfer:
    """One comparison with every method's result on its events.

    Attributes:
        comparison: The events and their truth.
        predictions: (n_events, n_markers) arcsinh units, by method.
        truth: (n_truth, n_markers) arcsinh units.
        distances: Distances to the truth, by method; ``noise floor`` is the last.
    """

    comparison: Comparison
    predictions: Mapping[str, FloatArray]
    truth: FloatArray
    distances: Mapping[str, Distance]


def measure_transfer(model: EditModel, comparison: Comparison, seed: int) -> Transfer:
    """Apply the edit and every baseline, and measure how far from the truth each ends.

    Raises:
        ModelError: The model has no edit of the comparison's name.
    """
    source, target, events, truth = (
        model.scaling.arcsinh(population)
        for population in (comparison.source, comparison.target, comparison.events, comparison.truth)
    )
    edited = model.scaling.arcsinh(model.apply(comparison.events, comparison.edit))
    predictions = {NEURONEDIT: edited} | {
        name: baseline(source, target, events) for name, baseline in baselines(model.autoencoder, model.scaling).items()
    }
    distances = {name: distance_to_truth(predicted, truth, seed) for name, predicted in predictions.items()}
    return Transfer(comparison, predictions, truth, distances | {FLOOR: noise_floor(truth, seed)})


def method_table(transfers: Sequence[Transfer]) -> pd.DataFrame:
    """A row for each comparison and method.

    Columns: comparison, kind, method, each score of ``metrics.DECISIVE`` (emd, energy), its normalised residual
    (r_emd, r_energy), markers_worse (markers further from the truth than without edit, by more than their noise floor).
    """
    return pd.DataFrame(
        [
            {
                "comparison": transfer.comparison.name,
                "kind": transfer.comparison.kind,
                "method": method,
                **_scores(distance, transfer.distances[FLOOR], transfer.distances[NO_EDIT]),
            }
            for transfer in transfers
            for method, distance in transfer.distances.items()
        ]
    )


def marker_table(transfers: Sequence[Transfer], markers: Sequence[str]) -> pd.DataFrame:
    """A row for each comparison and marker, the marker furthest from the truth without edit first.

    Columns: comparison, kind, marker, and EMDs to the truth in arcsinh units: before, after, quantile_map, floor;
    worse: whether the edit leaves the marker further away, by more than its noise floor.
    """
    tables = []
    for transfer in transfers:
        before, after, floor = (transfer.distances[name].emd for name in (NO_EDIT, NEURONEDIT, FLOOR))
        columns = {
            "comparison": transfer.comparison.name,
            "kind": transfer.comparison.kind,
            "marker": markers,
            "before": before,
            "after": after,
            "quantile_map": transfer.distances[QUANTILE_MAP].emd,
            "floor": floor,
            "worse": made_worse(after, before, floor),
        }
        tables.append(pd.DataFrame(columns).sort_values("before", ascending=False, kind="stable"))
    return pd.concat(tables, ignore_index=True)


def reconstruction_table(model: EditModel, populations: Mapping[str, FloatArray]) -> pd.DataFrame:
    """A row for each population: how well the autoencoder returns what it is given.

    Columns: population, events, mse (of standardised markers), explained (share of the population's own variance).

    Args:
        model: Its autoencoder reconstructs.
        populations: Raw intensities, (n_events, n_markers) each.
    """
    rows = []
    for name, intensities in populations.items():
        markers = model.standardised(intensities)
        mse = float(np.mean((model.reconstruct(intensities) - markers) ** 2, dtype=np.float64))
        variance = float(markers.var(axis=0, dtype=np.float64).mean())
        explained = 1 - mse / variance if variance > 0 else float("nan")
        rows.append({"population": name, "events": len(intensities), "mse": mse, "explained": explained})
    return pd.DataFrame(rows, columns=["population", "events", "mse", "explained"])


def _scores(distance: Distance, floor: Distance, nothing: Distance) -> dict[str, float | int]:
    return {
        **distance.scores,
        **distance.residuals(floor, nothing),
        "markers_worse": int(made_worse(distance.emd, nothing.emd, floor.emd).sum()),
    }
