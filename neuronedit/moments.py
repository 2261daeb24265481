"""Means, spreads and correlations of markers, and what an edit does to them.

All arrays of events are (n_events, n_markers) on the arcsinh scale.
"""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
MarkerValues = npt.NDArray[np.float64]


def mad(events: FloatArray) -> MarkerValues:
    """Median absolute deviation from the median of each marker, unscaled: (n, n_markers) → (n_markers,), arcsinh units.

    Where more than half of the events lie in the spike at zero it is 0.
    """
    values = events.astype(np.float64)
    return np.asarray(np.median(np.abs(values - np.median(values, axis=0)), axis=0))


def mad_ratio(after: FloatArray, before: FloatArray) -> MarkerValues:
    """How much of each marker's spread is kept: MAD after / MAD before, (n_markers,); NaN where it was 0 before."""
    spread, kept = mad(before), mad(after)
    return np.divide(kept, spread, out=np.full(len(spread), np.nan), where=spread > 0)


def mad_score(after: FloatArray, before: FloatArray) -> float:
    """The median over markers of |MAD before − MAD after|, arcsinh units: 0 where every spread is kept.

    cyCombine takes the median over clusters, markers and batches; here the events are those of one cluster and batch.

    Source: Pedersen et al. 2022, Nature Communications 13 (cyCombine), "MAD score".
    """
    return float(np.median(np.abs(mad(before) - mad(after))))


def rms(values: FloatArray, axis: int | None = None) -> MarkerValues:
    """Root mean square, squared and summed in float64: () of all values, or along an axis."""
    return np.asarray(np.sqrt(np.mean(values.astype(np.float64) ** 2, axis=axis)))


def correlation_error(a: FloatArray, b: FloatArray) -> float:
    """Mean absolute difference of the Pearson correlations of all pairs of markers, from 0 to 2.

    A constant marker is taken as uncorrelated with all others. NaN where there is one marker only.
    """
    pairs = np.triu_indices(a.shape[1], k=1)
    return float(np.abs(_correlations(a)[pairs] - _correlations(b)[pairs]).mean()) if len(pairs[0]) else float("nan")


def delta_r2(predicted: MarkerValues, measured: MarkerValues) -> float:
    """How much of the measured mean changes, (n_markers,), the predicted ones explain: 1 is all; can be negative.

    The coefficient of determination 1 − Σ(measured − predicted)² / Σ(measured − mean measured)². To predict no change
    at all scores 0 or less. NaN where all markers change alike.

    Source: Lotfollahi et al. 2023, Molecular Systems Biology 19 (CPA), whose R² is of means; here it is of changes.
    """
    spread = float(((measured - measured.mean()) ** 2).sum())
    return 1 - float(((measured - predicted) ** 2).sum()) / spread if spread > 0 else float("nan")


def _correlations(events: FloatArray) -> npt.NDArray[np.float64]:
    centred = events.astype(np.float64) - events.mean(axis=0, dtype=np.float64)
    lengths = np.sqrt((centred**2).sum(axis=0))
    products = np.outer(lengths, lengths)
    return (centred.T @ centred) / np.where(products > 0, products, 1.0)
