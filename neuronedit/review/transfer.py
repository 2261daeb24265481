"""Transfer: how near an edit, and the simple baselines, bring events to a measured truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuronedit.baselines import latent_arithmetic, mean_shift, quantile_map
from neuronedit.metrics import Distance, normalised_residual, random_halves
from neuronedit.model import EditModel

FloatArray = npt.NDArray[np.float32]

NO_EDIT, MEAN_SHIFT, QUANTILE_MAP, LATENT, NEURONEDIT, FLOOR = (
    "no edit",
    "mean shift",
    "quantile map",
    "latent arithmetic",
    "neuronedit",
    "noise floor",
)
BASELINES = (MEAN_SHIFT, QUANTILE_MAP, LATENT)

TRAINING_PAIR: Final = "training-pair"
HELD_OUT: Final = "held-out"
Kind = Literal["training-pair", "held-out"]


@dataclass(frozen=True)
class Comparison:
    """Events to which an edit is applied, and the truth that they should then be like.

    Attributes:
        name: For people, e.g. ``PTLG028 → PTLG021``.
        kind: ``training-pair``: the edit was fitted on these events and this truth; ``held-out``: it was not.
        edit: The edit's name in the model.
        source: (n, n_markers) raw intensities that the edit was fitted on.
        target: (n, n_markers) raw intensities that it was fitted to.
        events: (n_events, n_markers) raw intensities to apply it to, in random order.
        truth: (n_truth, n_markers) their measured counterpart, raw, in random order.
    """

    name: str
    kind: Kind
    edit: str
    source: FloatArray
    target: FloatArray
    events: FloatArray
    truth: FloatArray


@dataclass(frozen=True)
class Transfer:
    """One comparison with every method's prediction and its distance to the truth.

    Attributes:
        comparison: What was compared.
        predictions: By method, (n_events, n_markers) arcsinh units.
        truth: (n_truth, n_markers) arcsinh units.
        distances: By method, and the noise floor.
    """

    comparison: Comparison
    predictions: Mapping[str, FloatArray]
    truth: FloatArray
    distances: Mapping[str, Distance]

    def best_baseline(self) -> str:
        """The baseline with the lowest mean EMD."""
        return min(BASELINES, key=lambda method: self.distances[method].emd.mean())


def measure_transfer(model: EditModel, comparison: Comparison, seed: int) -> Transfer:
    """Apply the edit and every baseline, and measure how far each ends from the truth."""
    arcsinh = model.scaling.arcsinh
    source, target, events = arcsinh(comparison.source), arcsinh(comparison.target), arcsinh(comparison.events)
    predictions = {
        NO_EDIT: events,
        MEAN_SHIFT: mean_shift(source, target, events),
        QUANTILE_MAP: quantile_map(source, target, events),
        LATENT: latent_arithmetic(model, source, target, events),
        NEURONEDIT: arcsinh(model.apply(comparison.events, comparison.edit)),
    }
    truth = arcsinh(comparison.truth)
    halves = random_halves(truth, seed)
    distances = {method: Distance.to_halves(predicted, halves) for method, predicted in predictions.items()}
    return Transfer(comparison, predictions, truth, {**distances, FLOOR: Distance.floor(halves)})


def method_table(transfers: Sequence[Transfer]) -> pd.DataFrame:
    """A row for each comparison and method: mean EMD, energy distance, residuals, markers made worse."""
    rows = []
    for transfer in transfers:
        floor, nothing = transfer.distances[FLOOR], transfer.distances[NO_EDIT]
        for method, distance in transfer.distances.items():
            rows.append(
                {
                    "comparison": transfer.comparison.name,
                    "kind": transfer.comparison.kind,
                    "method": method,
                    "emd": distance.emd.mean(),
                    "energy": distance.energy,
                    "r_emd": normalised_residual(distance.emd.mean(), floor.emd.mean(), nothing.emd.mean()),
                    "r_energy": normalised_residual(distance.energy, floor.energy, nothing.energy),
                    # By more than noise alone would do.
                    "markers_worse": int((distance.emd - nothing.emd > floor.emd).sum()),
                }
            )
    return pd.DataFrame(rows)


def marker_table(transfers: Sequence[Transfer], markers: Sequence[str]) -> pd.DataFrame:
    """A row for each comparison and marker: EMD to the truth before, after, by the quantile map, and the floor."""
    tables = [
        pd.DataFrame(
            {
                "comparison": transfer.comparison.name,
                "kind": transfer.comparison.kind,
                "marker": markers,
                "before": transfer.distances[NO_EDIT].emd,
                "after": transfer.distances[NEURONEDIT].emd,
                "quantile_map": transfer.distances[QUANTILE_MAP].emd,
                "floor": transfer.distances[FLOOR].emd,
            }
        )
        for transfer in transfers
    ]
    return pd.concat(tables, ignore_index=True)


def reconstruction_table(model: EditModel, populations: Mapping[str, FloatArray]) -> pd.DataFrame:
    """A row for each population: mean squared reconstruction error of standardised markers, and variance explained.

    Args:
        model: Whose autoencoder reconstructs.
        populations: Raw intensities, (n_events, n_markers) each.
    """
    rows = []
    for name, intensities in populations.items():
        markers, error = model.standardised(intensities), model.reconstruct(intensities)
        squared = float(((error - markers) ** 2).mean())
        explained = 1 - squared / float(markers.var(axis=0).mean())
        rows.append({"population": name, "events": len(intensities), "mse": squared, "variance_explained": explained})
    return pd.DataFrame(rows)
