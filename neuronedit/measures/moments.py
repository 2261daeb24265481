"""Means, spreads and correlations of markers, before and after an edit.

Arrays of events are (n_events, n_markers), transformed units.
"""

import numpy as np

from neuronedit.arrays import Float64s, Floats


def mad(events: Floats) -> Float64s:
    """Median absolute deviation from each marker's median, unscaled: (n, n_markers) → (n_markers,), transformed units.

    A marker with more than half of the events in the spike at zero has 0.

    Example:
        >>> mad(np.array([[0.0], [1.0], [5.0]])).tolist()
        [1.0]
    """
    values = events.astype(np.float64)
    return np.asarray(np.median(np.abs(values - np.median(values, axis=0)), axis=0))


def mad_ratio(after: Floats, before: Floats) -> Float64s:
    """Share of each marker's spread that is kept, MAD after / MAD before: (n_markers,); NaN if it was 0 before.

    Example:
        >>> mad_ratio(np.array([[0.0], [1.0], [2.0]]), np.array([[0.0], [2.0], [4.0]])).tolist()
        [0.5]
    """
    spread, kept = mad(before), mad(after)
    return np.divide(kept, spread, out=np.full(len(spread), np.nan), where=spread > 0)


def mad_score(after: Floats, before: Floats) -> float:
    """The median over markers of |MAD before − MAD after|, transformed units: 0 if every spread is kept.

    cyCombine takes the median over clusters, markers and batch_ids; here all events count as one cluster and batch_id.

    Source: Pedersen et al. 2022, Nature Communications 13 (cyCombine), "MAD score".

    Example:
        >>> mad_score(np.array([[0.0], [1.0], [2.0]]), np.array([[0.0], [2.0], [4.0]]))
        1.0
    """
    return float(np.median(np.abs(mad(before) - mad(after))))


def rms(values: Floats, axis: int | None = None) -> Float64s:
    """Root mean square, squared and summed in float64: over all values, or along an axis.

    Example:
        >>> float(rms(np.array([3.0, 4.0, 0.0, 0.0])))
        2.5
    """
    return np.asarray(np.sqrt(np.mean(values.astype(np.float64) ** 2, axis=axis)))


def correlation_error(a: Floats, b: Floats) -> float:
    """Mean absolute difference of the Pearson correlations of all pairs of markers, from 0 to 2.

    A constant marker is taken as uncorrelated with all others. NaN if there is one marker only.

    Example:
        >>> line = np.arange(4.0)
        >>> round(correlation_error(np.stack([line, line], 1), np.stack([line, -line], 1)), 6)
        2.0
    """
    pairs = np.triu_indices(a.shape[1], k=1)
    return float(np.abs(_correlations(a)[pairs] - _correlations(b)[pairs]).mean()) if len(pairs[0]) else float("nan")


def delta_r2(predicted: Float64s, measured: Float64s) -> float:
    """Share of the measured mean changes, (n_markers,), that the predicted ones explain: 1 is all; can be negative.

    The coefficient of determination 1 − Σ(measured − predicted)² / Σ(measured − mean measured)². To predict no change
    at all scores 0 or less. NaN if all markers change by the same amount.

    Source: Lotfollahi et al. 2023, Molecular Systems Biology 19 (CPA), whose R² is of means; here it is of changes.

    Example:
        >>> delta_r2(np.array([1.0, 0.0]), np.array([1.0, -1.0]))
        0.5
    """
    spread = float(((measured - measured.mean()) ** 2).sum())
    return 1 - float(((measured - predicted) ** 2).sum()) / spread if spread > 0 else float("nan")


def _correlations(events: Floats) -> Float64s:
    centred = events.astype(np.float64) - events.mean(axis=0, dtype=np.float64)
    lengths = np.sqrt((centred**2).sum(axis=0))
    products = np.outer(lengths, lengths)
    return (centred.T @ centred) / np.where(products > 0, products, 1.0)
